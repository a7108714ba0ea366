//! The packages of an image.

use limpid_model::{InstalledPackage, PackageFact, Report};
use serde_json::{Value, json};

use crate::coverage::coverage;
use crate::terminal::{Columns, Style, printable};

/// Packages for people.
pub fn packages_table(report: &Report, style: Style) -> String {
    let mut text = format!("{}\n\n", style.bold(&printable(&report.reference)));
    let mut columns =
        Columns::new(&["TYPE", "NAME", "VERSION", "ARCH", "SOURCE", "LAYER", "PATH"], &[1, 2, 4, 6]);
    for package in &report.packages {
        let facts = &package.package;
        let source = if facts.source_version == facts.version {
            facts.source_name.clone()
        } else {
            format!("{} {}", facts.source_name, facts.source_version)
        };
        columns.push(vec![
            facts.kind.to_string(),
            facts.name.clone(),
            facts.version.clone(),
            facts.arch.clone(),
            source,
            crate::table::layer(report, package.layer),
            package.path.clone(),
        ]);
    }
    if !report.packages.is_empty() {
        columns.shorten(5, style);
        text.push_str(&columns.render(style, |_, _, _| None));
        text.push('\n');
    }
    text.push_str(&format!(
        "{}.\n\n",
        crate::summary::plural(
            u64::try_from(report.packages.len()).unwrap_or(u64::MAX),
            "package",
            "packages"
        )
    ));
    text.push_str(&coverage(report, style));
    text
}

/// Packages for programs.
pub fn packages_json(report: &Report) -> String {
    crate::json::document(&document(report))
}

/// Packages of all platforms of a reference for programs.
pub fn packages_of_platforms_json(reports: &[Report]) -> String {
    crate::json::document(&json!({
        "schema": "limpid-platforms/1",
        "reference": reports.first().map(|report| report.reference.as_str()),
        "platforms": reports.iter().map(document).collect::<Vec<_>>(),
    }))
}

fn document(report: &Report) -> Value {
    let packages: Vec<Value> = report.packages.iter().map(|package| self::package(report, package)).collect();
    json!({
        "schema": "limpid-packages/1",
        "reference": report.reference,
        "image": crate::json::image(report),
        "packages": packages,
        "coverage": crate::json::coverage(report),
    })
}

/// One package as JSON.
pub(crate) fn package(report: &Report, package: &InstalledPackage) -> Value {
    let facts = &package.package;
    json!({
        "type": facts.kind.name(),
        "name": facts.name,
        "version": facts.version,
        "arch": facts.arch,
        "source": { "name": facts.source_name, "version": facts.source_version },
        "class": package.class.name(),
        "facts": facts_of(&facts.facts),
        "context": package.context.to_string(),
        "layer": report.layer_digest(package.layer),
        "path": package.path,
    })
}

/// Raw facts by name, in the order of the kinds.
fn facts_of(facts: &[(PackageFact, String)]) -> Value {
    Value::Object(facts.iter().map(|(fact, value)| (fact.name().to_owned(), json!(value))).collect())
}
