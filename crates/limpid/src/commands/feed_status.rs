//! `limpid feeds status`

use std::fmt::Write as _;

use limpid_feeds::RepositoryCpes;
use limpid_model::Severity;
use limpid_report::terminal::printable;
use limpid_store::FeedState;
use serde_json::{Map, Value, json};

use crate::arguments::ReportFormat;
use crate::clock::rfc3339;
use crate::error::{Error, Exit};
use crate::session::{Session, print};
use crate::updating::Became;

/// A document, and its current records by severity, worst first.
type Known = (FeedState, Vec<(Severity, u64)>);

pub(crate) fn run(session: &Session<'_>, format: ReportFormat) -> Result<Exit, Error> {
    let documents = known(session)?;
    print(&match format {
        ReportFormat::Table => table(&documents, &Became::new()),
        ReportFormat::Json => json(&documents),
    })?;
    Ok(Exit::Success)
}

/// The state of the documents that an update was about, each with what became of it.
pub(crate) fn after_update(session: &Session<'_>, became: &Became) -> Result<Exit, Error> {
    let mut documents = known(session)?;
    // Where another process has done it all, nothing is known but the state.
    if !became.is_empty() {
        documents.retain(|(state, _)| became.contains_key(&state.key));
    }
    print(&table(&documents, became))?;
    Ok(Exit::Success)
}

fn known(session: &Session<'_>) -> Result<Vec<Known>, Error> {
    let mut documents = Vec::new();
    for state in session.store.feeds()? {
        let counts = Severity::ALL.into_iter().rev();
        let by_name = session.store.severities(&state.key)?;
        let counts = counts.filter_map(|severity| Some((severity, *by_name.get(severity.name())?)));
        documents.push((state, counts.collect()));
    }
    Ok(documents)
}

fn table(documents: &[Known], became: &Became) -> String {
    if documents.is_empty() {
        return "No feed was fetched yet. `limpid scan` fetches what an image needs.\n".to_owned();
    }
    let mut text = String::new();
    for document in documents {
        describe(&mut text, document, became.get(&document.0.key));
    }
    text
}

fn describe(text: &mut String, (state, counts): &Known, became: Option<&String>) {
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<13} {}", printable(value));
    };
    line("feed", &format!("{} {}", state.key.feed, state.key.document));
    line("from", if state.url.is_empty() { "an address for each record, or files" } else { &state.url });
    line("last success", &rfc3339(state.succeeded_at));
    line("last attempt", &rfc3339(state.attempted_at));
    if !state.date.is_empty() {
        line("data of", &state.date);
    }
    line("revision", &state.revision.to_string());
    let all: u64 = counts.iter().map(|(_, count)| count).sum();
    let is_scored = limpid_feeds::score_feed_named(&state.key.feed).is_some();
    let mut records = match (state.records, all) {
        (0, advisories) => format!("{advisories} advisories"),
        (products, _) if state.key.feed == RepositoryCpes::NAME => {
            format!("{products} products of repositories")
        }
        (scores, 0) if is_scored => format!("{scores} scores"),
        (ranges, _) => format!("{ranges} affected ranges"),
    };
    if all > 0 {
        let counts: Vec<String> =
            counts.iter().map(|(severity, count)| format!("{count} {severity}")).collect();
        let _ = write!(records, " ({})", counts.join(", "));
    }
    line("records", &records);
    if let Some(became) = became {
        line("changed", became);
    }
    line("size", &format!("{} bytes", state.size_bytes));
    if !state.error.is_empty() {
        line("error", &state.error);
    }
    text.push('\n');
}

fn json(documents: &[Known]) -> String {
    let time = |seconds: i64| (seconds != 0).then(|| rfc3339(seconds));
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let documents: Vec<Value> = documents
        .iter()
        .map(|(state, counts)| {
            let severities: Map<String, Value> =
                counts.iter().map(|(severity, count)| (severity.name().to_owned(), json!(count))).collect();
            json!({
                "feed": state.key.feed,
                "document": state.key.document,
                "url": text(&state.url),
                "lastSuccess": time(state.succeeded_at),
                "lastAttempt": time(state.attempted_at),
                "date": text(&state.date),
                "revision": state.revision,
                "records": state.records,
                "severities": severities,
                "sizeBytes": state.size_bytes,
                "error": text(&state.error),
            })
        })
        .collect();
    format!("{:#}\n", json!({ "schema": "limpid-feeds/1", "documents": documents }))
}
