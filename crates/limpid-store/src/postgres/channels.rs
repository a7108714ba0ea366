//! Channels and their dead letters.

use limpid_model::Digest;
use postgres::Row;

use super::PostgresStore;
use super::connection::{Connection, column, text};
use crate::channels::{ChannelState, Channels, DeadLetter};
use crate::column::{count, integer};
use crate::{Error, Result};

const CHANNELS: &str =
    "SELECT name, target, cursor, delivered, delivered_at, attempts, next_attempt_at, last_error,
    (SELECT count(*) FROM dead_letter d WHERE d.hash = c.hash) FROM channel c";

fn attempts(value: i64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Error::Corrupt("a number of attempts is out of range".to_owned()))
}

fn read_channel(row: &Row) -> Result<ChannelState> {
    Ok(ChannelState {
        name: text(row, 0)?,
        target: text(row, 1)?,
        cursor: count(column(row, 2)?),
        delivered: count(column(row, 3)?),
        delivered_at: column(row, 4)?,
        attempts: attempts(column(row, 5)?)?,
        next_attempt_at: column(row, 6)?,
        last_error: text(row, 7)?,
        dead: count(column(row, 8)?),
    })
}

/// What a channel is found by, as the database computes it.
fn hash(name: &str) -> Vec<u8> {
    Digest::of(name.as_bytes()).as_bytes().to_vec()
}

impl Channels for PostgresStore {
    fn channels(&self) -> Result<Vec<ChannelState>> {
        self.pool.read(|connection| {
            connection.query(&format!("{CHANNELS} ORDER BY name"), &[])?.iter().map(read_channel).collect()
        })
    }

    fn channel(&self, name: &str, target: &str, cursor: u64) -> Result<ChannelState> {
        self.pool.write(|connection| {
            connection.execute(
                "INSERT INTO channel (name, target, cursor, delivered, delivered_at, attempts, next_attempt_at, last_error)
                 VALUES ($1, $2, $3, 0, 0, 0, 0, '') ON CONFLICT (hash) DO UPDATE SET target = $2",
                &[&name.as_bytes(), &target.as_bytes(), &integer(cursor)],
            )?;
            let row = connection.row(&format!("{CHANNELS} WHERE hash = $1"), &[&hash(name)])?;
            read_channel(&row.ok_or_else(|| Error::Corrupt(format!("channel {name} is missing")))?)
        })
    }

    fn remove_channel(&self, name: &str) -> Result<bool> {
        self.pool.write(|connection| {
            connection.execute("DELETE FROM dead_letter WHERE hash = $1", &[&hash(name)])?;
            Ok(connection.execute("DELETE FROM channel WHERE hash = $1", &[&hash(name)])? > 0)
        })
    }

    fn advance(&self, name: &str, from: u64, to: u64, delivered: u64, now: i64) -> Result<bool> {
        self.pool.write(|connection| {
            let moved = connection.execute(
                "UPDATE channel SET cursor = $3, attempts = 0, next_attempt_at = 0, last_error = '',
                    delivered = delivered + $4, delivered_at = CASE WHEN $4 > 0 THEN $5 ELSE delivered_at END
                 WHERE hash = $1 AND cursor = $2",
                &[&hash(name), &integer(from), &integer(to), &integer(delivered), &now],
            )?;
            Ok(moved > 0)
        })
    }

    fn put_failure(&self, name: &str, attempts: u32, next_attempt_at: i64, error: &str) -> Result<()> {
        self.pool.write(|connection| {
            connection.execute(
                "UPDATE channel SET attempts = $2, next_attempt_at = $3, last_error = $4 WHERE hash = $1",
                &[&hash(name), &i64::from(attempts), &next_attempt_at, &error.as_bytes()],
            )?;
            Ok(())
        })
    }

    fn bury(&self, name: &str, from: u64, number: u64, attempts: u32, error: &str, now: i64) -> Result<bool> {
        self.pool.write(|connection| {
            let moved = connection.execute(
                "UPDATE channel SET cursor = $3, attempts = 0, next_attempt_at = 0, last_error = $4
                 WHERE hash = $1 AND cursor = $2",
                &[&hash(name), &integer(from), &integer(number), &error.as_bytes()],
            )?;
            if moved == 0 {
                return Ok(false);
            }
            // None, if the event was dropped as too old meanwhile.
            connection.execute(
                "INSERT INTO dead_letter (channel, number, attempts, died_at, error, is_due)
                 SELECT $1::bytea, number, $3::bigint, $4::bigint, $5::bytea, 0 FROM event WHERE number = $2
                 ON CONFLICT (hash, number) DO UPDATE SET attempts = excluded.attempts, died_at = excluded.died_at,
                    error = excluded.error, is_due = 0",
                &[&name.as_bytes(), &integer(number), &i64::from(attempts), &now, &error.as_bytes()],
            )?;
            Ok(true)
        })
    }

    fn dead_letters(&self, name: &str, after: u64, is_due: bool, limit: usize) -> Result<Vec<DeadLetter>> {
        self.pool.read(|connection| {
            let rows = connection.query(
                "SELECT number, attempts, died_at, error, is_due FROM dead_letter
                 WHERE hash = $1 AND number > $2 AND is_due >= $3 ORDER BY number LIMIT $4",
                &[
                    &hash(name),
                    &integer(after),
                    &i64::from(is_due),
                    &i64::try_from(limit).unwrap_or(i64::MAX),
                ],
            )?;
            let read = |row: &Row| {
                Ok(DeadLetter {
                    number: count(column(row, 0)?),
                    attempts: attempts(column(row, 1)?)?,
                    died_at: column(row, 2)?,
                    error: text(row, 3)?,
                    is_due: column::<i64>(row, 4)? != 0,
                })
            };
            rows.iter().map(read).collect()
        })
    }

    fn revive(&self, name: &str, number: Option<u64>) -> Result<u64> {
        self.pool.write(|connection| {
            connection.execute(
                "UPDATE dead_letter SET is_due = 1 WHERE hash = $1 AND ($2::bigint IS NULL OR number = $2)",
                &[&hash(name), &number.map(integer)],
            )
        })
    }

    fn settle(&self, name: &str, number: u64, error: Option<&str>, now: i64) -> Result<()> {
        self.pool.write(|connection| settle(connection, name, number, error, now))
    }
}

fn settle(connection: &mut Connection, name: &str, number: u64, error: Option<&str>, now: i64) -> Result<()> {
    match error {
        Some(error) => {
            connection.execute(
                "UPDATE dead_letter SET attempts = attempts + 1, died_at = $3, error = $4, is_due = 0
                 WHERE hash = $1 AND number = $2",
                &[&hash(name), &integer(number), &now, &error.as_bytes()],
            )?;
        }
        None => {
            let gone = connection.execute(
                "DELETE FROM dead_letter WHERE hash = $1 AND number = $2",
                &[&hash(name), &integer(number)],
            )?;
            if gone > 0 {
                connection.execute(
                    "UPDATE channel SET delivered = delivered + 1, delivered_at = $2 WHERE hash = $1",
                    &[&hash(name), &now],
                )?;
            }
        }
    }
    Ok(())
}
