//! What Quay's own API says of an image's security, as clair-action's `quay` format has it: Konflux's policies count in it.

use limpid_model::{Finding, Report};
use serde_json::{Value, json};

use crate::format::{Format, Subject, Write};
use crate::json::document;
use crate::scale::{affected, cvss_version, number, with_negligible};
use crate::source::{is_link, page};

pub(crate) const FORMAT: Format = Format {
    name: "quay",
    about: "Quay's security report, as clair-action writes it",
    endings: &["quay.json"],
    subject: Subject::Findings,
    write: Write::One(|report, _| self::report(report)),
};

fn report(report: &Report) -> String {
    let mut found: Vec<Vec<Value>> = vec![Vec::new(); report.packages.len()];
    for finding in affected(report) {
        found[finding.package].push(vulnerability(report, finding));
    }
    let features: Vec<Value> = report
        .packages
        .iter()
        .zip(found)
        .map(|(installed, vulnerabilities)| {
            json!({
                "Name": installed.package.name,
                "VersionFormat": "",
                "NamespaceName": "",
                "AddedBy": report.layer_digest(installed.layer),
                "Version": installed.package.version,
                "Vulnerabilities": vulnerabilities,
            })
        })
        .collect();
    document(&json!({
        "status": "scanned",
        "data": { "Layer": {
            "Name": report.image.manifest_digest,
            "ParentName": "",
            "NamespaceName": "",
            "IndexedByVersion": 4,
            "Features": features,
        }},
    }))
}

fn vulnerability(report: &Report, finding: &Finding) -> Value {
    let verdict = &finding.verdict;
    let known = &report.vulnerabilities[finding.vulnerability];
    let distribution = report.coverage.distribution.clone().unwrap_or_default();
    let mut links: Vec<String> = page(&verdict.feed, &verdict.vulnerability).into_iter().collect();
    links.extend(known.links.iter().filter(|link| is_link(link)).cloned());
    let rated = known.ratings.iter().find(|rated| cvss_version(&rated.vector).starts_with('3'));
    let (vector, score) = match rated {
        Some(rated) => (rated.vector.as_str(), rated.score.map(|score| json!(number(score)))),
        None => ("", None),
    };
    json!({
        "Severity": with_negligible(finding.rated.severity),
        "NamespaceName": verdict.feed,
        "Link": links.join(" "),
        "FixedBy": verdict.fixed,
        "Description": known.description,
        "Name": verdict.vulnerability,
        "Metadata": {
            "UpdatedBy": verdict.feed,
            "RepoName": "",
            "RepoLink": "",
            "DistroName": distribution.id,
            "DistroVersion": distribution.version_id,
            "NVD": { "CVSSv3": { "Vectors": vector, "Score": score.unwrap_or_else(|| json!("")) } },
        },
    })
}
