//! Channels and their dead letters.

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::{SqliteStore, count, integer};
use crate::Result;
use crate::channels::{ChannelState, Channels, DeadLetter};

const CHANNELS: &str =
    "SELECT name, target, cursor, delivered, delivered_at, attempts, next_attempt_at, last_error,
    (SELECT count(*) FROM dead_letter d WHERE d.channel = c.name) FROM channel c";

fn read_channel(row: &Row<'_>) -> rusqlite::Result<ChannelState> {
    Ok(ChannelState {
        name: row.get(0)?,
        target: row.get(1)?,
        cursor: count(row.get(2)?),
        delivered: count(row.get(3)?),
        delivered_at: row.get(4)?,
        attempts: row.get(5)?,
        next_attempt_at: row.get(6)?,
        last_error: row.get(7)?,
        dead: count(row.get(8)?),
    })
}

impl Channels for SqliteStore {
    fn channels(&self) -> Result<Vec<ChannelState>> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&format!("{CHANNELS} ORDER BY name"))?;
        Ok(statement.query_map([], read_channel)?.collect::<Result<_, _>>()?)
    }

    fn channel(&self, name: &str, target: &str, cursor: u64) -> Result<ChannelState> {
        channel(&mut self.connection(), name, target, cursor)
    }

    fn remove_channel(&self, name: &str) -> Result<bool> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute("DELETE FROM dead_letter WHERE channel = ?1", [name])?;
        let removed = transaction.execute("DELETE FROM channel WHERE name = ?1", [name])?;
        transaction.commit()?;
        Ok(removed > 0)
    }

    fn advance(&self, name: &str, from: u64, to: u64, delivered: u64, now: i64) -> Result<bool> {
        let moved = self
            .connection()
            .prepare_cached(
                "UPDATE channel SET cursor = ?3, attempts = 0, next_attempt_at = 0, last_error = '',
                    delivered = delivered + ?4, delivered_at = CASE WHEN ?4 > 0 THEN ?5 ELSE delivered_at END
                 WHERE name = ?1 AND cursor = ?2",
            )?
            .execute(params![name, integer(from), integer(to), integer(delivered), now])?;
        Ok(moved > 0)
    }

    fn put_failure(&self, name: &str, attempts: u32, next_attempt_at: i64, error: &str) -> Result<()> {
        self.connection()
            .prepare_cached(
                "UPDATE channel SET attempts = ?2, next_attempt_at = ?3, last_error = ?4 WHERE name = ?1",
            )?
            .execute(params![name, attempts, next_attempt_at, error])?;
        Ok(())
    }

    fn bury(&self, name: &str, from: u64, number: u64, attempts: u32, error: &str, now: i64) -> Result<bool> {
        bury(
            &mut self.connection(),
            name,
            from,
            &DeadLetter { number, attempts, died_at: now, error: error.to_owned(), is_due: false },
        )
    }

    fn dead_letters(&self, name: &str, after: u64, is_due: bool, limit: usize) -> Result<Vec<DeadLetter>> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT number, attempts, died_at, error, is_due FROM dead_letter
             WHERE channel = ?1 AND number > ?2 AND is_due >= ?3 ORDER BY number LIMIT ?4",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![name, integer(after), is_due, limit], |row| {
            Ok(DeadLetter {
                number: count(row.get(0)?),
                attempts: row.get(1)?,
                died_at: row.get(2)?,
                error: row.get(3)?,
                is_due: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn revive(&self, name: &str, number: Option<u64>) -> Result<u64> {
        let revived = self
            .connection()
            .prepare_cached(
                "UPDATE dead_letter SET is_due = 1 WHERE channel = ?1 AND (?2 IS NULL OR number = ?2)",
            )?
            .execute(params![name, number.map(integer)])?;
        Ok(revived as u64)
    }

    fn settle(&self, name: &str, number: u64, error: Option<&str>, now: i64) -> Result<()> {
        settle(&mut self.connection(), name, number, error, now)
    }
}

fn channel(connection: &mut Connection, name: &str, target: &str, cursor: u64) -> Result<ChannelState> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction
        .prepare_cached(
            "INSERT INTO channel (name, target, cursor, delivered, delivered_at, attempts, next_attempt_at, last_error)
             VALUES (?1, ?2, ?3, 0, 0, 0, 0, '') ON CONFLICT (name) DO UPDATE SET target = ?2",
        )?
        .execute(params![name, target, integer(cursor)])?;
    let state = transaction
        .prepare_cached(&format!("{CHANNELS} WHERE name = ?1"))?
        .query_row([name], read_channel)?;
    transaction.commit()?;
    Ok(state)
}

fn bury(connection: &mut Connection, name: &str, from: u64, letter: &DeadLetter) -> Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let moved = transaction
        .prepare_cached(
            "UPDATE channel SET cursor = ?3, attempts = 0, next_attempt_at = 0, last_error = ?4
             WHERE name = ?1 AND cursor = ?2",
        )?
        .execute(params![name, integer(from), integer(letter.number), letter.error])?;
    if moved == 0 {
        return Ok(false);
    }
    // None, if the event was dropped as too old meanwhile.
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO dead_letter (channel, number, attempts, died_at, error, is_due)
             SELECT ?1, number, ?3, ?4, ?5, 0 FROM event WHERE number = ?2",
        )?
        .execute(params![name, integer(letter.number), letter.attempts, letter.died_at, letter.error])?;
    transaction.commit()?;
    Ok(true)
}

fn settle(connection: &mut Connection, name: &str, number: u64, error: Option<&str>, now: i64) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let known: Option<u32> = transaction
        .prepare_cached("SELECT attempts FROM dead_letter WHERE channel = ?1 AND number = ?2")?
        .query_row(params![name, integer(number)], |row| row.get(0))
        .optional()?;
    if known.is_none() {
        return Ok(());
    }
    match error {
        Some(error) => {
            transaction.execute(
                "UPDATE dead_letter SET attempts = attempts + 1, died_at = ?3, error = ?4, is_due = 0
                 WHERE channel = ?1 AND number = ?2",
                params![name, integer(number), now, error],
            )?;
        }
        None => {
            transaction.execute(
                "DELETE FROM dead_letter WHERE channel = ?1 AND number = ?2",
                params![name, integer(number)],
            )?;
            transaction.execute(
                "UPDATE channel SET delivered = delivered + 1, delivered_at = ?2 WHERE name = ?1",
                params![name, now],
            )?;
        }
    }
    transaction.commit()?;
    Ok(())
}
