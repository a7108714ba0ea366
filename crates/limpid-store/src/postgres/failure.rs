//! What a failure of the database means: whether doing it again helps, and what a person is told.

use postgres::error::SqlState;

use crate::Error;

/// What may follow a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing: the same would fail again.
    None,
    /// Nothing of it was kept, and the connection is good: do it again.
    Again,
    /// The connection is gone. Whatever it had begun and not committed was not kept.
    Reconnect,
}

pub(super) fn remedy(error: &postgres::Error) -> Remedy {
    let Some(code) = error.code() else {
        // Without a word from the server: the connection broke, or what came was no answer.
        let is_broken = error.is_closed() || source_is_io(error);
        return if is_broken { Remedy::Reconnect } else { Remedy::None };
    };
    match code.code().get(..2) {
        Some("08") => return Remedy::Reconnect,
        // An administrator ended the session, the server crashed, or is not up yet.
        Some("57") if code != &SqlState::QUERY_CANCELED => return Remedy::Reconnect,
        _ => {}
    }
    let again = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
    let reconnect = [SqlState::TOO_MANY_CONNECTIONS, SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT];
    match code {
        code if again.contains(code) => Remedy::Again,
        code if reconnect.contains(code) => Remedy::Reconnect,
        _ => Remedy::None,
    }
}

fn source_is_io(error: &postgres::Error) -> bool {
    use std::error::Error as _;
    error.source().is_some_and(|source| source.is::<std::io::Error>())
}

/// The error in a sentence.
pub(super) fn words(error: &postgres::Error) -> String {
    use std::error::Error as _;
    if let Some(error) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", error.message(), error.code().code());
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The error of a statement.
pub(super) fn error(error: &postgres::Error) -> Error {
    let Some(code) = error.code() else { return Error::Engine(words(error)) };
    match code {
        code if code == &SqlState::DISK_FULL => Error::DiskFull,
        code if [SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED].contains(code) => Error::Busy,
        code if [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code) => {
            Error::Corrupt(words(error))
        }
        code if code == &SqlState::READ_ONLY_SQL_TRANSACTION => Error::ReadOnly,
        _ => Error::Engine(words(error)),
    }
}
