//! How `limpid store` tells what a store holds, what a check found and what was freed.

use std::fmt::Write as _;

use limpid_report::terminal::printable;
use limpid_store::{CheckReport, Freed, StoreStatus};
use serde_json::{Value, json};

use crate::arguments::ReportFormat;
use crate::error::{Error, Exit};
use crate::session::print;

/// Names for people and for programs, and how many.
fn counts(status: &StoreStatus) -> [(&'static str, &'static str, u64); 18] {
    [
        ("images", "images", status.images),
        ("references", "references", status.references),
        ("layers", "layers", status.layers),
        ("package set nodes", "nodes", status.nodes),
        ("chains of layers", "chains", status.chains),
        ("package versions", "packages", status.packages),
        ("contexts", "contexts", status.contexts),
        ("occurrences", "occurrences", status.occurrences),
        ("verdicts", "verdicts", status.verdicts),
        ("strings", "texts", status.texts),
        ("feed documents", "documents", status.documents),
        ("advisories", "advisories", status.advisories),
        ("affected ranges", "ranges", status.ranges),
        ("earlier ranges", "earlierRanges", status.earlier_ranges),
        ("revisions", "revisions", status.revisions),
        ("bytes", "fileBytes", status.file_bytes),
        ("free of these", "freeBytes", status.free_bytes),
        ("bytes of the log", "logBytes", status.log_bytes),
    ]
}

pub(super) fn status(status: &StoreStatus, format: ReportFormat) -> Result<Exit, Error> {
    print(&match format {
        ReportFormat::Table => table(status),
        ReportFormat::Json => {
            let mut document = json!({ "schema": "limpid-store/1" });
            for (_, name, count) in counts(status) {
                document[name] = json!(count);
            }
            format!("{document:#}\n")
        }
    })?;
    Ok(Exit::Success)
}

fn table(status: &StoreStatus) -> String {
    counts(status).iter().fold(String::new(), |mut text, (name, _, count)| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<18} {count:>14}");
        text
    })
}

/// Prints what a check found; exits with the store's code if that is anything.
pub(super) fn check(report: &CheckReport, format: ReportFormat) -> Result<Exit, Error> {
    print(&match format {
        ReportFormat::Table => findings(report),
        ReportFormat::Json => {
            let broken = |broken: &limpid_store::Broken| json!({ "table": broken.table, "what": broken.what, "count": broken.count, "example": broken.example });
            let broken: Vec<Value> = report.broken.iter().map(broken).collect();
            let document =
                json!({ "schema": "limpid-check/1", "invariants": report.invariants, "broken": broken });
            format!("{document:#}\n")
        }
    })?;
    Ok(if report.is_sound() { Exit::Success } else { Exit::Store })
}

fn findings(report: &CheckReport) -> String {
    let status = &report.status;
    if report.is_sound() {
        return format!(
            "everything holds: {} invariants over {} images, {} layers, {} nodes, {} occurrences, {} advisories, {} affected ranges\n",
            report.invariants,
            status.images,
            status.layers,
            status.nodes,
            status.occurrences,
            status.advisories,
            status.ranges + status.earlier_ranges,
        );
    }
    let lines = report.broken.iter().map(|broken| {
        format!(
            "{}: {} {}, for example {}\n",
            broken.table,
            broken.count,
            broken.what,
            printable(&broken.example)
        )
    });
    lines.collect()
}

/// What a collection freed.
pub(super) fn freed(forgotten: Option<u64>, freed: &Freed, grace_seconds: u32) -> String {
    let mut text = forgotten.map(|images| format!("forgot {images} images\n")).unwrap_or_default();
    let _ = writeln!(
        text,
        "freed {} layers, {} nodes, {} chains, {} occurrences, {} packages, {} contexts, {} verdicts, {} strings",
        freed.layers,
        freed.nodes,
        freed.chains,
        freed.occurrences,
        freed.packages,
        freed.contexts,
        freed.verdicts,
        freed.texts,
    );
    if freed.events > 0 {
        let _ = writeln!(text, "dropped {} events", freed.events);
    }
    if freed.waiting > 0 {
        let _ = writeln!(
            text,
            "{} more layers and nodes are unused, but not for {grace_seconds} seconds yet (--grace)",
            freed.waiting
        );
    }
    text
}
