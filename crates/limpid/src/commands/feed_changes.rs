//! `limpid feeds changes`

use std::fmt::Write as _;

use limpid_index::Change;
use limpid_report::terminal::printable;
use serde_json::{Value, json};

use crate::arguments::ReportFormat;
use crate::as_of::{AsOf, Asked};
use crate::error::{Error, Exit};
use crate::session::{Session, print};

pub(super) fn run(
    session: &Session<'_>,
    since: AsOf,
    until: Option<AsOf>,
    format: ReportFormat,
) -> Result<Exit, Error> {
    let moment = |as_of| Ok::<_, Error>(Asked::new(session.store.as_ref(), as_of)?.moment().revision);
    let (since, until) = (moment(Some(since))?, moment(until)?);
    let mut changes = Vec::new();
    limpid_index::changes(session.store.as_ref(), since, until, &mut |change| changes.push(change))?;
    print(&match format {
        ReportFormat::Table => table(&changes),
        ReportFormat::Json => format!("{:#}\n", json(&changes)),
    })?;
    Ok(Exit::Success)
}

fn table(changes: &[Change]) -> String {
    let mut text = String::new();
    let mut document = None;
    for change in changes {
        if document != Some(&change.key) {
            let _ = writeln!(text, "{} {}", printable(&change.key.feed), printable(&change.key.document));
            document = Some(&change.key);
        }
        let about: Vec<&str> = [&change.advisory, &change.package, &change.release, &change.channel]
            .into_iter()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        let said = match (change.before.as_str(), change.after.as_str()) {
            ("", "") => String::new(),
            ("", after) => format!(": {after}"),
            (before, "") => format!(": {before}, no longer"),
            (before, after) => format!(": {before} -> {after}"),
        };
        let line = format!("  {:<9} {}{said}", change.kind.name(), about.join(" "));
        let _ = writeln!(text, "{}", printable(line.trim_end()));
    }
    if changes.is_empty() {
        text.push_str("Nothing changed.\n");
    }
    text
}

fn json(changes: &[Change]) -> Value {
    let changes: Vec<Value> = changes
        .iter()
        .map(|change| {
            json!({
                "feed": change.key.feed,
                "document": change.key.document,
                "advisory": change.advisory,
                "kind": change.kind.name(),
                "package": change.package,
                "release": change.release,
                "channel": change.channel,
                "before": change.before,
                "after": change.after,
            })
        })
        .collect();
    json!({ "schema": "limpid-changes/1", "changes": changes })
}
