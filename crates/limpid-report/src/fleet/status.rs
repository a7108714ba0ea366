//! The fleet in numbers.

use limpid_model::{FleetStatus, Severity};
use serde_json::{Map, Value, json};

use super::{as_of, basis_fields, share};
use crate::json::document;
use crate::listing::fields;
use crate::terminal::{Columns, Style, printable, wrapped};

/// The numbers for people.
pub fn fleet_status_table(answer: &FleetStatus, style: Style) -> String {
    let basis = &answer.basis;
    let all = basis.answerable + basis.unanswerable;
    let mut text = String::new();
    let mut releases = Columns::new(&["RELEASE", "IMAGES", "SHARE", "JUDGED"], &[0]);
    for release in &answer.releases {
        releases.push(vec![
            if release.release.is_empty() { "unknown".to_owned() } else { release.release.clone() },
            release.images.to_string(),
            share(release.images, all),
            if release.is_answerable { "yes" } else { "no feed speaks for it" }.to_owned(),
        ]);
    }
    text.push_str(&releases.render(style, |_, _, _| None));
    text.push('\n');
    let mut worst = Columns::new(&["WORST SEVERITY", "IMAGES", "SHARE"], &[]);
    let severities: Vec<Severity> = Severity::ALL.into_iter().rev().collect();
    for severity in &severities {
        let images = answer.by_worst_severity[*severity as usize];
        worst.push(vec![severity.to_string(), images.to_string(), share(images, basis.answerable)]);
    }
    let nothing = answer.without_findings;
    worst.push(vec!["nothing found".to_owned(), nothing.to_string(), share(nothing, basis.answerable)]);
    text.push_str(&worst.render(style, |row, column, cell| {
        (column == 0).then(|| severities.get(row).map(|severity| style.severity(*severity, cell))).flatten()
    }));
    text.push('\n');
    let sentence = format!(
        "{} vulnerabilities in {} of {} images that can be judged. One that is known to be exploited: {} ({}). One \
         that has a fix: {} ({}). {} cannot be judged.{}",
        answer.vulnerabilities,
        basis.answerable - nothing.min(basis.answerable),
        basis.answerable,
        answer.exploited,
        share(answer.exploited, basis.answerable),
        answer.fixable,
        share(answer.fixable, basis.answerable),
        basis.unanswerable,
        as_of(basis)
    );
    text.push_str(&wrapped(&printable(&sentence), 0, style));
    text.push('\n');
    text
}

/// The numbers for programs.
pub fn fleet_status_json(answer: &FleetStatus) -> String {
    let releases: Vec<Value> = answer
        .releases
        .iter()
        .map(|share| json!({ "release": share.release, "images": share.images, "judged": share.is_answerable }))
        .collect();
    let severities = Severity::ALL.into_iter().rev();
    let by_severity: Map<String, Value> = severities
        .map(|severity| (severity.name().to_owned(), answer.by_worst_severity[severity as usize].into()))
        .collect();
    let mut body = fields(json!({ "schema": "limpid-fleet-status/1" }));
    body.extend(basis_fields(&answer.basis).map(|(name, value)| (name.to_owned(), value)));
    body.extend(fields(json!({
        "releases": releases,
        "bySeverity": by_severity,
        "withoutFindings": answer.without_findings,
        "withExploited": answer.exploited,
        "withFixable": answer.fixable,
        "vulnerabilities": answer.vulnerabilities,
    })));
    document(&Value::Object(body))
}
