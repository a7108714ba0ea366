//! Opening a store: where it may lie, what it may be, and how many processes make one at once.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::{Error, Result};

/// "Lmpd": marks a SQLite file as ours.
const APPLICATION_ID: i64 = 0x4c6d_7064;
/// The schema that the first migration makes. Those before it were never released.
const FIRST_SCHEMA: i64 = 5;
/// The first makes [`FIRST_SCHEMA`] in an empty file, each further one brings a schema to the next.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];
/// How long a writer waits for its turn. Writers hold it for well under a second, but for the first load of a
/// large feed on a slow disk.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);
/// For what SQLite answers at once instead of waiting: a pause, and how often.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSES_MAX: u32 = 6000;

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A file.
    File(PathBuf),
    /// A file that may only be read; whether nobody can be writing to it.
    ReadOnly { path: PathBuf, immutable: bool },
    /// This process's memory, under a name that its connections share.
    Memory(String),
}

impl Place {
    /// The place that a path names.
    pub(super) fn of(path: &Path) -> Result<Self> {
        if path.as_os_str() == ":memory:" {
            static NUMBER: AtomicU64 = AtomicU64::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            return Ok(Self::Memory(format!("file:/limpid-{number}?vfs=memdb")));
        }
        let failed = |error: std::io::Error| Error::Open { path: path.to_owned(), reason: error.to_string() };
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        if let Some(kind) = network_file_system(folder) {
            return Err(Error::NetworkFileSystem { path: path.to_owned(), kind });
        }
        match std::fs::OpenOptions::new().write(true).open(path) {
            Err(error) if cannot_write(&error) && path.is_file() => {
                let shared = Self::ReadOnly { path: path.to_owned(), immutable: false };
                // Readers, too, need the shared-memory file beside the store, because somebody may write. Where there
                // is none and none can be made, and there is no log either, nobody does.
                let unusable = shared.connect().and_then(|connection| schema_version(&connection)).is_err();
                let immutable = unusable && log_bytes(path) == 0;
                Ok(if immutable { Self::ReadOnly { path: path.to_owned(), immutable } } else { shared })
            }
            _ => Ok(Self::File(path.to_owned())),
        }
    }

    pub(super) fn is_read_only(&self) -> bool {
        matches!(self, Self::ReadOnly { .. })
    }

    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::File(path) | Self::ReadOnly { path, .. } => path.clone(),
            Self::Memory(_) => PathBuf::from(":memory:"),
        }
    }

    /// A new connection, set up but not migrated.
    pub(super) fn connect(&self) -> Result<Connection> {
        let failed = |error: rusqlite::Error| match Error::from(error) {
            Error::Engine(reason) => Error::Open { path: self.path(), reason },
            error => self.not_a_store(error),
        };
        let write = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let uri = OpenFlags::SQLITE_OPEN_URI;
        let own = OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match self {
            Self::File(path) => Connection::open_with_flags(path, write | own),
            Self::Memory(name) => Connection::open_with_flags(name, write | uri | own),
            Self::ReadOnly { path, immutable } => {
                let name = format!("{}?immutable={}", file_uri(path), u8::from(*immutable));
                Connection::open_with_flags(name, OpenFlags::SQLITE_OPEN_READ_ONLY | uri | own)
            }
        };
        let connection = connection.map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        // synchronous=NORMAL in WAL mode: a crash of the process or the machine never damages the file; a power
        // cut may lose the last transactions, which are all computed again. Rows go in no order of the file: nearly every
        // page is written again and again, unless the log gathers 64 MB of what many transactions did, and keeps its file.
        connection
            .execute_batch(
                "PRAGMA synchronous = NORMAL; PRAGMA temp_store = FILE; PRAGMA cache_size = -16384;
                 PRAGMA wal_autocheckpoint = 16384; PRAGMA journal_size_limit = 67108864; PRAGMA trusted_schema = OFF;",
            )
            .map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }

    /// A connection to a store of today's schema: made, or brought to it, if need be.
    pub(super) fn open(&self) -> Result<Connection> {
        let mut connection = self.connect()?;
        let version = schema_version(&connection).map_err(|error| self.not_a_store(error))?;
        let known = FIRST_SCHEMA - 1 + i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        if version == known && application_id(&connection)? == APPLICATION_ID {
            return Ok(connection);
        }
        if self.is_read_only() && version <= known {
            return Err(match application_id(&connection)? {
                APPLICATION_ID => Error::ReadOnly,
                _ => Error::NotAStore { path: self.path() },
            });
        }
        if matches!(self, Self::File(_)) {
            self.switch_to_log(&connection)?;
        }
        self.migrate(&mut connection, known)?;
        Ok(connection)
    }

    /// Switches the file to WAL, which cannot be done inside a transaction and is kept in the file. Where others
    /// open the same new file, SQLite says so at once instead of waiting.
    pub(super) fn switch_to_log(&self, connection: &Connection) -> Result<()> {
        for _ in 0..PAUSES_MAX {
            match connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
                Ok(()) => return Ok(()),
                Err(error) => match Error::from(error) {
                    Error::Busy => std::thread::sleep(PAUSE),
                    error => return Err(self.not_a_store(error)),
                },
            }
        }
        Err(Error::Busy)
    }

    fn migrate(&self, connection: &mut Connection, known: i64) -> Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have migrated while this one waited for its turn.
        let version = schema_version(&transaction)?;
        let id = application_id(&transaction)?;
        let tables: i64 =
            transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if id != APPLICATION_ID && (id != 0 || version != 0 || tables != 0) {
            return Err(Error::NotAStore { path: self.path() });
        }
        if version > known {
            return Err(Error::TooNew { path: self.path(), found: version, known });
        }
        if version > 0 && version < FIRST_SCHEMA {
            return Err(Error::TooOld { path: self.path(), found: version });
        }
        for migration in MIGRATIONS.iter().skip(usize::try_from(version - FIRST_SCHEMA + 1).unwrap_or(0)) {
            transaction.execute_batch(migration)?;
        }
        transaction.pragma_update(None, "user_version", known)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.commit()?;
        Ok(())
    }

    fn not_a_store(&self, error: Error) -> Error {
        match error {
            Error::Corrupt(reason) if reason.contains("not a database") => {
                Error::NotAStore { path: self.path() }
            }
            error => error,
        }
    }
}

/// Bytes of the log beside the store.
pub(super) fn log_bytes(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(PathBuf::from(log)).map_or(0, |log| log.len())
}

fn cannot_write(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// A path as SQLite's URIs write it. Source: sqlite.org, "Uniform Resource Identifiers".
fn file_uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                uri.push(char::from(*byte))
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}

fn schema_version(connection: &Connection) -> Result<i64> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

fn application_id(connection: &Connection) -> Result<i64> {
    Ok(connection.query_row("PRAGMA application_id", [], |row| row.get(0))?)
}

/// The network file system that the folder is on, if it is on one: there the memory that SQLite's writers share is
/// not shared, and locks may not hold (sqlite.org, "Write-Ahead Logging").
#[cfg(target_os = "linux")]
fn network_file_system(folder: &Path) -> Option<&'static str> {
    let file_system = rustix::fs::statfs(folder).ok()?;
    // The field's width differs between machines; the numbers have 32 bits.
    network_kind(file_system.f_type as u64 & 0xffff_ffff)
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(_: &Path) -> Option<&'static str> {
    None
}

/// Source: statfs(2), and `include/uapi/linux/magic.h` of the kernel.
#[cfg(target_os = "linux")]
fn network_kind(magic: u64) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x564c => "NCP",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x0102_1997 => "9P",
        0x00c3_6400 => "Ceph",
        _ => return None,
    })
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_the_kernels_numbers() {
        let header = std::fs::read_to_string("/usr/include/linux/magic.h").ok();
        let Some(header) = limpid_testkit::require_or_skip(header, "the kernel's header magic.h") else {
            return;
        };
        let number = |name: &str| {
            let line = header.lines().find(|line| line.split_whitespace().nth(1) == Some(name)).unwrap();
            u64::from_str_radix(line.split_whitespace().nth(2).unwrap().trim_start_matches("0x"), 16).unwrap()
        };
        let networks = [
            ("NFS_SUPER_MAGIC", "NFS"),
            ("SMB_SUPER_MAGIC", "SMB"),
            ("CIFS_SUPER_MAGIC", "SMB"),
            ("SMB2_SUPER_MAGIC", "SMB"),
            ("NCP_SUPER_MAGIC", "NCP"),
            ("AFS_SUPER_MAGIC", "AFS"),
            ("AFS_FS_MAGIC", "AFS"),
            ("CODA_SUPER_MAGIC", "Coda"),
            ("V9FS_MAGIC", "9P"),
            ("CEPH_SUPER_MAGIC", "Ceph"),
        ];
        for (name, kind) in networks {
            assert_eq!(network_kind(number(name)), Some(kind), "{name}");
        }
        for name in [
            "EXT4_SUPER_MAGIC",
            "TMPFS_MAGIC",
            "XFS_SUPER_MAGIC",
            "OVERLAYFS_SUPER_MAGIC",
            "FUSE_SUPER_MAGIC",
        ] {
            assert_eq!(network_kind(number(name)), None, "{name}");
        }
        assert_eq!(network_file_system(Path::new("/proc")), None);
    }

    #[test]
    fn paths_survive_being_uris() {
        assert_eq!(file_uri(Path::new("/a b/c?d#e%")), "file:/a%20b/c%3Fd%23e%25");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a ?b#c%20.db");
        drop(Place::File(path.clone()).open().unwrap());
        let place = Place::ReadOnly { path, immutable: true };
        assert!(place.open().unwrap().is_readonly("main").unwrap());
    }

    #[test]
    fn connections_to_memory_share_it() {
        let place = Place::of(Path::new(":memory:")).unwrap();
        let first = place.open().unwrap();
        first.execute("INSERT INTO text (value) VALUES ('x')", []).unwrap();
        let second = place.connect().unwrap();
        let value: String = second.query_row("SELECT value FROM text", [], |row| row.get(0)).unwrap();
        assert_eq!(value, "x");
        let other = Place::of(Path::new(":memory:")).unwrap().open().unwrap();
        assert!(other.query_row("SELECT value FROM text", [], |row| row.get::<_, String>(0)).is_err());
    }
}
