//! What advisories say, as engines keep it, and what of it changed.

use std::collections::BTreeMap;

use limpid_model::{Affected, AffectedState, PackageKind, Severity};
use serde::{Deserialize, Serialize};

/// What of [`Affected`] has no column of its own.
#[derive(Serialize, Deserialize)]
pub(crate) struct AffectedBody {
    pub(crate) package_kind: PackageKind,
    pub(crate) channel: String,
    pub(crate) state: AffectedState,
    pub(crate) introduced: String,
    pub(crate) fixed: String,
    pub(crate) arches: Vec<String>,
    pub(crate) module: String,
    pub(crate) cpe: String,
    pub(crate) notice: String,
    pub(crate) state_word: String,
    pub(crate) severity: Option<Severity>,
    pub(crate) severity_word: String,
}

impl AffectedBody {
    pub(crate) fn into_affected(self, package: String, release: String) -> Affected {
        Affected {
            package,
            package_kind: self.package_kind,
            release,
            channel: self.channel,
            state: self.state,
            introduced: self.introduced,
            fixed: self.fixed,
            arches: self.arches,
            module: self.module,
            cpe: self.cpe,
            notice: self.notice,
            state_word: self.state_word,
            severity: self.severity,
            severity_word: self.severity_word,
        }
    }
}

impl AffectedBody {
    /// What of an affected range has no column of its own, with its package and release.
    pub(crate) fn of(range: Affected) -> (String, String, Self) {
        let body = Self {
            package_kind: range.package_kind,
            channel: range.channel,
            state: range.state,
            introduced: range.introduced,
            fixed: range.fixed,
            arches: range.arches,
            module: range.module,
            cpe: range.cpe,
            notice: range.notice,
            state_word: range.state_word,
            severity: range.severity,
            severity_word: range.severity_word,
        };
        (range.package, range.release, body)
    }
}

/// A severity column.
pub(crate) fn severity(value: i64) -> Severity {
    let severity = usize::try_from(value).ok().and_then(|value| Severity::ALL.get(value));
    severity.copied().unwrap_or_default()
}

/// What is said no more and what is said anew, side by side where both are about the same.
pub(crate) fn pairs(before: Vec<Affected>, now: Vec<Affected>) -> Vec<(Option<Affected>, Option<Affected>)> {
    type About = (String, PackageKind, String, String);
    let about = |said: &Affected| -> About {
        (said.package.clone(), said.package_kind, said.release.clone(), said.channel.clone())
    };
    let mut sides: BTreeMap<About, (Vec<Affected>, Vec<Affected>)> = BTreeMap::new();
    for said in before.iter().filter(|said| !now.contains(said)) {
        sides.entry(about(said)).or_default().0.push(said.clone());
    }
    for said in now.iter().filter(|said| !before.contains(said)) {
        sides.entry(about(said)).or_default().1.push(said.clone());
    }
    let mut pairs = Vec::new();
    for (gone, fresh) in sides.into_values() {
        let (mut gone, mut fresh) = (gone.into_iter(), fresh.into_iter());
        loop {
            match (gone.next(), fresh.next()) {
                (None, None) => break,
                pair => pairs.push(pair),
            }
        }
    }
    pairs
}
