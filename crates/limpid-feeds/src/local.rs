//! A user's own advisories: records in OSV format, in files.
//!
//! Source of the format: <https://ossf.github.io/osv-schema/>. Read are `id`, `aliases`, `summary`, `details`,
//! `published`, `modified`, `withdrawn`, `severity`, `references` and of `affected` the package, ranges of type
//! `ECOSYSTEM`, and two words in `database_specific`: `severity` (of the record or of one `affected`) and `state`
//! (`not-affected`). A record without `affected` speaks of the vulnerability itself, wherever a distribution's feed
//! finds it.
//!
//! An ecosystem is OSV's (`Debian:12`, `Rocky Linux:9`), or a release as Limpid writes it (`amzn:2023`). Entries for
//! others, as in records that speak of languages' packages too, are left out and counted. A name is the source
//! package's; rpm distributions' advisories speak of binary packages, so there it is either's.
//!
//! Left out: `versions`, and ranges of other types. A range that ends with `last_affected` or `limit` is refused: it
//! names no version that fixes, and taking it as open would say more than its author did.

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
    last_affected: Option<String>,
    limit: Option<String>,
}

/// What OSV calls the distributions, and what their os-release does. Releases may be written with either.
const DISTRIBUTIONS: &[(&str, &str)] = &[
    ("Debian", "debian"),
    ("Ubuntu", "ubuntu"),
    ("Alpine", "alpine"),
    ("Red Hat", "rhel"),
    ("CentOS", "centos"),
    ("AlmaLinux", "almalinux"),
    ("Rocky Linux", "rocky"),
    ("Oracle Linux", "ol"),
    ("Amazon Linux", "amzn"),
];
/// Those whose packages are debs or apks: advisories name the source package.
const NAMED_BY_SOURCE: [&str; 3] = ["debian:", "ubuntu:", "alpine:"];

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
        2
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
                let (advisory, foreign) = advisory(record).map_err(|reason| emitter.malformed(0, reason))?;
                (0..foreign).for_each(|_| emitter.skip("ecosystem is no release that Limpid judges"));
                emitter.emit(advisory)?;
            } else {
                emitter.skip("withdrawn");
            }
        }
        emitter.finish(true)
    }
}

/// The record as an advisory, and how many of its entries are for ecosystems that are not judged.
fn advisory(record: Osv) -> Result<(Advisory, usize), String> {
    if record.id.is_empty() {
        return Err("a record has no id".to_owned());
    }
    let severity = severity(&record.database_specific.severity)?;
    let (mut affected, mut foreign) = (Vec::new(), 0);
    for said in &record.affected {
        match release(&said.package.ecosystem) {
            Some((release, channel)) => affected.extend(affected_by(said, &release, &channel)?),
            None => foreign += 1,
        }
    }
    let description = if record.details.is_empty() { record.summary } else { record.details };
    let advisory = Advisory {
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
    };
    Ok((advisory, foreign))
}

fn severity(word: &str) -> Result<Option<Severity>, String> {
    if word.is_empty() {
        return Ok(None);
    }
    word.parse().map(Some).map_err(|error| format!("{error}"))
}

/// What an entry says, one row for each range; for rpm distributions one of each kind of package.
fn affected_by(said: &OsvAffected, release: &str, channel: &str) -> Result<Vec<Affected>, String> {
    let one = |state, introduced: &str, fixed: &str, word: &str| -> Result<Affected, String> {
        Ok(Affected {
            package: said.package.name.clone(),
            package_kind: PackageKind::Source,
            release: release.to_owned(),
            channel: channel.to_owned(),
            state,
            introduced: if introduced == "0" { String::new() } else { introduced.to_owned() },
            fixed: fixed.to_owned(),
            state_word: word.to_owned(),
            severity: severity(&said.database_specific.severity)?,
            severity_word: said.database_specific.severity.clone(),
            ..Affected::default()
        })
    };
    let mut rows = Vec::new();
    match said.database_specific.state.as_str() {
        "" => {
            for range in said.ranges.iter().filter(|range| range.r#type == "ECOSYSTEM") {
                for (introduced, fixed) in intervals(range).map_err(|reason| of(said, reason))? {
                    rows.push(match fixed {
                        Some(fixed) => {
                            one(AffectedState::Fixed, introduced, fixed, &format!("fixed in {fixed}"))?
                        }
                        None => one(AffectedState::Open, introduced, "", "not fixed")?,
                    });
                }
            }
        }
        "not-affected" => rows.push(one(AffectedState::NotAffected, "", "", "not-affected")?),
        other => return Err(format!("`{other}` is no state; only not-affected is")),
    }
    if rows.is_empty() {
        return Err(of(said, "has no range of type ECOSYSTEM and no state"));
    }
    if !NAMED_BY_SOURCE.iter().any(|distribution| release.starts_with(distribution)) {
        let binary = |row: &Affected| Affected { package_kind: PackageKind::Binary, ..row.clone() };
        rows.extend(rows.iter().map(binary).collect::<Vec<_>>());
    }
    Ok(rows)
}

fn of(said: &OsvAffected, reason: &str) -> String {
    format!("package {} {reason}", said.package.name)
}

/// From which version on and up to which fix the range's versions are affected.
fn intervals(range: &Range) -> Result<Vec<(&str, Option<&str>)>, &'static str> {
    let mut intervals = Vec::new();
    let mut introduced: Option<&str> = None;
    for event in &range.events {
        if event.last_affected.is_some() || event.limit.is_some() {
            return Err("has a range that ends without a fix: say which version is `fixed`");
        }
        if let Some(version) = &event.introduced {
            introduced = Some(version);
        }
        if let (Some(fixed), Some(from)) = (&event.fixed, introduced) {
            intervals.push((from, Some(fixed.as_str())));
            introduced = None;
        }
    }
    intervals.extend(introduced.map(|from| (from, None)));
    Ok(intervals)
}

/// An OSV ecosystem (`Debian:7`, `Alpine:v3.18`, `Ubuntu:Pro:14.04:LTS`, `Red Hat:enterprise_linux:9::baseos`) as a
/// release and channel, if it is one of a distribution that is judged.
fn release(ecosystem: &str) -> Option<(String, String)> {
    if let Some(of_ubuntu) = crate::ubuntu_osv::release(ecosystem, "") {
        return Some(of_ubuntu);
    }
    let (name, version) = ecosystem.split_once(':')?;
    let is_meant = |(osv, id): &&(&str, &str)| name == *osv || name == *id;
    let (_, id) = DISTRIBUTIONS.iter().find(is_meant)?;
    let version = match *id {
        "alpine" => version.trim_start_matches('v'),
        // OSV writes a product there, as its CPE does.
        "rhel" if name != *id => version.strip_prefix("enterprise_linux:")?.split(':').next()?,
        _ => version,
    };
    (!version.is_empty()).then(|| (format!("{id}:{version}"), String::new()))
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
            r#"{"id":""}"#,
            r#"{"id":"A","affected":[{"package":{"ecosystem":"Debian:7","name":"a"}}]}"#,
            r#"{"id":"A","affected":[{"package":{"ecosystem":"Debian:7","name":"a"},"database_specific":{"state":"fine"}}]}"#,
            r#"{"id":"A","affected":[{"package":{"ecosystem":"Debian:7","name":"a"},"ranges":[{"type":"ECOSYSTEM",
                "events":[{"introduced":"0"},{"last_affected":"1"}]}]}]}"#,
        ] {
            assert!(matches!(parse(text), Err(FeedError::Malformed { .. })), "{text}");
        }
    }

    #[test]
    fn releases_are_written_as_osv_or_as_limpid_writes_them_and_others_are_counted() {
        for (ecosystem, expected) in [
            ("Debian:12", "debian:12"),
            ("debian:sid", "debian:sid"),
            ("Alpine:v3.20", "alpine:3.20"),
            ("alpine:edge", "alpine:edge"),
            ("AlmaLinux:9", "almalinux:9"),
            ("Rocky Linux:9", "rocky:9"),
            ("Red Hat:enterprise_linux:9::baseos", "rhel:9"),
            ("rhel:9", "rhel:9"),
            ("amzn:2023", "amzn:2023"),
            ("Ubuntu:22.04:LTS", "ubuntu:22.04"),
            ("ubuntu:22.04", "ubuntu:22.04"),
        ] {
            assert_eq!(release(ecosystem), Some((expected.to_owned(), String::new())), "{ecosystem}");
        }
        for other in ["npm", "PyPI", "Debian", "Debian:", "Red Hat:openshift:4.13::el9", "Debain:12", ""] {
            assert_eq!(release(other), None, "{other}");
        }
        let (found, summary) = parse(
            r#"{"id":"A","affected":[{"package":{"ecosystem":"npm","name":"a"},"versions":["1"]},
              {"package":{"ecosystem":"Rocky Linux:9","name":"b"},"database_specific":{"state":"not-affected"}}]}"#,
        )
        .unwrap();
        let kinds: Vec<PackageKind> = found[0].affected.iter().map(|row| row.package_kind).collect();
        assert_eq!(kinds, [PackageKind::Source, PackageKind::Binary]);
        assert_eq!(summary.skipped["ecosystem is no release that Limpid judges"], 1);
    }
}
