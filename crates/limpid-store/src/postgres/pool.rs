//! A few connections that threads share, and doing again what broke with one.
//!
//! A transaction that broke before its commit has left nothing behind, so it is done again as a whole. One that broke
//! while it was committed may be there or not. Each that writes leaves a mark: its number in the row of its connection
//! (`commit_mark`). Whoever asks for the row waits for the server's process that still holds it, and then knows. The server's
//! own numbers of transactions would not do: after a crash it gives those again that it had not written down.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::address::Address;
use super::connection::{Begin, Connection, End, Mark};
use super::failure::Remedy;
use crate::{Error, Result};

/// Connections of one process. More threads than that take turns.
const CONNECTIONS_MAX: usize = 16;
/// How long a server may be away before what needs it fails: as long as a restart takes, with room.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// Pauses between attempts.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Inside {
    idle: Vec<Connection>,
    /// Those that are idle and those that work.
    open: usize,
}

pub(super) struct Pool {
    address: Address,
    inside: Mutex<Inside>,
    freed: Condvar,
}

impl Pool {
    pub(super) fn new(address: Address, first: Connection) -> Self {
        let inside = Mutex::new(Inside { idle: vec![first], open: 1 });
        Self { address, inside, freed: Condvar::new() }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Many reads that see one moment.
    pub(super) fn snapshot<T>(&self, mut work: impl FnMut(&mut Connection) -> Result<T>) -> Result<T> {
        self.transact(Begin::Snapshot, &mut work)
    }

    /// Writes that are on the disk when they are done.
    pub(super) fn write<T>(&self, mut work: impl FnMut(&mut Connection) -> Result<T>) -> Result<T> {
        self.transact(Begin::Write, &mut work)
    }

    /// Writes that can be computed again; see [`Begin::Derived`].
    pub(super) fn derive<T>(&self, mut work: impl FnMut(&mut Connection) -> Result<T>) -> Result<T> {
        self.transact(Begin::Derived, &mut work)
    }

    /// Reads of one statement.
    pub(super) fn read<T>(&self, mut work: impl FnMut(&mut Connection) -> Result<T>) -> Result<T> {
        let mut patience = Patience::default();
        loop {
            let mut held = self.take(&mut patience)?;
            match work(held.connection()?) {
                Ok(value) => return Ok(value),
                Err(error) => patience.wait(held.remedy(), error)?,
            }
        }
    }

    fn transact<T>(&self, begin: Begin, work: &mut dyn FnMut(&mut Connection) -> Result<T>) -> Result<T> {
        let mut patience = Patience::default();
        loop {
            let mut held = self.take(&mut patience)?;
            match held.connection()?.transact(begin, work) {
                End::Done(value) => return Ok(value),
                End::Failed(error) => patience.wait(held.remedy(), error)?,
                End::Unknown(value, mark) => {
                    drop(held);
                    if self.was_committed(&mark, &mut patience)? {
                        return Ok(value);
                    }
                }
            }
        }
    }

    /// How a transaction ended whose connection broke.
    fn was_committed(&self, mark: &Mark, patience: &mut Patience) -> Result<bool> {
        loop {
            let mut held = self.take(patience)?;
            match held.connection()?.is_committed(mark) {
                Ok(is_committed) => return Ok(is_committed),
                Err(error) => {
                    let remedy = held.remedy();
                    drop(held);
                    patience.wait(remedy, error)?;
                }
            }
        }
    }

    /// A connection: one that is idle, or a new one.
    fn take(&self, patience: &mut Patience) -> Result<Held<'_>> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = inside.idle.pop() {
                return Ok(Held { pool: self, connection: Some(connection) });
            }
            if inside.open < CONNECTIONS_MAX {
                break;
            }
            let waited = self.freed.wait_timeout(inside, AWAY_MAX).unwrap_or_else(PoisonError::into_inner);
            inside = waited.0;
            if waited.1.timed_out() && inside.idle.is_empty() {
                return Err(Error::Busy);
            }
        }
        inside.open += 1;
        drop(inside);
        // Its place is given back if it cannot be made.
        let mut held = Held { pool: self, connection: None };
        loop {
            match Connection::open(&self.address) {
                Ok(connection) => {
                    held.connection = Some(connection);
                    return Ok(held);
                }
                Err((error, remedy)) => patience.wait(remedy, error)?,
            }
        }
    }
}

/// A connection in use. It goes back to the pool if it is good.
struct Held<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Held<'_> {
    fn connection(&mut self) -> Result<&mut Connection> {
        self.connection.as_mut().ok_or(Error::Busy)
    }

    fn remedy(&self) -> Remedy {
        self.connection.as_ref().map_or(Remedy::Reconnect, Connection::remedy)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut inside = self.pool.inside.lock().unwrap_or_else(PoisonError::into_inner);
        match self.connection.take() {
            // A thread that panicked may have left a transaction open.
            Some(connection) if connection.remedy() != Remedy::Reconnect && !std::thread::panicking() => {
                inside.idle.push(connection);
            }
            _ => {
                inside.open -= 1;
                // What was opened before the server went away is broken too.
                let idle = inside.idle.len();
                inside.idle.retain(|connection| connection.remedy() != Remedy::Reconnect);
                inside.open -= idle - inside.idle.len();
            }
        }
        self.pool.freed.notify_one();
    }
}

/// How often and how long something is done again.
pub(super) struct Patience {
    until: Option<Instant>,
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { until: None, pause: PAUSE_MIN }
    }
}

impl Patience {
    /// Waits before the next attempt, or gives the error back if there should be none.
    pub(super) fn wait(&mut self, remedy: Remedy, error: Error) -> Result<()> {
        let now = Instant::now();
        let until = *self.until.get_or_insert(now + AWAY_MAX);
        if remedy == Remedy::None || now >= until {
            return Err(error);
        }
        std::thread::sleep(self.pause);
        self.pause = PAUSE_MAX.min(self.pause * 2);
        Ok(())
    }
}
