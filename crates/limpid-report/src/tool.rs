//! What documents say of the program that made them.

/// Its name.
pub(crate) const NAME: &str = "limpid";
/// Its version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Where it is from.
pub(crate) const URL: &str = env!("CARGO_PKG_REPOSITORY");
