//! What the service goes by: `defaults.yaml`, then Clair's own file if one is named, then the service's file, then the
//! environment. Each key is written down in `defaults.yaml` and nowhere else.

mod clair;
mod duration;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use limpid_image::OutboundPolicy;
use serde::Deserialize;
use serde_json::Value;

/// Every key with its default, and what it means.
pub const DEFAULTS: &str = include_str!("defaults.yaml");
/// What the names of variables begin with.
const ENVIRONMENT: &str = "LIMPID_SERVE_";
/// Bytes of a file of settings.
const FILE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a shared key: less can be guessed.
const KEY_BYTES_MIN: usize = 16;
/// Where /healthz and its like are if nothing is said: Clair's port.
const INTROSPECTION_PORT: u16 = 8089;

/// What the service goes by.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the APIs are served.
    pub listen: String,
    introspection: String,
    auth: WireAuth,
    registries: Vec<String>,
    /// Keeping advisories up to date.
    pub feeds: Feeds,
    /// Clair's API.
    pub clair: Clair,
    /// Bounds.
    pub limits: Limits,
    /// What is logged.
    pub log: Log,
}

/// Keeping advisories up to date.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feeds {
    /// Whether the service does it.
    pub update: bool,
    /// How often.
    #[serde(deserialize_with = "duration::read")]
    pub period: Duration,
    /// Releases to load at the start.
    pub releases: Vec<String>,
    /// What is fetched on vulnerabilities themselves.
    pub enrichment: Enrichment,
}

/// What is fetched on vulnerabilities themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enrichment {
    /// Nothing.
    None,
    /// Scores, exploited vulnerabilities, and CVE records as they are needed.
    Small,
    /// All CVE records and NVD too.
    Full,
}

/// Clair's API.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clair {
    /// For how long others may keep a vulnerability report.
    #[serde(deserialize_with = "duration::read")]
    pub cache_age: Duration,
}

/// Bounds; `defaults.yaml` says what each is for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Limits {
    pub body_bytes: usize,
    #[serde(deserialize_with = "duration::read")]
    pub header_timeout: Duration,
    #[serde(deserialize_with = "duration::read")]
    pub body_timeout: Duration,
    #[serde(deserialize_with = "duration::read")]
    pub write_timeout: Duration,
    pub connections: usize,
    pub index_requests: usize,
    pub questions: usize,
    pub questions_waiting: usize,
    pub layers: usize,
    #[serde(deserialize_with = "duration::read")]
    pub shutdown_timeout: Duration,
}

/// What is logged.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// From which level on.
    pub level: LogLevel,
    /// How.
    pub format: LogFormat,
}

/// How bad something must be to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum WireAuth {
    Word(String),
    Keys(WireKeys),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireKeys {
    psk: WirePsk,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WirePsk {
    key: String,
    #[serde(default)]
    issuers: Vec<String>,
}

impl std::fmt::Debug for WireAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Word(_) => "Word",
            // It holds a key.
            Self::Keys(_) => "Keys",
        })
    }
}

/// Who may ask.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// Nothing was said.
    Unset,
    /// Everybody, on purpose.
    None,
    /// Whoever shows a token that this key signed.
    Psk {
        /// The key's bytes.
        key: Vec<u8>,
        /// Whose tokens count.
        issuers: Vec<String>,
    },
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is not read.
    #[error("{file} cannot be used: {reason}")]
    File {
        /// Which one.
        file: String,
        /// Why.
        reason: String,
    },
    /// A key has a value that makes no sense.
    #[error("`{key}`: {reason}")]
    Key {
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
    /// The APIs would be open to the network.
    #[error(
        "the service would answer everybody who reaches {listen}; set `auth`: a shared key, or `none` if that is meant"
    )]
    Open {
        /// Where it would listen.
        listen: String,
    },
}

/// A file of settings, as text.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// What it says.
    pub text: &'a str,
}

impl Config {
    /// The settings, and what of Clair's file has no meaning here.
    pub fn load(
        own: Option<File<'_>>,
        clair: Option<File<'_>>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let mut settings = yaml(File { name: "the defaults", text: DEFAULTS })?;
        let mut warnings = Vec::new();
        if let Some(file) = clair {
            merge(&mut settings, clair::translate(&yaml(file)?, &mut warnings));
        }
        if let Some(file) = own {
            merge(&mut settings, yaml(file)?);
        }
        for (name, value) in environment {
            let Some(key) = name.strip_prefix(ENVIRONMENT) else { continue };
            set(&mut settings, &key.to_ascii_lowercase(), &value).ok_or_else(|| {
                key_error(&name, "it stands for no key; `limpid config defaults` lists them")
            })?;
        }
        let config: Self = serde_path_to_error::deserialize(settings).map_err(|error| ConfigError::Key {
            key: error.path().to_string(),
            reason: error.inner().to_string(),
        })?;
        config.check()?;
        Ok((config, warnings))
    }

    /// Everything that can be told without opening anything.
    fn check(&self) -> Result<(), ConfigError> {
        self.outbound()?;
        self.introspection_address()?;
        for release in &self.feeds.releases {
            if limpid_feeds::feeds_for(release).next().is_none() {
                let reason = format!("no feed speaks for `{release}`; write debian:12 or alpine:3.20");
                return Err(key_error("feeds.releases", &reason));
            }
        }
        for (key, number) in [
            ("limits.connections", self.limits.connections),
            ("limits.index_requests", self.limits.index_requests),
            ("limits.questions", self.limits.questions),
        ] {
            if !(1..=100_000).contains(&number) {
                return Err(key_error(key, "it must be between 1 and 100000"));
            }
        }
        let auth = self.auth()?;
        let all_loopback =
            addresses("listen", &self.listen)?.iter().all(|address| address.ip().is_loopback());
        if auth == Auth::Unset && !all_loopback {
            return Err(ConfigError::Open { listen: self.listen.clone() });
        }
        Ok(())
    }

    /// Who may ask.
    pub fn auth(&self) -> Result<Auth, ConfigError> {
        let psk = match &self.auth {
            WireAuth::Word(word) if word == "unset" => return Ok(Auth::Unset),
            WireAuth::Word(word) if word == "none" => return Ok(Auth::None),
            WireAuth::Word(_) => {
                return Err(key_error("auth", "it is `unset`, `none`, or has `psk` below it"));
            }
            WireAuth::Keys(keys) => &keys.psk,
        };
        // What the decoder says of a key is not repeated.
        let key =
            STANDARD.decode(psk.key.trim()).map_err(|_| key_error("auth.psk.key", "it is not base64"))?;
        if key.len() < KEY_BYTES_MIN {
            return Err(key_error("auth.psk.key", &format!("it has less than {KEY_BYTES_MIN} bytes")));
        }
        Ok(Auth::Psk { key, issuers: psk.issuers.clone() })
    }

    /// What may be asked on behalf of callers.
    pub fn outbound(&self) -> Result<OutboundPolicy, ConfigError> {
        OutboundPolicy::new(self.registries.iter().map(String::as_str))
            .map_err(|error| key_error("registries", &error.to_string()))
    }

    /// Where the APIs are served.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, ConfigError> {
        addresses("listen", &self.listen)
    }

    /// Where /healthz and its like are, if anywhere.
    pub fn introspection_address(&self) -> Result<Option<SocketAddr>, ConfigError> {
        match self.introspection.as_str() {
            "off" => Ok(None),
            "auto" => {
                let served = self.addresses()?.first().copied();
                Ok(served.map(|address| SocketAddr::new(address.ip(), INTROSPECTION_PORT)))
            }
            text => Ok(addresses("introspection", text)?.first().copied()),
        }
    }
}

fn key_error(key: &str, reason: &str) -> ConfigError {
    ConfigError::Key { key: key.to_owned(), reason: reason.to_owned() }
}

/// The addresses of `HOST:PORT`; of `:PORT` all of the machine, as Go reads it.
fn addresses(key: &str, text: &str) -> Result<Vec<SocketAddr>, ConfigError> {
    let text = text.trim();
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    let found = full.to_socket_addrs().map(|addresses| addresses.collect::<Vec<_>>());
    match found {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        _ => Err(key_error(key, &format!("`{text}` is no address; write HOST:PORT or :PORT"))),
    }
}

fn yaml(file: File<'_>) -> Result<Value, ConfigError> {
    let error = |reason: String| ConfigError::File { file: file.name.to_owned(), reason };
    if file.text.len() > FILE_BYTES_MAX {
        return Err(error(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    // `off` is a word here, as in YAML since 1.2.
    let options = serde_saphyr::Options { strict_booleans: true, ..serde_saphyr::Options::default() };
    let value: Value = serde_saphyr::from_str_with_options(file.text, options)
        .map_err(|reason| error(reason.to_string()))?;
    match value {
        Value::Null => Ok(Value::Object(serde_json::Map::new())),
        Value::Object(_) => Ok(value),
        _ => Err(error("it has no keys".to_owned())),
    }
}

/// Puts what `from` says in the place of what is there, key by key.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// Sets the key that a variable names, with a value of the kind that is there; `None` if there is no such key.
fn set(settings: &mut Value, name: &str, text: &str) -> Option<()> {
    let list = |text: &str| {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Value::from).collect()
    };
    // Keys that no default has.
    if let Some(key) = name.strip_prefix("auth_psk_") {
        let value = match key {
            "key" => Value::from(text),
            "issuers" => Value::Array(list(text)),
            _ => return None,
        };
        let mut psk = serde_json::Map::new();
        psk.insert(key.to_owned(), value);
        merge(settings.get_mut("auth")?, serde_json::json!({ "psk": psk }));
        return Some(());
    }
    let keys = settings.as_object_mut()?;
    for (key, value) in keys.iter_mut() {
        if key == name {
            *value = match value {
                Value::Array(_) => Value::Array(list(text)),
                Value::Bool(_) => text.parse().map_or_else(|_| Value::from(text), Value::Bool),
                Value::Number(_) => text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from),
                _ => Value::from(text),
            };
            return Some(());
        }
        if let Some(rest) = name.strip_prefix(key.as_str()).and_then(|rest| rest.strip_prefix('_')) {
            return set(value, rest, text);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
