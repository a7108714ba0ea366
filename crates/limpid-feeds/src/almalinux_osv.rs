//! AlmaLinux's errata as OSV records: the archive of its `osv-database` repository.
//!
//! Source of truth: <https://github.com/AlmaLinux/osv-database>, and the OSV schema. It stands in where the errata
//! themselves cannot be had: the same errata without architectures and modules. Both are told from what is there:
//! severity and module stand in the summary (`Important: nodejs:18 security update`), and a module is taken over for builds
//! that are modular if the summary names one alone.

use std::borrow::Cow;
use std::io::BufRead;

use serde::Deserialize;

use crate::archive::Archive;
use crate::errata::{Erratum, FixedPackage, is_cve, severity};
use crate::error::FeedError;
use crate::feed::Emitter;

/// Errata of other kinds than security (`ALBA-`, `ALEA-`) are in the repository too.
const SECURITY: &str = "ALSA-";

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    summary: Cow<'a, str>,
    #[serde(borrow, default)]
    details: Cow<'a, str>,
    #[serde(borrow, default)]
    published: Cow<'a, str>,
    #[serde(borrow, default)]
    modified: Cow<'a, str>,
    #[serde(borrow, default)]
    related: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    affected: Vec<Entry<'a>>,
    #[serde(borrow, default)]
    references: Vec<Reference<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    package: Package<'a>,
    #[serde(borrow, default)]
    ranges: Vec<Range<'a>>,
}

#[derive(Deserialize)]
struct Package<'a> {
    #[serde(borrow)]
    ecosystem: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Range<'a> {
    #[serde(borrow, default)]
    events: Vec<RangeEvent<'a>>,
}

#[derive(Deserialize)]
struct RangeEvent<'a> {
    #[serde(borrow, default)]
    fixed: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow, default)]
    url: Cow<'a, str>,
}

/// Reads the archive for what it says of one release (`9`).
pub(crate) fn parse(
    input: Box<dyn BufRead + '_>,
    major: &str,
    emitter: &mut Emitter<'_, '_>,
) -> Result<(), FeedError> {
    let document = emitter.document;
    let mut archive = Archive::new(input, document, emitter.limits);
    let mut content = Vec::new();
    while let Some(name) = archive.next_file(&mut content)? {
        if !name.ends_with(".json") || !name.contains("/advisories/") {
            continue;
        }
        emitter.record()?;
        let Ok(record) = serde_json::from_slice::<Record<'_>>(&content) else {
            emitter.skip("record is not of the known shape");
            continue;
        };
        if !record.id.starts_with(SECURITY) {
            emitter.skip("erratum is not about security");
            continue;
        }
        let erratum = erratum(&record, major);
        if erratum.packages.is_empty() {
            emitter.skip("erratum is for another release");
            continue;
        }
        if erratum.modified > emitter.summary.date {
            emitter.summary.date.clone_from(&erratum.modified);
        }
        erratum.emit(emitter)?;
    }
    Ok(())
}

fn erratum(record: &Record<'_>, major: &str) -> Erratum {
    let ecosystem = format!("AlmaLinux:{major}");
    let (word, title) = record.summary.split_once(": ").unwrap_or(("", &record.summary));
    let module = module(title);
    let mut packages = Vec::new();
    for entry in record.affected.iter().filter(|entry| entry.package.ecosystem == ecosystem) {
        for version in
            entry.ranges.iter().flat_map(|range| &range.events).filter_map(|event| event.fixed.as_ref())
        {
            let is_modular = version.contains(".module");
            packages.push(FixedPackage {
                name: entry.package.name.to_string(),
                version: version.to_string(),
                arch: String::new(),
                module: if is_modular { module.clone() } else { String::new() },
                release: format!("almalinux:{major}"),
                channel: String::new(),
            });
        }
    }
    let cves = record.related.iter().filter(|id| is_cve(id));
    let links = record.references.iter().map(|reference| reference.url.to_string());
    Erratum {
        id: record.id.to_string(),
        cves: cves.map(|id| (id.to_string(), String::new())).collect(),
        severity: severity(word).map(|_| word.to_owned()).unwrap_or_default(),
        description: record.details.to_string(),
        links: links.collect(),
        published: record.published.to_string(),
        modified: record.modified.to_string(),
        packages,
    }
}

/// The one `NAME:STREAM` among the words; empty if there are several or none.
fn module(title: &str) -> String {
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
    };
    let is_module =
        |word: &&str| word.split_once(':').is_some_and(|(name, stream)| plain(name) && plain(stream));
    let mut modules = title.split_whitespace().map(|word| word.trim_end_matches(',')).filter(is_module);
    match (modules.next(), modules.next()) {
        (Some(module), None) => module.to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_one_module_or_none() {
        for (title, expected) in [
            ("nodejs:18 security update", "nodejs:18"),
            ("go-toolset:rhel8 security and bug fix update", "go-toolset:rhel8"),
            ("python38:3.8 and python38-devel:3.8 security update", ""),
            ("glibc security update", ""),
            ("a: b", ""),
        ] {
            assert_eq!(module(title), expected, "{title}");
        }
    }
}
