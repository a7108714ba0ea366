//! `--as-of`: which moment a question is about.

use std::str::FromStr;

use jiff::Timestamp;
use limpid_index::Moment;
use limpid_store::{NEWEST, Store};

use crate::clock::{SystemClock, rfc3339, today};
use crate::error::Error;

/// A moment in the past as the user names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AsOf {
    /// Seconds since the epoch.
    Time(i64),
    /// A revision of the advisories.
    Revision(u64),
}

impl FromStr for AsOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(number) = text.strip_prefix("revision:") {
            return number.parse().map(Self::Revision).map_err(|_| format!("`{number}` is no revision"));
        }
        // A day means all of it.
        let is_day = text.len() == 10;
        let time = if is_day { format!("{text}T23:59:59Z") } else { text.to_owned() };
        time.parse::<Timestamp>()
            .map(|time| Self::Time(time.as_second()))
            .map_err(|_| format!("`{text}` is no moment; write YYYY-MM-DD, an RFC 3339 time or revision:N"))
    }
}

/// The moment that a question is about, with its texts.
pub(crate) struct Asked {
    revision: u64,
    today: String,
    as_of: String,
    there_at: Option<i64>,
    now: String,
}

impl Asked {
    /// The moment that the user named, else the present.
    pub(crate) fn new(store: &dyn Store, as_of: Option<AsOf>) -> Result<Self, Error> {
        let mut there_at = None;
        let now = now()?;
        let (revision, time) = match as_of {
            None => {
                return Ok(Self { revision: NEWEST, today: today(), as_of: String::new(), there_at, now });
            }
            Some(AsOf::Time(time)) => {
                there_at = Some(time);
                (store.revision_at(time)?, time)
            }
            Some(AsOf::Revision(revision)) => {
                let time = store.revision_time(revision)?;
                (revision, time.ok_or_else(|| Error::Usage { message: unknown(revision) })?)
            }
        };
        let as_of = rfc3339(time);
        Ok(Self { revision, today: as_of.chars().take(10).collect(), as_of, there_at, now })
    }

    /// The time at which images must have been there, if one was named: a revision is of the advisories alone.
    pub(crate) fn there_at(&self) -> Option<i64> {
        self.there_at
    }

    pub(crate) fn moment(&self) -> Moment<'_> {
        Moment { revision: self.revision, today: &self.today, as_of: &self.as_of, now: &self.now }
    }
}

/// What documents are dated with: the clock's time, or what `SOURCE_DATE_EPOCH` says, so that whoever needs the same
/// bytes again can have them.
fn now() -> Result<String, Error> {
    let Some(fixed) = std::env::var_os("SOURCE_DATE_EPOCH").filter(|fixed| !fixed.is_empty()) else {
        return Ok(rfc3339(limpid_index::Clock::now(&SystemClock)));
    };
    let seconds = fixed.to_str().and_then(|text| text.parse::<i64>().ok());
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map(|time| time.to_string()).ok_or_else(|| Error::Usage {
        message: format!("SOURCE_DATE_EPOCH is `{}`, which is no number of seconds", fixed.display()),
    })
}

fn unknown(revision: u64) -> String {
    format!("the store has no revision {revision}; `limpid feeds status` shows the newest")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn days_times_and_revisions_are_moments() {
        assert_eq!("2026-03-01".parse(), Ok(AsOf::Time(1_772_409_599)));
        assert_eq!("2026-03-01T00:00:00Z".parse(), Ok(AsOf::Time(1_772_323_200)));
        assert_eq!("revision:7".parse(), Ok(AsOf::Revision(7)));
        for bad in ["yesterday", "revision:", "2026-13-01", ""] {
            assert!(bad.parse::<AsOf>().is_err(), "{bad}");
        }
    }
}
