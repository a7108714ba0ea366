//! CVE records in CVE JSON 5: what the numbering authority says of a vulnerability, and what CISA adds.
//!
//! Source of the format: <https://github.com/CVEProject/cve-schema>. A record has a container of the
//! numbering authority (`cna`) and those of data publishers (`adp`), of which CISA's (`CISA-ADP`,
//! "Vulnrichment") adds CVSS, weaknesses and whether it is exploited.
//!
//! Fetched is the archive of `cisagov/vulnrichment`: one gzipped tar at a fixed address with an `ETag`, read
//! as it streams, with the records that CISA looked at, both containers included. The CVE List itself
//! (`cvelistV5`) is published as a zip within a zip of half a gigabyte under a name that changes daily; a
//! plain client cannot find it without GitHub's interface nor read it from front to back. What the archive
//! does not have is fetched record by record where a report needs it ([`cve_record_urls`]), from the CVE
//! List first.
//!
//! Left out: affected products and versions (they are no distribution's), SSVC, credits, timelines,
//! severities in other scales than CVSS.

use std::borrow::Cow;
use std::io::Read;

use limpid_model::{Advisory, AdvisoryDetails, Cvss, Exploited, Severity};
use serde::Deserialize;

use crate::archive::Archive;
use crate::error::FeedError;
use crate::feed::{Document, Emitter, Feed, ParseSummary, Sink};
use crate::limits::Limits;

const ARCHIVE_URL: &str = "https://codeload.github.com/cisagov/vulnrichment/tar.gz/refs/heads/develop";
/// Where single records are, the fuller source first.
const RECORD_BASES: [&str; 2] = [
    "https://raw.githubusercontent.com/CVEProject/cvelistV5/main/cves",
    "https://raw.githubusercontent.com/cisagov/vulnrichment/develop",
];
/// The publisher whose word comes before the numbering authority's.
const CISA: &str = "CISA-ADP";

/// CVE records, as CISA enriches them.
pub struct CveRecords;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    cve_metadata: Metadata<'a>,
    #[serde(borrow)]
    containers: Containers<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    cve_id: Cow<'a, str>,
    #[serde(borrow)]
    state: Cow<'a, str>,
    #[serde(borrow, default)]
    date_published: Cow<'a, str>,
    #[serde(borrow, default)]
    date_updated: Cow<'a, str>,
    #[serde(borrow, default)]
    date_rejected: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Containers<'a> {
    #[serde(borrow)]
    cna: Container<'a>,
    #[serde(borrow, default)]
    adp: Vec<Container<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container<'a> {
    #[serde(borrow)]
    provider_metadata: Provider<'a>,
    #[serde(borrow, default)]
    title: Cow<'a, str>,
    #[serde(borrow, default)]
    descriptions: Vec<Text<'a>>,
    #[serde(borrow, default)]
    rejected_reasons: Vec<Text<'a>>,
    #[serde(borrow, default)]
    metrics: Vec<Metric<'a>>,
    #[serde(borrow, default)]
    problem_types: Vec<ProblemType<'a>>,
    #[serde(borrow, default)]
    references: Vec<Reference<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provider<'a> {
    #[serde(borrow, default)]
    short_name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow, default)]
    lang: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Metric<'a> {
    #[serde(borrow, default, rename = "cvssV4_0")]
    v4_0: Option<Score<'a>>,
    #[serde(borrow, default, rename = "cvssV3_1")]
    v3_1: Option<Score<'a>>,
    #[serde(borrow, default, rename = "cvssV3_0")]
    v3_0: Option<Score<'a>>,
    #[serde(borrow, default, rename = "cvssV2_0")]
    v2_0: Option<Score<'a>>,
    #[serde(borrow, default)]
    other: Option<Other<'a>>,
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
struct Other<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(default)]
    content: serde_json::Value,
}

#[derive(Deserialize)]
struct ProblemType<'a> {
    #[serde(borrow)]
    descriptions: Vec<Weakness<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Weakness<'a> {
    #[serde(borrow, default)]
    cwe_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
}

impl Feed for CveRecords {
    fn name(&self) -> &'static str {
        "cve"
    }

    fn parser_version(&self) -> u32 {
        1
    }

    fn all_documents(&self) -> Vec<Document> {
        vec![Document::new("vulnrichment", ARCHIVE_URL)]
    }

    fn enriches(&self) -> bool {
        true
    }

    /// Reads an archive of records, or a single record.
    fn parse(
        &self,
        document: &Document,
        input: &mut dyn Read,
        limits: &Limits,
        sink: &mut Sink<'_>,
    ) -> Result<ParseSummary, FeedError> {
        let name = || document.name.clone();
        let mut plain = document.decoded(input, limits)?;
        let mut emitter = Emitter::new(document, limits, sink);
        let begin = plain.fill_buf().map_err(|source| FeedError::Read { document: name(), source })?;
        if begin.first() == Some(&b'{') {
            return single(plain, emitter);
        }
        let mut archive = Archive::new(plain, &document.name, limits);
        let mut content = Vec::new();
        while let Some(path) = archive.next_file(&mut content)? {
            if emitter.summary.date.is_empty() {
                emitter.summary.date = rfc3339(archive.modified_at());
            }
            let file = path.rsplit('/').next().unwrap_or_default();
            if file.strip_suffix(".json").is_some_and(is_cve_id) {
                emitter.record()?;
                take(&content, &mut emitter)?;
            }
        }
        emitter.finish(false)
    }
}

fn single(plain: impl Read, mut emitter: Emitter<'_, '_>) -> Result<ParseSummary, FeedError> {
    let limit = emitter.limits.record_bytes_max as u64;
    let mut bytes = Vec::new();
    let read = plain.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|source| FeedError::Read { document: emitter.document.to_owned(), source })?;
    if bytes.len() as u64 > limit {
        return Err(emitter.too_large("bytes in one record", limit));
    }
    emitter.record()?;
    take(&bytes, &mut emitter)?;
    emitter.finish(false)
}

fn take(bytes: &[u8], emitter: &mut Emitter<'_, '_>) -> Result<(), FeedError> {
    match serde_json::from_slice::<Record<'_>>(bytes) {
        Ok(record) if is_cve_id(&record.cve_metadata.cve_id) => emitter.emit(advisory(&record)),
        Ok(_) => {
            emitter.skip("record has no CVE id");
            Ok(())
        }
        // One broken file is one broken record; the archive around it is whole.
        Err(error) if error.is_data() => {
            emitter.skip("record is not of the known shape");
            Ok(())
        }
        Err(_) => {
            emitter.skip("record is not JSON");
            Ok(())
        }
    }
}

fn advisory(record: &Record<'_>) -> Advisory {
    let metadata = &record.cve_metadata;
    let cna = &record.containers.cna;
    let rejected = metadata.state == "REJECTED";
    let said = if rejected { &cna.rejected_reasons } else { &cna.descriptions };
    let mut details = AdvisoryDetails {
        description: english(said).map_or_else(|| cna.title.to_string(), str::to_owned),
        published: dated(&metadata.date_published),
        modified: dated(&metadata.date_updated),
        ..AdvisoryDetails::default()
    };
    if rejected {
        let date =
            [&metadata.date_rejected, &metadata.date_updated].into_iter().find(|date| !date.is_empty());
        details.withdrawn = date.map_or_else(|| "unknown".to_owned(), |date| dated(date));
    }
    // CISA first: the first that names a severity counts.
    let mut containers: Vec<&Container<'_>> = record.containers.adp.iter().chain([cna]).collect();
    containers.sort_by_key(|container| container.provider_metadata.short_name != CISA);
    for container in containers {
        container.add_to(&mut details);
    }
    details.cvss.sort();
    details.cvss.dedup();
    details.weaknesses.sort();
    details.weaknesses.dedup();
    details.links.sort();
    details.links.dedup();
    Advisory { id: metadata.cve_id.to_string(), details, affected: Vec::new() }
}

impl Container<'_> {
    fn add_to(&self, details: &mut AdvisoryDetails) {
        let mut scores: Vec<(u8, &Score<'_>)> = Vec::new();
        for metric in &self.metrics {
            let all = [&metric.v4_0, &metric.v3_1, &metric.v3_0, &metric.v2_0];
            scores.extend((0..).zip(all).filter_map(|(rank, score)| Some((rank, score.as_ref()?))));
            if let Some(other) = metric.other.as_ref().filter(|other| other.r#type == "kev") {
                let added =
                    other.content.get("dateAdded").and_then(serde_json::Value::as_str).unwrap_or_default();
                details.exploited = Some(Exploited { added: added.to_owned(), ..Exploited::default() });
            }
        }
        scores.sort_by_key(|(rank, _)| *rank);
        for (_, score) in scores {
            if details.severity_word.is_empty() {
                details.severity = severity(&score.base_severity);
                details.severity_word = score.base_severity.to_string();
            }
            details.cvss.push(Cvss {
                source: self.provider_metadata.short_name.to_string(),
                vector: score.vector_string.to_string(),
            });
        }
        let weaknesses = self.problem_types.iter().flat_map(|problem| &problem.descriptions);
        details
            .weaknesses
            .extend(weaknesses.filter_map(|weakness| weakness.cwe_id.as_deref()).map(str::to_owned));
        details.links.extend(self.references.iter().map(|reference| reference.url.to_string()));
    }
}

/// CVSS's word for a rating. `NONE` is a word too: somebody looked and found no impact.
pub(crate) fn severity(word: &str) -> Severity {
    if word.eq_ignore_ascii_case("none") { Severity::Negligible } else { word.parse().unwrap_or_default() }
}

fn english<'t>(texts: &'t [Text<'_>]) -> Option<&'t str> {
    let english = texts.iter().find(|text| text.lang.to_ascii_lowercase().starts_with("en"));
    english.or(texts.first()).map(|text| &*text.value)
}

/// A date as RFC 3339: some records leave out the zone, which is UTC.
pub(crate) fn dated(date: &str) -> String {
    let has_zone = date.ends_with('Z') || date.get(10..).is_none_or(|time| time.contains(['+', '-']));
    if date.is_empty() || has_zone { date.to_owned() } else { format!("{date}Z") }
}

fn rfc3339(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map(|time| time.to_string()).unwrap_or_default()
}

/// Whether that is a CVE's id: `CVE-`, a year, and four digits or more.
pub(crate) fn is_cve_id(id: &str) -> bool {
    parts(id).is_some()
}

/// Year and number of a CVE's id.
fn parts(id: &str) -> Option<(&str, &str)> {
    let (year, number) = id.strip_prefix("CVE-")?.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    ((year.len() == 4 && digits(year)) && ((4..=10).contains(&number.len()) && digits(number)))
        .then_some((year, number))
}

/// Where the record of one CVE is to be had, best first; empty if that is no CVE's id.
pub fn cve_record_urls(id: &str) -> Vec<String> {
    let Some((year, number)) = parts(id) else { return Vec::new() };
    let thousands = &number[..number.len() - 3];
    RECORD_BASES.iter().map(|base| format!("{base}/{year}/{thousands}xxx/{id}.json")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"dataType":"CVE_RECORD","dataVersion":"5.1",
      "cveMetadata":{"cveId":"CVE-2024-1000","state":"PUBLISHED","datePublished":"2024-03-29T00:00:00","dateUpdated":"2024-04-01T00:00:00.1Z"},
      "containers":{"cna":{"providerMetadata":{"shortName":"acme"},
         "descriptions":[{"lang":"de","value":"Fehler"},{"lang":"en-US","value":"A flaw"}],
         "metrics":[{"format":"CVSS","cvssV3_1":{"vectorString":"CVSS:3.1/A","baseScore":5,"baseSeverity":"MEDIUM"}},
                    {"other":{"type":"acme rating","content":"text"}}],
         "problemTypes":[{"descriptions":[{"lang":"en","description":"n/a"},{"cweId":"CWE-79"}]}],
         "references":[{"url":"https://b.example"}]},
       "adp":[{"providerMetadata":{"shortName":"CVE"},"references":[{"url":"https://a.example"},{"url":"https://b.example"}]},
              {"providerMetadata":{"shortName":"CISA-ADP"},
               "metrics":[{"cvssV3_1":{"vectorString":"CVSS:3.1/B","baseSeverity":"CRITICAL"}},
                          {"other":{"type":"ssvc","content":{"id":"x"}}},
                          {"other":{"type":"kev","content":{"dateAdded":"2024-05-01"}}}],
               "problemTypes":[{"descriptions":[{"cweId":"CWE-506"},{"cweId":"CWE-79"}]}]}]}}"#;

    fn parse(bytes: &[u8]) -> Result<(Vec<Advisory>, ParseSummary), FeedError> {
        let mut found = Vec::new();
        let document = Document::new("vulnrichment", ARCHIVE_URL);
        let summary = CveRecords.parse(&document, &mut &*bytes, &Limits::default(), &mut |advisory| {
            found.push(advisory);
            Ok(())
        })?;
        Ok((found, summary))
    }

    #[test]
    fn a_record_keeps_who_said_what_and_cisa_comes_first() {
        let (found, _) = parse(RECORD.as_bytes()).unwrap();
        let details = &found[0].details;
        assert_eq!((details.severity, details.severity_word.as_str()), (Severity::Critical, "CRITICAL"));
        let cvss: Vec<_> = details.cvss.iter().map(|c| (c.source.as_str(), c.vector.as_str())).collect();
        assert_eq!(cvss, [("CISA-ADP", "CVSS:3.1/B"), ("acme", "CVSS:3.1/A")]);
        assert_eq!(details.weaknesses, ["CWE-506", "CWE-79"]);
        assert_eq!(details.links, ["https://a.example", "https://b.example"]);
        assert_eq!(details.exploited.as_ref().unwrap().added, "2024-05-01");
        assert_eq!(
            (details.description.as_str(), details.published.as_str()),
            ("A flaw", "2024-03-29T00:00:00Z")
        );
        assert_eq!(details.modified, "2024-04-01T00:00:00.1Z");
        assert!(details.withdrawn.is_empty());
    }

    #[test]
    fn a_rejected_record_says_when_and_why() {
        let text = r#"{"cveMetadata":{"cveId":"CVE-2024-1599","state":"REJECTED","dateRejected":"2024-06-07T10:53:17.327Z"},
            "containers":{"cna":{"providerMetadata":{},"rejectedReasons":[{"lang":"en","value":"A duplicate."}]}}}"#;
        let (found, _) = parse(text.as_bytes()).unwrap();
        let details = &found[0].details;
        assert_eq!(
            (details.withdrawn.as_str(), details.description.as_str()),
            ("2024-06-07T10:53:17.327Z", "A duplicate.")
        );
    }

    #[test]
    fn an_archive_gives_its_records_and_counts_what_is_broken() {
        let mut builder =
            ::tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (name, content) in [
            ("v/README.md", "{"),
            ("v/2024/1xxx/CVE-2024-1000.json", RECORD),
            ("v/2024/1xxx/CVE-2024-1001.json", "{\"a\":1}"),
            ("v/2024/1xxx/CVE-2024-1002.json", "{"),
            ("v/assets/schema.json", "{}"),
        ] {
            let mut header = ::tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mtime(1_700_000_000);
            builder.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        let bytes = builder.into_inner().unwrap().finish().unwrap();
        let (found, summary) = parse(&bytes).unwrap();
        assert_eq!((found.len(), summary.advisories), (1, 1));
        assert_eq!(summary.skipped.values().sum::<u64>(), 2);
        assert_eq!(summary.date, "2023-11-14T22:13:20Z");
        assert!(parse(&bytes[..bytes.len() - 20]).is_err());
        assert!(parse(b"not an archive").is_err());
    }

    #[test]
    fn the_address_of_a_record_follows_from_its_id() {
        let urls = cve_record_urls("CVE-2024-3094");
        assert!(urls[0].ends_with("/cvelistV5/main/cves/2024/3xxx/CVE-2024-3094.json"), "{urls:?}");
        assert!(cve_record_urls("CVE-2024-0001")[1].ends_with("/develop/2024/0xxx/CVE-2024-0001.json"));
        assert!(cve_record_urls("CVE-2024-1000123")[0].contains("/2024/1000xxx/"));
        for id in ["", "CVE-2024-1", "CVE-24-1000", "CVE-2024-../../x", "GHSA-1", "cve-2024-1000"] {
            assert!(cve_record_urls(id).is_empty(), "{id}");
        }
    }
}
