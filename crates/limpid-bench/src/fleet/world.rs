//! The store that is measured, and the clock by which its images come.

use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use limpid_index::{Clock, Process, ProcessState};
use limpid_store::Store;

/// Where the store is.
pub(crate) struct World {
    place: OsString,
}

impl World {
    pub(crate) fn new(place: OsString) -> Self {
        Self { place }
    }

    /// A handle of its own, as a process that has just begun has one.
    pub(crate) fn open(&self) -> anyhow::Result<Box<dyn Store>> {
        Ok(limpid_store::open(Path::new(&self.place))?)
    }

    /// Bytes of the store with everything that is in it, after what is in its log has gone where it belongs.
    pub(crate) fn bytes(&self) -> anyhow::Result<u64> {
        if !self.place.to_string_lossy().starts_with("postgres") {
            let connection = rusqlite::Connection::open(&self.place)?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        let status = self.open()?.status()?;
        Ok(status.file_bytes + status.log_bytes)
    }
}

/// A clock that is set by hand.
pub(crate) struct HandClock(AtomicI64);

impl HandClock {
    pub(crate) fn at(seconds: i64) -> Self {
        Self(AtomicI64::new(seconds))
    }
}

impl Clock for HandClock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn wait(&self, duration: std::time::Duration) {
        std::thread::sleep(duration);
    }
}

/// The one process that uses the store: whoever else used it is dead.
pub(crate) struct Alone(String);

impl Alone {
    pub(crate) fn new() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(format!("benchmark {} {}", std::process::id(), since.unwrap_or_default().as_nanos()))
    }
}

impl Process for Alone {
    fn name(&self) -> &str {
        &self.0
    }

    fn state_of(&self, name: &str) -> ProcessState {
        if name == self.0 { ProcessState::Alive } else { ProcessState::Dead }
    }
}
