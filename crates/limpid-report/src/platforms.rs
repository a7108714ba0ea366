//! All platforms of one reference: a report for each, and what they have together.

use std::collections::BTreeMap;

use limpid_model::{Finding, Package, Report, Severity, Verdict};
use serde_json::{Map, Value, json};

use crate::summary::plural;
use crate::table::{fixed_in, table};
use crate::terminal::{Columns, Style, printable};

/// The same verdict of the same package, architecture apart, wherever it was reached.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Common<'a> {
    severity: std::cmp::Reverse<Severity>,
    package: &'a str,
    vulnerability: &'a str,
    version: &'a str,
    fixed: String,
    kind: &'static str,
    affected: bool,
}

/// Each verdict with the positions of the reports that have it.
fn union(reports: &[Report]) -> Vec<(Common<'_>, &Verdict, Vec<usize>)> {
    let mut union: BTreeMap<Common<'_>, (&Verdict, Vec<usize>)> = BTreeMap::new();
    for (position, report) in reports.iter().enumerate() {
        for Finding { package, verdict, rated, .. } in &report.findings {
            let package: &Package = &report.packages[*package].package;
            let common = Common {
                severity: std::cmp::Reverse(rated.severity),
                package: &package.name,
                vulnerability: &verdict.vulnerability,
                version: &package.version,
                fixed: fixed_in(verdict),
                kind: package.kind.name(),
                affected: verdict.state.is_affected(),
            };
            let (_, platforms) = union.entry(common).or_insert((verdict, Vec::new()));
            if platforms.last() != Some(&position) {
                platforms.push(position);
            }
        }
    }
    union.into_iter().map(|(common, (verdict, platforms))| (common, verdict, platforms)).collect()
}

fn platform(report: &Report) -> String {
    report.image.platform.to_string()
}

/// For people: each platform's report, then the findings of all with the platforms that have them.
pub fn platforms_table(reports: &[Report], style: Style) -> String {
    let mut text = String::new();
    for report in reports {
        let mut report = report.clone();
        report.reference = format!("{} {}", report.reference, platform(&report));
        text.push_str(&table(&report, style));
        text.push('\n');
    }
    let name = reports.first().map_or("", |report| report.reference.as_str());
    let platforms = plural(reports.len() as u64, "platform", "platforms");
    text.push_str(&format!("{}\n\n", style.bold(&printable(&format!("{name}, {platforms} together")))));
    let union = union(reports);
    if !union.is_empty() {
        let head = ["SEVERITY", "ID", "PACKAGE", "INSTALLED", "FIXED IN", "PLATFORMS"];
        let mut columns = Columns::new(&head, &[2, 3, 4, 5]);
        for (common, _, having) in &union {
            columns.push(vec![
                common.severity.0.to_string(),
                common.vulnerability.to_owned(),
                common.package.to_owned(),
                common.version.to_owned(),
                common.fixed.clone(),
                match having.len() == reports.len() {
                    true => "all".to_owned(),
                    false => {
                        let names: Vec<String> = having.iter().map(|at| platform(&reports[*at])).collect();
                        names.join(", ")
                    }
                },
            ]);
        }
        text.push_str(&columns.render(style, |row, column, cell| {
            (column == 0).then(|| style.severity(union[row].0.severity.0, cell))
        }));
        text.push('\n');
    }
    for report in reports {
        text.push_str(&format!("{}: {}\n", printable(&platform(report)), crate::summary::summary(report)));
    }
    text
}

/// For programs: `platforms` has each platform's report, `union` the findings of all.
pub fn platforms_json(reports: &[Report]) -> String {
    let documents: Vec<Value> = reports.iter().map(crate::json::report).collect();
    let union = union(reports);
    let mut counts = [0_u64; 7];
    union.iter().filter(|(common, ..)| common.affected).for_each(|(common, ..)| {
        counts[common.severity.0 as usize] += 1;
    });
    let by_severity: Map<String, Value> = Severity::ALL
        .into_iter()
        .rev()
        .map(|severity| (severity.name().to_owned(), counts[severity as usize].into()))
        .collect();
    let findings: Vec<Value> = union
        .iter()
        .map(|(common, verdict, having)| {
            json!({
                "id": common.vulnerability,
                "advisory": verdict.advisory,
                "severity": common.severity.0.name(),
                "state": verdict.state.name(),
                "affected": common.affected,
                "fixedIn": verdict.fixed,
                "channel": verdict.channel,
                "feed": verdict.feed,
                "package": { "type": common.kind, "name": common.package, "version": common.version },
                "platforms": having.iter().map(|at| platform(&reports[*at])).collect::<Vec<_>>(),
            })
        })
        .collect();
    crate::json::document(&json!({
        "schema": "limpid-platforms/1",
        "reference": reports.first().map(|report| report.reference.as_str()),
        "platforms": documents,
        "union": {
            "summary": { "vulnerabilities": counts.iter().sum::<u64>(), "bySeverity": by_severity },
            "findings": findings,
        },
    }))
}
