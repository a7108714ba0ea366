//! What changed in the advisories between two revisions, in words that people act on.

use limpid_model::{Affected, AffectedState, Severity};
use limpid_store::{AdvisoryChange, FeedKey, Store};

use crate::Error;

/// What became of what an advisory says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is said for the first time.
    New,
    /// It is no longer said, or was taken back.
    Withdrawn,
    /// There is a fix now.
    Fixed,
    /// The version that fixes it is another one.
    FixMoved,
    /// The source's word for its state is another one.
    State,
    /// The severity is another one.
    Severity,
    /// Something else of it.
    Details,
}

impl ChangeKind {
    /// The word in lists and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Withdrawn => "withdrawn",
            Self::Fixed => "fixed",
            Self::FixMoved => "fix-moved",
            Self::State => "state",
            Self::Severity => "severity",
            Self::Details => "details",
        }
    }
}

/// A change of what an advisory says, of one package or as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The feed's document.
    pub key: FeedKey,
    /// The advisory's id.
    pub advisory: String,
    /// What became of it.
    pub kind: ChangeKind,
    /// The package, release and channel that it is about; empty if it is the advisory as a whole.
    pub package: String,
    /// See `package`.
    pub release: String,
    /// See `package`.
    pub channel: String,
    /// What was said before, in short.
    pub before: String,
    /// What is said now, in short.
    pub after: String,
}

/// Hands over every change after a revision and up to another, sorted by document, advisory and package.
pub fn changes(store: &dyn Store, after: u64, until: u64, sink: &mut dyn FnMut(Change)) -> Result<(), Error> {
    store.changes(after, until, &mut |change| {
        classify(change).into_iter().for_each(&mut *sink);
        Ok(())
    })?;
    Ok(())
}

fn classify(change: AdvisoryChange) -> Vec<Change> {
    let AdvisoryChange { key, advisory, details, affected } = change;
    let blank = Change {
        key,
        advisory,
        kind: ChangeKind::Details,
        package: String::new(),
        release: String::new(),
        channel: String::new(),
        before: String::new(),
        after: String::new(),
    };
    let mut changes = Vec::new();
    for (before, after) in &affected {
        let Some(about) = after.as_ref().or(before.as_ref()) else { continue };
        changes.push(Change {
            kind: kind(before.as_ref(), after.as_ref()),
            package: about.package.clone(),
            release: about.release.clone(),
            channel: about.channel.clone(),
            before: before.as_ref().map(said).unwrap_or_default(),
            after: after.as_ref().map(said).unwrap_or_default(),
            ..blank.clone()
        });
    }
    if let Some((before, after)) = details {
        let withdrawn = |details: &limpid_model::AdvisoryDetails| !details.withdrawn.is_empty();
        let (kind, before, after) = match (before, after) {
            (None, Some(now)) => (ChangeKind::New, String::new(), now.severity_word),
            (Some(before), None) => (ChangeKind::Withdrawn, before.severity_word, String::new()),
            (Some(before), Some(now)) if withdrawn(&now) && !withdrawn(&before) => {
                (ChangeKind::Withdrawn, before.severity_word, now.withdrawn)
            }
            (Some(before), Some(now)) if before.severity_word != now.severity_word => {
                (ChangeKind::Severity, before.severity_word, now.severity_word)
            }
            _ => (ChangeKind::Details, String::new(), String::new()),
        };
        // Of an advisory that came or went with all that it says, that is told once for each package.
        let is_told = affected.iter().any(|(b, a)| self::kind(b.as_ref(), a.as_ref()) == kind);
        if !is_told {
            changes.push(Change { kind, before, after, ..blank });
        }
    }
    changes
}

fn kind(before: Option<&Affected>, after: Option<&Affected>) -> ChangeKind {
    let (Some(before), Some(after)) = (before, after) else {
        return if after.is_some() { ChangeKind::New } else { ChangeKind::Withdrawn };
    };
    let severity = |said: &Affected| (said.severity.unwrap_or(Severity::Unknown), said.severity_word.clone());
    match (before.state, after.state) {
        (AffectedState::Fixed, AffectedState::Fixed) if before.fixed != after.fixed => ChangeKind::FixMoved,
        (AffectedState::Fixed, AffectedState::Fixed) => {
            if severity(before) == severity(after) {
                ChangeKind::Details
            } else {
                ChangeKind::Severity
            }
        }
        (_, AffectedState::Fixed) => ChangeKind::Fixed,
        (a, b) if a != b => ChangeKind::State,
        _ if severity(before) != severity(after) => ChangeKind::Severity,
        _ if before.state_word != after.state_word => ChangeKind::State,
        _ => ChangeKind::Details,
    }
}

/// What is said of a package, in short.
fn said(affected: &Affected) -> String {
    let mut text = match affected.state {
        AffectedState::Fixed => format!("fixed in {}", affected.fixed),
        _ => affected.state_word.clone(),
    };
    if !affected.severity_word.is_empty() {
        text.push_str(&format!(", {}", affected.severity_word));
    }
    text
}
