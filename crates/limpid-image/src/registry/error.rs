//! What can go wrong between a name and a registry's bytes.

use std::path::PathBuf;

/// Why a registry did not give what was asked for: one variant for each cause that a user treats differently.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The text is no image's name.
    #[error("`{name}` is not the name of an image: {reason}")]
    Name {
        /// The text.
        name: String,
        /// The rule that it breaks.
        reason: String,
    },
    /// The network may not be used.
    #[error("the image {name} is in a registry, which is not asked in offline mode")]
    Offline {
        /// The image.
        name: String,
    },
    /// registries.conf forbids it.
    #[error("the image {name} is not pulled: registries.conf blocks `{prefix}`")]
    Blocked {
        /// The image.
        name: String,
        /// The entry that says so.
        prefix: String,
    },
    /// A file of settings, certificates or credentials cannot be used.
    #[error("{path} cannot be used: {reason}")]
    Configuration {
        /// The file, or the option.
        path: String,
        /// Why.
        reason: String,
    },
    /// No such host.
    #[error("the registry's host {host} is unknown")]
    UnknownHost {
        /// The host.
        host: String,
    },
    /// No connection.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// No secure connection.
    #[error("no secure connection to {host}: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// Something would be asked for or sent without TLS at a host that is not named for that.
    #[error("{url} is not asked: it is plain HTTP, and {host} is not named as an insecure registry")]
    PlainHttp {
        /// The address.
        url: String,
        /// Its host.
        host: String,
    },
    /// It is not asked on behalf of others, since nobody named it.
    #[error("{host} is not asked: {reason}")]
    NotAllowed {
        /// The host.
        host: String,
        /// What it is.
        reason: String,
    },
    /// The registry wants to know who asks, and what it was told is not enough.
    #[error("{host} wants credentials for {what} ({})", looked(.tried, .said))]
    Unauthorized {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// Where credentials were looked for, and with what result; never the credentials.
        tried: Vec<String>,
        /// What the registry said.
        said: String,
    },
    /// The token server gives no token.
    #[error("{realm} gives no token for {what}: {reason}")]
    Token {
        /// The token server.
        realm: String,
        /// What was asked for.
        what: String,
        /// Why.
        reason: String,
    },
    /// Whoever asks may not have it.
    #[error("{host} refuses {what}{}", saying(.said))]
    Forbidden {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// What the registry said.
        said: String,
    },
    /// It is not there.
    #[error("{host} has no {what}{}", there_is(.available))]
    NotFound {
        /// The host.
        host: String,
        /// The repository, the tag or the digest.
        what: String,
        /// Tags that are there, the nearest first.
        available: Vec<String>,
    },
    /// Too many requests.
    #[error("{host} has had too many requests and asks to wait{}", saying(.said))]
    TooManyRequests {
        /// The host.
        host: String,
        /// What the registry said.
        said: String,
    },
    /// Any other answer that is none.
    #[error("{host} answered {status} to the request for {what}{}", saying(.said))]
    Status {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// The status.
        status: u16,
        /// What the registry said.
        said: String,
    },
    /// An answer that breaks the rules of the protocol.
    #[error("{host} broke the protocol in its answer for {what}: {reason}")]
    Protocol {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// The rule.
        reason: String,
    },
    /// The connection broke again and again.
    #[error("the connection to {host} broke at byte {position} of {what}, also when tried again: {reason}")]
    Cut {
        /// The host.
        host: String,
        /// What was read.
        what: String,
        /// How much of it came.
        position: u64,
        /// The last failure.
        reason: String,
    },
    /// Whatever failed, a file or folder has the name, and may be what was meant.
    #[error("{error}")]
    OnDisk {
        /// What failed.
        error: Box<crate::Error>,
        /// The file or folder.
        path: PathBuf,
    },
    /// Neither the registry nor one of its mirrors had it.
    #[error("{last}; before that, {}", .others.join("; "))]
    Everywhere {
        /// What the last one said.
        last: Box<crate::Error>,
        /// What the ones before it said.
        others: Vec<String>,
    },
}

fn looked(tried: &[String], said: &str) -> String {
    let looked = if tried.is_empty() { "none were given".to_owned() } else { tried.join(", ") };
    if said.is_empty() { looked } else { format!("{looked}; it says: {said}") }
}

fn saying(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" (it says: {said})") }
}

fn there_is(available: &[String]) -> String {
    if available.is_empty() { String::new() } else { format!(" (there is: {})", available.join(", ")) }
}
