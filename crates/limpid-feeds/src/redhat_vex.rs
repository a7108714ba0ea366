//! Red Hat's CSAF-VEX: one document a vulnerability, with the state of every product that it concerns.
//!
//! Source of truth: <https://security.access.redhat.com/data/csaf/v2/vex-feed/>, and the CSAF 2.0 standard (see
//! `csaf.rs`). `vex-feed` is what Red Hat recommends since May 2026: it keeps support streams apart and has better
//! purls and CPEs. The older `vex` has the same form and is asked for where there is no `vex-feed`, as on a mirror
//! that was set up before. Both are an archive, and lists of the documents that changed or went since (see
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

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, BufRead, Read};

use limpid_model::{Advisory, AdvisoryDetails, Affected, AffectedState, Cvss, PackageKind};

use crate::csaf::{Csaf, Products, Remediation, Vulnerability};
use crate::decode::decoded;
use crate::errata::severity;
use crate::error::FeedError;
use crate::feed::{Document, Emitter, Feed, Layout, ParseSummary, Sink};
use crate::limits::Limits;
use crate::redhat_product::{Component, Product, component, major_of_build, module};
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

    fn documents(&self, release: &str) -> Vec<Document> {
        if self.covers(release) { self.all_documents() } else { Vec::new() }
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

/// A row without its architectures.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row(Affected);

impl Row {
    /// A severity that is the vulnerability's is not repeated.
    fn beside(self, details: &AdvisoryDetails) -> Affected {
        let mut row = self.0;
        if row.severity_word == details.severity_word {
            row.severity = None;
            row.severity_word = String::new();
        }
        row
    }
}

/// What one vulnerability's document says, gathered by row.
struct Rows<'t> {
    products: &'t Products<'t>,
    /// For each product id: what is done about it, how bad it is there, why it is not affected.
    remediations: HashMap<&'t str, &'t Remediation<'t>>,
    impacts: HashMap<&'t str, &'t str>,
    flags: HashMap<&'t str, &'t str>,
    rows: BTreeMap<Row, BTreeSet<String>>,
    /// How many product ids each row stands for.
    counts: BTreeMap<Row, u64>,
}

impl<'t> Rows<'t> {
    fn new(products: &'t Products<'t>, vulnerability: &'t Vulnerability<'t>) -> Self {
        let mut remediations: HashMap<&str, &Remediation<'_>> = HashMap::new();
        for remediation in &vulnerability.remediations {
            if remediation.category == "workaround" || remediation.category == "mitigation" {
                continue;
            }
            for id in &remediation.product_ids {
                remediations.entry(id).or_insert(remediation);
            }
        }
        let impacts = vulnerability.threats.iter().filter(|threat| threat.category == "impact");
        let impacts =
            impacts.flat_map(|threat| threat.product_ids.iter().map(|id| (&**id, &*threat.details)));
        let flags = vulnerability
            .flags
            .iter()
            .flat_map(|flag| flag.product_ids.iter().map(|id| (&**id, &*flag.label)));
        Self {
            products,
            remediations,
            impacts: impacts.collect(),
            flags: flags.collect(),
            rows: BTreeMap::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Takes in the status of one product id, or says why not.
    fn take(&mut self, status: &str, id: &'t str) -> Result<(), &'static str> {
        let chain = self.products.chain(id).ok_or("product id is not in the product tree")?;
        let Some((innermost, between)) = chain.components.split_first() else {
            return Err("product is named as a whole");
        };
        let purl = |id: &str| self.products.identification(id).and_then(|known| known.purl.as_deref());
        let mut component = component(innermost, purl(innermost))?;
        if component.module.is_empty() {
            component.module = between.iter().find_map(|id| module(purl(id)?)).unwrap_or_default();
        }
        let cpe = self.products.identification(chain.product).and_then(|known| known.cpe.as_deref());
        let cpe = cpe.ok_or("product has no CPE")?;
        let (state, state_word) = self.state(status, id)?;
        if state == AffectedState::Fixed && component.version.is_empty() {
            return Err("fix names no version");
        }
        let (row, arch) = self.row(component, cpe, state, state_word, id);
        *self.counts.entry(row.clone()).or_default() += 1;
        let arches = self.rows.entry(row).or_default();
        if !arch.is_empty() {
            arches.insert(arch);
        }
        Ok(())
    }

    fn state(&self, status: &str, id: &str) -> Result<(AffectedState, String), &'static str> {
        let remediation = self.remediations.get(id);
        Ok(match status {
            "fixed" => (AffectedState::Fixed, status.to_owned()),
            "known_affected" => match remediation {
                Some(said) => {
                    let word = format!("{status}; {}: {}", said.category, said.details);
                    (affected_state(&said.category, &said.details), word)
                }
                None => (AffectedState::Open, status.to_owned()),
            },
            "known_not_affected" => {
                let flag = self.flags.get(id).map(|flag| format!("; {flag}")).unwrap_or_default();
                (AffectedState::NotAffected, format!("{status}{flag}"))
            }
            "under_investigation" => (AffectedState::Undetermined, status.to_owned()),
            _ => return Err("status is not known"),
        })
    }

    fn row(
        &self,
        component: Component,
        cpe: &str,
        state: AffectedState,
        state_word: String,
        id: &str,
    ) -> (Row, String) {
        let Component { name, kind, version, arch, module } = component;
        let Product { major, channel } = Product::of_cpe(cpe);
        let major = major.or_else(|| major_of_build(&version));
        let notice = match self.remediations.get(id) {
            Some(said) if said.category == "vendor_fix" => {
                let url = said.url.as_deref().unwrap_or_default();
                url.rsplit('/').next().unwrap_or_default().to_owned()
            }
            _ => String::new(),
        };
        let impact = self.impacts.get(id).copied().unwrap_or_default();
        let row = Affected {
            package: name,
            package_kind: kind,
            release: major.map_or_else(|| "rhel".to_owned(), |major| format!("rhel:{major}")),
            channel,
            state,
            fixed: if state == AffectedState::Fixed { version } else { String::new() },
            module,
            cpe: cpe.to_owned(),
            notice: if state == AffectedState::Fixed { notice } else { String::new() },
            state_word,
            severity: severity(impact),
            severity_word: impact.to_owned(),
            ..Affected::default()
        };
        // Of what is not fixed every architecture is meant, and `src` is none.
        let arch = if state == AffectedState::Fixed && arch != "src" { arch } else { String::new() };
        (Row(row), arch)
    }

    /// The rows, without those that others make needless.
    fn finish(self, emitter: &mut Emitter<'_, '_>) -> Vec<Row> {
        let mut with_binaries = BTreeSet::new();
        let mut strongest: BTreeMap<_, u8> = BTreeMap::new();
        for Row(row) in self.rows.keys() {
            if row.state == AffectedState::Fixed && row.package_kind == PackageKind::Binary {
                with_binaries.insert((row.cpe.clone(), row.module.clone(), row.notice.clone()));
            }
            let rank = strongest.entry(place(row)).or_insert(u8::MAX);
            *rank = (*rank).min(strength(row.state));
        }
        let mut rows = Vec::with_capacity(self.rows.len());
        for (Row(row), arches) in self.rows {
            let count = self.counts.get(&Row(row.clone())).copied().unwrap_or_default();
            let fix = (row.cpe.clone(), row.module.clone(), row.notice.clone());
            let reason = if strongest.get(&place(&row)).is_some_and(|rank| *rank < strength(row.state)) {
                "product says something stronger of the same package"
            } else if row.state == AffectedState::Fixed
                && row.package_kind == PackageKind::Source
                && with_binaries.contains(&fix)
            {
                "source package of a fix whose binary packages are named"
            } else {
                rows.push(Row(Affected { arches: arches.into_iter().collect(), ..row }));
                continue;
            };
            for _ in 0..count {
                emitter.skip(reason);
            }
        }
        rows
    }
}

/// What a row speaks of, whatever it says of it.
fn place(row: &Affected) -> (String, PackageKind, String, String) {
    (row.package.clone(), row.package_kind, row.cpe.clone(), row.module.clone())
}

/// A product that has a fix for a package is not at the same time unaffected in that package.
fn strength(state: AffectedState) -> u8 {
    match state {
        AffectedState::Fixed => 0,
        AffectedState::NotAffected => 2,
        _ => 1,
    }
}

fn affected_state(category: &str, details: &str) -> AffectedState {
    match (category, details) {
        (_, "Out of support scope") => AffectedState::EndOfLife,
        (_, "Fix deferred") => AffectedState::Deferred,
        ("no_fix_planned", _) | (_, "Will not fix") => AffectedState::WillNotFix,
        _ => AffectedState::Open,
    }
}

#[cfg(test)]
#[path = "redhat_vex_tests.rs"]
mod tests;
