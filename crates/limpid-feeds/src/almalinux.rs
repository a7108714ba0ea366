//! AlmaLinux: `errata.full.json` of a release, `{"data": [{id, type, severity, packages, references, ...}]}`.
//!
//! Source of truth: <https://errata.almalinux.org/>. Left out: errata that are not of type `security`, counted;
//! titles, file names and their digests; `modules`, which the packages' own `module` says. Where the file cannot be
//! had, AlmaLinux's OSV records stand in for it (see `almalinux_osv.rs`).

use std::borrow::Cow;
use std::io::{BufRead as _, Read};

use jiff::Timestamp;
use serde::Deserialize;

use crate::almalinux_osv;
use crate::errata::{Erratum, FixedPackage, cves_in, evr, is_cve};
use crate::error::FeedError;
use crate::feed::{Document, Emitter, Feed, ParseSummary, Sink};
use crate::json::{JsonError, JsonWalker, Value};
use crate::limits::Limits;

const BASE: &str = "https://errata.almalinux.org";
const OSV: &str = "https://codeload.github.com/AlmaLinux/osv-database/tar.gz/refs/heads/master";
const MAJORS: [&str; 3] = ["8", "9", "10"];

/// AlmaLinux's errata, one document for each release.
#[derive(Debug, Clone, Copy)]
pub struct AlmaLinux;

impl Feed for AlmaLinux {
    fn name(&self) -> &'static str {
        "almalinux-errata"
    }

    fn parser_version(&self) -> u32 {
        1
    }

    fn covers(&self, release: &str) -> bool {
        release.strip_prefix("almalinux:").is_some_and(|major| MAJORS.contains(&major))
    }

    fn documents(&self, release: &str) -> Vec<Document> {
        let major = release.strip_prefix("almalinux:").filter(|major| MAJORS.contains(major));
        major
            .map(|major| Document::new(major, format!("{BASE}/{major}/errata.full.json")))
            .into_iter()
            .collect()
    }

    fn all_documents(&self) -> Vec<Document> {
        MAJORS.iter().flat_map(|major| self.documents(&format!("almalinux:{major}"))).collect()
    }

    fn fallback(&self, document: &Document) -> Option<Document> {
        Some(Document::new(document.name.clone(), OSV))
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
        let release = format!("almalinux:{}", document.name);
        let mut input = document.decoded(input, limits)?;
        let first = input.fill_buf().map_err(|error| fail(JsonError::Read(error)))?.first();
        // An archive begins with a path.
        if first.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'.') {
            almalinux_osv::parse(input, &document.name, &mut emitter)?;
            return emitter.finish(false);
        }
        let mut walker = JsonWalker::new(input, limits.record_bytes_max);
        walker.open(b'{').map_err(fail)?;
        while let Some(key) = walker.next_key().map_err(fail)? {
            if key != "data" || !walker.next_is(b'[').map_err(fail)? {
                walker.skip_value().map_err(fail)?;
                continue;
            }
            walker.open(b'[').map_err(fail)?;
            while walker.next_element().map_err(fail)? {
                emitter.record()?;
                match walker.value::<Entry<'_>>().map_err(fail)? {
                    Value::Good(entry) if entry.kind != "security" => {
                        emitter.skip("erratum is not about security");
                    }
                    Value::Good(entry) => {
                        let erratum = erratum(&entry, &release);
                        if erratum.modified > emitter.summary.date {
                            emitter.summary.date.clone_from(&erratum.modified);
                        }
                        erratum.emit(&mut emitter)?;
                    }
                    Value::OtherShape => emitter.skip("erratum is not of the known shape"),
                }
            }
        }
        walker.end().map_err(fail)?;
        emitter.finish(false)
    }
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    severity: Cow<'a, str>,
    #[serde(borrow, default)]
    description: Cow<'a, str>,
    #[serde(default)]
    issued_date: Option<i64>,
    #[serde(default)]
    updated_date: Option<i64>,
    #[serde(borrow, default)]
    packages: Vec<Package<'a>>,
    #[serde(borrow, default)]
    references: Vec<Reference<'a>>,
}

#[derive(Deserialize)]
struct Package<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    epoch: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    release: Cow<'a, str>,
    #[serde(borrow, default)]
    arch: Cow<'a, str>,
    #[serde(borrow, default)]
    module: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    href: Cow<'a, str>,
}

fn erratum(entry: &Entry<'_>, release: &str) -> Erratum {
    let mut erratum = Erratum {
        id: entry.id.to_string(),
        severity: entry.severity.to_string(),
        description: entry.description.to_string(),
        published: date(entry.issued_date),
        modified: date(entry.updated_date),
        ..Erratum::default()
    };
    for reference in &entry.references {
        if is_cve(&reference.id) {
            erratum.cves.insert(reference.id.to_string(), String::new());
        } else if !reference.href.is_empty() {
            erratum.links.push(reference.href.to_string());
        }
    }
    if erratum.cves.is_empty() {
        erratum.cves = cves_in(&erratum.description).into_iter().map(|id| (id, String::new())).collect();
    }
    let binaries = entry.packages.iter().filter(|package| package.arch != "src");
    erratum.packages = binaries.map(|package| fixed(package, release)).collect();
    erratum
}

fn fixed(package: &Package<'_>, release: &str) -> FixedPackage {
    // `mariadb:10.3:8050020220427075058:c5368500:x86_64`
    let module = package.module.as_deref().unwrap_or_default();
    let module: Vec<&str> = module.split(':').take(2).collect();
    FixedPackage {
        name: package.name.to_string(),
        version: evr(&package.epoch, &package.version, &package.release),
        arch: package.arch.to_string(),
        module: module.join(":"),
        release: release.to_owned(),
        channel: String::new(),
    }
}

fn date(seconds: Option<i64>) -> String {
    seconds.and_then(|at| Timestamp::from_second(at).ok()).map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use limpid_model::Advisory;

    fn parse(text: &str) -> Result<(Vec<Advisory>, ParseSummary), FeedError> {
        let mut found = Vec::new();
        let document = &AlmaLinux.documents("almalinux:8")[0];
        let summary =
            AlmaLinux.parse(document, &mut text.as_bytes(), &Limits::default(), &mut |advisory| {
                found.push(advisory);
                Ok(())
            })?;
        Ok((found, summary))
    }

    const ERRATA: &str = r#"{"schema_version":"1.0","data":[{"id":"ALBA-1","type":"bugfix"},7,
        {"id":"ALSA-2","type":"security","severity":"Moderate","issued_date":1572983623,"updated_date":1651142818,"description":"d",
         "packages":[{"name":"a","epoch":"3","version":"1","release":"2.module_el8","arch":"x86_64","module":"m:10.3:80:c5:x86_64"},
                     {"name":"a","epoch":"3","version":"1","release":"2.module_el8","arch":"aarch64","module":"m:10.3:80:c5:aarch64"},
                     {"name":"a","epoch":"3","version":"1","release":"2.module_el8","arch":"src","module":"m:10.3:80:c5:src"}],
         "references":[{"id":"CVE-2019-1","type":"cve","href":"h"},{"id":"ALSA-2","type":"self","href":"https://a.example"}]}]}"#;

    #[test]
    fn errata_name_builds_with_their_module() {
        let (found, summary) = parse(ERRATA).unwrap();
        assert_eq!((found.len(), found[0].id.as_str()), (1, "CVE-2019-1"));
        let rows = &found[0].affected;
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].fixed.as_str(), rows[0].module.as_str()), ("3:1-2.module_el8", "m:10.3"));
        assert_eq!((rows[0].arches.len(), rows[0].release.as_str()), (2, "almalinux:8"));
        assert_eq!((rows[0].notice.as_str(), found[0].details.links.len()), ("ALSA-2", 1));
        assert_eq!(found[0].details.published, "2019-11-05T19:53:43Z");
        assert_eq!((summary.records, summary.skipped.values().sum::<u64>()), (3, 2));
        for cut in (0..ERRATA.len()).step_by(37) {
            assert!(parse(&ERRATA[..cut]).is_err(), "{cut}");
        }
    }
}
