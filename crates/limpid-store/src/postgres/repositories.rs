//! Which products (CPEs) a repository serves, kept by change like advisories.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::Context;

use super::advisories::hashes;
use super::connection::{Connection, column, text};
use super::{feeds, texts};
use crate::column::integer;
use crate::exposure::STALE;
use crate::store::{FeedKey, FeedOutcome, UpdateStats};
use crate::{Result, codec};

type Pairs = BTreeSet<(String, String)>;

fn current(connection: &mut Connection) -> Result<Pairs> {
    let mut pairs = Pairs::new();
    connection.each(
        "SELECT repository, cpe FROM repository_cpe WHERE to_revision IS NULL",
        &[],
        &mut |row| {
            pairs.insert((text(row, 0)?, text(row, 1)?));
            Ok(())
        },
    )?;
    Ok(pairs)
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
    let feed = feeds::feed_id(connection, key)?;
    let known = current(connection)?;
    let gone: Vec<_> = known.difference(&said).collect();
    let fresh: Vec<_> = said.difference(&known).collect();
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let mut stats = UpdateStats {
        revision: feeds::revision(connection)?,
        added: count(fresh.len()),
        removed: count(gone.len()),
        unchanged: count(known.len() - gone.len()),
        details_changed: 0,
    };
    if !gone.is_empty() || !fresh.is_empty() {
        stats.revision = feeds::new_revision(connection, feed, outcome, &stats)?;
        let revision = integer(stats.revision);
        write(
            connection,
            "UPDATE repository_cpe c SET to_revision = $3 FROM unnest($1::bytea[], $2::bytea[]) AS w (repository, cpe)
             WHERE c.repository_hash = sha256(w.repository) AND c.cpe_hash = sha256(w.cpe) AND c.to_revision IS NULL",
            &gone,
            revision,
        )?;
        write(
            connection,
            "INSERT INTO repository_cpe (repository, cpe, from_revision)
             SELECT repository, cpe, $3::bigint FROM unnest($1::bytea[], $2::bytea[]) AS w (repository, cpe)",
            &fresh,
            revision,
        )?;
        let touched = gone.iter().chain(&fresh).map(|(repository, _)| repository.as_str()).collect();
        forget_verdicts(connection, &touched)?;
    }
    feeds::succeeded(connection, feed, outcome, &stats)?;
    if !gone.is_empty() || !fresh.is_empty() {
        feeds::settle_revision(connection, integer(stats.revision))?;
    }
    Ok(stats)
}

fn write(connection: &mut Connection, sql: &str, pairs: &[&(String, String)], revision: i64) -> Result<()> {
    for piece in texts::pieces(pairs.to_vec(), |(repository, cpe)| repository.len() + cpe.len()) {
        let repositories: Vec<&[u8]> = piece.iter().map(|(repository, _)| repository.as_bytes()).collect();
        let cpes: Vec<&[u8]> = piece.iter().map(|(_, cpe)| cpe.as_bytes()).collect();
        connection.execute(sql, &[&repositories, &cpes, &revision])?;
    }
    Ok(())
}

/// Makes the verdicts of contexts that name one of the repositories stale.
fn forget_verdicts(connection: &mut Connection, touched: &BTreeSet<&str>) -> Result<()> {
    let mut stale: Vec<i64> = Vec::new();
    connection.each("SELECT context_id, body FROM context", &[], &mut |row| {
        let context: Context = codec::decode(&column::<Vec<u8>>(row, 1)?, "a context")?;
        if context.repositories.iter().any(|repository| touched.contains(repository.as_str())) {
            stale.push(column(row, 0)?);
        }
        Ok(())
    })?;
    connection.execute(
        "UPDATE verdict SET rules_version = $2 WHERE context_id = ANY($1)",
        &[&stale, &i64::from(STALE)],
    )?;
    connection.execute("DELETE FROM former_verdict WHERE context_id = ANY($1)", &[&stale])?;
    Ok(())
}

pub(super) fn cpes(
    connection: &mut Connection,
    repositories: &[&str],
    at: u64,
) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let rows = connection.query(
        "SELECT repository, cpe FROM repository_cpe WHERE repository_hash = ANY($1) AND from_revision <= $2
         AND (to_revision IS NULL OR to_revision > $2)",
        &[&hashes(repositories), &integer(at)],
    )?;
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        found.entry(text(&row, 0)?).or_default().insert(text(&row, 1)?);
    }
    Ok(found)
}

/// The repositories of which a row began or ended after a revision and up to another.
pub(super) fn changed(connection: &mut Connection, after: u64, until: u64) -> Result<BTreeSet<String>> {
    let rows = connection.query(
        "SELECT DISTINCT repository FROM repository_cpe WHERE (from_revision > $1 AND from_revision <= $2)
            OR (to_revision > $1 AND to_revision <= $2)",
        &[&integer(after), &integer(until)],
    )?;
    rows.iter().map(|row| text(row, 0)).collect()
}
