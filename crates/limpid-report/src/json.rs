//! Limpid's own JSON report. Public interface: fields are only added, `schema` names the version.

use limpid_model::{Report, Severity, Vulnerability};
use serde_json::{Map, Value, json};

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

/// A value as a document: indented, with a newline at the end.
pub(crate) fn document(value: &Value) -> String {
    format!("{value:#}\n")
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
