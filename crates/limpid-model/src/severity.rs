//! Severities, normalised over all sources (Clair's scale).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How bad a vulnerability is. The order is the scale: `Unknown` sorts lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Severity {
    /// The source does not say.
    #[default]
    Unknown,
    /// Technically a flaw, of no practical consequence (Debian's "unimportant").
    Negligible,
    /// Little impact or hard to use.
    Low,
    /// A real problem for many.
    Medium,
    /// A real problem for most.
    High,
    /// World-burning in a common configuration.
    Critical,
    /// Set by the operator alone: drop everything.
    Defcon1,
}

impl Severity {
    /// All severities, lowest first.
    pub const ALL: [Self; 7] =
        [Self::Unknown, Self::Negligible, Self::Low, Self::Medium, Self::High, Self::Critical, Self::Defcon1];

    /// The name that people and formats see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Negligible => "Negligible",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
            Self::Defcon1 => "Defcon1",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no severity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a severity; use one of unknown, negligible, low, medium, high, critical, defcon1")]
pub struct UnknownSeverity(pub String);

impl FromStr for Severity {
    type Err = UnknownSeverity;

    fn from_str(text: &str) -> Result<Self, UnknownSeverity> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownSeverity(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_the_scale_is_the_order() {
        for pair in Severity::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for severity in Severity::ALL {
            assert_eq!(severity.name().to_lowercase().parse::<Severity>().unwrap(), severity);
        }
        assert!("severe".parse::<Severity>().is_err());
    }
}
