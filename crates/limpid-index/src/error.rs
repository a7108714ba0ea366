//! What can go wrong on the way from an image to its report.

use limpid_model::Digest;

/// One variant for each cause that a caller treats differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] limpid_image::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] limpid_store::Error),
    /// A value cannot be hashed.
    #[error("findings of layer {layer} cannot be encoded: {reason}")]
    Encode {
        /// The layer.
        layer: Digest,
        /// Why.
        reason: String,
    },
    /// A stream that was read twice was not the same twice.
    #[error("the image changed while it was read: layer {expected} came as {got} the second time")]
    Changed {
        /// What came first.
        expected: Digest,
        /// What came then.
        got: Digest,
    },
    /// Composition kept asking for more files.
    #[error("the links of image {0} lead on and on; it is refused")]
    Endless(Digest),
    /// The store failed before the image's turn came.
    #[error("it was not looked at, since the store failed before")]
    Stopped,
    /// The store knows the image, and not what one of its layers says.
    #[error("the store has lost what layer {0} says; index the image again")]
    LayerGone(Digest),
    /// A list cannot go on where it should.
    #[error("{0}")]
    Cursor(String),
    /// A job of the queue asks for what cannot be done.
    #[error("{0}")]
    Work(String),
    /// A worker thread ended without a result.
    #[error("a worker ended without a result")]
    Worker,
}
