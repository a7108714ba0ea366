//! Opening a store: connecting, and bringing the schema to today's.
//!
//! Everything lies in a schema of its own, `limpid`. The table `migration` says which version it is. Migrations go
//! forward only, one process at a time (an advisory lock), each in a transaction of its own. They must not keep readers
//! or writers of the version before from working: they add tables, columns that may be missing, and indexes, and give a
//! lock back that they do not get at once. What is no longer used goes one version later; `readable_from` says which
//! versions of Limpid may still use what a migration made.

use std::time::Duration;

use super::address::Address;
use super::connection::{Begin, Connection, End};
use super::failure::Remedy;
use super::pool::Patience;
use crate::{Error, Result};

/// The key of the advisory lock under which the schema changes: "Lmpd" and "schm".
const LOCK: i64 = 0x4c6d_7064_7363_686d;

/// A step from one version of the schema to the next.
struct Migration {
    sql: &'static str,
    /// The least version that a Limpid must know to use what this one made.
    readable_from: i64,
}

/// The first makes version 1.
const MIGRATIONS: &[Migration] = &[Migration { sql: include_str!("schema.sql"), readable_from: 1 }];

/// How long a migration waits for a lock before it lets those pass who came after it, and how often it tries.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '500ms'";
const ATTEMPTS_MAX: u32 = 240;
const PAUSE: Duration = Duration::from_millis(500);

/// Connects, and makes the schema or brings it to today's if need be.
pub(super) fn open(address: &Address) -> Result<Connection> {
    let mut connection = connect(address)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    match version(&mut connection, address)? {
        Some(found) if found.version >= known => found.check(known, address)?,
        _ => migrate(&mut connection, address, known)?,
    }
    Ok(connection)
}

/// A server that is starting up is waited for; one that is not there is not.
fn connect(address: &Address) -> Result<Connection> {
    let mut patience = Patience::default();
    loop {
        match Connection::open(address) {
            Ok(connection) => return Ok(connection),
            Err((error, remedy)) => {
                let is_up =
                    matches!(&error, Error::Unreachable { reason, .. } if reason.contains("SQLSTATE"));
                patience.wait(if is_up { remedy } else { Remedy::None }, error)?;
            }
        }
    }
}

struct Found {
    version: i64,
    readable_from: i64,
}

impl Found {
    fn check(&self, known: i64, address: &Address) -> Result<()> {
        if self.readable_from > known {
            let path = address.shown.clone().into();
            return Err(Error::TooNew { path, found: self.version, known });
        }
        Ok(())
    }
}

/// The version of the schema, if there is one.
fn version(connection: &mut Connection, address: &Address) -> Result<Option<Found>> {
    let is_there: bool = connection.value("SELECT to_regclass('limpid.migration') IS NOT NULL", &[])?;
    if is_there {
        let row = connection
            .row("SELECT version, readable_from FROM limpid.migration ORDER BY version DESC LIMIT 1", &[])?;
        let column = super::connection::column;
        return row
            .map(|row| Ok(Found { version: column(&row, 0)?, readable_from: column(&row, 1)? }))
            .transpose();
    }
    let tables: i64 = connection.value(
        "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'limpid'",
        &[],
    )?;
    if tables > 0 {
        return Err(Error::NotAStore { path: address.shown.clone().into() });
    }
    Ok(None)
}

fn migrate(connection: &mut Connection, address: &Address, known: i64) -> Result<()> {
    // Held by the session, so that it covers all steps; it ends with the connection, whatever happens.
    connection.execute("SELECT pg_advisory_lock($1)", &[&LOCK])?;
    let done = migrate_alone(connection, address, known);
    connection.execute("SELECT pg_advisory_unlock($1)", &[&LOCK])?;
    done
}

fn migrate_alone(connection: &mut Connection, address: &Address, known: i64) -> Result<()> {
    // Another process may have done it while this one waited.
    let found = version(connection, address)?;
    if let Some(found) = &found {
        found.check(known, address)?;
    }
    let from = found.map_or(0, |found| found.version);
    let steps = MIGRATIONS.iter().zip(1_i64..).filter(|(_, version)| *version > from);
    for (migration, version) in steps {
        let mut step = |connection: &mut Connection| {
            connection.batch(LOCK_TIMEOUT)?;
            connection.batch(
                "CREATE SCHEMA IF NOT EXISTS limpid; SET LOCAL search_path = limpid;
                 CREATE TABLE IF NOT EXISTS migration (
                    version BIGINT PRIMARY KEY, readable_from BIGINT NOT NULL, applied_at TIMESTAMPTZ NOT NULL)",
            )?;
            connection.batch(migration.sql)?;
            connection.execute(
                "INSERT INTO migration (version, readable_from, applied_at) VALUES ($1, $2, now())",
                &[&version, &migration.readable_from],
            )?;
            Ok(())
        };
        attempt(connection, &mut step)?;
    }
    Ok(())
}

/// Tries until the locks are to be had.
fn attempt(connection: &mut Connection, step: &mut dyn FnMut(&mut Connection) -> Result<()>) -> Result<()> {
    for _ in 0..ATTEMPTS_MAX {
        match connection.transact(Begin::Migration, step) {
            End::Done(()) => return Ok(()),
            End::Failed(Error::Busy) => std::thread::sleep(PAUSE),
            End::Failed(error) => return Err(error),
            End::Unknown((), _) => {
                return Err(Error::Engine("the connection broke during a migration".to_owned()));
            }
        }
    }
    Err(Error::Busy)
}
