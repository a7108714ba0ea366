//! What the flow tells whoever watches, and what it needs of the world: a clock.

use limpid_model::Digest;

/// The time, handed in so that tests can stop it.
pub trait Clock: Send + Sync {
    /// Seconds since the epoch.
    fn now(&self) -> i64;
    /// Waits a moment; a test's clock just moves on.
    fn wait(&self, duration: std::time::Duration);
}

/// Watches the flow. Calls come from several threads.
pub trait Progress: Send + Sync {
    /// So many images more are wanted than was known.
    fn images_found(&self, _images: u64) {}
    /// An image is done, well or not.
    fn image_ends(&self) {}
    /// A layer of so many bytes will be read, or waited for.
    fn layer_is_due(&self, _size_bytes: u64) {}
    /// A layer that was due is there, or cannot be had.
    fn layer_is_there(&self, _size_bytes: u64) {}
    /// A layer is about to be read; of how many bytes, if that is known.
    fn layer_begins(&self, layer: &Digest, size_bytes: u64);
    /// So many bytes of it were read.
    fn layer_advances(&self, layer: &Digest, bytes: u64);
    /// It was read, or reading it failed.
    fn layer_ends(&self, layer: &Digest);
    /// A feed's document is about to be fetched.
    fn feed_begins(&self, name: &str);
    /// So many advisories of it were read.
    fn feed_advances(&self, name: &str, advisories: u64);
    /// It is done; what came of it, for people.
    fn feed_ends(&self, name: &str, outcome: &str);
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn layer_begins(&self, _: &Digest, _: u64) {}
    fn layer_advances(&self, _: &Digest, _: u64) {}
    fn layer_ends(&self, _: &Digest) {}
    fn feed_begins(&self, _: &str) {}
    fn feed_advances(&self, _: &str, _: u64) {}
    fn feed_ends(&self, _: &str, _: &str) {}
}
