//! What can go wrong with a store.

use std::path::PathBuf;

/// A result of the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, one variant for each cause that a caller treats differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store's file cannot be opened or created.
    #[error("the store {path} cannot be opened: {reason}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file is something else than a store of Limpid.
    #[error("{path} is not a Limpid store")]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// The store was written by a Limpid from before the first release.
    #[error("the store {path} has schema {found}, which was never released")]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// The store was written by a newer Limpid.
    #[error("the store {path} has schema {found}, this Limpid knows schemas up to {known}")]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that is known.
        known: i64,
    },
    /// The store would lie where many processes cannot share it.
    #[error("the store {path} is on a network file system ({kind}), where processes cannot share it safely")]
    NetworkFileSystem {
        /// The file.
        path: PathBuf,
        /// Which one.
        kind: &'static str,
    },
    /// The address of a database is not one.
    #[error("the address of the database is not right: {reason}")]
    Address {
        /// Why. It has no password in it.
        reason: String,
    },
    /// The database does not answer, or not this user.
    #[error("the database {address} cannot be used: {reason}")]
    Unreachable {
        /// Which one, without a password.
        address: String,
        /// Why.
        reason: String,
    },
    /// What a store is to be copied to has something in it.
    #[error("the store {0} is not empty; a store is copied into an empty one")]
    NotEmpty(String),
    /// The engine does not do this itself.
    #[error("{0}")]
    Elsewhere(&'static str),
    /// The disk is full; nothing of the change was kept.
    #[error("the disk of the store is full; nothing of the last change was kept")]
    DiskFull,
    /// Another process held the store for too long.
    #[error("the store is busy: another process has been writing to it for too long")]
    Busy,
    /// The file is damaged.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The store may only be read.
    #[error("the store may only be read, not written")]
    ReadOnly,
    /// The same image digest was stored before with other layers.
    #[error("image {0} is known with a different list of layers; one of the two is forged")]
    Conflict(limpid_model::Digest),
    /// Something that the caller held on to was freed, because nothing in the store used it.
    #[error("{0} was removed from the store meanwhile")]
    Gone(String),
    /// A job is larger than any is.
    #[error("{0}")]
    JobRefused(String),
    /// A file that must not be overwritten is there.
    #[error("{path} exists already")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Other processes have the store open.
    #[error("the store {path} is in use")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A backup does not hold what a store must hold.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it first.
        what: String,
    },
    /// Anything else that the engine reports.
    #[error("the store failed: {0}")]
    Engine(String),
    /// A caller's own error that ended an operation in the middle; nothing of it was kept.
    #[error("{0}")]
    Caller(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Whether the next operation will fail for the same reason, whatever it is about.
    pub fn concerns_all(&self) -> bool {
        !matches!(self, Self::Conflict(_) | Self::Gone(_) | Self::JobRefused(_) | Self::Caller(_))
    }

    /// Whether the same may succeed later although nobody changed anything: a server that restarts, a disk that
    /// others empty, a store that another process holds for long.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Busy | Self::DiskFull | Self::Unreachable { .. } | Self::Engine(_) | Self::Gone(_)
        )
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match &error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => Self::DiskFull,
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt(error.to_string()),
                ErrorCode::ReadOnly => Self::ReadOnly,
                _ => Self::Engine(error.to_string()),
            },
            _ => Self::Engine(error.to_string()),
        }
    }
}
