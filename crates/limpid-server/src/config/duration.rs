//! Durations as people and Go write them: `30s`, `1h30m`.

use std::time::Duration;

use serde::{Deserialize as _, Deserializer, de};

pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|parsed| Duration::try_from(parsed).ok());
    parsed.ok_or_else(|| de::Error::custom(format!("`{text}` is no duration; write 30s, 5m or 6h")))
}
