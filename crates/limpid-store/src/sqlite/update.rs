//! An update of one feed document: staged in temporary tables, compared by set, and applied at once.
//!
//! A row of `affected` is the whole of what an advisory says of a package in a release. Rows are compared by
//! all their bytes, so nothing that changes is missed; a row that changed is closed and a new one opened.
//! An update of single advisories compares only those that it names, its scope.

use limpid_model::Advisory;
use rusqlite::{Connection, TransactionBehavior, params};

use super::feeds::{feed_id, new_revision, revision, succeeded};
use super::{count, integer};
use crate::exposure::STALE;
use crate::store::{FeedKey, FeedOutcome, FeedUpdate, UpdateStats};
use crate::{Result, stage};

/// Interns the strings, for what came (`fresh_*`), what went (`gone_*`) and which ids were named (`scope`).
const COMPARE: [&str; 10] = [
    "INSERT OR IGNORE INTO text (value) SELECT package FROM stage_affected UNION SELECT release FROM stage_affected
     UNION SELECT id FROM stage_advisory UNION SELECT vulnerability FROM stage_advisory UNION SELECT alias FROM stage_alias",
    "CREATE TEMP TABLE stage (package_text INTEGER, release_text INTEGER, id_text INTEGER, body BLOB,
        PRIMARY KEY (package_text, release_text, id_text, body)) WITHOUT ROWID",
    "INSERT INTO stage SELECT p.text_id, r.text_id, i.text_id, s.body FROM stage_affected s
        JOIN text p ON p.value = s.package JOIN text r ON r.value = s.release JOIN text i ON i.value = s.id",
    "CREATE TEMP TABLE gone_affected (affected_id INTEGER PRIMARY KEY, package_text INTEGER)",
    "CREATE TEMP TABLE fresh_affected (package_text INTEGER, release_text INTEGER, id_text INTEGER, body BLOB)",
    "CREATE TEMP TABLE stage_details (id_text INTEGER PRIMARY KEY, vulnerability_text INTEGER, body BLOB,
        severity INTEGER, severity_word TEXT, withdrawn INTEGER)",
    "INSERT INTO stage_details SELECT t.text_id, v.text_id, s.body, s.severity, s.severity_word, s.withdrawn
        FROM stage_advisory s JOIN text t ON t.value = s.id JOIN text v ON v.value = s.vulnerability",
    "CREATE TEMP TABLE touched (package_text INTEGER PRIMARY KEY)",
    "CREATE TEMP TABLE scope (id_text INTEGER PRIMARY KEY)",
    "INSERT INTO scope SELECT t.text_id FROM text t JOIN stage_dropped s ON t.value = s.id
     UNION SELECT id_text FROM stage_details UNION SELECT id_text FROM stage",
];

pub(super) struct SqliteUpdate {
    connection: Connection,
    key: FeedKey,
    /// Whether advisories out of the update's scope are gone.
    is_whole: bool,
}

impl SqliteUpdate {
    pub(super) fn begin(connection: Connection, key: &FeedKey) -> Result<Self> {
        // One transaction over temporary tables alone: it takes no lock on the store itself.
        stage::begin(&connection)?;
        Ok(Self { connection, key: key.clone(), is_whole: true })
    }
}

impl FeedUpdate for SqliteUpdate {
    fn add(&mut self, advisory: Advisory) -> Result<()> {
        stage::add(&self.connection, advisory)
    }

    fn keep_others(&mut self) {
        self.is_whole = false;
    }

    fn drop_id(&mut self, id: &str) -> Result<()> {
        stage::drop_id(&self.connection, id)
    }

    fn commit(mut self: Box<Self>, outcome: &FeedOutcome) -> Result<UpdateStats> {
        self.connection.execute_batch("COMMIT")?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let feed = feed_id(&transaction, &self.key)?;
        let mut stats = compare(&transaction, feed, self.is_whole)?;
        stats.revision = revision(&transaction)?;
        if stats.added + stats.removed + stats.details_changed > 0 {
            stats.revision = apply(&transaction, feed, self.is_whole, outcome, &stats)?;
        }
        succeeded(&transaction, feed, outcome, &stats)?;
        transaction.commit()?;
        Ok(stats)
    }
}

/// Finds what came and what went. A `+` before a column keeps the planner from using an index on it that
/// nearly all rows share.
fn compare(connection: &Connection, feed: i64, is_whole: bool) -> Result<UpdateStats> {
    for statement in COMPARE {
        connection.execute(statement, [])?;
    }
    let removed = connection.execute(
        "INSERT INTO gone_affected SELECT a.affected_id, a.package_text FROM affected a
         WHERE a.feed_id = ?1 AND a.to_revision IS NULL AND (?2 OR a.id_text IN (SELECT id_text FROM scope))
         AND NOT EXISTS (
            SELECT 1 FROM stage s WHERE s.package_text = a.package_text AND s.release_text = a.release_text
            AND s.id_text = a.id_text AND s.body = a.body)",
        params![feed, is_whole],
    )?;
    let current: i64 = connection.query_row(
        "SELECT count(*) FROM affected WHERE feed_id = ?1 AND to_revision IS NULL",
        [feed],
        |row| row.get(0),
    )?;
    let fresh = if current == 0 {
        connection.execute("INSERT INTO fresh_affected SELECT * FROM stage", [])?
    } else {
        connection.execute(
            "INSERT INTO fresh_affected SELECT s.* FROM stage s WHERE NOT EXISTS (
                SELECT 1 FROM affected a WHERE a.package_text = s.package_text AND a.release_text = s.release_text
                AND a.id_text = s.id_text AND a.body = s.body AND +a.feed_id = ?1 AND +a.to_revision IS NULL)",
            [feed],
        )?
    };
    let details: i64 = connection.query_row(
        "SELECT (SELECT count(*) FROM advisory d WHERE d.feed_id = ?1 AND d.to_revision IS NULL
                    AND (?2 OR d.id_text IN (SELECT id_text FROM scope)) AND NOT EXISTS (
                    SELECT 1 FROM stage_details s WHERE s.id_text = d.id_text AND s.body = d.body))
              + (SELECT count(*) FROM stage_details s WHERE NOT EXISTS (
                    SELECT 1 FROM advisory d WHERE d.id_text = s.id_text AND d.feed_id = ?1
                    AND +d.to_revision IS NULL AND d.body = s.body))",
        params![feed, is_whole],
        |row| row.get(0),
    )?;
    let removed = u64::try_from(removed).unwrap_or(u64::MAX);
    Ok(UpdateStats {
        revision: 0,
        added: u64::try_from(fresh).unwrap_or(u64::MAX),
        removed,
        unchanged: count(current).saturating_sub(removed),
        details_changed: count(details),
    })
}

fn apply(
    connection: &Connection,
    feed: i64,
    is_whole: bool,
    outcome: &FeedOutcome,
    stats: &UpdateStats,
) -> Result<u64> {
    let revision = integer(new_revision(connection, feed, outcome, stats)?);
    connection.execute(
        "UPDATE affected SET to_revision = ?1 WHERE affected_id IN (SELECT affected_id FROM gone_affected)",
        [revision],
    )?;
    connection.execute(
        "INSERT INTO affected (feed_id, package_text, release_text, id_text, body, from_revision)
         SELECT ?1, package_text, release_text, id_text, body, ?2 FROM fresh_affected",
        [feed, revision],
    )?;
    connection.execute(
        "UPDATE advisory SET to_revision = ?2 WHERE feed_id = ?1 AND to_revision IS NULL
         AND (?3 OR id_text IN (SELECT id_text FROM scope)) AND NOT EXISTS (
            SELECT 1 FROM stage_details s WHERE s.id_text = advisory.id_text AND s.body = advisory.body)",
        params![feed, revision, is_whole],
    )?;
    connection.execute(
        "INSERT INTO advisory (feed_id, id_text, vulnerability_text, body, severity, severity_word, withdrawn, from_revision)
         SELECT ?1, s.id_text, s.vulnerability_text, s.body, s.severity, s.severity_word, s.withdrawn, ?2 FROM stage_details s WHERE NOT EXISTS (
            SELECT 1 FROM advisory d WHERE d.id_text = s.id_text AND d.feed_id = ?1 AND +d.to_revision IS NULL)",
        [feed, revision],
    )?;
    connection.execute(
        "INSERT OR IGNORE INTO alias (alias_text, id_text) SELECT a.text_id, i.text_id FROM stage_alias s
         JOIN text a ON a.value = s.alias JOIN text i ON i.value = s.id",
        [],
    )?;
    // A release that is no longer spoken of stays: it was spoken of.
    connection.execute("UPDATE feed_release SET records = 0 WHERE feed_id = ?1", [feed])?;
    connection.execute(
        "INSERT INTO feed_release (release_text, feed_id, records, from_revision)
         SELECT release_text, ?1, count(*), ?2 FROM affected WHERE feed_id = ?1 AND to_revision IS NULL
         GROUP BY release_text
         ON CONFLICT (release_text, feed_id) DO UPDATE SET records = excluded.records",
        [feed, revision],
    )?;
    forget_verdicts(connection, feed, revision)?;
    Ok(count(revision))
}

/// Makes the verdicts of the packages that the update names stale, and no others. A signed package is named by the
/// source of its code, too.
fn forget_verdicts(connection: &Connection, feed: i64, revision: i64) -> Result<()> {
    let any: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM verdict) OR EXISTS (SELECT 1 FROM former_verdict)",
        [],
        |row| row.get(0),
    )?;
    if !any {
        return Ok(());
    }
    connection.execute(
        "INSERT OR IGNORE INTO touched SELECT package_text FROM gone_affected
         UNION SELECT package_text FROM fresh_affected
         UNION SELECT a.package_text FROM advisory d JOIN affected a ON a.id_text = d.id_text AND a.feed_id = d.feed_id
               WHERE d.feed_id = ?1 AND d.from_revision = ?2",
        [feed, revision],
    )?;
    for (table, column) in [("package", "source_name"), ("package", "name"), ("signed_source", "source_name")]
    {
        let named = format!(
            "WHERE package_id IN (
                SELECT p.package_id FROM touched JOIN text t ON t.text_id = touched.package_text
                JOIN {table} p ON p.{column} = t.value)"
        );
        connection.execute(&format!("UPDATE verdict SET rules_version = {STALE} {named}"), [])?;
        connection.execute(&format!("DELETE FROM former_verdict {named}"), [])?;
    }
    Ok(())
}
