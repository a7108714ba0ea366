//! Which products (CPEs) a repository serves, kept by change like advisories.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::Context;
use rusqlite::{Connection, TransactionBehavior, params};

use super::{feeds, integer};
use crate::exposure::STALE;
use crate::store::{FeedKey, FeedOutcome, UpdateStats};
use crate::{Result, codec};

type Pairs = BTreeSet<(String, String)>;

fn current(connection: &Connection) -> Result<Pairs> {
    let mut statement =
        connection.prepare_cached("SELECT repository, cpe FROM repository_cpe WHERE to_revision IS NULL")?;
    Ok(statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
}

pub(super) fn put(
    connection: &mut Connection,
    key: &FeedKey,
    repositories: &BTreeMap<String, BTreeSet<String>>,
    outcome: &FeedOutcome,
) -> Result<UpdateStats> {
    let said: Pairs = repositories
        .iter()
        .flat_map(|(repository, cpes)| cpes.iter().map(|cpe| (repository.clone(), cpe.clone())))
        .collect();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let feed = feeds::feed_id(&transaction, key)?;
    let known = current(&transaction)?;
    let gone: Vec<_> = known.difference(&said).collect();
    let fresh: Vec<_> = said.difference(&known).collect();
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let mut stats = UpdateStats {
        revision: feeds::revision(&transaction)?,
        added: count(fresh.len()),
        removed: count(gone.len()),
        unchanged: count(known.len() - gone.len()),
        details_changed: 0,
    };
    if !gone.is_empty() || !fresh.is_empty() {
        stats.revision = feeds::new_revision(&transaction, feed, outcome, &stats)?;
        let revision = integer(stats.revision);
        let mut close = transaction.prepare_cached(
            "UPDATE repository_cpe SET to_revision = ?3 WHERE repository = ?1 AND cpe = ?2 AND to_revision IS NULL",
        )?;
        for (repository, cpe) in &gone {
            close.execute(params![repository, cpe, revision])?;
        }
        let mut open = transaction.prepare_cached(
            "INSERT INTO repository_cpe (repository, cpe, from_revision) VALUES (?1, ?2, ?3)",
        )?;
        for (repository, cpe) in &fresh {
            open.execute(params![repository, cpe, revision])?;
        }
        drop((close, open));
        let touched = gone.iter().chain(&fresh).map(|(repository, _)| repository.as_str()).collect();
        forget_verdicts(&transaction, &touched)?;
    }
    feeds::succeeded(&transaction, feed, outcome, &stats)?;
    transaction.commit()?;
    Ok(stats)
}

/// Makes the verdicts of contexts that name one of the repositories stale.
fn forget_verdicts(connection: &Connection, touched: &BTreeSet<&str>) -> Result<()> {
    let mut contexts = connection.prepare_cached("SELECT context_id, body FROM context")?;
    let mut rows = contexts.query([])?;
    let mut forget =
        connection.prepare_cached("UPDATE verdict SET rules_version = ?2 WHERE context_id = ?1")?;
    let mut forget_former = connection.prepare_cached("DELETE FROM former_verdict WHERE context_id = ?1")?;
    while let Some(row) = rows.next()? {
        let context: Context = codec::decode(&row.get::<_, Vec<u8>>(1)?, "a context")?;
        if context.repositories.iter().any(|repository| touched.contains(repository.as_str())) {
            forget.execute(params![row.get::<_, i64>(0)?, STALE])?;
            forget_former.execute([row.get::<_, i64>(0)?])?;
        }
    }
    Ok(())
}

pub(super) fn cpes(
    connection: &Connection,
    repositories: &[&str],
    at: u64,
) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut statement = connection.prepare_cached(
        "SELECT cpe FROM repository_cpe WHERE repository = ?1 AND from_revision <= ?2
         AND (to_revision IS NULL OR to_revision > ?2)",
    )?;
    let mut found = BTreeMap::new();
    for repository in repositories {
        let cpes: BTreeSet<String> = statement
            .query_map(params![repository, integer(at)], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        if !cpes.is_empty() {
            found.insert((*repository).to_owned(), cpes);
        }
    }
    Ok(found)
}

/// The repositories of which a row began or ended after a revision and up to another.
pub(super) fn changed(connection: &Connection, after: u64, until: u64) -> Result<BTreeSet<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT repository FROM repository_cpe WHERE (from_revision > ?1 AND from_revision <= ?2)
            OR (to_revision > ?1 AND to_revision <= ?2)",
    )?;
    let rows = statement.query_map(params![integer(after), integer(until)], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
