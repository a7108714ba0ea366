//! What can be wrong with a feed's document as a whole.

use std::io;

use crate::SinkError;

/// Why a document could not be read to its end. Nothing of such a document should be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The bytes could not be had, or not be decompressed.
    #[error("{document} could not be read: {source}")]
    Read {
        /// The document's name.
        document: String,
        /// Why.
        source: io::Error,
    },
    /// The bytes are not what the feed publishes.
    #[error("{document} is not well-formed at byte {offset}: {reason}")]
    Malformed {
        /// The document's name.
        document: String,
        /// Where, counted in the decompressed document.
        offset: u64,
        /// What was expected, or found.
        reason: String,
    },
    /// More of something than [`Limits`](crate::Limits) allow.
    #[error("{document} is beyond the limit of {limit} {what}")]
    TooLarge {
        /// The document's name.
        document: String,
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// The document has none of the records that it exists for.
    #[error("{document} holds no advisories, although it always should")]
    Empty {
        /// The document's name.
        document: String,
    },
    /// Whoever takes the advisories wants no more of them.
    #[error("the advisories of {document} could not be taken: {source}")]
    Sink {
        /// The document's name.
        document: String,
        /// Why.
        source: SinkError,
    },
}
