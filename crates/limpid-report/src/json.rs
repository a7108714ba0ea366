//! Limpid's own JSON report. Public interface: fields are only added, `schema` names the version.

use std::fmt::Write as _;

use crate::documents::Documents;
use crate::format::{Document, Edition, Format, Subject, Write};
use limpid_model::{Report, Severity, Vulnerability};
use serde_json::{Map, Value, json};

use crate::terminal::is_harmful;

pub(crate) const FORMAT: Format = Format {
    name: "json",
    about: "Limpid's own, with everything that is known (docs/json.md)",
    endings: &["limpid.json"],
    subject: Subject::Either,
    write: Write::Many(|edition| Box::new(JsonDocument { edition: edition.clone(), documents: None })),
};

/// One report, all platforms of a reference in one, or an array of these where several references were asked for.
struct JsonDocument {
    edition: Edition,
    documents: Option<Documents>,
}

impl Document for JsonDocument {
    fn begin(&mut self) -> String {
        if !self.edition.several {
            return String::new();
        }
        let (documents, head) = Documents::begin();
        self.documents = Some(documents);
        head
    }

    fn add(&mut self, reports: &[Report]) -> String {
        let text = match (reports, self.edition.packages_only) {
            ([report], false) if !self.edition.all_platforms => json(report),
            ([report], true) if !self.edition.all_platforms => crate::packages_json(report),
            (_, false) => crate::platforms_json(reports),
            (_, true) => crate::packages_of_platforms_json(reports),
        };
        match &mut self.documents {
            Some(documents) => documents.add(&text),
            None => text,
        }
    }

    fn end(&mut self, failed: &[(String, String)]) -> String {
        self.documents.take().map(|documents| documents.end(failed)).unwrap_or_default()
    }
}

/// The report for programs.
pub fn json(report: &Report) -> String {
    document(&self::report(report))
}

/// The report as a value.
pub(crate) fn report(report: &Report) -> Value {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            let verdict = &finding.verdict;
            json!({
                "id": verdict.vulnerability,
                "severity": finding.rated.severity.name(),
                "severitySource": finding.rated.source,
                "sourceSeverity": verdict.severity_word,
                "state": verdict.state.name(),
                "sourceState": verdict.state_word,
                "affected": verdict.state.is_affected(),
                "fixedIn": verdict.fixed,
                "channel": verdict.channel,
                "feed": verdict.feed,
                "advisory": verdict.advisory,
                "notice": verdict.notice,
                "package": crate::packages::package(report, &report.packages[finding.package]),
            })
        })
        .collect();
    let counts = report.count_by_severity();
    let by_severity: Map<String, Value> = Severity::ALL
        .into_iter()
        .rev()
        .map(|severity| (severity.name().to_owned(), counts[severity as usize].into()))
        .collect();
    json!({
        "schema": "limpid-report/1",
        "reference": report.reference,
        "revision": report.revision,
        "asOf": (!report.as_of.is_empty()).then_some(&report.as_of),
        "image": image(report),
        "summary": {
            "vulnerabilities": counts.iter().sum::<u64>(),
            "bySeverity": by_severity,
            "packages": report.packages.len(),
            "hidden": hidden(report),
        },
        "findings": findings,
        "vulnerabilities": report.vulnerabilities.iter().map(vulnerability).collect::<Vec<_>>(),
        "coverage": coverage(report),
    })
}

/// What was found and is only counted.
pub(crate) fn hidden(report: &Report) -> Value {
    let hidden = report.hidden.iter().map(|hidden| {
        json!({
            "class": hidden.class.name(),
            "packages": hidden.packages,
            "vulnerabilities": hidden.vulnerabilities,
            "undetermined": hidden.undetermined,
        })
    });
    hidden.collect()
}

/// What is known of a vulnerability.
fn vulnerability(known: &Vulnerability) -> Value {
    let ratings: Vec<Value> = known
        .ratings
        .iter()
        .map(|rating| {
            json!({
                "source": rating.source,
                "severity": rating.severity.name(),
                "word": rating.word,
                "vector": rating.vector,
                "score": rating.score.map(|score| f64::from(score.tenths()) / 10.0),
            })
        })
        .collect();
    let cvss: Vec<Value> =
        known.cvss.iter().map(|cvss| json!({ "source": cvss.source, "vector": cvss.vector })).collect();
    let exploited = known.exploited.as_ref().map(|exploited| {
        json!({
            "added": exploited.added,
            "due": exploited.due,
            "byRansomware": exploited.by_ransomware,
            "action": exploited.action,
        })
    });
    let share = |units: u32| f64::from(units) / 100_000.0;
    let epss =
        known.epss.map(|epss| json!({ "score": share(epss.score), "percentile": share(epss.percentile) }));
    json!({
        "id": known.id,
        "aliases": known.aliases,
        "description": known.description,
        "severities": ratings,
        "cvss": cvss,
        "weaknesses": known.weaknesses,
        "exploited": exploited,
        "epss": epss,
        "published": known.published,
        "modified": known.modified,
        "links": known.links,
    })
}

/// A value as a document: indented, with a newline at the end. What a terminal or a runner would act on is escaped, so
/// that the document can be printed and still means the same.
pub(crate) fn document(value: &Value) -> String {
    let text = format!("{value:#}\n");
    if !text.chars().any(|c| c != '\n' && is_harmful(c)) && !text.contains("##") {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    let mut before = ' ';
    for c in text.chars() {
        // Outside of strings there are neither, but for the ends of lines.
        if (c != '\n' && is_harmful(c)) || (c == '#' && before == '#') {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
        before = c;
    }
    escaped
}

/// A document for the array of another: two levels to the right.
pub(crate) fn moved(document: &str) -> String {
    // JSON has no line ends inside strings, so each line can be moved.
    let lines: Vec<String> = document.trim_end().lines().map(|line| format!("    {line}")).collect();
    lines.join("\n")
}

/// The image's own description.
pub(crate) fn image(report: &Report) -> Value {
    let image = &report.image;
    let layers: Vec<Value> = image
        .layers
        .iter()
        .map(|layer| json!({ "digest": layer.digest, "command": layer.command }))
        .collect();
    let labels: Map<String, Value> =
        image.labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    json!({
        "digest": image.manifest_digest,
        "configDigest": image.config_digest,
        "platform": image.platform.to_string(),
        "created": image.created,
        "environment": image.environment,
        "labels": labels,
        "layers": layers,
    })
}

/// What the report rests on.
pub(crate) fn coverage(report: &Report) -> Value {
    let coverage = &report.coverage;
    let distribution = coverage.distribution.as_ref().map(|distribution| {
        json!({
            "id": distribution.id,
            "version": distribution.version_id,
            "codeName": distribution.code_name,
            "name": distribution.pretty_name,
        })
    });
    let feeds: Vec<Value> = coverage
        .feeds
        .iter()
        .map(|feed| json!({ "name": feed.name, "revision": feed.revision, "date": feed.date, "error": feed.error }))
        .collect();
    let extractors: Vec<Value> = coverage
        .extractors
        .iter()
        .map(|extractor| json!({ "name": extractor.name, "version": extractor.version }))
        .collect();
    let unmatched: Vec<Value> = coverage
        .unmatched
        .iter()
        .map(|unmatched| json!({ "packages": unmatched.packages, "reason": unmatched.reason }))
        .collect();
    let problems: Vec<Value> = coverage
        .problems
        .iter()
        .map(|problem| {
            json!({
                "layer": problem.layer.and_then(|layer| report.layer_digest(layer)),
                "path": problem.problem.path,
                "reason": problem.problem.reason,
            })
        })
        .collect();
    json!({
        "answer": coverage.standing.name(),
        "distribution": distribution,
        "support": serde_json::to_value(&coverage.support).unwrap_or_default(),
        "feeds": feeds,
        "extractors": extractors,
        "notCovered": unmatched,
        "unreadable": problems,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn documents_mean_the_same_and_do_nothing_when_they_are_printed() {
        let hostile =
            json!({ "a##vso[b]": "\u{1b}[31m\u{9b}1m\u{202e}x\u{7f}\u{e0041}\r\n::error::y", "c": "ä ## d" });
        let text = document(&hostile);
        assert!(!text.chars().any(|c| c != '\n' && is_harmful(c)) && !text.contains("##"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), hostile);
    }
}
