//! `limpid feeds`

use std::collections::BTreeSet;

use limpid_index::Selection;

use super::{feed_changes, feed_status};
use crate::arguments::{Feeds, FeedsUpdate, Global};
use crate::error::{Error, Exit};
use crate::session::{Session, print};

pub(crate) fn run(global: &Global, command: &Feeds) -> Result<Exit, Error> {
    let session = Session::open(global)?;
    match command {
        Feeds::Update(arguments) => update(&session, arguments),
        Feeds::Status { format } => feed_status::run(&session, *format),
        Feeds::Changes { since, until, format } => feed_changes::run(&session, *since, *until, *format),
        Feeds::Import { path } => {
            let stats = session.import(path)?;
            session.derive_events();
            print(&format!("{} new, {} gone, {} as before\n", stats.added, stats.removed, stats.unchanged))?;
            Ok(Exit::Success)
        }
    }
}

fn update(session: &Session<'_>, arguments: &FeedsUpdate) -> Result<Exit, Error> {
    if session.global.offline {
        return Err(Error::Usage { message: "feeds cannot be updated with --offline".to_owned() });
    }
    let selection = selection(session, arguments)?;
    if selection.releases.is_empty() && selection.feeds.is_empty() {
        print("No feed was updated: no image is in the store. Name a release, a feed, or --all.\n")?;
        return Ok(Exit::Success);
    }
    let (became, updated) = session.update(&selection)?;
    session.derive_events();
    // What is there now is worth seeing whatever failed.
    let exit = feed_status::after_update(session, &became)?;
    updated.map(|()| exit)
}

fn selection(session: &Session<'_>, arguments: &FeedsUpdate) -> Result<Selection, Error> {
    let mut selection = Selection::default();
    for name in &arguments.names {
        let is_feed = limpid_feeds::feed_named(name).is_some()
            || limpid_feeds::score_feed_named(name).is_some()
            || name == limpid_feeds::RepositoryCpes::NAME;
        if is_feed {
            selection.feeds.insert(name.clone());
        } else if limpid_feeds::feeds_for(name).next().is_some() {
            selection.releases.insert(name.clone());
        } else {
            let feeds: Vec<String> = all_feeds().collect();
            return Err(Error::Usage {
                message: format!(
                    "`{name}` is no feed, and no feed speaks for it; write a release as debian:12 or alpine:3.20, or one of {}",
                    feeds.join(", ")
                ),
            });
        }
    }
    if arguments.all {
        selection.feeds = all_feeds().collect();
    } else if arguments.names.is_empty() {
        let contexts = session.store.contexts()?;
        selection.releases = contexts.into_iter().map(|context| context.release).collect::<BTreeSet<_>>();
    }
    if arguments.enrich {
        selection.feeds.extend(
            limpid_feeds::FEEDS.iter().filter(|feed| feed.enriches()).map(|feed| feed.name().to_owned()),
        );
        selection.feeds.extend(limpid_feeds::SCORE_FEEDS.iter().map(|feed| feed.name().to_owned()));
    }
    Ok(selection)
}

fn all_feeds() -> impl Iterator<Item = String> {
    let advisories = limpid_feeds::FEEDS.iter().map(|feed| feed.name().to_owned());
    let scores = limpid_feeds::SCORE_FEEDS.iter().map(|feed| feed.name().to_owned());
    let maps = [limpid_feeds::RepositoryCpes::NAME.to_owned()];
    // A user's own advisories are imported, not fetched.
    advisories.chain(scores).chain(maps).filter(|name| name != limpid_feeds::LOCAL_FEED)
}
