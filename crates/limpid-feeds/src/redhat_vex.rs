//! Red Hat's CSAF-VEX: one document a vulnerability, with the state of every product that it concerns.
//!
//! Source of truth: <https://security.access.redhat.com/data/csaf/v2/vex-feed/>, and the CSAF 2.0 standard (see
//! `csaf.rs`). `vex-feed` is what Red Hat recommends since May 2026: it keeps support streams apart and has better
//! purls and CPEs. The older `vex` has the same form and is asked for where `vex-feed` fails, as on a mirror that
//! was set up before. Both are an archive, and lists of the documents that changed or went since (see
//! `changes.rs`).
//!
//! | status, remediation | becomes |
//! |---|---|
//! | fixed, a version | fixed, with the erratum that the remediation `vendor_fix` names as its notice |
//! | known_affected | open; by remediation: `Will not fix`, `Fix deferred`, `Out of support scope` (end of life) |
//! | known_not_affected | not affected; the flag's label (`vulnerable_code_not_present`) goes into the words |
//! | under_investigation | undetermined |
//!
//! A row is what one product (a CPE) says of one package, over all its architectures. Binary packages of a fix
//! are listed one by one, so the source package beside them is left out. Left out too, and counted: container
//! images and other components that are no rpm packages, workarounds, and documents that cannot be read.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};

use limpid_model::{Advisory, AdvisoryDetails, Cvss};

use crate::csaf::{Csaf, Products, Vulnerability};
use crate::decode::decoded;
use crate::errata::severity;
use crate::error::FeedError;
use crate::feed::{Document, Emitter, Feed, Layout, ParseSummary, Sink};
use crate::limits::Limits;
use crate::redhat_rows::Rows;
use crate::tar::Members;

/// The address that Red Hat recommends.
const BASE: &str = "https://security.access.redhat.com/data/csaf/v2/vex-feed";
/// The older one.
const OLDER_BASE: &str = "https://security.access.redhat.com/data/csaf/v2/vex";
/// Distributions that are built from Red Hat's sources and have no advisories of their own.
const COVERED: [&str; 2] = ["rhel", "centos"];

/// Red Hat's VEX documents.
#[derive(Debug, Clone, Copy)]
pub struct RedHatVex;

impl Feed for RedHatVex {
    fn name(&self) -> &'static str {
        "redhat-vex"
    }

    fn parser_version(&self) -> u32 {
        1
    }

    fn covers(&self, release: &str) -> bool {
        COVERED.contains(&release.split(':').next().unwrap_or_default())
    }

    fn all_documents(&self) -> Vec<Document> {
        vec![Document::new("vex", format!("{BASE}/archive_latest.txt"))]
    }

    fn fallback(&self, document: &Document) -> Option<Document> {
        (document.name == "vex").then(|| Document::new("vex", format!("{OLDER_BASE}/archive_latest.txt")))
    }

    fn layout(&self) -> Layout {
        Layout::Changes
    }

    fn parse(
        &self,
        document: &Document,
        input: &mut dyn Read,
        limits: &Limits,
        sink: &mut Sink<'_>,
    ) -> Result<ParseSummary, FeedError> {
        let mut emitter = Emitter::new(document, limits, sink);
        let failed = |source| FeedError::Read { document: document.name.clone(), source };
        let mut input = decoded(input, limits).map_err(failed)?;
        let is_single = input.fill_buf().map_err(failed)?.first() == Some(&b'{');
        if is_single {
            let mut content = Vec::new();
            let limit = limits.record_bytes_max as u64;
            input.take(limit + 1).read_to_end(&mut content).map_err(failed)?;
            if content.len() as u64 > limit {
                return Err(emitter.too_large("bytes in one document", limit));
            }
            read(&content, &mut emitter).map_err(|unread| unread.of(&emitter))?;
            return emitter.finish(true);
        }
        archive(input, &mut emitter)?;
        emitter.finish(false)
    }
}

/// Why a document is of no use.
enum Unread {
    Json(serde_json::Error),
    Feed(FeedError),
}

impl Unread {
    fn of(self, emitter: &Emitter<'_, '_>) -> FeedError {
        match self {
            Self::Json(error) => emitter.malformed(0, error.to_string()),
            Self::Feed(error) => error,
        }
    }
}

/// Reads a tar archive of documents. Each says itself which vulnerability it is of; its path is of no matter.
fn archive(input: Box<dyn BufRead + '_>, emitter: &mut Emitter<'_, '_>) -> Result<(), FeedError> {
    let document = emitter.document.to_owned();
    let mut members = Members::new(input);
    let limit = emitter.limits.record_bytes_max as u64;
    loop {
        let offset = members.offset();
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::InvalidData => {
                FeedError::Malformed { document: document.clone(), offset, reason: source.to_string() }
            }
            _ => FeedError::Read { document: document.clone(), source },
        };
        let Some(member) = members.next().map_err(failed)? else { return Ok(()) };
        if member.size_bytes > limit {
            emitter.record()?;
            emitter.skip("document is larger than the limit for one");
            continue;
        }
        let content = members.read(limit).map_err(failed)?;
        match read(&content, emitter) {
            Ok(()) => {}
            Err(Unread::Json(_)) => {
                emitter.record()?;
                emitter.skip("document is not of the known shape");
            }
            Err(Unread::Feed(error)) => return Err(error),
        }
    }
}

fn read(content: &[u8], emitter: &mut Emitter<'_, '_>) -> Result<(), Unread> {
    let csaf: Csaf<'_> = serde_json::from_slice(content).map_err(Unread::Json)?;
    if csaf.document.category != "csaf_vex" {
        emitter.record().map_err(Unread::Feed)?;
        emitter.skip("document is not of category csaf_vex");
        return Ok(());
    }
    let products = Products::of(&csaf.product_tree);
    let date = &*csaf.document.tracking.current_release_date;
    if date > emitter.summary.date.as_str() {
        date.clone_into(&mut emitter.summary.date);
    }
    for vulnerability in &csaf.vulnerabilities {
        let mut rows = Rows::new(&products, vulnerability);
        for (status, ids) in &vulnerability.product_status {
            for id in ids {
                emitter.record().map_err(Unread::Feed)?;
                if let Err(reason) = rows.take(status, id) {
                    emitter.skip(reason);
                }
            }
        }
        // A vulnerability that no rpm package has is known all the same.
        let affected = rows.finish(emitter);
        let id = vulnerability.cve.as_deref().unwrap_or(&csaf.document.tracking.id).to_owned();
        let mut details = details(vulnerability, emitter.limits);
        date.clone_into(&mut details.modified);
        if let Some(word) = &csaf.document.aggregate_severity {
            details.severity = severity(&word.text).unwrap_or_default();
            details.severity_word = word.text.to_string();
        }
        let affected = affected.into_iter().map(|row| row.beside(&details)).collect();
        emitter.emit(Advisory { id, details, affected }).map_err(Unread::Feed)?;
    }
    Ok(())
}

fn details(vulnerability: &Vulnerability<'_>, limits: &Limits) -> AdvisoryDetails {
    let note = |category: &str| vulnerability.notes.iter().find(|note| note.category == category);
    let description = note("description").or_else(|| note("summary"));
    let scores = vulnerability.scores.iter().flat_map(|score| {
        [&score.cvss_v2, &score.cvss_v3, &score.cvss_v4].into_iter().flatten().map(|cvss| &cvss.vector)
    });
    let cvss: BTreeSet<Cvss> =
        scores.filter(|vector| !vector.is_empty()).map(|vector| Cvss::own(vector)).collect();
    let mut links: Vec<String> = Vec::new();
    for reference in vulnerability.references.iter().take(limits.ids_per_record_max) {
        if !links.iter().any(|link| *link == reference.url) {
            links.push(reference.url.to_string());
        }
    }
    AdvisoryDetails {
        description: description.map(|note| note.text.to_string()).unwrap_or_default(),
        cvss: cvss.into_iter().collect(),
        weaknesses: vulnerability.cwe.iter().map(|cwe| cwe.id.to_string()).collect(),
        links,
        published: vulnerability.release_date.as_deref().unwrap_or_default().to_owned(),
        ..AdvisoryDetails::default()
    }
}

#[cfg(test)]
#[path = "redhat_vex_tests.rs"]
mod tests;
