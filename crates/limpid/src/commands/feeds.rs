//! `limpid feeds`

use std::collections::BTreeSet;
use std::fmt::Write as _;

use limpid_report::terminal::printable;
use limpid_store::{FeedState, Store as _};

use super::feed_changes;
use crate::arguments::{Feeds, Global};
use crate::clock::rfc3339;
use crate::error::{Error, Exit};
use crate::session::{Session, print};

pub(crate) fn run(global: &Global, command: &Feeds) -> Result<Exit, Error> {
    let session = Session::open(global)?;
    match command {
        Feeds::Update { releases } => update(&session, releases),
        Feeds::Status => status(&session),
        Feeds::Changes { since, until, format } => feed_changes::run(&session, *since, *until, *format),
        Feeds::Import { path } => {
            let stats = session.import(path)?;
            print(&format!("{} new, {} gone, {} as before\n", stats.added, stats.removed, stats.unchanged))?;
            Ok(Exit::Success)
        }
    }
}

fn update(session: &Session<'_>, releases: &[String]) -> Result<Exit, Error> {
    if session.global.offline {
        return Err(Error::Usage { message: "feeds cannot be updated with --offline".to_owned() });
    }
    let mut wanted: BTreeSet<String> = releases.iter().cloned().collect();
    if wanted.is_empty() {
        wanted = session.store.contexts()?.into_iter().map(|context| context.release).collect();
    }
    if let Some(unknown) = releases.iter().find(|release| limpid_feeds::feeds_for(release).next().is_none()) {
        return Err(Error::Usage {
            message: format!("no feed speaks for `{unknown}`; write a release as debian:12 or alpine:3.20"),
        });
    }
    session.update(&wanted, 0)?;
    status(session)
}

fn status(session: &Session<'_>) -> Result<Exit, Error> {
    let states = session.store.feeds()?;
    if states.is_empty() {
        print("No feed was fetched yet. `limpid scan` fetches what an image needs.\n")?;
        return Ok(Exit::Success);
    }
    let mut text = String::new();
    for state in states {
        describe(&mut text, &state, session)?;
    }
    print(&text)?;
    Ok(Exit::Success)
}

fn describe(text: &mut String, state: &FeedState, session: &Session<'_>) -> Result<(), Error> {
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<13} {}", printable(value));
    };
    line("feed", &format!("{} {}", state.key.feed, state.key.document));
    line("from", &state.url);
    line("last success", &rfc3339(state.succeeded_at));
    line("last attempt", &rfc3339(state.attempted_at));
    if !state.date.is_empty() {
        line("data of", &state.date);
    }
    line("revision", &state.revision.to_string());
    let mut records = format!("{} affected ranges", state.records);
    let severities = session.store.severities(&state.key)?;
    if !severities.is_empty() {
        let severities: Vec<String> = limpid_model::Severity::ALL
            .into_iter()
            .rev()
            .filter_map(|severity| severities.get(severity.name()).map(|count| format!("{count} {severity}")))
            .collect();
        let _ = write!(records, " ({})", severities.join(", "));
    }
    line("records", &records);
    line("size", &format!("{} bytes", state.size_bytes));
    if !state.error.is_empty() {
        line("error", &state.error);
    }
    text.push('\n');
    Ok(())
}
