//! Backups: a whole copy of the store at one moment, and the way back.
//!
//! A backup is written by `VACUUM INTO` from a read transaction, so writers go on meanwhile; it has no free pages and no
//! log, and is a store like any other. It is written under another name, brought to the disk, and then linked to
//! its own, which fails if somebody has that name by then. Source: sqlite.org, "VACUUM".
//!
//! A restore goes through SQLite's backup interface into the file that is there, under a lock that nobody else can hold a
//! connection beside, as one transaction with a rollback journal: whoever kills it finds the old store. Exchanging
//! the file instead would leave a process that opened it just before with a file that has no name.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::open::{Place, log_bytes};
use super::{SqliteStore, check};
use crate::upkeep::CheckReport;
use crate::{Error, Result};

/// How long a restore waits for somebody who is just leaving.
const LEAVING: Duration = Duration::from_millis(500);

impl SqliteStore {
    /// Puts what the backup `from` holds in the place of the store `to`, if a check finds it sound. A store that is
    /// there is only replaced if `replaces`, and if no other process has it open.
    pub fn restore(from: &Path, to: &Path, replaces: bool, now: i64) -> Result<CheckReport> {
        let failed = |error: std::io::Error| Error::Open { path: from.to_owned(), reason: error.to_string() };
        let backup = std::fs::canonicalize(from).map_err(failed)?;
        let place = match log_bytes(&backup) {
            // Nobody writes to a backup, and restoring leaves nothing beside it.
            0 => Place::ReadOnly { path: backup.clone(), immutable: true },
            _ => Place::File(backup.clone()),
        };
        let mut source = match place.open() {
            // Of an earlier schema: checked as it is, and brought to today's once it is in its place.
            Err(Error::ReadOnly) => place.connect()?,
            opened => opened?,
        };
        let report = check::check(&mut source, now)?;
        if let Some(broken) = report.broken.first() {
            let what = format!("{}: {} {} ({})", broken.table, broken.count, broken.what, broken.example);
            return Err(Error::Damaged { path: from.to_owned(), what });
        }
        if std::fs::canonicalize(to).is_ok_and(|to| to == backup) {
            return Err(Error::InUse { path: to.to_owned() });
        }
        let is_there = std::fs::metadata(to).is_ok_and(|file| file.len() > 0);
        if is_there && !replaces {
            return Err(Error::Exists { path: to.to_owned() });
        }
        let place = Place::of(to)?;
        if place.is_read_only() {
            return Err(Error::ReadOnly);
        }
        replace(&source, &place, to)?;
        place.open()?;
        Ok(report)
    }
}

fn replace(source: &Connection, place: &Place, to: &Path) -> Result<()> {
    let mut target = place.connect()?;
    target.busy_timeout(LEAVING)?;
    let in_use = |error: Error| match error {
        Error::Busy => Error::InUse { path: to.to_owned() },
        error => error,
    };
    // Only who is alone can leave the log, and whoever comes from now on waits.
    target.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(())).map_err(Error::from)?;
    let mode: String = target
        .pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0))
        .map_err(|error| in_use(error.into()))?;
    if mode != "delete" {
        return Err(Error::InUse { path: to.to_owned() });
    }
    target
        .execute_batch("BEGIN EXCLUSIVE; COMMIT; PRAGMA synchronous = FULL;")
        .map_err(|error| in_use(error.into()))?;
    match Backup::new(source, &mut target)?.step(-1)? {
        StepResult::Done => {}
        _ => return Err(Error::InUse { path: to.to_owned() }),
    }
    target.pragma_update_and_check(None, "locking_mode", "NORMAL", |_| Ok(()))?;
    place.switch_to_log(&target)?;
    // Under an exclusive lock the journal was made void instead of removed. Nobody else can have begun one: that takes
    // being alone, and this connection is still open.
    let mut journal = to.as_os_str().to_owned();
    journal.push("-journal");
    match std::fs::remove_file(PathBuf::from(journal)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::Open { path: to.to_owned(), reason: error.to_string() })
        }
        _ => Ok(()),
    }
}

/// Writes the store to a new file.
pub(super) fn backup(place: &Place, path: &Path) -> Result<()> {
    let exists = || Error::Exists { path: path.to_owned() };
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => exists(),
        ErrorKind::StorageFull => Error::DiskFull,
        _ => Error::Open { path: path.to_owned(), reason: error.to_string() },
    };
    if path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let partial = Partial::beside(path).map_err(failed)?;
    copy(place, &partial.0)?;
    File::open(&partial.0).and_then(|file| file.sync_all()).map_err(failed)?;
    std::fs::hard_link(&partial.0, path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Copies one moment of the store into an empty file.
fn copy(place: &Place, path: &Path) -> Result<()> {
    let target = Place::File(path.to_owned());
    let copy = match place {
        // What is attached to a store in memory would be in memory too.
        Place::Memory(_) => {
            let mut copy = target.connect()?;
            Backup::new(&place.connect()?, &mut copy)?.step(-1)?;
            copy
        }
        Place::File(_) | Place::ReadOnly { .. } => {
            let name = path.to_str().ok_or_else(|| Error::Open {
                path: path.to_owned(),
                reason: "its name is not UTF-8".to_owned(),
            })?;
            place.connect()?.execute("VACUUM INTO ?1", [name])?;
            target.connect()?
        }
    };
    // As a store it is written through a log; the mark for that is in the file.
    target.switch_to_log(&copy)
}

/// A file that is removed when it is done with.
struct Partial(PathBuf);

impl Partial {
    fn beside(path: &Path) -> std::io::Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".partial-{}", std::process::id()));
        File::create_new(&name)?;
        Ok(Self(PathBuf::from(name)))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // If it cannot be removed, its name says what it is.
        let _ = std::fs::remove_file(&self.0);
    }
}
