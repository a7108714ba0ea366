//! `updateinfo.xml` of rpm repositories: `<updates><update type="security">...</update></updates>`.
//!
//! Source of truth: what createrepo_c and the distributions write; there is no standard. Read of an update are
//! `id`, `severity`, `description`, `issued`, `updated`, `references` and `pkglist`, with the module of a
//! collection where one is named. Left out: updates that are not of type `security`, counted; file names and
//! their digests, titles, summaries, rights.

use std::io::{BufRead, Read};

use crate::errata::{Erratum, FixedPackage, cves_in, evr, is_cve};
use crate::error::FeedError;
use crate::feed::{Document, Emitter, ParseSummary, Sink};
use crate::limits::Limits;
use crate::xml::{Element, Event, XmlReader};

/// Packages of one update, of which kernels have some hundred.
const PACKAGES_MAX: usize = 100_000;

/// What the file does not say of itself.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The release that it is for.
    pub(crate) release: String,
    /// See [`Affected::channel`](limpid_model::Affected).
    pub(crate) channel: String,
}

/// Reads the file and hands over what each security update says.
///
/// Architectures are not kept: a repository lists those of one, and builds of the same version exist for all.
pub(crate) fn parse(
    origin: &Origin,
    document: &Document,
    input: &mut dyn Read,
    limits: &Limits,
    sink: &mut Sink<'_>,
) -> Result<ParseSummary, FeedError> {
    let mut emitter = Emitter::new(document, limits, sink);
    let input = document.decoded(input, limits)?;
    let mut reader = XmlReader::new(input, &document.name, limits.record_bytes_max);
    let mut has_list = false;
    while let Some(event) = reader.next()? {
        match event {
            Event::Open(element) if element.name == "updates" => has_list = true,
            Event::Open(element) if element.name == "update" && has_list => {
                emitter.record()?;
                let update = update(origin, &mut reader, &emitter)?;
                if update.modified > emitter.summary.date {
                    emitter.summary.date.clone_from(&update.modified);
                }
                if element.attribute("type") != "security" {
                    emitter.skip("update is not about security");
                } else if update.id.is_empty() {
                    emitter.skip("update has no id");
                } else {
                    update.emit(&mut emitter)?;
                }
            }
            _ => {}
        }
    }
    if !has_list {
        return Err(emitter.malformed(0, "it has no list of updates"));
    }
    // A repository may be new.
    emitter.finish(true)
}

fn update<R: BufRead>(
    origin: &Origin,
    reader: &mut XmlReader<R>,
    emitter: &Emitter<'_, '_>,
) -> Result<Erratum, FeedError> {
    let depth = reader.depth();
    let mut erratum = Erratum::default();
    let mut module = String::new();
    while let Some(event) = reader.next()? {
        match event {
            Event::Open(element) => match element.name.as_str() {
                "issued" => erratum.published = date(element.attribute("date")),
                "updated" => erratum.modified = date(element.attribute("date")),
                "reference" => reference(&mut erratum, &element, emitter)?,
                "collection" => module.clear(),
                "module" => module = format!("{}:{}", element.attribute("name"), element.attribute("stream")),
                "package" => {
                    if erratum.packages.len() >= PACKAGES_MAX {
                        return Err(emitter.too_large("packages in one update", PACKAGES_MAX as u64));
                    }
                    erratum.packages.extend(package(origin, &element, &module));
                }
                _ => {}
            },
            Event::Close(_) if reader.depth() < depth => break,
            // Direct children alone: a collection has a name, a package a description of its own.
            Event::Close(name) if reader.depth() == depth => match name.as_str() {
                "id" => erratum.id = reader.text().to_owned(),
                "severity" => erratum.severity = reader.text().to_owned(),
                "description" => erratum.description = reader.text().to_owned(),
                _ => {}
            },
            Event::Close(_) => {}
        }
    }
    if erratum.cves.is_empty() {
        // Not every update lists what its description names.
        let found = cves_in(&erratum.description);
        erratum.cves = found.into_iter().map(|id| (id, String::new())).collect();
    }
    Ok(erratum)
}

fn reference(erratum: &mut Erratum, element: &Element, emitter: &Emitter<'_, '_>) -> Result<(), FeedError> {
    let limit = emitter.limits.ids_per_record_max;
    if erratum.links.len() >= limit {
        return Err(emitter.too_large("references in one update", limit as u64));
    }
    let (id, link) = (element.attribute("id"), element.attribute("href"));
    if is_cve(id) {
        erratum.cves.insert(id.to_owned(), String::new());
    } else if !link.is_empty() {
        erratum.links.push(link.to_owned());
    }
    Ok(())
}

fn package(origin: &Origin, element: &Element, module: &str) -> Option<FixedPackage> {
    let (name, version) = (element.attribute("name"), element.attribute("version"));
    let is_source = element.attribute("arch") == "src";
    (!name.is_empty() && !version.is_empty() && !is_source).then(|| FixedPackage {
        name: name.to_owned(),
        version: evr(element.attribute("epoch"), version, element.attribute("release")),
        arch: String::new(),
        module: module.to_owned(),
        release: origin.release.clone(),
        channel: origin.channel.clone(),
    })
}

/// `2023-02-17 20:41[:00]`, which is UTC, as RFC 3339.
fn date(text: &str) -> String {
    match text.trim().split_once(' ') {
        Some((day, time)) if time.len() == 5 => format!("{day}T{time}:00Z"),
        Some((day, time)) => format!("{day}T{time}Z"),
        None if text.trim().is_empty() => String::new(),
        None => format!("{}T00:00:00Z", text.trim()),
    }
}

#[cfg(test)]
#[path = "updateinfo_tests.rs"]
mod tests;
