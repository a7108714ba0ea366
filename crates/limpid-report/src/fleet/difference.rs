//! The difference between two images.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use limpid_model::{Comparison, Exposure, ImageDifference, Package};
use serde_json::{Map, Value, json};

use super::{affected, image_fields, name, package};
use crate::json::document;
use crate::listing::fields;
use crate::summary::plural;
use crate::table::fixed_in;
use crate::terminal::{Columns, Style, printable, wrapped};

/// The difference for people.
pub fn difference_table(answer: &Comparison, style: Style) -> String {
    let mut text = format!(
        "{}\n{}\n\n",
        style.bold(&printable(&format!("from {}", name(&answer.before)))),
        style.bold(&printable(&format!("to   {}", name(&answer.after))))
    );
    text.push_str(&packages_table(&answer.difference, style));
    text.push_str(&vulnerabilities_table(&answer.difference, style));
    let mut sentence = sentence(&answer.difference, answer.is_answerable);
    if !answer.as_of.is_empty() {
        let _ =
            write!(sentence, " As of {}, by revision {} of the advisories.", answer.as_of, answer.revision);
    }
    text.push_str(&wrapped(&printable(&sentence), 0, style));
    text.push('\n');
    text
}

/// Packages that are others; nothing if there are none.
pub(crate) fn packages_table(difference: &ImageDifference, style: Style) -> String {
    let mut columns = Columns::new(&["PACKAGE", "FROM", "TO", ""], &[0, 1, 2]);
    let mut any = false;
    let mut row = |package: &Package, from: &str, to: &str, what: &str| {
        any = true;
        columns.push(vec![package.name.clone(), from.to_owned(), to.to_owned(), what.to_owned()]);
    };
    for package in &difference.added {
        row(package, "-", &package.version, "added");
    }
    for package in &difference.removed {
        row(package, &package.version, "-", "removed");
    }
    for change in &difference.changed {
        let what = if change.is_downgrade { "downgraded" } else { "upgraded" };
        row(&change.to, &change.from.version, &change.to.version, what);
    }
    if any { format!("{}\n", columns.render(style, |_, _, _| None)) } else { String::new() }
}

/// Vulnerabilities that are fixed or introduced; nothing if there are none.
pub(crate) fn vulnerabilities_table(difference: &ImageDifference, style: Style) -> String {
    let rows: Vec<(&str, &Exposure)> = difference
        .introduced
        .iter()
        .map(|exposure| ("introduced", exposure))
        .chain(difference.fixed.iter().map(|exposure| ("fixed", exposure)))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut columns = Columns::new(&["SEVERITY", "", "ID", "PACKAGE", "VERSION", "FIXED IN"], &[3, 4, 5]);
    for (what, exposure) in &rows {
        columns.push(vec![
            exposure.rated.severity.to_string(),
            (*what).to_owned(),
            exposure.verdict.vulnerability.clone(),
            exposure.package.name.clone(),
            exposure.package.version.clone(),
            fixed_in(&exposure.verdict),
        ]);
    }
    let shown = columns.render(style, |row, column, cell| {
        (column == 0).then(|| style.severity(rows[row].1.rated.severity, cell))
    });
    format!("{shown}\n")
}

/// The difference in one sentence or two.
pub(crate) fn sentence(difference: &ImageDifference, is_answerable: bool) -> String {
    let packages = [
        (difference.added.len(), "added"),
        (difference.removed.len(), "removed"),
        (difference.changed.len(), "of another version"),
    ];
    let packages = packages.map(|(number, what)| format!("{number} {what}"));
    if !is_answerable {
        return format!(
            "Packages: {}. No statement on vulnerabilities is possible: no feed speaks for both images.",
            packages.join(", ")
        );
    }
    let ids = |exposures: &[Exposure]| {
        let ids: BTreeSet<&str> =
            exposures.iter().map(|exposure| exposure.verdict.vulnerability.as_str()).collect();
        plural(ids.len() as u64, "vulnerability", "vulnerabilities")
    };
    let part =
        |exposures: &[Exposure], what: &str| format!("{} {what} ({})", exposures.len(), ids(exposures));
    format!(
        "Packages: {}. Findings: {}, {}, {}.",
        packages.join(", "),
        part(&difference.fixed, "fixed"),
        part(&difference.introduced, "introduced"),
        part(&difference.remaining, "remaining")
    )
}

/// The difference for programs.
pub fn difference_json(answer: &Comparison) -> String {
    document(&json!({
        "schema": "limpid-fleet-diff/1",
        "revision": answer.revision,
        "asOf": (!answer.as_of.is_empty()).then_some(&answer.as_of),
        "before": image_fields(&answer.before),
        "after": image_fields(&answer.after),
        "comparable": answer.is_answerable,
        "packages": packages(&answer.difference),
        "findings": findings(&answer.difference),
    }))
}

pub(crate) fn packages(difference: &ImageDifference) -> Value {
    let list = |packages: &[Package]| -> Vec<Value> {
        packages.iter().map(|package| Value::Object(package::package_fields(package))).collect()
    };
    let changed: Vec<Value> = difference
        .changed
        .iter()
        .map(|change| {
            json!({
                "from": package::package_fields(&change.from),
                "to": package::package_fields(&change.to),
                "downgrade": change.is_downgrade,
            })
        })
        .collect();
    let mut body: Map<String, Value> = Map::new();
    body.insert("added".to_owned(), list(&difference.added).into());
    body.insert("removed".to_owned(), list(&difference.removed).into());
    body.insert("changed".to_owned(), changed.into());
    Value::Object(body)
}

pub(crate) fn findings(difference: &ImageDifference) -> Value {
    let list = |exposures: &[Exposure]| -> Vec<Value> {
        let exposure = |exposure: &Exposure| {
            affected::verdict_fields(&exposure.package, &exposure.verdict, &exposure.rated)
        };
        exposures.iter().map(|one| Value::Object(exposure(one))).collect()
    };
    Value::Object(fields(json!({
        "fixed": list(&difference.fixed),
        "introduced": list(&difference.introduced),
        "remaining": list(&difference.remaining),
    })))
}
