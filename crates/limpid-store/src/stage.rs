//! What an update of a feed says, gathered in temporary tables before it is compared with what the store has.
//!
//! They are SQLite's, whatever the engine: a document may be larger than memory, and a database far away should not
//! wait while one is fetched and parsed. The embedded engine compares them where they are; others copy them over in one
//! go, as often as their connection breaks.

use limpid_model::{Advisory, AdvisoryDetails, vulnerability_id};
use rusqlite::{Connection, OptionalExtension, params};

use crate::statement::AffectedBody;
use crate::store::VulnerabilityScore;
use crate::{Result, codec, cve};

const STAGE: &str = "
    CREATE TEMP TABLE stage_affected (
        package TEXT NOT NULL, release TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (package, release, id, body)
    ) STRICT, WITHOUT ROWID;
    CREATE TEMP TABLE stage_advisory (
        id TEXT PRIMARY KEY, vulnerability TEXT NOT NULL, body BLOB NOT NULL, severity INTEGER NOT NULL,
        severity_word TEXT NOT NULL, withdrawn INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TEMP TABLE stage_alias (alias TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (alias, id)) STRICT, WITHOUT ROWID;
    CREATE TEMP TABLE stage_dropped (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    BEGIN;";

const STAGE_SCORES: &str = "
    CREATE TEMP TABLE stage_score (cve INTEGER PRIMARY KEY, probability INTEGER NOT NULL, percentile INTEGER) STRICT;
    BEGIN;";

/// Makes the tables, and begins the transaction that fills them.
pub(crate) fn begin(connection: &Connection) -> Result<()> {
    Ok(connection.execute_batch(STAGE)?)
}

/// Takes in an advisory. The same id may come several times; what it affects adds up.
pub(crate) fn add(connection: &Connection, advisory: Advisory) -> Result<()> {
    let Advisory { id, details, affected } = advisory;
    let mut alias =
        connection.prepare_cached("INSERT OR IGNORE INTO stage_alias (alias, id) VALUES (?1, ?2)")?;
    for name in &details.aliases {
        alias.execute(params![name, id])?;
    }
    add_details(connection, &id, details)?;
    let mut insert = connection.prepare_cached(
        "INSERT OR IGNORE INTO stage_affected (package, release, id, body) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for range in affected {
        let (package, release, body) = AffectedBody::of(range);
        insert.execute(params![package, release, id, codec::encode(&body)?])?;
    }
    Ok(())
}

/// Stages details; what came of the same id before is joined with them.
fn add_details(connection: &Connection, id: &str, mut details: AdvisoryDetails) -> Result<()> {
    let before: Option<Vec<u8>> = connection
        .prepare_cached("SELECT body FROM stage_advisory WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    if let Some(body) = before {
        let mut joined: AdvisoryDetails = codec::decode(&body, "an advisory's details")?;
        if joined == details {
            return Ok(());
        }
        joined.merge(details);
        details = joined;
    }
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO stage_advisory (id, vulnerability, body, severity, severity_word, withdrawn)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            id,
            vulnerability_id(id, &details.aliases),
            codec::encode(&details)?,
            details.severity as i64,
            details.severity_word,
            !details.withdrawn.is_empty(),
        ])?;
    Ok(())
}

/// Takes in that there is nothing more on this id than what is staged.
pub(crate) fn drop_id(connection: &Connection, id: &str) -> Result<()> {
    connection.prepare_cached("INSERT OR IGNORE INTO stage_dropped (id) VALUES (?1)")?.execute([id])?;
    Ok(())
}

/// Makes the table for scores, and begins the transaction that fills it.
pub(crate) fn begin_scores(connection: &Connection) -> Result<()> {
    Ok(connection.execute_batch(STAGE_SCORES)?)
}

/// Takes in the score of one CVE; an id that is no CVE's has none.
pub(crate) fn add_score(connection: &Connection, id: &str, score: VulnerabilityScore) -> Result<()> {
    if let Some(key) = cve::key(id) {
        connection
            .prepare_cached("INSERT OR REPLACE INTO stage_score VALUES (?1, ?2, ?3)")?
            .execute(params![key, score.probability_e5, score.percentile_e5])?;
    }
    Ok(())
}

/// Temporary tables in a file of their own, for engines that are elsewhere.
pub(crate) fn apart() -> Result<Connection> {
    // A file without a name, that goes with the connection.
    let connection = Connection::open("")?;
    connection
        .execute_batch("PRAGMA temp_store = FILE; PRAGMA cache_size = -16384; PRAGMA synchronous = OFF;")?;
    Ok(connection)
}
