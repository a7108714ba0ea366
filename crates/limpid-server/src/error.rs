//! Why the service does not start, or ends.

use std::net::SocketAddr;

use crate::ConfigError;

/// One variant for each cause that a caller treats differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings make no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address cannot be listened at.
    #[error("{address} cannot be listened at: {source}")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The system gives no threads, or none more.
    #[error("the service cannot run: {0}")]
    System(#[from] std::io::Error),
}
