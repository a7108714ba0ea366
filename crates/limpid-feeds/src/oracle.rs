//! Oracle Linux: the OVAL definitions of all errata, one file.
//!
//! Source of truth: <https://linux.oracle.com/security/>, OVAL 5.11. A definition's criteria say, in the words of
//! their comments, for which release, architecture and module which package is fixed from which version on; the
//! tests, objects and states that follow say the same once more and are not read. A criterion holds for everything
//! within the criteria that it stands in. Comments of no known form are left out and counted.

use std::io::{BufRead, Read};

use crate::errata::{Erratum, FixedPackage};
use crate::error::FeedError;
use crate::feed::{Document, Emitter, Feed, ParseSummary, Sink};
use crate::limits::Limits;
use crate::xml::{Element, Event, XmlReader};

const URL: &str = "https://linux.oracle.com/security/oval/com.oracle.elsa-all.xml.bz2";
/// Packages of one definition, over all releases and architectures.
const PACKAGES_MAX: usize = 100_000;

/// Oracle Linux's errata.
#[derive(Debug, Clone, Copy)]
pub struct Oracle;

impl Feed for Oracle {
    fn name(&self) -> &'static str {
        "oracle-oval"
    }

    fn parser_version(&self) -> u32 {
        1
    }

    fn covers(&self, release: &str) -> bool {
        let major = release.strip_prefix("ol:").and_then(|major| major.parse::<u32>().ok());
        major.is_some_and(|major| major >= 5)
    }

    fn all_documents(&self) -> Vec<Document> {
        vec![Document::new("elsa-all", URL)]
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
        let mut reader = XmlReader::new(input, &document.name, limits.record_bytes_max);
        while let Some(event) = reader.next()? {
            match event {
                Event::Open(element) if element.name == "definition" => {
                    emitter.record()?;
                    let erratum = definition(&mut reader, &mut emitter)?;
                    if erratum.id.is_empty() {
                        emitter.skip("definition names no erratum");
                    } else {
                        erratum.emit(&mut emitter)?;
                    }
                }
                Event::Close(name) if name == "timestamp" => {
                    emitter.summary.date = format!("{}Z", reader.text());
                }
                _ => {}
            }
        }
        emitter.finish(false)
    }
}

/// What the criteria around a package say.
#[derive(Debug, Clone, Default)]
struct Scope {
    release: String,
    arch: String,
    module: String,
}

fn definition<R: BufRead>(
    reader: &mut XmlReader<R>,
    emitter: &mut Emitter<'_, '_>,
) -> Result<Erratum, FeedError> {
    let depth = reader.depth();
    let mut erratum = Erratum::default();
    let mut scopes: Vec<Scope> = Vec::new();
    let mut vector = String::new();
    while let Some(event) = reader.next()? {
        match event {
            Event::Open(element) => match element.name.as_str() {
                "reference" => reference(&mut erratum, &element, emitter)?,
                "issued" => erratum.published = format!("{}T00:00:00Z", element.attribute("date")),
                "cve" => vector = vector_of(&element),
                "criteria" => scopes.push(scopes.last().cloned().unwrap_or_default()),
                "criterion" => criterion(&mut erratum, &mut scopes, element.attribute("comment"), emitter)?,
                _ => {}
            },
            Event::Close(_) if reader.depth() < depth => break,
            Event::Close(name) => match name.as_str() {
                "severity" => erratum.severity = reader.text().to_owned(),
                "description" => erratum.description = reader.text().to_owned(),
                "cve" => {
                    let id = reader.text().to_owned();
                    if crate::errata::is_cve(&id) {
                        erratum.cves.insert(id, std::mem::take(&mut vector));
                    }
                }
                "criteria" => {
                    scopes.pop();
                }
                _ => {}
            },
        }
    }
    Ok(erratum)
}

fn reference(erratum: &mut Erratum, element: &Element, emitter: &Emitter<'_, '_>) -> Result<(), FeedError> {
    let limit = emitter.limits.ids_per_record_max;
    if erratum.cves.len() + erratum.links.len() >= limit {
        return Err(emitter.too_large("references in one definition", limit as u64));
    }
    let id = element.attribute("ref_id");
    match element.attribute("source").to_ascii_lowercase().as_str() {
        "elsa" => {
            erratum.id = id.to_owned();
            erratum.links.push(element.attribute("ref_url").to_owned());
        }
        "cve" if crate::errata::is_cve(id) => {
            erratum.cves.entry(id.to_owned()).or_default();
        }
        _ => {}
    }
    Ok(())
}

/// `7.8/CVSS:3.1/AV:L/...` or, of version 2, `7.8/AV:N/...`.
fn vector_of(element: &Element) -> String {
    let written = ["cvss4", "cvss3", "cvss2"].iter().map(|name| element.attribute(name));
    let written = written.filter(|text| !text.is_empty()).filter_map(|text| text.split_once('/'));
    written.map(|(_, vector)| vector.to_owned()).next().unwrap_or_default()
}

fn criterion(
    erratum: &mut Erratum,
    scopes: &mut [Scope],
    comment: &str,
    emitter: &mut Emitter<'_, '_>,
) -> Result<(), FeedError> {
    let Some(scope) = scopes.last_mut() else {
        emitter.skip("criterion stands outside of criteria");
        return Ok(());
    };
    let between = |before: &str, after: &str| comment.strip_prefix(before)?.strip_suffix(after);
    if let Some(major) = between("Oracle Linux ", " is installed") {
        scope.release = format!("ol:{major}");
    } else if let Some(arch) = comment.strip_prefix("Oracle Linux arch is ") {
        arch.clone_into(&mut scope.arch);
    } else if let Some(module) = between("Module ", " is enabled") {
        module.clone_into(&mut scope.module);
    } else if let Some((name, version)) = comment.split_once(" is earlier than ") {
        if scope.release.is_empty() {
            emitter.skip("package is of no release");
            return Ok(());
        }
        if erratum.packages.len() >= PACKAGES_MAX {
            return Err(emitter.too_large("packages in one definition", PACKAGES_MAX as u64));
        }
        erratum.packages.push(FixedPackage {
            name: name.to_owned(),
            version: version.strip_prefix("0:").unwrap_or(version).to_owned(),
            arch: scope.arch.clone(),
            module: scope.module.clone(),
            release: scope.release.clone(),
            channel: String::new(),
        });
    } else if !comment.contains(" is signed with ") {
        emitter.skip("criterion is not of a known form");
    }
    Ok(())
}

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod tests;
