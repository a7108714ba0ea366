//! NIST's National Vulnerability Database: CVSS and weaknesses, by NVD itself and by others as NVD passes
//! them on.
//!
//! Source: <https://nvd.nist.gov/vuln/data-feeds>, the JSON 2.0 feeds, one file for each year (2002's has
//! the older ones too), which NVD rebuilds when something in them changes. Beside each lies a `.meta` file
//! with the SHA-256 of the JSON; it tells whether the year changed, and whether what was read is whole.
//! Since April 2026 NVD scores only some of the CVEs.
//!
//! Left out: `configurations` (CPE matches, which have permanent holes), references (the CVE records have
//! them), the feed of recent changes (it repeats what the years say).

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

use limpid_model::{Advisory, AdvisoryDetails, Cvss};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::cve_records::{dated, is_cve_id, severity};
use crate::decoded;
use crate::error::FeedError;
use crate::feed::{Document, Emitter, Feed, ParseSummary, Sink};
use crate::json::{JsonError, JsonWalker, Value};
use crate::limits::Limits;

const BASE_URL: &str = "https://nvd.nist.gov/feeds/json/cve/2.0/nvdcve-2.0-";
const YEAR_MIN: i16 = 2002;
/// The newest year when this was written; [`Feed::documents_in`] knows of later ones.
const YEAR_KNOWN: i16 = 2026;
/// NVD's name for itself as a source, and ours.
const NVD: (&str, &str) = ("nvd@nist.gov", "nvd");

/// The National Vulnerability Database.
pub struct Nvd;

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    cve: Cve<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cve<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    vuln_status: Cow<'a, str>,
    #[serde(borrow, default)]
    published: Cow<'a, str>,
    #[serde(borrow, default)]
    last_modified: Cow<'a, str>,
    #[serde(borrow, default)]
    descriptions: Vec<Text<'a>>,
    #[serde(borrow, default)]
    metrics: Metrics<'a>,
    #[serde(borrow, default)]
    weaknesses: Vec<Weakness<'a>>,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow)]
    lang: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
struct Metrics<'a> {
    #[serde(borrow, default, rename = "cvssMetricV40")]
    v4_0: Vec<Metric<'a>>,
    #[serde(borrow, default, rename = "cvssMetricV31")]
    v3_1: Vec<Metric<'a>>,
    #[serde(borrow, default, rename = "cvssMetricV30")]
    v3_0: Vec<Metric<'a>>,
    #[serde(borrow, default, rename = "cvssMetricV2")]
    v2_0: Vec<Metric<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metric<'a> {
    #[serde(borrow, default)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    cvss_data: Score<'a>,
    /// Version 2 has it here, later ones in the score.
    #[serde(borrow, default)]
    base_severity: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Score<'a> {
    #[serde(borrow)]
    vector_string: Cow<'a, str>,
    #[serde(borrow, default)]
    base_severity: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Weakness<'a> {
    #[serde(borrow)]
    description: Vec<Text<'a>>,
}

impl Feed for Nvd {
    fn name(&self) -> &'static str {
        "nvd"
    }

    fn parser_version(&self) -> u32 {
        1
    }

    fn all_documents(&self) -> Vec<Document> {
        self.documents_in(YEAR_KNOWN)
    }

    fn documents_in(&self, year: i16) -> Vec<Document> {
        let years = YEAR_MIN..=year.max(YEAR_KNOWN);
        years.map(|year| Document::new(year.to_string(), format!("{BASE_URL}{year}.json.gz"))).collect()
    }

    fn enriches(&self) -> bool {
        true
    }

    fn checksum(&self, document: &Document) -> Option<Document> {
        let url = document.url.strip_suffix(".json.gz")?;
        Some(Document::new(document.name.clone(), format!("{url}.meta")))
    }

    fn read_checksum(&self, bytes: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(bytes).ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix("sha256:"))?.trim();
        (value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .then(|| value.to_ascii_lowercase())
    }

    fn parse(
        &self,
        document: &Document,
        input: &mut dyn Read,
        limits: &Limits,
        sink: &mut Sink<'_>,
    ) -> Result<ParseSummary, FeedError> {
        let read = |source| FeedError::Read { document: document.name.clone(), source };
        let mut sha256 = Sha256::new();
        let hashing = Hashing { inner: decoded(input, limits).map_err(read)?, sha256: &mut sha256 };
        let mut walker = JsonWalker::new(Box::new(BufReader::new(hashing)), limits.record_bytes_max);
        let mut emitter = Emitter::new(document, limits, sink);
        items(&mut walker, &mut emitter)?;
        drop(walker);
        let mut summary = emitter.finish(false)?;
        summary.sha256 = format!("{:x}", sha256.finalize());
        Ok(summary)
    }
}

fn items(walker: &mut JsonWalker<'_>, emitter: &mut Emitter<'_, '_>) -> Result<(), FeedError> {
    let document = emitter.document;
    let of = |error: JsonError| error.of(document);
    walker.open(b'{').map_err(of)?;
    while let Some(key) = walker.next_key().map_err(of)? {
        match key.as_str() {
            "timestamp" => {
                if let Value::Good(date) = walker.value::<String>().map_err(of)? {
                    emitter.summary.date = dated(&date);
                }
            }
            "vulnerabilities" => {
                walker.open(b'[').map_err(of)?;
                while walker.next_element().map_err(of)? {
                    emitter.record()?;
                    match walker.value::<Item<'_>>().map_err(of)? {
                        Value::Good(item) if !is_cve_id(&item.cve.id) => emitter.skip("record has no CVE id"),
                        Value::Good(item) if item.cve.vuln_status == "Rejected" => emitter.skip("rejected"),
                        Value::Good(item) => emitter.emit(advisory(&item.cve))?,
                        Value::OtherShape => emitter.skip("record is not of the known shape"),
                    }
                }
            }
            _ => walker.skip_value().map_err(of)?,
        }
    }
    walker.end().map_err(of)
}

fn advisory(cve: &Cve<'_>) -> Advisory {
    let metrics = [&cve.metrics.v4_0, &cve.metrics.v3_1, &cve.metrics.v3_0, &cve.metrics.v2_0];
    // NVD's own word, by the newest version; else that of whoever else is passed on.
    let own = |metric: &&Metric<'_>| metric.source == NVD.0;
    let first = metrics.iter().find_map(|all| all.iter().find(own));
    let first = first.or_else(|| metrics.iter().find_map(|all| all.first()));
    let word = first.map(|metric| match &*metric.cvss_data.base_severity {
        "" => &*metric.base_severity,
        word => word,
    });
    let cvss = metrics.iter().flat_map(|all| all.iter()).map(|metric| Cvss {
        source: if own(&metric) { NVD.1.to_owned() } else { metric.source.to_string() },
        vector: metric.cvss_data.vector_string.to_string(),
    });
    let mut cvss: Vec<Cvss> = cvss.collect();
    cvss.sort();
    cvss.dedup();
    let weaknesses = cve.weaknesses.iter().flat_map(|weakness| &weakness.description);
    // `NVD-CWE-Other` and `NVD-CWE-noinfo` name no weakness.
    let mut weaknesses: Vec<String> =
        weaknesses.filter(|text| text.value.starts_with("CWE-")).map(|text| text.value.to_string()).collect();
    weaknesses.sort();
    weaknesses.dedup();
    let english = cve.descriptions.iter().find(|text| text.lang == "en").or(cve.descriptions.first());
    Advisory {
        id: cve.id.to_string(),
        details: AdvisoryDetails {
            description: english.map(|text| text.value.to_string()).unwrap_or_default(),
            severity: word.map(severity).unwrap_or_default(),
            // Without a vector NVD's word on the matter is how far its analysis has come.
            severity_word: word.unwrap_or(&cve.vuln_status).to_owned(),
            cvss,
            weaknesses,
            links: vec![format!("https://nvd.nist.gov/vuln/detail/{}", cve.id)],
            published: dated(&cve.published),
            modified: dated(&cve.last_modified),
            ..AdvisoryDetails::default()
        },
        affected: Vec::new(),
    }
}

/// Hashes what passes.
struct Hashing<'a, 's> {
    inner: Box<dyn BufRead + 'a>,
    sha256: &'s mut Sha256,
}

impl Read for Hashing<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.sha256.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limpid_model::Severity;

    fn parse(text: &str) -> Result<(Vec<Advisory>, ParseSummary), FeedError> {
        let mut found = Vec::new();
        let document = Document::new("2021", "");
        let summary = Nvd.parse(&document, &mut text.as_bytes(), &Limits::default(), &mut |advisory| {
            found.push(advisory);
            Ok(())
        })?;
        Ok((found, summary))
    }

    const YEAR: &str = r#"{"format":"NVD_CVE","timestamp":"2025-06-25T03:01:03.1299776","vulnerabilities":[
      {"cve":{"id":"CVE-2021-3002","published":"2021-01-01T19:15:11.077","lastModified":"2024-11-21T06:20:43.243","vulnStatus":"Modified",
        "descriptions":[{"lang":"es","value":"x"},{"lang":"en","value":"A flaw"}],
        "metrics":{"cvssMetricV31":[{"source":"report@snyk.io","type":"Secondary","cvssData":{"vectorString":"CVSS:3.1/S","baseSeverity":"CRITICAL"}},
                                    {"source":"nvd@nist.gov","type":"Primary","cvssData":{"vectorString":"CVSS:3.1/P","baseSeverity":"MEDIUM"}}],
                   "cvssMetricV2":[{"source":"nvd@nist.gov","type":"Primary","cvssData":{"vectorString":"AV:N"},"baseSeverity":"HIGH"}]},
        "weaknesses":[{"description":[{"lang":"en","value":"NVD-CWE-noinfo"},{"lang":"en","value":"CWE-79"}]}]}},
      {"cve":{"id":"CVE-2021-3003","vulnStatus":"Rejected"}},
      {"cve":{"id":"CVE-2021-3004","vulnStatus":"Awaiting Analysis"}},
      {"cve":{"id":7}}]}"#;

    #[test]
    fn vectors_keep_their_source_and_nvd_comes_first() {
        let (found, summary) = parse(YEAR).unwrap();
        let details = &found[0].details;
        assert_eq!((details.severity, details.severity_word.as_str()), (Severity::Medium, "MEDIUM"));
        let cvss: Vec<_> = details.cvss.iter().map(|c| (c.source.as_str(), c.vector.as_str())).collect();
        assert_eq!(cvss, [("nvd", "AV:N"), ("nvd", "CVSS:3.1/P"), ("report@snyk.io", "CVSS:3.1/S")]);
        assert_eq!((details.weaknesses.join(","), details.description.as_str()), ("CWE-79".into(), "A flaw"));
        assert_eq!(details.published, "2021-01-01T19:15:11.077Z");
        assert_eq!(found[1].details.severity_word, "Awaiting Analysis");
        assert_eq!((summary.skipped["rejected"], summary.skipped.len()), (1, 2));
        assert_eq!(summary.sha256, format!("{:x}", Sha256::digest(YEAR)));
    }

    #[test]
    fn each_year_has_a_document_and_a_checksum() {
        let years = Nvd.documents_in(2031);
        assert_eq!((years.len(), years[29].name.as_str()), (30, "2031"));
        assert!(Nvd.checksum(&years[0]).unwrap().url.ends_with("/nvdcve-2.0-2002.meta"));
        let meta =
            format!("lastModifiedDate:2026-01-13T15:00:00-00:00\r\nsize:1\r\nsha256:{}\r\n", "AB".repeat(32));
        assert_eq!(Nvd.read_checksum(meta.as_bytes()), Some("ab".repeat(32)));
        for bad in ["", "sha256:x", "<html>"] {
            assert_eq!(Nvd.read_checksum(bad.as_bytes()), None);
        }
    }
}
