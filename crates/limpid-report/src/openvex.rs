//! OpenVEX 0.2.0: what is affected and what the source is still looking into, by image and package.
//!
//! A report lists no package that is not affected, so no statement here says that one is not. The products are images, their
//! subcomponents packages. Several images may stand in one document.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Finding, Report};
use serde_json::{Map, Value, json};

use crate::bom::Bom;
use crate::format::{Document, Format, Subject, Write};
use crate::json::document;
use crate::scale::advice;
use crate::source::page;

pub(crate) const FORMAT: Format = Format {
    name: "openvex",
    about: "OpenVEX 0.2.0: what is affected or under investigation",
    endings: &["openvex.json", "vex.json"],
    subject: Subject::Findings,
    write: Write::Many(|_| Box::new(Statements::default())),
};

#[derive(Default)]
struct Statements {
    statements: Vec<Value>,
    moment: String,
}

impl Document for Statements {
    fn add(&mut self, reports: &[Report]) -> String {
        for report in reports {
            self.statements.extend(statements(report));
            self.moment = std::mem::take(&mut self.moment).max(report.moment.clone());
        }
        String::new()
    }

    fn end(&mut self, _: &[(String, String)]) -> String {
        let statements = Value::Array(std::mem::take(&mut self.statements));
        let id = crate::identity::uuid(&["openvex", &self.moment, &statements.to_string()]);
        document(&json!({
            "@context": "https://openvex.dev/ns/v0.2.0",
            "@id": format!("{}/openvex/{id}", crate::tool::URL),
            "author": "Limpid",
            "role": "Vulnerability scanner",
            "timestamp": self.moment,
            "version": 1,
            "tooling": format!("{}/{}", crate::tool::NAME, crate::tool::VERSION),
            "statements": statements,
        }))
    }
}

fn statements(report: &Report) -> Vec<Value> {
    let bom = Bom::of(report);
    let mut groups: BTreeMap<(usize, bool), Vec<&Finding>> = BTreeMap::new();
    for finding in &report.findings {
        groups.entry((finding.vulnerability, finding.verdict.state.is_affected())).or_default().push(finding);
    }
    groups
        .into_iter()
        .map(|((index, affected), group)| statement(report, &bom, index, affected, &group))
        .collect()
}

fn statement(report: &Report, bom: &Bom, index: usize, affected: bool, group: &[&Finding]) -> Value {
    let known = &report.vulnerabilities[index];
    let mut vulnerability = Map::new();
    let feed = group.first().map_or("", |finding| finding.verdict.feed.as_str());
    if let Some(page) = page(feed, &known.id) {
        vulnerability.insert("@id".to_owned(), page.into());
    }
    vulnerability.insert("name".to_owned(), known.id.as_str().into());
    if !known.description.is_empty() {
        vulnerability.insert("description".to_owned(), known.description.as_str().into());
    }
    if !known.aliases.is_empty() {
        vulnerability.insert("aliases".to_owned(), json!(known.aliases));
    }
    // A package that two databases list is one product.
    let purls: BTreeSet<&str> = group.iter().map(|finding| bom.purls[finding.package].as_str()).collect();
    let subcomponents: Vec<Value> =
        purls.into_iter().map(|purl| json!({ "@id": purl, "identifiers": { "purl": purl } })).collect();
    let mut statement = json!({
        "vulnerability": vulnerability,
        "timestamp": report.moment,
        "products": [{
            "@id": bom.image,
            "identifiers": { "purl": bom.image },
            "hashes": { "sha-256": report.image.manifest_digest.hex() },
            "subcomponents": subcomponents,
        }],
        "status": if affected { "affected" } else { "under_investigation" },
    });
    let words: Vec<&str> = group.iter().map(|finding| finding.verdict.state_word.as_str()).collect();
    if let Some(word) = words.into_iter().find(|word| !word.is_empty()) {
        statement["status_notes"] = word.into();
    }
    if affected {
        let mut advice: Vec<String> = group.iter().map(|finding| self::advice(report, finding)).collect();
        advice.sort();
        advice.dedup();
        statement["action_statement"] = advice.join(" ").into();
    }
    statement
}
