//! What can be wrong with a gzip stream, with the place in the compressed bytes.

use std::fmt;
use std::io;

/// A defect of the DEFLATE data itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// The input ends inside the stream.
    Truncated,
    /// Block type 3, which the format reserves.
    InvalidBlockType,
    /// The length of a stored block and its complement disagree.
    StoredLengthMismatch,
    /// The code lengths of a dynamic block do not describe a usable prefix code.
    InvalidCodeLengths,
    /// The bits at hand are no code, or a code that the format reserves.
    InvalidSymbol,
    /// A match reaches before the start of the output or of its member.
    DistanceTooFar,
}

/// Why decoding stopped. Offsets count compressed bytes from the start of the stream.
#[derive(Debug)]
pub enum Error {
    /// The input ends inside a member.
    Truncated {
        /// Where the input ended.
        offset: u64,
    },
    /// A block header has the reserved type.
    InvalidBlockType {
        /// Where the block starts, within a few bytes.
        offset: u64,
    },
    /// A stored block whose length and complement disagree.
    StoredLengthMismatch {
        /// Where the block starts, within a few bytes.
        offset: u64,
    },
    /// A dynamic block whose code lengths do not describe a usable prefix code.
    InvalidCodeLengths {
        /// Where the block starts, within a few bytes.
        offset: u64,
    },
    /// Bits that are no code, or a code that the format reserves.
    InvalidSymbol {
        /// Where the symbol is, within a few bytes.
        offset: u64,
    },
    /// A match that reaches before the start of its member's output.
    DistanceTooFar {
        /// Where the match is, within a few bytes.
        offset: u64,
    },
    /// The CRC-32 in a member's trailer is not that of the output.
    ChecksumMismatch {
        /// Where the trailer starts.
        offset: u64,
        /// What the trailer says.
        expected: u32,
        /// What the output gives.
        actual: u32,
    },
    /// The size in a member's trailer is not that of the output.
    SizeMismatch {
        /// Where the trailer starts.
        offset: u64,
        /// What the trailer says, modulo 2^32.
        expected: u32,
        /// What was put out, modulo 2^32.
        actual: u32,
    },
    /// A member header that is not gzip's, or passes a bound.
    BadHeader {
        /// Where in the header.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// Bytes after the last member that are neither a member nor zero padding. All output was given.
    TrailingData {
        /// Where the bytes start.
        offset: u64,
    },
    /// The reader below failed.
    Io(io::Error),
}

impl Error {
    pub(crate) fn from_defect(defect: Defect, offset: u64) -> Error {
        match defect {
            Defect::Truncated => Error::Truncated { offset },
            Defect::InvalidBlockType => Error::InvalidBlockType { offset },
            Defect::StoredLengthMismatch => Error::StoredLengthMismatch { offset },
            Defect::InvalidCodeLengths => Error::InvalidCodeLengths { offset },
            Defect::InvalidSymbol => Error::InvalidSymbol { offset },
            Defect::DistanceTooFar => Error::DistanceTooFar { offset },
        }
    }

    /// The same error again, for a decoder that is asked once more after it failed.
    pub(crate) fn repeat(&self) -> Error {
        match *self {
            Error::Truncated { offset } => Error::Truncated { offset },
            Error::InvalidBlockType { offset } => Error::InvalidBlockType { offset },
            Error::StoredLengthMismatch { offset } => Error::StoredLengthMismatch { offset },
            Error::InvalidCodeLengths { offset } => Error::InvalidCodeLengths { offset },
            Error::InvalidSymbol { offset } => Error::InvalidSymbol { offset },
            Error::DistanceTooFar { offset } => Error::DistanceTooFar { offset },
            Error::ChecksumMismatch { offset, expected, actual } => {
                Error::ChecksumMismatch { offset, expected, actual }
            }
            Error::SizeMismatch { offset, expected, actual } => {
                Error::SizeMismatch { offset, expected, actual }
            }
            Error::BadHeader { offset, reason } => Error::BadHeader { offset, reason },
            Error::TrailingData { offset } => Error::TrailingData { offset },
            Error::Io(ref error) => Error::Io(io::Error::new(error.kind(), error.to_string())),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Truncated { offset } => write!(f, "the compressed stream ends early, at byte {offset}"),
            Error::InvalidBlockType { offset } => {
                write!(f, "a block near byte {offset} has the reserved type")
            }
            Error::StoredLengthMismatch { offset } => {
                write!(f, "a stored block near byte {offset} has a length that its complement denies")
            }
            Error::InvalidCodeLengths { offset } => {
                write!(f, "a block near byte {offset} has code lengths that give no usable prefix code")
            }
            Error::InvalidSymbol { offset } => write!(f, "the bits near byte {offset} are no valid code"),
            Error::DistanceTooFar { offset } => {
                write!(f, "a match near byte {offset} reaches before the start of the output")
            }
            Error::ChecksumMismatch { offset, expected, actual } => write!(
                f,
                "the trailer at byte {offset} gives CRC-32 {expected:08x} but the output has {actual:08x}"
            ),
            Error::SizeMismatch { offset, expected, actual } => write!(
                f,
                "the trailer at byte {offset} gives a size of {expected} bytes but {actual} were put out"
            ),
            Error::BadHeader { offset, reason } => write!(f, "the gzip header at byte {offset} {reason}"),
            Error::TrailingData { offset } => {
                write!(f, "data that is no gzip member follows the last member at byte {offset}")
            }
            Error::Io(_) => write!(f, "the compressed stream cannot be read"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        match error {
            Error::Io(error) => error,
            Error::Truncated { .. } => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            _ => io::Error::new(io::ErrorKind::InvalidData, error),
        }
    }
}
