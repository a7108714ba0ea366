//! SARIF 2.1.0 (OASIS), as GitHub's code scanning reads it.
//!
//! A rule is a vulnerability, a result a vulnerability of a package. `security-severity` is a score of the band of our
//! severity, so that GitHub shows the severity that we do. The fingerprint rests on the repository, the package and the
//! vulnerability: an alert survives a new build of the image. What the source has not determined is left out. Of several
//! images each is a run with a category of its own.

use std::collections::BTreeMap;

use limpid_model::{Finding, Report, Severity, Vulnerability};
use serde_json::{Value, json};

use crate::format::{Document, Format, Subject, Write};
use crate::image_name::ImageName;
use crate::json::{document, moved};
use crate::scale::{advice, affected, score};
use crate::source::{is_link, page};
use crate::text::clip;

pub(crate) const FORMAT: Format = Format {
    name: "sarif",
    about: "SARIF 2.1.0, for code scanning",
    endings: &["sarif", "sarif.json"],
    subject: Subject::Findings,
    write: Write::Many(|_| Box::new(Runs { any: false })),
};

/// GitHub refuses longer titles of rules.
const TITLE_CHARS_MAX: usize = 1024;
/// GitHub shows no more of a rule's help.
const HELP_CHARS_MAX: usize = 8000;

struct Runs {
    any: bool,
}

impl Document for Runs {
    fn begin(&mut self) -> String {
        "{\n  \"$schema\": \"https://json.schemastore.org/sarif-2.1.0.json\",\n  \"version\": \"2.1.0\",\n  \"runs\": ["
            .to_owned()
    }

    fn add(&mut self, reports: &[Report]) -> String {
        let mut text = String::new();
        for report in reports {
            text.push_str(if self.any { ",\n" } else { "\n" });
            self.any = true;
            text.push_str(&moved(&document(&run(report))));
        }
        text
    }

    fn end(&mut self, _: &[(String, String)]) -> String {
        format!("{}]\n}}\n", if self.any { "\n  " } else { "" })
    }
}

fn run(report: &Report) -> Value {
    let name = ImageName::of(report);
    let mut scores: BTreeMap<usize, (u8, Severity)> = BTreeMap::new();
    for finding in affected(report) {
        let known = &report.vulnerabilities[finding.vulnerability];
        let tenths = score(finding, known).map_or(0, |score| score.tenths());
        let worst = scores.entry(finding.vulnerability).or_default();
        *worst = (worst.0.max(tenths), worst.1.max(finding.rated.severity));
    }
    let rules: Vec<Value> = scores
        .iter()
        .map(|(index, (tenths, severity))| rule(report, &report.vulnerabilities[*index], *tenths, *severity))
        .collect();
    let positions: BTreeMap<usize, usize> =
        scores.keys().enumerate().map(|(at, index)| (*index, at)).collect();
    let results: Vec<Value> = affected(report)
        .map(|finding| result(report, finding, positions.get(&finding.vulnerability).copied(), &name))
        .collect();
    let digest = report.image.manifest_digest.to_string();
    let repository = name.stable(&report.reference);
    json!({
        "tool": { "driver": {
            "name": "Limpid",
            "version": crate::tool::VERSION,
            "informationUri": crate::tool::URL,
            "rules": rules,
        }},
        "automationDetails": { "id": format!("limpid/{}/{}/", clip(&repository, 200), report.image.platform) },
        "originalUriBaseIds": { "ROOTPATH": { "uri": "file:///" } },
        "results": results,
        "columnKind": "utf16CodeUnits",
        "properties": {
            "imageName": report.reference,
            "imageID": report.image.config_digest.map(|digest| digest.to_string()).unwrap_or_default(),
            "repoDigests": if name.repository.is_empty() { vec![digest] } else { vec![format!("{}@{digest}", name.repository)] },
            "repoTags": name.tagged().into_iter().collect::<Vec<_>>(),
            "answer": report.coverage.standing.name(),
        },
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::High | Severity::Critical | Severity::Defcon1 => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Negligible | Severity::Unknown => "note",
    }
}

fn rule(report: &Report, known: &Vulnerability, tenths: u8, severity: Severity) -> Value {
    let title = match known.description.lines().next().unwrap_or_default().trim() {
        "" => known.id.clone(),
        line => format!("{}: {line}", known.id),
    };
    let feed = report.findings.iter().find(|finding| finding.verdict.vulnerability == known.id);
    let link = page(feed.map_or("", |finding| &finding.verdict.feed), &known.id)
        .or_else(|| known.links.iter().find(|link| is_link(link)).cloned());
    let description = if known.description.is_empty() { &known.id } else { &known.description };
    let mut help = clip(description, HELP_CHARS_MAX);
    if let Some(exploited) = &known.exploited {
        help.push_str(&format!("\n\nKnown to be exploited, by CISA's catalogue since {}.", exploited.added));
    }
    if let Some(link) = &link {
        help.push_str(&format!("\n\n{link}"));
    }
    let mut rule = json!({
        "id": clip(&known.id, 255),
        "name": "VulnerablePackage",
        "shortDescription": { "text": clip(&title, TITLE_CHARS_MAX) },
        "fullDescription": { "text": clip(description, TITLE_CHARS_MAX) },
        "help": { "text": help },
        "defaultConfiguration": { "level": level(severity) },
        "properties": {
            "tags": ["security", "vulnerability", severity.name()],
            "precision": "very-high",
        },
    });
    if let Some(link) = link {
        rule["helpUri"] = link.into();
    }
    if tenths > 0 {
        rule["properties"]["security-severity"] = format!("{}.{}", tenths / 10, tenths % 10).into();
    }
    rule
}

fn result(report: &Report, finding: &Finding, rule: Option<usize>, name: &ImageName) -> Value {
    let verdict = &finding.verdict;
    let installed = &report.packages[finding.package];
    let package = &installed.package;
    let layer = report.image.layers.get(installed.layer);
    let message = format!(
        "{} {} has {} ({}). {}\nLayer {}: {}",
        package.name,
        package.version,
        verdict.vulnerability,
        finding.rated.severity,
        advice(report, finding),
        crate::table::layer(report, installed.layer),
        layer.map_or("", |layer| &layer.command),
    );
    let place = format!("{}: {} {}", report.reference, package.name, package.version);
    let repository = name.stable(&report.reference);
    let fingerprint = crate::identity::digest(&[
        &repository,
        &report.image.platform.to_string(),
        package.kind.name(),
        &package.name,
        &package.arch,
        &installed.path,
        &verdict.vulnerability,
    ]);
    json!({
        "ruleId": clip(&verdict.vulnerability, 255),
        "ruleIndex": rule,
        "level": level(finding.rated.severity),
        "message": { "text": plain(&clip(&message, HELP_CHARS_MAX)) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(&repository, &installed.path), "uriBaseId": "ROOTPATH" },
                "region": { "startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1 },
            },
            "message": { "text": plain(&clip(&place, TITLE_CHARS_MAX)) },
        }],
        "partialFingerprints": { "primaryLocationLineHash": format!("{}:1", fingerprint.hex()) },
        "properties": {
            "purl": crate::purl(installed, report.coverage.distribution.as_ref()),
            "fixedIn": verdict.fixed,
            "state": verdict.state.name(),
            "layer": layer.map(|layer| layer.digest.to_string()),
        },
    })
}

/// A message without links and placeholders (SARIF 2.1.0, 3.11.5 and 3.11.6).
fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '[' | ']' | '\\' => escaped.extend(['\\', c]),
            '{' | '}' => escaped.extend([c, c]),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A relative address of what is not a file of the repository: the image, and the database in it.
fn uri(repository: &str, path: &str) -> String {
    /// Longer paths are cut: they are shown and lead nowhere.
    const CHARS_MAX: usize = 1000;
    let mut uri = String::new();
    for byte in clip(&format!("{repository}/{path}"), CHARS_MAX).trim_start_matches('/').bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte))
            }
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
