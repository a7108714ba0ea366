//! GitLab's container scanning report, schema 15.0.7, which every GitLab 15 and later takes.
//!
//! Source: `container-scanning-report-format.json` of GitLab's security report schemas. The first identifier and the location
//! are what GitLab tells findings apart by. It has no place for what a source has not determined, so that is left out, and
//! none for vectors of CVSS 4.

use limpid_model::{Finding, Report, Severity};
use serde_json::{Value, json};

use crate::format::{Format, Subject, Write};
use crate::image_name::ImageName;
use crate::json::document;
use crate::scale::{advice, affected, common, cvss_version};
use crate::source::{is_link, page};
use crate::text::{clip, markdown};

pub(crate) const FORMAT: Format = Format {
    name: "gitlab",
    about: "GitLab's container scanning report",
    endings: &["gl-container-scanning-report.json"],
    subject: Subject::Findings,
    write: Write::One(|report, _| self::report(report)),
};

const NAME_CHARS_MAX: usize = 255;
/// The schema's bound is 7000, and escaping may double a text.
const SOLUTION_CHARS_MAX: usize = 3500;
/// The schema's bound is 1048576; nobody reads so much.
const DESCRIPTION_CHARS_MAX: usize = 200_000;
const VECTORS_MAX: usize = 10;

fn report(report: &Report) -> String {
    let component = json!({
        "id": crate::tool::NAME,
        "name": "Limpid",
        "version": crate::tool::VERSION,
        "url": crate::tool::URL,
        "vendor": { "name": "Limpid" },
    });
    let time = time(&report.moment);
    let mut vulnerabilities: Vec<Value> =
        affected(report).map(|finding| vulnerability(report, finding)).collect();
    // The same package in two databases is one finding to GitLab.
    let mut seen = std::collections::BTreeSet::new();
    vulnerabilities.retain(|vulnerability| seen.insert(vulnerability["id"].to_string()));
    document(&json!({
        "version": "15.0.7",
        "schema": "https://gitlab.com/gitlab-org/security-products/security-report-schemas/-/raw/v15.0.7/dist/container-scanning-report-format.json",
        "scan": {
            "analyzer": component,
            "scanner": component,
            "start_time": time,
            "end_time": time,
            "status": "success",
            "type": "container_scanning",
        },
        "vulnerabilities": vulnerabilities,
        "remediations": [],
    }))
}

/// GitLab's times have no zone and no fractions.
fn time(moment: &str) -> String {
    moment.chars().take(19).collect()
}

fn vulnerability(report: &Report, finding: &Finding) -> Value {
    let verdict = &finding.verdict;
    let package = &report.packages[finding.package].package;
    let known = &report.vulnerabilities[finding.vulnerability];
    let distribution = report.coverage.distribution.as_ref();
    let os = distribution.map(|distribution| distribution.to_string().replace(' ', ":"));
    let os = os.filter(|os| !os.is_empty()).unwrap_or_else(|| "unknown".to_owned());
    let image = image(report);
    let mut vectors: Vec<Value> = Vec::new();
    for rated in
        known.ratings.iter().filter(|rated| !rated.vector.is_empty() && cvss_version(&rated.vector) != "4.0")
    {
        if is_vector(&rated.vector) {
            vectors.push(json!({ "vendor": if rated.source.is_empty() { "unknown".to_owned() } else { clip(&rated.source, NAME_CHARS_MAX) }, "vector": rated.vector }));
        }
    }
    vectors.truncate(VECTORS_MAX);
    let mut links: Vec<Value> =
        page(&verdict.feed, &verdict.vulnerability).into_iter().map(|url| json!({ "url": url })).collect();
    links.extend(known.links.iter().filter(|link| is_link(link)).map(|link| json!({ "url": link })));
    let mut value = json!({
        "id": crate::identity::uuid(&["gitlab", &image, &os, &package.name, &package.version, &verdict.vulnerability]),
        "name": clip(&verdict.vulnerability, NAME_CHARS_MAX),
        "description": markdown(&clip(&known.description, DESCRIPTION_CHARS_MAX)),
        "severity": match finding.rated.severity {
            Severity::Unknown => "Unknown",
            severity => common(severity),
        },
        "solution": markdown(&clip(&advice(report, finding), SOLUTION_CHARS_MAX)),
        "identifiers": identifiers(finding, &known.weaknesses, &known.aliases),
        "links": links,
        "location": {
            "dependency": { "package": { "name": package.name }, "version": package.version },
            "operating_system": os,
            "image": image,
        },
    });
    if !vectors.is_empty() {
        value["cvss_vectors"] = vectors.into();
    }
    value
}

/// `name:tag`, which older schemas insist on, or `name@digest`.
fn image(report: &Report) -> String {
    let name = ImageName::of(report);
    let digest = report.image.manifest_digest;
    match name.tagged() {
        Some(tagged) => tagged,
        None if name.repository.is_empty() => format!("{}@{digest}", name.short),
        None => format!("{}@{digest}", name.repository),
    }
}

fn identifiers(finding: &Finding, weaknesses: &[String], aliases: &[String]) -> Vec<Value> {
    /// More say nothing more, and GitLab takes at most 20.
    const IDENTIFIERS_MAX: usize = 20;
    let verdict = &finding.verdict;
    let own = [&verdict.vulnerability, &verdict.notice];
    let all = own.into_iter().chain(aliases).filter(|id| !id.is_empty());
    let mut seen = std::collections::BTreeSet::new();
    let mut identifiers: Vec<Value> = all
        .filter(|id| seen.insert(id.as_str()))
        .map(|id| {
            let kind = id.split('-').next().unwrap_or_default().to_lowercase();
            let mut value = json!({ "type": clip(&kind, NAME_CHARS_MAX), "name": clip(id, NAME_CHARS_MAX), "value": clip(id, NAME_CHARS_MAX) });
            if let Some(page) = page(&verdict.feed, id) {
                value["url"] = page.into();
            }
            value
        })
        .collect();
    for weakness in weaknesses {
        let Some(number) = weakness.strip_prefix("CWE-").and_then(|number| number.parse::<u32>().ok()) else {
            continue;
        };
        identifiers.push(json!({
            "type": "cwe",
            "name": weakness,
            "value": number.to_string(),
            "url": format!("https://cwe.mitre.org/data/definitions/{number}.html"),
        }));
    }
    identifiers.truncate(IDENTIFIERS_MAX);
    identifiers
}

/// Base metrics of CVSS 2, each with its values.
const V2: &[(&str, &str)] =
    &[("AV", "NAL"), ("AC", "LMH"), ("Au", "MSN"), ("C", "NPC"), ("I", "NPC"), ("A", "NPC")];
/// Metrics of CVSS 3, each with its values.
const V3: &[(&str, &str)] = &[
    ("AV", "NALP"),
    ("AC", "LH"),
    ("PR", "NLH"),
    ("UI", "NR"),
    ("S", "UC"),
    ("C", "NLH"),
    ("I", "NLH"),
    ("A", "NLH"),
    ("E", "XUPFH"),
    ("RL", "XOTWU"),
    ("RC", "XURC"),
    ("CR", "XLMH"),
    ("IR", "XLMH"),
    ("AR", "XLMH"),
    ("MAV", "XNALP"),
    ("MAC", "XLH"),
    ("MPR", "XNLH"),
    ("MUI", "XNR"),
    ("MS", "XUC"),
    ("MC", "XNLH"),
    ("MI", "XNLH"),
    ("MA", "XNLH"),
];

/// Whether the schema takes a vector: it refuses what a source wrote wrongly, and the whole report with it.
fn is_vector(vector: &str) -> bool {
    let v3 = vector.strip_prefix("CVSS:3.1/").or(vector.strip_prefix("CVSS:3.0/"));
    let (metrics, known, length_min) = match v3 {
        Some(metrics) => (metrics, V3, 32),
        None => (vector, V2, 16),
    };
    let is_metric = |metric: &str| {
        let Some((name, value)) = metric.split_once(':') else { return false };
        known.iter().any(|(known, values)| *known == name && value.len() == 1 && values.contains(value))
    };
    (length_min..=128).contains(&vector.len()) && metrics.split('/').all(is_metric)
}

#[cfg(test)]
mod tests {
    use super::is_vector;

    #[test]
    fn only_vectors_of_versions_2_and_3_pass() {
        for vector in ["CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:P", "AV:N/AC:L/Au:N/C:P/I:P/A:P"] {
            assert!(is_vector(vector), "{vector}");
        }
        for vector in [
            "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
            "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:Q",
            "(AV:N/AC:L/Au:N/C:P/I:P/A:P)",
            "AV:N",
            "",
        ] {
            assert!(!is_vector(vector), "{vector}");
        }
    }
}
