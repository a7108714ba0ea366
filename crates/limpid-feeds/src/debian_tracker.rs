//! Debian's Security Tracker: `{source: {CVE: {description, debianbug, releases: {code name: {status, ...}}}}}`.
//!
//! Source of truth: the tracker's own export, and its documentation of the fields. What its states mean here:
//!
//! | status, fixed_version | becomes |
//! |---|---|
//! | resolved, `0` | not affected |
//! | resolved, a version | fixed |
//! | resolved, none | undetermined: it is said to be solved, but not from which version on |
//! | open, a version | fixed: the fix is named, the release's repositories do not have it yet |
//! | open | open; by `urgency` end of life; by `nodsa_reason` ignored (will not fix) or postponed (deferred) |
//! | undetermined | undetermined |
//!
//! `nodsa` without a reason means that no notice will be sent, which is no promise not to fix: open.
//! `urgency` becomes a severity only where it claims one (`unimportant`, `low`, `medium`, `high`).
//! Left out: `scope`, and `repositories` (which versions the archive has; not what is installed).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use limpid_model::{Advisory, AdvisoryDetails, Affected, AffectedState, PackageKind, Severity};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::debian_release::{is_tracked, release_of_code_name};
use crate::error::FeedError;
use crate::feed::{Document, Emitter, Feed, ParseSummary, Sink};
use crate::json::{JsonError, JsonWalker, Value};
use crate::limits::Limits;

const URL: &str = "https://security-tracker.debian.org/tracker/data/json";

/// Debian's Security Tracker, for the releases that it carries.
#[derive(Debug, Clone, Copy)]
pub struct DebianTracker;

impl Feed for DebianTracker {
    fn name(&self) -> &'static str {
        "debian-tracker"
    }

    fn parser_version(&self) -> u32 {
        1
    }

    fn covers(&self, release: &str) -> bool {
        is_tracked(release)
    }

    fn all_documents(&self) -> Vec<Document> {
        vec![Document::new("tracker", URL)]
    }

    fn parse(
        &self,
        document: &Document,
        input: &mut dyn Read,
        limits: &Limits,
        sink: &mut Sink<'_>,
    ) -> Result<ParseSummary, FeedError> {
        let mut emitter = Emitter::new(document, limits, sink);
        let fail = |error: JsonError| error.of(&document.name);
        let input = document.decoded(input, limits)?;
        let mut walker = JsonWalker::new(input, limits.record_bytes_max);
        walker.open(b'{').map_err(fail)?;
        while let Some(package) = walker.next_key().map_err(fail)? {
            if !walker.next_is(b'{').map_err(fail)? {
                emitter.record()?;
                emitter.skip("package is not an object");
                walker.skip_value().map_err(fail)?;
                continue;
            }
            walker.open(b'{').map_err(fail)?;
            while let Some(id) = walker.next_key().map_err(fail)? {
                emitter.record()?;
                match walker.value::<Entry<'_>>().map_err(fail)? {
                    Value::Good(entry) => advisory(&package, id, entry, &mut emitter)?,
                    Value::OtherShape => emitter.skip("vulnerability is not of the known shape"),
                }
            }
        }
        walker.end().map_err(fail)?;
        emitter.finish(false)
    }
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    description: Option<Cow<'a, str>>,
    #[serde(default)]
    debianbug: Option<Bug>,
    #[serde(borrow)]
    releases: BTreeMap<Cow<'a, str>, ReleaseValue<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Bug {
    Number(u64),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ReleaseValue<'a> {
    #[serde(borrow)]
    Known(Release<'a>),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Release<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    fixed_version: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    urgency: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    nodsa: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    nodsa_reason: Option<Cow<'a, str>>,
}

fn advisory(
    package: &str,
    id: String,
    entry: Entry<'_>,
    emitter: &mut Emitter<'_, '_>,
) -> Result<(), FeedError> {
    if package.is_empty() || id.is_empty() {
        emitter.skip("package or vulnerability has no name");
        return Ok(());
    }
    let mut rows = Vec::with_capacity(entry.releases.len().min(16));
    for (code_name, value) in entry.releases {
        let Some(release) = release_of_code_name(&code_name) else {
            emitter.skip("release is not known");
            continue;
        };
        match value {
            ReleaseValue::Known(said) => match affected(package, release, &said) {
                Some(row) => rows.push(row),
                None => emitter.skip("status is not known"),
            },
            ReleaseValue::Other(_) => emitter.skip("release is not of the known shape"),
        }
    }
    if rows.is_empty() {
        emitter.skip("vulnerability speaks of no release");
        return Ok(());
    }
    let mut links = vec![format!("https://security-tracker.debian.org/tracker/{id}")];
    if let Some(Bug::Number(number)) = entry.debianbug {
        links.push(format!("https://bugs.debian.org/{number}"));
    }
    let description = entry.description.map(Cow::into_owned).unwrap_or_default();
    emitter.emit(Advisory {
        id,
        details: AdvisoryDetails { description, links, ..AdvisoryDetails::default() },
        affected: rows,
    })
}

fn affected(package: &str, release: String, said: &Release<'_>) -> Option<Affected> {
    let version = said.fixed_version.as_deref().unwrap_or_default();
    let urgency = said.urgency.as_deref().unwrap_or_default();
    let state = match (&*said.status, version) {
        ("resolved", "0") => AffectedState::NotAffected,
        ("resolved", "") | ("undetermined", _) => AffectedState::Undetermined,
        ("resolved", _) => AffectedState::Fixed,
        ("open", "" | "0") => open_state(urgency, said.nodsa_reason.as_deref()),
        ("open", _) => AffectedState::Fixed,
        _ => return None,
    };
    Some(Affected {
        package: package.to_owned(),
        package_kind: PackageKind::Source,
        release,
        state,
        fixed: if state == AffectedState::Fixed { version.to_owned() } else { String::new() },
        state_word: state_word(said, version),
        severity: severity(urgency),
        severity_word: urgency.to_owned(),
        ..Affected::default()
    })
}

fn open_state(urgency: &str, nodsa_reason: Option<&str>) -> AffectedState {
    match (urgency, nodsa_reason) {
        ("end-of-life", _) => AffectedState::EndOfLife,
        (_, Some("ignored")) => AffectedState::WillNotFix,
        (_, Some("postponed")) => AffectedState::Deferred,
        _ => AffectedState::Open,
    }
}

fn state_word(said: &Release<'_>, version: &str) -> String {
    let mut word = said.status.to_string();
    if said.status == "open" && said.urgency.as_deref() == Some("end-of-life") {
        word.push_str("; end-of-life");
    }
    if said.status == "resolved" && version.is_empty() {
        word.push_str("; no version");
    }
    if said.nodsa.is_some() || said.nodsa_reason.is_some() {
        let reason = said.nodsa_reason.as_deref().filter(|reason| !reason.is_empty());
        word.push_str("; ");
        word.push_str(reason.unwrap_or("no-dsa"));
        if let Some(text) = said.nodsa.as_deref().filter(|text| !text.is_empty()) {
            word.push_str(": ");
            word.push_str(text);
        }
    }
    word
}

/// Older exports mark a guessed urgency with asterisks.
pub(crate) fn severity(urgency: &str) -> Option<Severity> {
    match urgency.trim_end_matches('*') {
        "unimportant" => Some(Severity::Negligible),
        "low" => Some(Severity::Low),
        "medium" => Some(Severity::Medium),
        "high" => Some(Severity::High),
        _ => None,
    }
}
