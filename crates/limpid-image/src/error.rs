//! What can go wrong between a reference and the last byte of a layer.

use std::io;

use limpid_model::Digest;

use crate::RegistryError;

/// Why an image or a layer could not be read. Each reads as one sentence that names the thing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file, tag, digest or platform that was asked for is not there.
    #[error("{what} was not found{}", listed(.available))]
    NotFound {
        /// What was asked for, and where.
        what: String,
        /// What could have been asked for instead.
        available: Vec<String>,
    },
    /// A thing that is legal and that this version cannot read.
    #[error("{what} is not supported: {reason}")]
    Unsupported {
        /// The file, document or layer.
        what: String,
        /// What about it.
        reason: String,
    },
    /// A thing that breaks the rules of its format.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// The file, document or layer.
        what: String,
        /// The rule that is broken, and where.
        reason: String,
    },
    /// The bytes are not those that the digest names.
    #[error("{what} has the digest {got} instead of {expected}")]
    DigestMismatch {
        /// The blob.
        what: String,
        /// What its descriptor says.
        expected: Digest,
        /// What its bytes give.
        got: Digest,
    },
    /// The bytes are more, or fewer, than declared. Of more, only the first few too many were read.
    #[error("{what} has {got} bytes or more, {expected} are declared")]
    TooLong {
        /// The blob.
        what: String,
        /// What its descriptor says.
        expected: u64,
        /// What was read when the reading stopped.
        got: u64,
    },
    /// The bytes end before the declared size.
    #[error("{what} is cut short: it has {got} of its {expected} bytes")]
    TooShort {
        /// The blob.
        what: String,
        /// What its descriptor says.
        expected: u64,
        /// What there is.
        got: u64,
    },
    /// A bound of [`Limits`](crate::Limits) was passed.
    #[error("{what} passes a limit: {limit}")]
    Limit {
        /// The file, document or layer.
        what: String,
        /// The bound and its value.
        limit: String,
    },
    /// A registry did not give what was asked for.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Nobody answers where an engine should be.
    #[error("{engine} cannot be reached at {endpoint}: {source}")]
    EngineUnreachable {
        /// Whose engine.
        engine: &'static str,
        /// Its sockets or its address.
        endpoint: String,
        /// Why not.
        source: io::Error,
    },
    /// An engine has no image of this name.
    #[error("{engine} has no image `{name}`: {message}")]
    NotInEngine {
        /// Whose engine.
        engine: &'static str,
        /// The image.
        name: String,
        /// The engine's own words.
        message: String,
    },
    /// An engine answered, and not with what was asked for.
    #[error("{engine} failed at {what}: {reason}")]
    EngineFailed {
        /// Whose engine.
        engine: &'static str,
        /// What it was asked for.
        what: String,
        /// Its status and its own words, or what is wrong with its answer.
        reason: String,
    },
    /// A stream of layers ended too early.
    #[error("{what} breaks off after {got} bytes: {reason}")]
    StreamCut {
        /// What was streamed.
        what: String,
        /// Bytes that came.
        got: u64,
        /// Why it ended, as far as that is known.
        reason: String,
    },
    /// The operating system failed.
    #[error("{path} cannot be read: {source}")]
    Io {
        /// The file or blob.
        path: String,
        /// The failure.
        source: io::Error,
    },
}

/// At most this many alternatives are listed, so that the message stays readable.
const LISTED: usize = 20;

fn listed(available: &[String]) -> String {
    if available.is_empty() {
        return String::new();
    }
    let more = if available.len() > LISTED { ", …" } else { "" };
    let names: Vec<&str> = available.iter().take(LISTED).map(String::as_str).collect();
    format!(" (there is: {}{more})", names.join(", "))
}

impl Error {
    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into(), available: Vec::new() }
    }

    pub(crate) fn malformed(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Malformed { what: what.into(), reason: reason.into() }
    }

    pub(crate) fn unsupported(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), reason: reason.into() }
    }

    pub(crate) fn limit(what: impl Into<String>, limit: impl Into<String>) -> Self {
        Self::Limit { what: what.into(), limit: limit.into() }
    }

    pub(crate) fn io(path: impl Into<String>, source: io::Error) -> Self {
        // A stream of a registry says itself what went wrong.
        let source = match crate::registry::from_stream(source) {
            Ok(error) => return error,
            Err(source) => source,
        };
        let path = path.into();
        if source.kind() == io::ErrorKind::NotFound {
            return Self::not_found(path);
        }
        Self::Io { path, source }
    }
}
