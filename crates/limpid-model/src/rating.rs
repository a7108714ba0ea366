//! How severe a vulnerability is, who says so, and by which score.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Severity;

/// A CVSS base score, in tenths: 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BaseScore {
    tenths: u8,
}

impl BaseScore {
    /// The score of so many tenths; `None` above 10.0.
    pub const fn from_tenths(tenths: u8) -> Option<Self> {
        if tenths <= 100 { Some(Self { tenths }) } else { None }
    }

    /// The score in tenths.
    pub const fn tenths(self) -> u8 {
        self.tenths
    }
}

impl fmt::Display for BaseScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.tenths / 10, self.tenths % 10)
    }
}

/// What one source says of a vulnerability's severity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rated {
    /// The severity.
    pub severity: Severity,
    /// Who says so: a feed's name for its own word (`debian-tracker`), else who gave the vector (`CISA-ADP`, `nvd`, the
    /// numbering authority's short name).
    pub source: String,
    /// The source's own word, empty for none.
    pub word: String,
    /// The base score of `vector`, if there is one.
    pub score: Option<BaseScore>,
    /// The CVSS vector, as written; empty for none.
    pub vector: String,
}

impl Default for Rated {
    /// Nobody says anything.
    fn default() -> Self {
        Self {
            severity: Severity::Unknown,
            source: String::new(),
            word: String::new(),
            score: None,
            vector: String::new(),
        }
    }
}
