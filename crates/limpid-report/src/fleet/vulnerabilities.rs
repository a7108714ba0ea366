//! The most widespread vulnerabilities.

use limpid_model::Widespread;
use serde_json::{Value, json};

use super::{as_of, basis_fields, share, unanswerable};
use crate::json::document;
use crate::listing::fields;
use crate::summary::plural;
use crate::terminal::{Columns, Style, printable, wrapped};

/// The vulnerabilities for people.
pub fn widespread_table(answer: &Widespread, style: Style) -> String {
    let mut text = String::new();
    let basis = &answer.basis;
    if !answer.vulnerabilities.is_empty() {
        let head = ["SEVERITY", "ID", "IMAGES", "SHARE", "FIXABLE", "KEV", "EPSS", "PACKAGES"];
        let mut columns = Columns::new(&head, &[7]);
        for found in &answer.vulnerabilities {
            let mut packages = found.packages.join(", ");
            if found.packages_left_out > 0 {
                packages.push_str(&format!(" and {} more", found.packages_left_out));
            }
            columns.push(vec![
                found.rated.severity.to_string(),
                found.id.clone(),
                found.images.to_string(),
                share(found.images, basis.answerable),
                found.fixable.to_string(),
                if found.exploited.is_some() { "yes" } else { "-" }.to_owned(),
                found.epss_e5.map_or("-".to_owned(), epss),
                packages,
            ]);
        }
        text.push_str(&columns.render(style, |row, column, cell| {
            (column == 0).then(|| style.severity(answer.vulnerabilities[row].rated.severity, cell))
        }));
        text.push('\n');
    }
    let sentence = format!(
        "{} in {}. FIXABLE counts the images in which it has a fix.{}{}",
        plural(answer.vulnerabilities.len() as u64, "vulnerability", "vulnerabilities"),
        plural(basis.answerable, "image that can be judged", "images that can be judged"),
        unanswerable(basis),
        as_of(basis)
    );
    text.push_str(&wrapped(&printable(&sentence), 0, style));
    text.push('\n');
    text
}

fn epss(hundred_thousandths: u32) -> String {
    format!("{:.1} %", f64::from(hundred_thousandths) / 1000.0)
}

/// The vulnerabilities for programs.
pub fn widespread_json(answer: &Widespread) -> String {
    let vulnerabilities: Vec<Value> = answer
        .vulnerabilities
        .iter()
        .map(|found| {
            let exploited = found.exploited.as_ref().map(|exploited| {
                json!({
                    "added": exploited.added,
                    "due": exploited.due,
                    "byRansomware": exploited.by_ransomware,
                    "action": exploited.action,
                })
            });
            json!({
                "id": found.id,
                "images": found.images,
                "fixable": found.fixable,
                "severity": found.rated.severity.name(),
                "severitySource": found.rated.source,
                "exploited": exploited,
                "epss": found.epss_e5.map(|score| f64::from(score) / 100_000.0),
                "packages": found.packages,
                "packagesLeftOut": found.packages_left_out,
            })
        })
        .collect();
    let mut body = fields(json!({ "schema": "limpid-fleet-vulnerabilities/1" }));
    body.extend(basis_fields(&answer.basis).map(|(name, value)| (name.to_owned(), value)));
    body.insert("vulnerabilities".to_owned(), vulnerabilities.into());
    document(&Value::Object(body))
}
