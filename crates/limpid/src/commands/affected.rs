//! `limpid affected`

use std::fmt::Write as _;

use limpid_index::Affected as Answer;
use limpid_report::terminal::printable;
use serde_json::{Value, json};

use crate::arguments::{Affected, Global, ReportFormat};
use crate::as_of::Asked;
use crate::error::{Error, Exit};
use crate::session::{Session, print};

pub(crate) fn run(global: &Global, command: &Affected) -> Result<Exit, Error> {
    let session = Session::open(global)?;
    let asked = Asked::new(&session.store, command.moment.as_of)?;
    let answer = limpid_index::affected(&session.store, &command.id, asked.moment().revision)?;
    print(&match command.format {
        ReportFormat::Table => table(&answer),
        ReportFormat::Json => format!("{:#}\n", json(&answer)),
    })?;
    Ok(Exit::Success)
}

/// The answer for people.
pub(crate) fn table(answer: &Answer) -> String {
    let mut text = String::new();
    for affected in &answer.images {
        let names = &affected.image.references;
        let name =
            if names.is_empty() { affected.image.manifest_digest.to_string() } else { names.join(", ") };
        let _ = writeln!(text, "{}", printable(&name));
        for package in &affected.packages {
            let (fixed, channel) = (&package.verdict.fixed, &package.verdict.channel);
            let fixed = match (fixed.is_empty(), channel.is_empty()) {
                (true, _) => package.verdict.state.name().to_owned(),
                (false, true) => format!("fixed in {fixed}"),
                (false, false) => format!("fixed in {fixed} through {channel}"),
            };
            let line = format!(
                "  {} {} ({fixed}), brought by layer {}: {}",
                package.package.name,
                package.package.version,
                package.layer.short(),
                if package.command.is_empty() { "command not recorded" } else { &package.command }
            );
            let _ = writeln!(text, "{}", printable(&line));
        }
    }
    if !answer.images.is_empty() {
        text.push('\n');
    }
    text.push_str(&printable(&share(answer)));
    text.push('\n');
    text
}

fn share(answer: &Answer) -> String {
    if answer.details.is_none() {
        return format!("No feed in the store knows {}.", answer.id);
    }
    let affected = answer.images.len();
    let mut text = match answer.answerable {
        0 => format!("No image in the store can be judged for {}.", answer.id),
        all => format!(
            "{}: {affected} of {all} images {} affected ({:.1} %).",
            answer.id,
            if affected == 1 { "is" } else { "are" },
            affected as f64 * 100.0 / all as f64
        ),
    };
    if answer.unanswerable > 0 {
        let _ = write!(
            text,
            " {} more cannot be judged: no feed in the store speaks for their distribution.",
            answer.unanswerable
        );
    }
    text
}

fn json(answer: &Answer) -> Value {
    let images: Vec<Value> = answer
        .images
        .iter()
        .map(|affected| {
            let packages: Vec<Value> = affected
                .packages
                .iter()
                .map(|package| {
                    json!({
                        "type": package.package.kind.name(),
                        "name": package.package.name,
                        "version": package.package.version,
                        "state": package.verdict.state.name(),
                        "fixedIn": package.verdict.fixed,
                        "channel": package.verdict.channel,
                        "severity": package.verdict.severity.name(),
                        "layer": package.layer,
                        "command": package.command,
                    })
                })
                .collect();
            json!({
                "digest": affected.image.manifest_digest,
                "references": affected.image.references,
                "packages": packages,
            })
        })
        .collect();
    json!({
        "schema": "limpid-affected/1",
        "id": answer.id,
        "known": answer.details.is_some(),
        "affected": answer.images.len(),
        "answerable": answer.answerable,
        "unanswerable": answer.unanswerable,
        "images": images,
    })
}
