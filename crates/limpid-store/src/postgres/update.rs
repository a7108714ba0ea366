//! An update of a feed's document: gathered here, compared and applied there.
//!
//! What the document says stands in a file of this machine until it is complete (`stage.rs`). Then it is copied into
//! temporary tables in one transaction, which compares it with what is current: rows are compared by all their bytes, so
//! nothing that changes is missed; a row that changed is closed and a new one opened. An update of single advisories
//! compares only those that it names, its scope. If the connection breaks, all of that is done again.

use limpid_model::Advisory;
use postgres::types::Type;

use super::connection::{Connection, CopyIn};
use super::feeds::{feed_id, new_revision, revision, settle_revision, succeeded};
use super::ids::Lock;
use super::pool::Pool;
use crate::column::{count, integer};
use crate::exposure::STALE;
use crate::store::{FeedKey, FeedOutcome, FeedUpdate, UpdateStats};
use crate::{Result, stage};

/// Strings get numbers on this side, so that each is sent once.
const NUMBER: &str = "
    CREATE TEMP TABLE stage_text (number INTEGER PRIMARY KEY, value TEXT NOT NULL UNIQUE, is_said INTEGER NOT NULL);
    INSERT INTO stage_text (value, is_said) SELECT package, 1 FROM stage_affected
        UNION SELECT release, 1 FROM stage_affected UNION SELECT id, 1 FROM stage_affected
        UNION SELECT id, 1 FROM stage_advisory UNION SELECT vulnerability, 1 FROM stage_advisory
        UNION SELECT alias, 1 FROM stage_alias;
    INSERT OR IGNORE INTO stage_text (value, is_said) SELECT id, 0 FROM stage_dropped;
    COMMIT;";

/// The tables that rows are copied into, and what they are compared in.
const TABLES: &str = "
    CREATE TEMP TABLE stage_text (number BIGINT PRIMARY KEY, value BYTEA NOT NULL, is_said BIGINT NOT NULL,
        hash BYTEA NOT NULL GENERATED ALWAYS AS (sha256(value)) STORED) ON COMMIT DROP;
    CREATE TEMP TABLE stage_affected (package BIGINT, release BIGINT, id BIGINT, body BYTEA) ON COMMIT DROP;
    CREATE TEMP TABLE stage_advisory (id BIGINT, vulnerability BIGINT, body BYTEA, severity BIGINT,
        severity_word BYTEA, withdrawn BIGINT) ON COMMIT DROP;
    CREATE TEMP TABLE stage_alias (alias BIGINT, id BIGINT) ON COMMIT DROP;
    CREATE TEMP TABLE stage_dropped (id BIGINT) ON COMMIT DROP;
    CREATE TEMP TABLE named (number BIGINT PRIMARY KEY, text_id BIGINT NOT NULL) ON COMMIT DROP;
    CREATE TEMP TABLE stage (package_text BIGINT, release_text BIGINT, id_text BIGINT, body BYTEA) ON COMMIT DROP;
    CREATE TEMP TABLE stage_details (id_text BIGINT PRIMARY KEY, vulnerability_text BIGINT, body BYTEA,
        severity BIGINT, severity_word BYTEA, withdrawn BIGINT) ON COMMIT DROP;
    CREATE TEMP TABLE scope (id_text BIGINT PRIMARY KEY) ON COMMIT DROP;
    CREATE TEMP TABLE gone_affected (affected_id BIGINT PRIMARY KEY, package_text BIGINT) ON COMMIT DROP;
    CREATE TEMP TABLE fresh_affected (package_text BIGINT, release_text BIGINT, id_text BIGINT, body BYTEA) ON COMMIT DROP;
    CREATE TEMP TABLE touched (package_text BIGINT PRIMARY KEY) ON COMMIT DROP;";

/// Interns the strings, in the order of their hashes as everybody does, and says everything by ids. The planner does not
/// know what was inserted a moment ago, and would read a table whole for each row that it looks for there: strings are
/// looked up by their index.
const RESOLVE: &str = "
    ANALYZE stage_text; ANALYZE stage_affected; ANALYZE stage_advisory; ANALYZE stage_alias;
    SET LOCAL enable_seqscan = off;
    INSERT INTO text (value) SELECT s.value FROM stage_text s
        WHERE s.is_said = 1 AND NOT EXISTS (SELECT 1 FROM text t WHERE t.hash = s.hash) ORDER BY s.hash
        ON CONFLICT (hash) DO NOTHING;
    INSERT INTO named SELECT s.number, t.text_id FROM stage_text s JOIN text t ON t.hash = s.hash;
    SET LOCAL enable_seqscan = on;
    ANALYZE named;
    INSERT INTO stage SELECT p.text_id, r.text_id, i.text_id, s.body FROM stage_affected s
        JOIN named p ON p.number = s.package JOIN named r ON r.number = s.release JOIN named i ON i.number = s.id;
    INSERT INTO stage_details SELECT i.text_id, v.text_id, s.body, s.severity, s.severity_word, s.withdrawn
        FROM stage_advisory s JOIN named i ON i.number = s.id JOIN named v ON v.number = s.vulnerability;
    INSERT INTO scope SELECT n.text_id FROM stage_dropped s JOIN named n ON n.number = s.id
        UNION SELECT id_text FROM stage_details UNION SELECT id_text FROM stage;
    ANALYZE stage; ANALYZE stage_details; ANALYZE scope;";

/// Rows that an update may write without the planner being told.
const UNANALYZED_MAX: u64 = 5000;

pub(super) struct PostgresUpdate<'a> {
    pool: &'a Pool,
    stage: rusqlite::Connection,
    key: FeedKey,
    /// Whether advisories out of the update's scope are gone.
    is_whole: bool,
}

impl<'a> PostgresUpdate<'a> {
    pub(super) fn begin(pool: &'a Pool, key: &FeedKey) -> Result<Self> {
        let stage = stage::apart()?;
        stage::begin(&stage)?;
        Ok(Self { pool, stage, key: key.clone(), is_whole: true })
    }
}

impl FeedUpdate for PostgresUpdate<'_> {
    fn add(&mut self, advisory: Advisory) -> Result<()> {
        stage::add(&self.stage, advisory)
    }

    fn keep_others(&mut self) {
        self.is_whole = false;
    }

    fn drop_id(&mut self, id: &str) -> Result<()> {
        stage::drop_id(&self.stage, id)
    }

    fn commit(self: Box<Self>, outcome: &FeedOutcome) -> Result<UpdateStats> {
        self.stage.execute_batch(NUMBER)?;
        let stats = self.pool.write(|connection| {
            Lock::Texts.share(connection)?;
            let feed = feed_id(connection, &self.key)?;
            copy(connection, &self.stage)?;
            connection.batch(RESOLVE)?;
            let mut stats = compare(connection, feed, self.is_whole)?;
            stats.revision = revision(connection)?;
            if stats.added + stats.removed + stats.details_changed > 0 {
                stats.revision = apply(connection, feed, self.is_whole, outcome, &stats)?;
            }
            let made = stats.added + stats.removed + stats.details_changed > 0;
            succeeded(connection, feed, outcome, &stats)?;
            if made {
                settle_revision(connection, integer(stats.revision))?;
            }
            Ok(stats)
        })?;
        if stats.added + stats.removed + stats.details_changed > UNANALYZED_MAX {
            // What is asked next should not wait for the server to notice. If it cannot be done, it will notice.
            let _ = self
                .pool
                .read(|connection| connection.batch("ANALYZE text, affected, advisory, alias, feed_release"));
        }
        Ok(stats)
    }
}

/// Copies what is staged into temporary tables.
fn copy(connection: &mut Connection, stage: &rusqlite::Connection) -> Result<()> {
    connection.batch(TABLES)?;
    let (number, bytes) = (Type::INT8, Type::BYTEA);
    rows(
        (connection, stage),
        ("stage_text (number, value, is_said)", &[number.clone(), bytes.clone(), number.clone()]),
        "SELECT number, value, is_said FROM stage_text",
        &mut |row, copy| {
            let value = row.get_ref(1)?.as_str().unwrap_or_default().as_bytes();
            copy.write(&[&row.get::<_, i64>(0)?, &value, &row.get::<_, i64>(2)?])
        },
    )?;
    rows(
        (connection, stage),
        ("stage_affected (package, release, id, body)", &[number.clone(), number.clone(), number.clone(), bytes.clone()]),
        "SELECT p.number, r.number, i.number, s.body FROM stage_affected s JOIN stage_text p ON p.value = s.package
         JOIN stage_text r ON r.value = s.release JOIN stage_text i ON i.value = s.id",
        &mut |row, copy| {
            let body = row.get_ref(3)?.as_blob().unwrap_or_default();
            copy.write(&[&row.get::<_, i64>(0)?, &row.get::<_, i64>(1)?, &row.get::<_, i64>(2)?, &body])
        },
    )?;
    rows(
        (connection, stage),
        (
            "stage_advisory (id, vulnerability, body, severity, severity_word, withdrawn)",
            &[number.clone(), number.clone(), bytes.clone(), number.clone(), bytes, number.clone()],
        ),
        "SELECT i.number, v.number, s.body, s.severity, s.severity_word, s.withdrawn FROM stage_advisory s
         JOIN stage_text i ON i.value = s.id JOIN stage_text v ON v.value = s.vulnerability",
        &mut |row, copy| {
            let body = row.get_ref(2)?.as_blob().unwrap_or_default();
            let word = row.get_ref(4)?.as_str().unwrap_or_default().as_bytes();
            let number = |position| row.get::<_, i64>(position);
            copy.write(&[&number(0)?, &number(1)?, &body, &number(3)?, &word, &number(5)?])
        },
    )?;
    rows(
        (connection, stage),
        ("stage_alias (alias, id)", &[number.clone(), number.clone()]),
        "SELECT a.number, i.number FROM stage_alias s JOIN stage_text a ON a.value = s.alias
         JOIN stage_text i ON i.value = s.id",
        &mut |row, copy| copy.write(&[&row.get::<_, i64>(0)?, &row.get::<_, i64>(1)?]),
    )?;
    rows(
        (connection, stage),
        ("stage_dropped (id)", &[number]),
        "SELECT i.number FROM stage_dropped s JOIN stage_text i ON i.value = s.id",
        &mut |row, copy| copy.write(&[&row.get::<_, i64>(0)?]),
    )
}

type WriteRow<'a> = dyn FnMut(&rusqlite::Row<'_>, &mut CopyIn<'_>) -> Result<()> + 'a;

/// Copies the rows of a query here into a table there.
fn rows(
    (connection, stage): (&mut Connection, &rusqlite::Connection),
    (into, types): (&str, &[Type]),
    query: &str,
    write: &mut WriteRow<'_>,
) -> Result<()> {
    connection.copy(&format!("COPY {into} FROM STDIN BINARY"), types, &mut |copy| {
        let mut statement = stage.prepare_cached(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            write(row, copy)?;
        }
        Ok(())
    })
}

/// Finds what came and what went.
fn compare(connection: &mut Connection, feed: i64, is_whole: bool) -> Result<UpdateStats> {
    let removed = connection.execute(
        "INSERT INTO gone_affected SELECT a.affected_id, a.package_text FROM affected a
         WHERE a.feed_id = $1 AND a.to_revision IS NULL AND ($2 OR a.id_text IN (SELECT id_text FROM scope))
         AND NOT EXISTS (
            SELECT 1 FROM stage s WHERE s.package_text = a.package_text AND s.release_text = a.release_text
            AND s.id_text = a.id_text AND s.body = a.body)",
        &[&feed, &is_whole],
    )?;
    let current = count(
        connection
            .value("SELECT count(*) FROM affected WHERE feed_id = $1 AND to_revision IS NULL", &[&feed])?,
    );
    let added = connection.execute(
        "INSERT INTO fresh_affected SELECT s.* FROM stage s WHERE NOT EXISTS (
            SELECT 1 FROM affected a WHERE a.package_text = s.package_text AND a.release_text = s.release_text
            AND a.id_text = s.id_text AND a.body = s.body AND a.feed_id = $1 AND a.to_revision IS NULL)",
        &[&feed],
    )?;
    let details: i64 = connection.value(
        "SELECT (SELECT count(*) FROM advisory d WHERE d.feed_id = $1 AND d.to_revision IS NULL
                    AND ($2 OR d.id_text IN (SELECT id_text FROM scope)) AND NOT EXISTS (
                    SELECT 1 FROM stage_details s WHERE s.id_text = d.id_text AND s.body = d.body))
              + (SELECT count(*) FROM stage_details s WHERE NOT EXISTS (
                    SELECT 1 FROM advisory d WHERE d.id_text = s.id_text AND d.feed_id = $1
                    AND d.to_revision IS NULL AND d.body = s.body))",
        &[&feed, &is_whole],
    )?;
    Ok(UpdateStats {
        revision: 0,
        added,
        removed,
        unchanged: current.saturating_sub(removed),
        details_changed: count(details),
    })
}

fn apply(
    connection: &mut Connection,
    feed: i64,
    is_whole: bool,
    outcome: &FeedOutcome,
    stats: &UpdateStats,
) -> Result<u64> {
    let revision = integer(new_revision(connection, feed, outcome, stats)?);
    connection.execute(
        "UPDATE affected SET to_revision = $1 WHERE affected_id IN (SELECT affected_id FROM gone_affected)",
        &[&revision],
    )?;
    // In the order of the rows' bytes: what one advisory says several times of a package is told in the order of its ids.
    connection.execute(
        "INSERT INTO affected (feed_id, package_text, release_text, id_text, body, from_revision)
         SELECT $1::bigint, package_text, release_text, id_text, body, $2::bigint FROM fresh_affected
         ORDER BY package_text, release_text, id_text, body",
        &[&feed, &revision],
    )?;
    connection.execute(
        "UPDATE advisory SET to_revision = $2 WHERE feed_id = $1 AND to_revision IS NULL
         AND ($3 OR id_text IN (SELECT id_text FROM scope)) AND NOT EXISTS (
            SELECT 1 FROM stage_details s WHERE s.id_text = advisory.id_text AND s.body = advisory.body)",
        &[&feed, &revision, &is_whole],
    )?;
    connection.execute(
        "INSERT INTO advisory (feed_id, id_text, vulnerability_text, body, severity, severity_word, withdrawn, from_revision)
         SELECT $1::bigint, s.id_text, s.vulnerability_text, s.body, s.severity, s.severity_word, s.withdrawn, $2::bigint
         FROM stage_details s WHERE NOT EXISTS (
            SELECT 1 FROM advisory d WHERE d.id_text = s.id_text AND d.feed_id = $1 AND d.to_revision IS NULL)
         ORDER BY s.id_text",
        &[&feed, &revision],
    )?;
    connection.execute(
        "INSERT INTO alias (alias_text, id_text) SELECT a.text_id, i.text_id FROM stage_alias s
         JOIN named a ON a.number = s.alias JOIN named i ON i.number = s.id ORDER BY a.text_id, i.text_id
         ON CONFLICT (alias_text, id_text) DO NOTHING",
        &[],
    )?;
    // A release that is no longer spoken of stays: it was spoken of.
    connection.execute("UPDATE feed_release SET records = 0 WHERE feed_id = $1", &[&feed])?;
    connection.execute(
        "INSERT INTO feed_release (release_text, feed_id, records, from_revision)
         SELECT release_text, $1::bigint, count(*), $2::bigint FROM affected WHERE feed_id = $1 AND to_revision IS NULL
         GROUP BY release_text
         ON CONFLICT (release_text, feed_id) DO UPDATE SET records = excluded.records",
        &[&feed, &revision],
    )?;
    forget_verdicts(connection, feed, revision)?;
    Ok(count(revision))
}

/// Makes the verdicts of the packages that the update names stale, and no others. A signed package is named by the
/// source of its code, too.
fn forget_verdicts(connection: &mut Connection, feed: i64, revision: i64) -> Result<()> {
    let any: bool = connection
        .value("SELECT EXISTS (SELECT 1 FROM verdict) OR EXISTS (SELECT 1 FROM former_verdict)", &[])?;
    if !any {
        return Ok(());
    }
    connection.execute(
        "INSERT INTO touched SELECT package_text FROM gone_affected
         UNION SELECT package_text FROM fresh_affected
         UNION SELECT a.package_text FROM advisory d JOIN affected a ON a.id_text = d.id_text AND a.feed_id = d.feed_id
               WHERE d.feed_id = $1 AND d.from_revision = $2",
        &[&feed, &revision],
    )?;
    connection.batch("ANALYZE touched; SET LOCAL enable_seqscan = off")?;
    let named = "WHERE package_id IN (
            SELECT p.package_id FROM touched JOIN text t ON t.text_id = touched.package_text
                JOIN package p ON p.source_key = substring(t.hash from 1 for 8) AND p.source_name = t.value
            UNION SELECT p.package_id FROM touched JOIN text t ON t.text_id = touched.package_text
                JOIN package p ON p.name_key = substring(t.hash from 1 for 8) AND p.name = t.value
            UNION SELECT s.package_id FROM touched JOIN text t ON t.text_id = touched.package_text
                JOIN signed_source s ON s.hash = t.hash)";
    connection.execute(&format!("UPDATE verdict SET rules_version = {STALE} {named}"), &[])?;
    connection.execute(&format!("DELETE FROM former_verdict {named}"), &[])?;
    Ok(())
}
