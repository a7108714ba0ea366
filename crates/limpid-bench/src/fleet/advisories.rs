//! Advisories of the operator's own, made up: the one that most images have, a rare one, and a thousand that change.

use std::collections::BTreeMap;

use limpid_feeds::{Document, Feed as _, LOCAL_FEED, Limits, Local};
use limpid_model::Advisory;
use limpid_store::{FeedKey, FeedOutcome, Store, UpdateStats};
use serde_json::{Value, json};

/// The one document that all of them are in.
const DOCUMENT: &str = "operator";
/// A version that is above all others in every order.
pub(crate) const ABOVE_ALL: &str = "9999:1";

/// An advisory on a source in some releases, fixed in a version.
pub(crate) fn advisory(id: &str, severity: &str, affected: &[(String, String)], fixed: &str) -> Value {
    let affected = affected.iter().map(|(release, source)| {
        json!({
            "package": {"ecosystem": release, "name": source},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
        })
    });
    json!({
        "id": id,
        "database_specific": {"severity": severity},
        "affected": affected.collect::<Vec<_>>(),
    })
}

/// The operator's document in the making: advisories by id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operator {
    advisories: BTreeMap<String, Value>,
}

impl Operator {
    pub(crate) fn put(&mut self, advisory: Value) {
        let id = advisory["id"].as_str().unwrap_or_default().to_owned();
        self.advisories.insert(id, advisory);
    }

    /// Reads the document into the store, as `limpid feeds import` does.
    pub(crate) fn import(&self, store: &dyn Store, now: i64) -> anyhow::Result<UpdateStats> {
        let key = FeedKey { feed: LOCAL_FEED.to_owned(), document: DOCUMENT.to_owned() };
        let mut update = store.begin_update(&key)?;
        for advisory in self.parsed()? {
            update.add(advisory)?;
        }
        let outcome = FeedOutcome { parser_version: Local.parser_version(), now, ..FeedOutcome::default() };
        Ok(update.commit(&outcome)?)
    }

    /// The advisories as the feed's parser hands them over.
    pub(crate) fn parsed(&self) -> anyhow::Result<Vec<Advisory>> {
        let content = serde_json::to_vec(&self.advisories.values().collect::<Vec<_>>())?;
        let document = Document { name: DOCUMENT.to_owned(), url: String::new() };
        let mut advisories = Vec::new();
        Local.parse(&document, &mut content.as_slice(), &Limits::default(), &mut |advisory| {
            advisories.push(advisory);
            Ok(())
        })?;
        Ok(advisories)
    }
}
