//! Verdicts: what an advisory means for a package version in its context (the third memo table).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AffectedState, Severity};

/// What is concluded. Stored results hold the position in this list: new ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictState {
    /// Affected; the version in `fixed` fixes it.
    Fixable,
    /// Affected; there is no fix yet.
    NoFix,
    /// Affected; the source will not fix it.
    WillNotFix,
    /// Affected; the source has put the fix off.
    Deferred,
    /// Affected as far as anybody knows; the package is past its support.
    EndOfLife,
    /// The source has not determined whether it is affected.
    Unknown,
    /// Not affected: the installed version has the fix.
    FixedAlready,
    /// Not affected: the source says that this release never was.
    NeverAffected,
}

impl VerdictState {
    /// Whether the package counts as vulnerable.
    pub const fn is_affected(self) -> bool {
        matches!(self, Self::Fixable | Self::NoFix | Self::WillNotFix | Self::Deferred | Self::EndOfLife)
    }

    /// The word in tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixable => "fixable",
            Self::NoFix => "no-fix",
            Self::WillNotFix => "will-not-fix",
            Self::Deferred => "deferred",
            Self::EndOfLife => "end-of-life",
            Self::Unknown => "unknown",
            Self::FixedAlready => "fixed-already",
            Self::NeverAffected => "never-affected",
        }
    }
}

impl fmt::Display for VerdictState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A verdict on one vulnerability for one package version in one context.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Verdict {
    /// The vulnerability's id: a CVE's where the advisory is about one, else the advisory's own.
    pub vulnerability: String,
    /// The advisory's id.
    pub advisory: String,
    /// The feed that published it.
    pub feed: String,
    /// What is concluded.
    pub state: VerdictState,
    /// The version that fixes it; empty for none.
    pub fixed: String,
    /// Support channel that the fix comes through, empty for the release's own.
    pub channel: String,
    /// Normalised severity.
    pub severity: Severity,
    /// The source's own word for the severity, empty for none.
    pub severity_word: String,
    /// The feed whose word for the severity that is: `feed`, or another where that one names none.
    pub severity_feed: String,
    /// The source's own words for the state.
    pub state_word: String,
    /// The announcement that brought the fix (`DSA-3142-1`), empty for none.
    pub notice: String,
}

/// Why a verdict is what it is: what `explain` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// The rule that was applied (`debian: source package`).
    pub rule: String,
    /// The comparison made, as a sentence (`2.13-38 < 2.13-38+deb7u7 in dpkg's order`), or why there was none.
    pub comparison: String,
    /// The package name that the advisory was matched by.
    pub matched_name: String,
    /// What the source says, as stored.
    pub source_state: AffectedState,
}
