//! A user's own advisories: records in OSV format, in files.
//!
//! Source of the format: <https://ossf.github.io/osv-schema/>. Read are `id`, `aliases`, `summary`, `details`,
//! `published`, `modified`, `withdrawn`, `severity`, `references` and of `affected` the package, ranges of type
//! `ECOSYSTEM`, and two words in `database_specific`: `severity` (of the record or of one `affected`) and `state`
//! (`not-affected`). Left out: `versions`, and ranges of other types.

use std::io::Read;

use limpid_model::{Advisory, AdvisoryDetails, Affected, AffectedState, Cvss, PackageKind, Severity};
use serde::Deserialize;

use crate::error::FeedError;
use crate::feed::{Document, Emitter, Feed, ParseSummary, Sink};
use crate::limits::Limits;

/// The name of the feed that holds a user's own advisories.
pub const LOCAL_FEED: &str = "local";

/// A user's own advisories. They are imported, never fetched.
pub struct Local;

#[derive(Debug, Deserialize)]
struct Osv {
    id: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    details: String,
    #[serde(default)]
    published: String,
    #[serde(default)]
    modified: String,
    #[serde(default)]
    withdrawn: String,
    #[serde(default)]
    severity: Vec<Score>,
    #[serde(default)]
    references: Vec<Reference>,
    #[serde(default)]
    affected: Vec<OsvAffected>,
    #[serde(default)]
    database_specific: Specific,
}

#[derive(Debug, Deserialize)]
struct Score {
    score: String,
}

#[derive(Debug, Deserialize)]
struct Reference {
    url: String,
}

#[derive(Debug, Default, Deserialize)]
struct Specific {
    #[serde(default)]
    severity: String,
    #[serde(default)]
    state: String,
}

#[derive(Debug, Deserialize)]
struct OsvAffected {
    package: OsvPackage,
    #[serde(default)]
    ranges: Vec<Range>,
    #[serde(default)]
    database_specific: Specific,
}

#[derive(Debug, Deserialize)]
struct OsvPackage {
    ecosystem: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Range {
    r#type: String,
    events: Vec<Event>,
}

#[derive(Debug, Default, Deserialize)]
struct Event {
    introduced: Option<String>,
    fixed: Option<String>,
}

/// The vectors that a record gives, sorted.
fn cvss(scores: Vec<Score>) -> Vec<Cvss> {
    let mut cvss: Vec<Cvss> = scores.iter().map(|score| Cvss::own(&score.score)).collect();
    cvss.sort();
    cvss
}

impl Feed for Local {
    fn name(&self) -> &'static str {
        LOCAL_FEED
    }

    fn parser_version(&self) -> u32 {
        1
    }

    fn all_documents(&self) -> Vec<Document> {
        Vec::new()
    }

    /// Reads one record, or an array of them.
    fn parse(
        &self,
        document: &Document,
        input: &mut dyn Read,
        limits: &Limits,
        sink: &mut Sink<'_>,
    ) -> Result<ParseSummary, FeedError> {
        let mut emitter = Emitter::new(document, limits, sink);
        let limit = limits.record_bytes_max as u64;
        let mut bytes = Vec::new();
        let read = input.take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|source| FeedError::Read { document: document.name.clone(), source })?;
        if bytes.len() as u64 > limit {
            return Err(emitter.too_large("bytes in one file", limit));
        }
        let is_array = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let records: Result<Vec<Osv>, _> = if is_array {
            serde_json::from_slice(&bytes)
        } else {
            serde_json::from_slice(&bytes).map(|record| vec![record])
        };
        let records = records.map_err(|error| emitter.malformed(0, error.to_string()))?;
        for record in records {
            emitter.record()?;
            if record.withdrawn.is_empty() {
                let advisory = advisory(record).map_err(|reason| emitter.malformed(0, reason))?;
                emitter.emit(advisory)?;
            } else {
                emitter.skip("withdrawn");
            }
        }
        emitter.finish(true)
    }
}

fn advisory(record: Osv) -> Result<Advisory, String> {
    let severity = severity(&record.database_specific.severity)?;
    let mut affected = Vec::new();
    for said in &record.affected {
        affected.extend(affected_by(said)?);
    }
    let description = if record.details.is_empty() { record.summary } else { record.details };
    Ok(Advisory {
        id: record.id,
        details: AdvisoryDetails {
            aliases: record.aliases,
            description,
            severity: severity.unwrap_or_default(),
            severity_word: record.database_specific.severity,
            cvss: cvss(record.severity),
            weaknesses: Vec::new(),
            exploited: None,
            links: record.references.into_iter().map(|reference| reference.url).collect(),
            published: record.published,
            modified: record.modified,
            withdrawn: record.withdrawn,
        },
        affected,
    })
}

fn severity(word: &str) -> Result<Option<Severity>, String> {
    if word.is_empty() {
        return Ok(None);
    }
    word.parse().map(Some).map_err(|error| format!("{error}"))
}

fn affected_by(said: &OsvAffected) -> Result<Vec<Affected>, String> {
    let (release, channel) = release(&said.package.ecosystem);
    let one = |state, introduced: &str, fixed: &str, word: &str| -> Result<Affected, String> {
        Ok(Affected {
            package: said.package.name.clone(),
            package_kind: PackageKind::Source,
            release: release.clone(),
            channel: channel.clone(),
            state,
            introduced: if introduced == "0" { String::new() } else { introduced.to_owned() },
            fixed: fixed.to_owned(),
            state_word: word.to_owned(),
            severity: severity(&said.database_specific.severity)?,
            severity_word: said.database_specific.severity.clone(),
            ..Affected::default()
        })
    };
    match said.database_specific.state.as_str() {
        "" => {}
        "not-affected" => return Ok(vec![one(AffectedState::NotAffected, "", "", "not-affected")?]),
        other => return Err(format!("`{other}` is no state; only not-affected is")),
    }
    let mut ranges = Vec::new();
    for range in said.ranges.iter().filter(|range| range.r#type == "ECOSYSTEM") {
        let mut introduced: Option<&str> = None;
        for event in &range.events {
            if let Some(version) = &event.introduced {
                introduced = Some(version);
            }
            if let (Some(fixed), Some(from)) = (&event.fixed, introduced) {
                ranges.push(one(AffectedState::Fixed, from, fixed, &format!("fixed in {fixed}"))?);
                introduced = None;
            }
        }
        if let Some(from) = introduced {
            ranges.push(one(AffectedState::Open, from, "", "not fixed")?);
        }
    }
    if ranges.is_empty() {
        return Err(format!("package {} has no range of type ECOSYSTEM and no state", said.package.name));
    }
    Ok(ranges)
}

/// An OSV ecosystem (`Debian:7`, `Alpine:v3.18`, `Ubuntu:Pro:14.04:LTS`) as a release and channel.
fn release(ecosystem: &str) -> (String, String) {
    if let Some(of_ubuntu) = crate::ubuntu_osv::release(ecosystem, "") {
        return of_ubuntu;
    }
    let release = match ecosystem.split_once(':') {
        Some(("Alpine", version)) => format!("alpine:{}", version.trim_start_matches('v')),
        _ => ecosystem.to_lowercase(),
    };
    (release, String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Vec<Advisory>, ParseSummary), FeedError> {
        let mut found = Vec::new();
        let document = Document::new("x.json", "");
        let summary = Local.parse(&document, &mut text.as_bytes(), &Limits::default(), &mut |advisory| {
            found.push(advisory);
            Ok(())
        })?;
        Ok((found, summary))
    }

    #[test]
    fn ranges_states_and_severities_are_read() {
        let (found, _) = parse(
            r#"{"id":"CVE-1","database_specific":{"severity":"Defcon1"},"affected":[
              {"package":{"ecosystem":"Debian:7","name":"a"},"ranges":[{"type":"ECOSYSTEM","events":[
                {"introduced":"0"},{"fixed":"1.2"},{"introduced":"2"}]}]},
              {"package":{"ecosystem":"Alpine:v3.18","name":"b"},"database_specific":{"state":"not-affected"}}]}"#,
        )
        .unwrap();
        assert_eq!(found[0].details.severity, Severity::Defcon1);
        let said: Vec<_> = found[0]
            .affected
            .iter()
            .map(|a| {
                (a.package.as_str(), a.release.as_str(), a.state, a.introduced.as_str(), a.fixed.as_str())
            })
            .collect();
        assert_eq!(
            said,
            [
                ("a", "debian:7", AffectedState::Fixed, "", "1.2"),
                ("a", "debian:7", AffectedState::Open, "2", ""),
                ("b", "alpine:3.18", AffectedState::NotAffected, "", ""),
            ]
        );
    }

    #[test]
    fn what_is_withdrawn_is_counted_and_what_is_wrong_is_said() {
        let (found, summary) = parse(r#"[{"id":"A","withdrawn":"2020-01-01T00:00:00Z"}]"#).unwrap();
        assert!(found.is_empty());
        assert_eq!(summary.skipped["withdrawn"], 1);
        for text in [
            "{",
            r#"{"id":"A","database_specific":{"severity":"bad"}}"#,
            r#"{"id":"A","affected":[{"package":{"ecosystem":"Debian:7","name":"a"}}]}"#,
        ] {
            assert!(matches!(parse(text), Err(FeedError::Malformed { .. })), "{text}");
        }
    }
}
