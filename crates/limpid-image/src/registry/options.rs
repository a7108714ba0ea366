//! How registries are reached. The library reads no environment: whoever fills this in does.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{OutboundPolicy, RegistryError};

/// A secret: never shown, never serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: for a request's header or body and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Which tool's rules an authentication file follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthFileKind {
    /// Docker's `config.json`, and podman's `auth.json`, which has the same form.
    Config,
    /// The old `.dockercfg`, which has the hosts at its top.
    DockerCfg,
}

/// Where credentials may be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthFile {
    /// A file. One that is not there is passed over, unless it is required.
    Path {
        /// Where.
        path: PathBuf,
        /// How it is written.
        kind: AuthFileKind,
        /// Whether it is an error that it is not there: the user named it.
        required: bool,
    },
    /// The content of one, in the form of Docker's `config.json`, and where it is from, for messages.
    Content {
        /// For messages.
        name: String,
        /// The JSON text.
        text: Secret,
    },
}

/// A client certificate and its key, both PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Proxies, as the environment's `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say; empty for none.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For `https` addresses. May hold a password.
    pub https: Option<Secret>,
    /// For `http` addresses.
    pub http: Option<Secret>,
    /// Hosts that are reached directly, separated by commas.
    pub exceptions: String,
}

/// How registries are reached.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Whether the network must not be used.
    pub offline: bool,
    /// Credentials for the registry that the reference names, before all others; never for a mirror.
    pub username: Option<String>,
    /// The password to it.
    pub password: Option<Secret>,
    /// A token that is sent as it is to the registry that the reference names.
    pub token: Option<Secret>,
    /// Where credentials are looked for, first match first.
    pub auth_files: Vec<AuthFile>,
    /// How long a credential helper may take.
    pub helper_timeout: Duration,
    /// registries.conf and what is beside it, in the order of reading; later ones win. Those that are not
    /// there are passed over.
    pub registries_conf: Vec<PathBuf>,
    /// A registries.conf that the user named, which must be there; the others are not read then.
    pub registries_conf_required: Option<PathBuf>,
    /// Folders with a folder for each host in them: `HOST[:PORT]/*.crt`, `*.cert`, `*.key`.
    pub certificate_directories: Vec<PathBuf>,
    /// Certificate authorities to trust beside the system's.
    pub ca_files: Vec<PathBuf>,
    /// What to show to a registry that asks who the client is.
    pub client_certificate: Option<ClientCertificate>,
    /// Hosts (`HOST` or `HOST:PORT`) that may be spoken to without a valid certificate, or without TLS.
    pub insecure_registries: Vec<String>,
    /// Proxies.
    pub proxies: Proxies,
    /// What may be asked, where callers name addresses; everything if nothing is said.
    pub outbound: Option<OutboundPolicy>,
    /// Whether layers that registries do not give away are fetched from the addresses that the manifest names.
    pub foreign_layers: bool,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for an answer, and for each further piece of a body.
    pub read_timeout: Duration,
    /// How often a failure that may pass is tried again without progress in between.
    pub retries: u32,
    /// The first pause before a retry; each further one is twice as long, and a random part of it is waited.
    pub pause: Duration,
    /// The longest pause, also where the server asks for a longer one.
    pub pause_max: Duration,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            offline: false,
            username: None,
            password: None,
            token: None,
            auth_files: Vec::new(),
            helper_timeout: Duration::from_secs(30),
            registries_conf: Vec::new(),
            registries_conf_required: None,
            certificate_directories: Vec::new(),
            ca_files: Vec::new(),
            client_certificate: None,
            insecure_registries: Vec::new(),
            proxies: Proxies::default(),
            outbound: None,
            foreign_layers: false,
            connect_timeout: Duration::from_secs(15),
            read_timeout: Duration::from_secs(60),
            retries: 4,
            pause: Duration::from_millis(500),
            pause_max: Duration::from_secs(60),
        }
    }
}

impl RegistryOptions {
    /// The same, with the credentials of an `Authorization` header (`Basic …` or `Bearer …`) in place of the user's.
    pub fn authorized(mut self, header: &str) -> Result<Self, RegistryError> {
        let wrong = |reason: &str| RegistryError::Configuration {
            path: "the authorization for the registry".to_owned(),
            reason: reason.to_owned(),
        };
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or_default();
        let rest = rest.trim();
        (self.username, self.password, self.token) = (None, None, None);
        if scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty() {
            self.token = Some(Secret::new(rest));
        } else if scheme.eq_ignore_ascii_case("basic") {
            let bytes = STANDARD.decode(rest).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            // Names of robots have a `$`, passwords may have colons.
            let pair = text.as_deref().and_then(|text| text.split_once(':'));
            let (username, password) = pair.ok_or_else(|| wrong("it is no name and password in base64"))?;
            (self.username, self.password) = (Some(username.to_owned()), Some(Secret::new(password)));
        } else {
            return Err(wrong("it is neither `Basic` nor `Bearer`"));
        }
        Ok(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn authorizations_are_read_as_harbor_sends_them() {
        let read = |header: &str| {
            let options = RegistryOptions { token: Some(Secret::new("own")), ..RegistryOptions::default() };
            let options = options.authorized(header)?;
            let shown =
                |secret: Option<Secret>| secret.map(|secret| secret.expose().to_owned()).unwrap_or_default();
            Ok::<_, RegistryError>((
                options.username.unwrap_or_default(),
                shown(options.password),
                shown(options.token),
            ))
        };
        let three = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(read("Bearer abc").unwrap(), three("", "", "abc"));
        // `robot$a+b:se:cret`
        assert_eq!(read("Basic cm9ib3QkYStiOnNlOmNyZXQ=").unwrap(), three("robot$a+b", "se:cret", ""));
        for wrong in ["", "abc", "Digest x", "Basic !!!", "Basic YWJj", "Bearer  "] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
