//! An engine's HTTP interface, over a Unix socket or TCP.
//!
//! Source: Docker Engine API v1.41, which Podman speaks too. Only GET is ever sent.

use std::fmt;
use std::io::{self, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::config::Config;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use crate::Error;
use crate::manifest::DOCUMENT_BYTES_MAX;

/// How long an engine may be silent. Podman writes a whole image to its own disk before the first byte of an
/// export comes.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// Bytes of an engine's own words that are read, and shown.
const MESSAGE_BYTES_MAX: u64 = 4096;
/// Bytes of a PEM file.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// The first of these sockets that exists.
    Sockets(Vec<PathBuf>),
    /// An address as users write it: `unix:///run/docker.sock`, `tcp://host:2376`.
    Address {
        /// The address.
        address: String,
        /// The folder of `ca.pem`, `cert.pem` and `key.pem`, if the connection is to be secured.
        certificates: Option<PathBuf>,
    },
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::Sockets(Vec::new())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address, .. } => f.write_str(address),
            Self::Sockets(paths) => {
                let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
                f.write_str(&paths.join(" or "))
            }
        }
    }
}

/// Asks an engine.
pub(crate) struct Client {
    pub(crate) engine: &'static str,
    endpoint: String,
    agent: Agent,
    base: String,
}

impl Client {
    /// Makes a client; the first request connects.
    pub(crate) fn new(engine: &'static str, endpoint: &Endpoint) -> Result<Self, Error> {
        let text = endpoint.to_string();
        let refuse = |reason: String| Error::unsupported(format!("the address {text} of {engine}"), reason);
        let (socket, base, tls) = match endpoint {
            Endpoint::Sockets(paths) => {
                let Some(socket) = paths.iter().find(|path| path.exists()).or(paths.first()) else {
                    return Err(refuse("no socket is known for it".to_owned()));
                };
                (Some(socket.clone()), String::new(), None)
            }
            Endpoint::Address { address, certificates } => match address.split_once("://") {
                Some(("unix", path)) if path.starts_with('/') => {
                    (Some(PathBuf::from(path)), String::new(), None)
                }
                Some(("tcp" | "http" | "https", host)) if is_authority(host) => {
                    let host = host.trim_end_matches('/');
                    match certificates {
                        Some(folder) => (None, format!("https://{host}"), Some(tls(folder)?)),
                        None => (None, format!("http://{host}"), None),
                    }
                }
                Some(("ssh", _)) => {
                    return Err(refuse(
                        "Limpid opens no SSH connections; forward the engine's socket with \
                         `ssh -L /path/to.sock:/var/run/docker.sock HOST` and name it with unix:///path/to.sock"
                            .to_owned(),
                    ));
                }
                _ => return Err(refuse("write unix:///path/to/socket or tcp://host:port".to_owned())),
            },
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_recv_response(Some(SILENCE_MAX))
            .timeout_per_read(Some(SILENCE_MAX))
            .max_idle_connections(0);
        let config = match tls {
            Some(tls) => config.tls_config(tls).build(),
            None => config.build(),
        };
        let endpoint = socket.as_ref().filter(|_| text.is_empty()).map_or(text, |s| s.display().to_string());
        let agent = match socket {
            Some(path) => Agent::with_parts(config, UnixConnector { path }, DefaultResolver::default()),
            None => Agent::new_with_config(config),
        };
        // Over a socket nobody asks for a host, but HTTP/1.1 must name one.
        let base = if base.is_empty() { "http://127.0.0.1".to_owned() } else { base };
        Ok(Self { engine, endpoint, agent, base })
    }

    /// A document, as long as documents may be. `what` names it, `image` is the image it is of.
    pub(crate) fn document(&self, path: &str, what: &str, image: &str) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let body = self.get(path, what, image)?;
        let failed = |reason: String| self.failed(what, reason);
        body.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
        if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err(Error::limit(what, format!("{DOCUMENT_BYTES_MAX} bytes of a JSON document")));
        }
        Ok(bytes)
    }

    /// The body of an answer.
    pub(crate) fn get(&self, path: &str, what: &str, image: &str) -> Result<impl Read + use<>, Error> {
        let response = self.agent.get(format!("{}{path}", self.base)).call();
        let response = response.map_err(|error| match error {
            ureq::Error::Io(source) => self.unreachable(source),
            ureq::Error::HostNotFound => self.unreachable(io::Error::other("the host is not known")),
            ureq::Error::ConnectionFailed => self.unreachable(io::Error::other("the connection failed")),
            other => self.failed(what, other.to_string()),
        })?;
        let status = response.status();
        let body = body(response);
        if status == StatusCode::OK {
            return Ok(body);
        }
        let message = message(body);
        if status == StatusCode::NOT_FOUND {
            return Err(Error::NotInEngine { engine: self.engine, name: image.to_owned(), message });
        }
        Err(self.failed(what, format!("it answered {}: {message}", status.as_u16())))
    }

    fn unreachable(&self, source: io::Error) -> Error {
        Error::EngineUnreachable { engine: self.engine, endpoint: self.endpoint.clone(), source }
    }

    pub(crate) fn failed(&self, what: &str, reason: String) -> Error {
        Error::EngineFailed { engine: self.engine, what: what.to_owned(), reason }
    }
}

/// Whether the text is a host and a port, and nothing that would change what is asked for.
fn is_authority(text: &str) -> bool {
    let text = text.strip_suffix('/').unwrap_or(text);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]%".contains(&byte))
}

fn body(response: Response<ureq::Body>) -> impl Read {
    // The bounds are those of whoever reads.
    response.into_body().into_with_config().limit(u64::MAX).reader()
}

/// An engine's own words, from `{"message": "…"}` or whatever else it says.
fn message(body: impl Read) -> String {
    let mut bytes = Vec::new();
    // A message that cannot be read is an empty one: there is a status beside it.
    let _ = body.take(MESSAGE_BYTES_MAX).read_to_end(&mut bytes);
    let json: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
    let told = json.as_ref().and_then(|json| json.get("message")).and_then(|message| message.as_str());
    let text = told.map_or_else(|| String::from_utf8_lossy(&bytes).into_owned(), str::to_owned);
    let text = text.trim().chars().filter(|c| !c.is_control()).take(500).collect::<String>();
    if text.is_empty() { "without a word of explanation".to_owned() } else { text }
}

/// The certificates of a folder, as Docker's own client reads it.
fn tls(folder: &Path) -> Result<TlsConfig, Error> {
    let read = |name: &str| {
        let path = folder.join(name);
        let io = |error| Error::io(path.display().to_string(), error);
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&path).map_err(io)?;
        file.take(PEM_BYTES_MAX).read_to_end(&mut bytes).map_err(io)?;
        Ok::<_, Error>((path.display().to_string(), bytes))
    };
    let certificates = |(path, bytes): (String, Vec<u8>)| {
        let items: Result<Vec<_>, _> = parse_pem(&bytes).collect();
        let items = items.map_err(|error| Error::malformed(path.as_str(), error.to_string()))?;
        let found: Vec<Certificate<'static>> = items
            .into_iter()
            .filter_map(|item| match item {
                PemItem::Certificate(certificate) => Some(certificate),
                _ => None,
            })
            .collect();
        if found.is_empty() { Err(Error::malformed(path, "it has no certificate")) } else { Ok(found) }
    };
    let roots = certificates(read("ca.pem")?)?;
    let own = certificates(read("cert.pem")?)?;
    let (path, key) = read("key.pem")?;
    let key = PrivateKey::from_pem(&key).map_err(|error| Error::malformed(path, error.to_string()))?;
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .client_cert(Some(ClientCert::new_with_certs(&own, key)))
        .build())
}

/// Connects to a Unix socket, whatever the address says.
#[derive(Debug)]
struct UnixConnector {
    path: PathBuf,
}

impl Connector for UnixConnector {
    type Out = UnixTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<UnixTransport>, ureq::Error> {
        let stream = UnixStream::connect(&self.path)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        let config: &Config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(UnixTransport { stream, buffers }))
    }
}

/// A connection over a Unix socket.
#[derive(Debug)]
struct UnixTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let input = self.buffers.input_append_buf();
        let amount = loop {
            match self.stream.read(input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What a socket says when its timeout has passed.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "it is silent").into());
                }
                other => break other?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // No connection is used twice.
        false
    }
}
