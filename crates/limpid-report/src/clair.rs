//! Clair v4's vulnerability report, which clairctl, Quay and Konflux's checks read.
//!
//! Source: claircore's `VulnerabilityReport` and Clair's OpenAPI document. Every object is complete, since readers of it do not
//! check; `range` is never written. A date of issue is written where one is known, as Conforma counts days of grace from it.
//! What the source has not determined is left out.

use std::collections::BTreeMap;

use limpid_model::{Finding, Package, Report, Vulnerability};
use serde_json::{Map, Value, json};

use crate::format::{Format, Subject, Write};
use crate::json::document;
use crate::scale::{affected, cvss_version, date_time, number, with_negligible};
use crate::source::{is_link, notice_page, page};

pub(crate) const FORMAT: Format = Format {
    name: "clair",
    about: "Clair v4's vulnerability report, for Konflux and clairctl's readers",
    endings: &["clair.json", "clair-report.json"],
    subject: Subject::Findings,
    write: Write::One(|report, _| document(&self::report(report))),
};

/// What the first enrichment's content is, by which readers find it.
const CVSS: &str = "message/vnd.clair.map.vulnerability; enricher=clair.cvss schema=https://csrc.nist.gov/schema/nvd/api/2.0/cve_api_json_2.0.schema";
/// The one distribution and the one repository.
const ONE: &str = "1";

/// The report as a value.
pub(crate) fn report(report: &Report) -> Value {
    let mut vulnerabilities: BTreeMap<String, Value> = BTreeMap::new();
    let mut of_packages: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut scores = Map::new();
    for finding in affected(report) {
        let (id, value) = vulnerability(report, finding);
        let known = &report.vulnerabilities[finding.vulnerability];
        let cvss = cvss(known);
        if !cvss.is_empty() {
            scores.insert(id.clone(), cvss.into());
        }
        vulnerabilities.insert(id.clone(), value);
        let ids = of_packages.entry(finding.package).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let mut packages = Map::new();
    let mut environments = Map::new();
    for (index, installed) in report.packages.iter().enumerate() {
        let id = package_id(index);
        packages.insert(id.clone(), package(&id, &installed.package));
        environments.insert(
            id,
            json!([{
                "package_db": installed.path,
                "introduced_in": report.layer_digest(installed.layer),
                "distribution_id": ONE,
                "repository_ids": [ONE],
            }]),
        );
    }
    let package_vulnerabilities: Map<String, Value> =
        of_packages.into_iter().map(|(index, ids)| (package_id(index), json!(ids))).collect();
    scores.sort_keys();
    json!({
        "manifest_hash": report.image.manifest_digest,
        "packages": packages,
        "distributions": { ONE: distribution(report) },
        "repository": { ONE: repository(report) },
        "environments": environments,
        "vulnerabilities": vulnerabilities,
        "package_vulnerabilities": package_vulnerabilities,
        "enrichments": { CVSS: if scores.is_empty() { json!([]) } else { json!([scores]) } },
    })
}

/// Ids are numbers in Clair's reports.
fn package_id(index: usize) -> String {
    (index + 1).to_string()
}

fn package(id: &str, package: &Package) -> Value {
    json!({
        "id": id,
        "name": package.name,
        "version": package.version,
        "kind": "binary",
        "arch": package.arch,
        "module": "",
        "cpe": "",
        "normalized_version": "",
        "source": {
            "id": format!("{id}s"),
            "name": package.source_name,
            "version": package.source_version,
            "kind": "source",
            "arch": "",
            "module": "",
            "cpe": "",
            "normalized_version": "",
        },
    })
}

/// All nine fields, which Quay's schema insists on.
pub(crate) fn distribution(report: &Report) -> Value {
    let known = report.coverage.distribution.clone().unwrap_or_default();
    json!({
        "id": ONE,
        "did": known.id,
        "name": if known.pretty_name.is_empty() { &known.id } else { &known.pretty_name },
        "version": known.version_id,
        "version_code_name": known.code_name,
        "version_id": known.version_id,
        "arch": "",
        "cpe": "",
        "pretty_name": known.pretty_name,
    })
}

fn repository(report: &Report) -> Value {
    let release = report
        .packages
        .iter()
        .map(|package| package.context.release.as_str())
        .find(|release| !release.is_empty());
    json!({ "id": ONE, "name": release.unwrap_or_default(), "key": "", "uri": "", "cpe": "" })
}

/// A vulnerability and its id: the same for all packages of one source that have it in the same way.
fn vulnerability(report: &Report, finding: &Finding) -> (String, Value) {
    let verdict = &finding.verdict;
    let installed = &report.packages[finding.package];
    let facts = &installed.package;
    let known = &report.vulnerabilities[finding.vulnerability];
    let id = crate::identity::digest(&[
        &verdict.vulnerability,
        &verdict.advisory,
        &verdict.feed,
        &verdict.fixed,
        finding.rated.severity.name(),
        &facts.source_name,
        &installed.context.release,
    ])
    .short();
    let own = [page(&verdict.feed, &verdict.vulnerability), notice_page(&verdict.notice)];
    let mut links: Vec<String> = own.into_iter().flatten().collect();
    for link in known.links.iter().filter(|link| is_link(link)) {
        if !links.contains(link) {
            links.push(link.clone());
        }
    }
    let mut value = json!({
        "id": id,
        "updater": verdict.feed,
        "name": verdict.vulnerability,
        "description": known.description,
        "links": links.join(" "),
        "severity": if verdict.severity_word.is_empty() { finding.rated.severity.name() } else { &verdict.severity_word },
        "normalized_severity": with_negligible(finding.rated.severity),
        "package": {
            "id": "",
            "name": facts.source_name,
            "version": "",
            "kind": "source",
            "arch": "",
            "module": "",
            "cpe": "",
            "normalized_version": "",
        },
        "distribution": distribution(report),
        "repository": repository(report),
        "fixed_in_version": verdict.fixed,
    });
    if let Some(issued) = date_time(&known.published).or_else(|| date_time(&known.modified)) {
        value["issued"] = issued.into();
    }
    (id, value)
}

/// Vectors of version 3 with their scores, the highest first.
fn cvss(known: &Vulnerability) -> Vec<Value> {
    let mut rated: Vec<_> = known
        .ratings
        .iter()
        .filter(|rated| matches!(cvss_version(&rated.vector), "3.0" | "3.1"))
        .filter_map(|rated| Some((rated.score?, rated)))
        .collect();
    rated.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    let value = |(score, rated): (limpid_model::BaseScore, &limpid_model::Rated)| {
        json!({
            "version": cvss_version(&rated.vector),
            "vectorString": rated.vector,
            "baseScore": number(score),
            "baseSeverity": with_negligible(rated.severity).to_uppercase(),
        })
    };
    rated.into_iter().map(value).collect()
}
