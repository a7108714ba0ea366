//! Debian's extended notices (ELAs), for releases past their LTS, which Freexian supports.
//!
//! Source of truth: Freexian's `data/ELA/list`; read is its rendering as OSV records, one a notice, in one
//! archive: <https://github.com/captn3m0/debian-elts-advisories>. Each CVE of a notice becomes an advisory with
//! the notice beside each fix.
//!
//! The rendering has two faults that are told by looking. Packages of a notice without CVEs are given to the next
//! one that has some: such a row names another package than its own purl, and is left out. A version is cut
//! at its first capital letter: one that ends where no version does is kept as undetermined, for what
//! fixes it is not known. Notices without CVEs are not in the rendering.

use std::borrow::Cow;
use std::io::Read;

use limpid_model::{Advisory, AdvisoryDetails, Affected, AffectedState, PackageKind};
use serde::Deserialize;

use crate::archive::Archive;
use crate::debian_release::has_notices_alone;
use crate::error::FeedError;
use crate::feed::{Document, Emitter, Feed, ParseSummary, Sink};
use crate::limits::Limits;

const URL: &str = "https://codeload.github.com/captn3m0/debian-elts-advisories/tar.gz/refs/heads/main";
/// The first release that had extended support.
const OLDEST: u32 = 7;

/// Debian's extended notices.
#[derive(Debug, Clone, Copy)]
pub struct DebianElts;

impl Feed for DebianElts {
    fn name(&self) -> &'static str {
        "debian-elts"
    }

    fn parser_version(&self) -> u32 {
        1
    }

    fn covers(&self, release: &str) -> bool {
        has_notices_alone(release, OLDEST)
    }

    fn all_documents(&self) -> Vec<Document> {
        vec![Document::new("advisories", URL)]
    }

    fn parse(
        &self,
        document: &Document,
        input: &mut dyn Read,
        limits: &Limits,
        sink: &mut Sink<'_>,
    ) -> Result<ParseSummary, FeedError> {
        let mut emitter = Emitter::new(document, limits, sink);
        let input = document.decoded(input, limits)?;
        let mut archive = Archive::new(input, &document.name, limits);
        let mut content = Vec::new();
        while let Some(name) = archive.next_file(&mut content)? {
            if !name.ends_with(".json") {
                continue;
            }
            emitter.record()?;
            match serde_json::from_slice::<Record<'_>>(&content) {
                Ok(record) => advisories(&record, &mut emitter)?,
                Err(_) => emitter.skip("record is not of the known shape"),
            }
        }
        emitter.finish(false)
    }
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    modified: Cow<'a, str>,
    #[serde(borrow, default)]
    related: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    affected: Vec<Said<'a>>,
    #[serde(borrow, default)]
    database_specific: Specific<'a>,
}

#[derive(Deserialize, Default)]
struct Specific<'a> {
    #[serde(borrow, default, rename = "type")]
    title: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    package: Package<'a>,
    #[serde(borrow)]
    ranges: Ranges<'a>,
}

#[derive(Deserialize)]
struct Package<'a> {
    #[serde(borrow)]
    ecosystem: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    purl: Cow<'a, str>,
}

/// A few records hold one range where the others hold a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ranges<'a> {
    #[serde(borrow)]
    Many(Vec<Range<'a>>),
    #[serde(borrow)]
    One(Range<'a>),
}

#[derive(Deserialize)]
struct Range<'a> {
    #[serde(borrow)]
    events: Vec<Event<'a>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default)]
    fixed: Option<Cow<'a, str>>,
}

fn advisories(record: &Record<'_>, emitter: &mut Emitter<'_, '_>) -> Result<(), FeedError> {
    if !record.id.starts_with("ELA-") {
        emitter.skip("record is no notice");
        return Ok(());
    }
    if *record.modified > *emitter.summary.date {
        emitter.summary.date = record.modified.to_string();
    }
    let mut rows = Vec::new();
    for said in &record.affected {
        match affected(record, said) {
            Ok(row) => rows.push(row),
            Err(reason) => emitter.skip(reason),
        }
    }
    if rows.is_empty() || record.related.is_empty() {
        emitter.skip("notice names no package or no vulnerability");
        return Ok(());
    }
    for id in record.related.iter().take(emitter.limits.ids_per_record_max) {
        for _ in &rows {
            emitter.record()?;
        }
        let links = vec![format!("https://deb.freexian.com/extended-lts/tracker/{id}")];
        emitter.emit(Advisory {
            id: id.to_string(),
            details: AdvisoryDetails { links, ..AdvisoryDetails::default() },
            affected: rows.clone(),
        })?;
    }
    Ok(())
}

fn affected(record: &Record<'_>, said: &Said<'_>) -> Result<Affected, &'static str> {
    let package = &*said.package.name;
    let release = said.package.ecosystem.replace("Debian:", "debian:");
    if package.is_empty() || !release.starts_with("debian:") {
        return Err("package or release has no name");
    }
    let named = said.package.purl.strip_prefix("pkg:deb/debian/").and_then(|purl| purl.split('?').next());
    if named != Some(package) {
        return Err("package is of another notice");
    }
    if !has_notices_alone(&release, OLDEST) {
        return Err("release is not one of extended support");
    }
    let ranges = match &said.ranges {
        Ranges::Many(ranges) => ranges.as_slice(),
        Ranges::One(range) => std::slice::from_ref(range),
    };
    let mut fixes = ranges.iter().flat_map(|range| &range.events).filter_map(|event| event.fixed.as_deref());
    let (Some(fixed), None) = (fixes.next(), fixes.next()) else {
        return Err("package has no single fix");
    };
    let is_whole = fixed.ends_with(|last: char| last.is_ascii_alphanumeric());
    Ok(Affected {
        package: package.to_owned(),
        package_kind: PackageKind::Source,
        release,
        channel: "elts".to_owned(),
        state: if is_whole { AffectedState::Fixed } else { AffectedState::Undetermined },
        fixed: if is_whole { fixed.to_owned() } else { String::new() },
        notice: record.id.to_string(),
        state_word: if is_whole {
            record.database_specific.title.to_string()
        } else {
            format!("{}; its version is cut: {fixed}", record.database_specific.title)
        },
        ..Affected::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tests::tar;

    fn parse(records: &[&str]) -> Result<(Vec<Advisory>, ParseSummary), FeedError> {
        let files: Vec<(&str, &[u8])> =
            records.iter().map(|text| ("main/advisories/ELA.json", text.as_bytes())).collect();
        let mut found = Vec::new();
        let summary = DebianElts.parse(
            &Document::new("advisories", URL),
            &mut tar(&files).as_slice(),
            &Limits::default(),
            &mut |advisory| {
                found.push(advisory);
                Ok(())
            },
        )?;
        Ok((found, summary))
    }

    fn package(release: &str, name: &str, of: &str, ranges: &str) -> String {
        format!(
            r#"{{"package":{{"ecosystem":"Debian:{release}","name":"{name}","purl":"pkg:deb/debian/{of}?distro=x"}},"ranges":{ranges}}}"#
        )
    }

    #[test]
    fn a_notice_becomes_what_it_says_of_each_cve_and_its_faults_are_told() {
        let range = |fixed: &str| {
            format!(r#"{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}"#)
        };
        let rows = [
            package("8", "bind9", "bind9", &format!("[{}]", range("1:9.9.5-9+deb8u30"))),
            package("9", "bind9", "bind9", &range("1:9.10.3.dfsg.")),
            package("9", "tzdata", "bind9", &format!("[{}]", range("2025b-0+deb9u1"))),
            package("12", "bind9", "bind9", &format!("[{}]", range("1"))),
        ];
        let record = format!(
            r#"{{"id":"ELA-1047-1","modified":"2024-02-19T00:00:00Z","related":["CVE-2023-1","CVE-2023-2"],
                "database_specific":{{"type":"security update"}},"affected":[{}]}}"#,
            rows.join(",")
        );
        let (found, summary) = parse(&[&record, "[]"]).unwrap();
        assert_eq!(found.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["CVE-2023-1", "CVE-2023-2"]);
        let said: Vec<_> = found[1]
            .affected
            .iter()
            .map(|a| (&*a.release, a.state, &*a.fixed, &*a.notice, &*a.channel))
            .collect();
        assert_eq!(
            said,
            [
                ("debian:8", AffectedState::Fixed, "1:9.9.5-9+deb8u30", "ELA-1047-1", "elts"),
                ("debian:9", AffectedState::Undetermined, "", "ELA-1047-1", "elts"),
            ]
        );
        for reason in [
            "package is of another notice",
            "release is not one of extended support",
            "record is not of the known shape",
        ] {
            assert_eq!(summary.skipped[reason], 1, "{reason}");
        }
        assert!(matches!(parse(&["[]"]), Err(FeedError::Empty { .. })));
    }
}
