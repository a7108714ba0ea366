//! Getting documents: from upstream by HTTP, from a mirror, or from a folder.
//!
//! Requests are conditional, failures that pass are tried again, and a body that is cut is resumed where it
//! was cut, if the server names the body by an `ETag`. Source: RFC 9110, sections 13 (conditional requests)
//! and 14 (ranges).

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use ureq::Agent;
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::resume::Resuming;

/// How documents are got.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// Where to look instead of upstream.
    pub mirror: Option<Mirror>,
    /// Whether the network must not be used. A folder may.
    pub offline: bool,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for an answer, and for each further piece of a body.
    pub read_timeout: Duration,
    /// How often a failure that may pass is tried again.
    pub retries: u32,
    /// The first pause before a retry; each further one is twice as long.
    pub pause: Duration,
    /// Bytes of a document as it is transferred. The largest feeds have some hundred megabytes.
    pub bytes_max: u64,
    /// Bytes a second, on average over each `read_timeout`, below which a body counts as stuck: else a
    /// server that sends a byte now and then would keep us for ever.
    pub rate_bytes_min: u64,
}

/// The longest pause that a server's `Retry-After` is obeyed for.
const PAUSE_MAX: Duration = Duration::from_secs(30);

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            mirror: None,
            offline: false,
            connect_timeout: Duration::from_secs(15),
            read_timeout: Duration::from_secs(60),
            retries: 4,
            pause: Duration::from_millis(500),
            bytes_max: 8 << 30,
            rate_bytes_min: 1 << 10,
        }
    }
}

/// A base under which `HOST/PATH` of each upstream address lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mirror {
    /// An HTTP server.
    Url(String),
    /// A folder.
    Directory(PathBuf),
}

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file://") {
            return Ok(Self::Directory(PathBuf::from(path)));
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Url(text.trim_end_matches('/').to_owned()));
        }
        if text.is_empty() || text.contains("://") {
            return Err(format!("`{text}` is neither a folder nor an http, https or file address"));
        }
        Ok(Self::Directory(PathBuf::from(text)))
    }
}

/// What a server said of a document, for the next conditional request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    /// `ETag`, as sent; empty for none.
    pub etag: String,
    /// `Last-Modified`, as sent; empty for none.
    pub last_modified: String,
}

/// What came of a request.
pub enum Fetched {
    /// The document is the one that the validators name.
    NotModified,
    /// The document.
    Body {
        /// Its bytes, as transferred.
        reader: Box<dyn Read + Send>,
        /// For the next request.
        validators: Validators,
        /// How many bytes, if that is known.
        length: Option<u64>,
    },
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotModified => f.write_str("NotModified"),
            Self::Body { validators, length, .. } => write!(f, "Body({validators:?}, {length:?})"),
        }
    }
}

/// Why a document could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The network may not be used.
    #[error(
        "{url} is not fetched in offline mode; leave out --offline, or name a folder with --feeds-mirror"
    )]
    Offline {
        /// The document.
        url: String,
    },
    /// There is no such document.
    #[error("{place} does not exist")]
    NotFound {
        /// Where it was looked for.
        place: String,
    },
    /// The server refused.
    #[error("{url} was answered with {status}")]
    Status {
        /// The document.
        url: String,
        /// The status.
        status: u16,
    },
    /// The network failed, also when tried again.
    #[error("{url} cannot be reached ({reason})")]
    Network {
        /// The document.
        url: String,
        /// Why.
        reason: String,
    },
    /// A file of a mirror cannot be read.
    #[error("{path} cannot be read: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The address leads out of the mirror's folder, or is no address.
    #[error("`{0}` is not an address that a mirror can hold")]
    Address(String),
    /// More bytes than are read.
    #[error("{url} has more than {limit} bytes")]
    TooLarge {
        /// The document.
        url: String,
        /// The limit.
        limit: u64,
    },
}

/// Gets documents.
#[derive(Debug, Clone)]
pub struct Fetcher {
    pub(crate) options: FetchOptions,
    agent: OnceLock<Agent>,
}

impl Fetcher {
    /// A fetcher; proxies are those of the environment, trusted certificates those of the system.
    pub fn new(options: FetchOptions) -> Self {
        Self { options, agent: OnceLock::new() }
    }

    /// The client. It is made when it is first needed: the system's certificates are some hundred files.
    fn agent(&self) -> &Agent {
        self.agent.get_or_init(|| {
            let certificates: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
                .certs
                .iter()
                .map(|der| Certificate::from_der(der).to_owned())
                .collect();
            let config = Agent::config_builder()
                .timeout_connect(Some(self.options.connect_timeout))
                .timeout_recv_response(Some(self.options.read_timeout))
                .timeout_recv_body(None)
                .timeout_per_read(Some(self.options.read_timeout))
                .http_status_as_error(false)
                .user_agent(concat!("limpid/", env!("CARGO_PKG_VERSION")))
                .tls_config(
                    TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(certificates))).build(),
                )
                .build();
            config.into()
        })
    }

    /// Gets the document at `url`, unless it still is the one that `validators` name.
    pub fn fetch(&self, url: &str, validators: &Validators) -> Result<Fetched, FetchError> {
        match &self.options.mirror {
            Some(Mirror::Directory(directory)) => self.read_directory(directory, url, validators),
            _ if self.options.offline => Err(FetchError::Offline { url: url.to_owned() }),
            Some(Mirror::Url(base)) => {
                self.ask_server(&format!("{base}/{}", host_and_path(url)?), validators)
            }
            None => self.ask_server(url, validators),
        }
    }

    fn read_directory(
        &self,
        directory: &Path,
        url: &str,
        validators: &Validators,
    ) -> Result<Fetched, FetchError> {
        let path = directory.join(percent_decoded(host_and_path(url)?));
        let below = path.strip_prefix(directory).unwrap_or(&path);
        if !below.components().all(|component| matches!(component, Component::Normal(_))) {
            return Err(FetchError::Address(url.to_owned()));
        }
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => FetchError::NotFound { place: path.display().to_string() },
            _ => FetchError::File { path: path.display().to_string(), source },
        };
        let file = File::open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(FetchError::NotFound { place: path.display().to_string() });
        }
        if metadata.len() > self.options.bytes_max {
            return Err(FetchError::TooLarge { url: url.to_owned(), limit: self.options.bytes_max });
        }
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let modified = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let etag = format!("file-{}-{}", modified.as_nanos(), metadata.len());
        if etag == validators.etag {
            return Ok(Fetched::NotModified);
        }
        let validators = Validators { etag, last_modified: String::new() };
        Ok(Fetched::Body { reader: Box::new(file), validators, length: Some(metadata.len()) })
    }

    fn ask_server(&self, url: &str, validators: &Validators) -> Result<Fetched, FetchError> {
        let response = self.request(url, |name, add| match name {
            Ask::IfNoneMatch if !validators.etag.is_empty() => add(&validators.etag),
            Ask::IfModifiedSince if validators.etag.is_empty() && !validators.last_modified.is_empty() => {
                add(&validators.last_modified);
            }
            _ => {}
        })?;
        match response.status() {
            StatusCode::NOT_MODIFIED => Ok(Fetched::NotModified),
            StatusCode::OK => {
                let validators = Validators {
                    etag: text(&response, header::ETAG),
                    last_modified: text(&response, header::LAST_MODIFIED),
                };
                let length = text(&response, header::CONTENT_LENGTH).parse().ok();
                let limit = self.options.bytes_max;
                if length.is_some_and(|length| length > limit) {
                    return Err(FetchError::TooLarge { url: url.to_owned(), limit });
                }
                let reader = Resuming::new(self, url, &validators.etag, body(response), length);
                Ok(Fetched::Body { reader: Box::new(reader), validators, length })
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(FetchError::NotFound { place: url.to_owned() }),
            status => Err(FetchError::Status { url: url.to_owned(), status: status.as_u16() }),
        }
    }

    /// Sends the request until an answer comes that would not be another one in a moment.
    pub(crate) fn request(
        &self,
        url: &str,
        headers: impl Fn(Ask, &mut dyn FnMut(&str)),
    ) -> Result<Response<ureq::Body>, FetchError> {
        let mut pause = self.options.pause;
        for attempt in 0.. {
            let mut request = self.agent().get(url);
            for ask in [Ask::IfNoneMatch, Ask::IfModifiedSince, Ask::Range, Ask::IfRange] {
                let mut value = None;
                headers(ask, &mut |text| value = Some(text.to_owned()));
                if let Some(value) = value {
                    request = request.header(ask.name(), value);
                }
            }
            let last = attempt >= self.options.retries;
            match request.call() {
                Ok(response) if last || !may_pass(response.status()) => return Ok(response),
                Ok(response) => {
                    let asked = text(&response, header::RETRY_AFTER).parse().ok().map(Duration::from_secs);
                    std::thread::sleep(asked.unwrap_or(pause).min(PAUSE_MAX));
                }
                Err(error) if last || !is_transient(&error) => {
                    return Err(FetchError::Network { url: url.to_owned(), reason: reason(&error) });
                }
                Err(_) => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Err(FetchError::Network { url: url.to_owned(), reason: "no attempt was made".to_owned() })
    }
}

/// The headers that requests here have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    IfNoneMatch,
    IfModifiedSince,
    Range,
    IfRange,
}

impl Ask {
    const fn name(self) -> &'static str {
        match self {
            Self::IfNoneMatch => "if-none-match",
            Self::IfModifiedSince => "if-modified-since",
            Self::Range => "range",
            Self::IfRange => "if-range",
        }
    }
}

fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// Whether the next attempt may fare better. Where there is no network at all, waiting for it helps nobody.
fn is_transient(error: &ureq::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    match error {
        ureq::Error::BadUri(_) | ureq::Error::HostNotFound | ureq::Error::Tls(_) | ureq::Error::Http(_) => {
            false
        }
        ureq::Error::Io(error) => {
            !is_unresolved(error)
                && !matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
        }
        _ => true,
    }
}

/// The standard library has no kind for a name that cannot be resolved.
fn is_unresolved(error: &io::Error) -> bool {
    error.to_string().contains("failed to lookup address")
}

/// Why there was no answer, for people.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "its host is unknown".to_owned(),
        ureq::Error::Io(error) if is_unresolved(error) => "its host is unknown".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

pub(crate) fn text(response: &Response<ureq::Body>, name: header::HeaderName) -> String {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

pub(crate) fn body(response: Response<ureq::Body>) -> Box<dyn Read + Send> {
    Box::new(response.into_body().into_reader())
}

/// `HOST/PATH` of an address.
fn host_and_path(url: &str) -> Result<&str, FetchError> {
    let rest = url.split_once("://").map(|(_, rest)| rest).filter(|rest| !rest.is_empty());
    rest.ok_or_else(|| FetchError::Address(url.to_owned()))
}

pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        rest = match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                &tail[2..]
            }
            _ => {
                bytes.push(*first);
                tail
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request after the other, each on a connection of its own, and gives the requests back.
    fn serve(answers: Vec<&'static str>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/data/json", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while reader.read_line(&mut request).unwrap() > 2 {}
                requests.push(request.to_lowercase());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            requests
        });
        (url, server)
    }

    fn fetcher() -> Fetcher {
        Fetcher::new(FetchOptions { pause: Duration::from_millis(1), ..FetchOptions::default() })
    }

    fn read(fetched: Fetched) -> io::Result<String> {
        let Fetched::Body { mut reader, .. } = fetched else { panic!("no body") };
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn an_unchanged_document_is_not_sent_again() {
        let (url, server) = serve(vec!["HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"]);
        let validators = Validators { etag: "\"x\"".into(), ..Validators::default() };
        assert!(matches!(fetcher().fetch(&url, &validators).unwrap(), Fetched::NotModified));
        assert!(server.join().unwrap()[0].contains("if-none-match: \"x\""));
    }

    #[test]
    fn where_there_is_no_network_nothing_is_tried_again() {
        let unresolved = "failed to lookup address information: Name or service not known";
        for (error, transient) in [
            (io::Error::from(io::ErrorKind::ConnectionRefused), false),
            (io::Error::from(io::ErrorKind::NetworkUnreachable), false),
            (io::Error::other(unresolved), false),
            (io::Error::from(io::ErrorKind::ConnectionReset), true),
        ] {
            let error = ureq::Error::Io(error);
            assert_eq!(is_transient(&error), transient, "{error}");
        }
        assert_eq!(reason(&ureq::Error::Io(io::Error::other(unresolved))), "its host is unknown");
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        let (url, server) = serve(vec![
            "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 429 Slow down\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nETag: \"y\"\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        ]);
        assert_eq!(read(fetcher().fetch(&url, &Validators::default()).unwrap()).unwrap(), "ok");
        assert_eq!(server.join().unwrap().len(), 3);
    }

    #[test]
    fn a_body_that_is_cut_is_resumed_where_it_was_cut() {
        let (url, server) = serve(vec![
            "HTTP/1.1 200 OK\r\nETag: \"z\"\r\nContent-Length: 10\r\nConnection: close\r\n\r\n01234",
            "HTTP/1.1 206 Partial\r\nETag: \"z\"\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\nConnection: close\r\n\r\n56789",
        ]);
        assert_eq!(read(fetcher().fetch(&url, &Validators::default()).unwrap()).unwrap(), "0123456789");
        let requests = server.join().unwrap();
        assert!(requests[1].contains("range: bytes=5-") && requests[1].contains("if-range: \"z\""));
    }

    #[test]
    fn a_cut_body_without_a_name_is_an_error_and_so_is_a_large_one() {
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n01234";
        let (url, _server) = serve(vec![cut]);
        assert!(read(fetcher().fetch(&url, &Validators::default()).unwrap()).is_err());
        let (url, _server) = serve(vec![cut]);
        let small = Fetcher::new(FetchOptions { bytes_max: 9, ..FetchOptions::default() });
        let fetched = small.fetch(&url, &Validators::default());
        assert!(matches!(fetched, Err(FetchError::TooLarge { limit: 9, .. })));
    }

    #[test]
    fn a_body_that_stands_still_or_crawls_is_given_up() {
        let (url, _server) = serve(vec!["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123"]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stalling = format!("http://{}/x", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123").unwrap();
            // Nothing more comes until the other side gives up.
            let _ = io::copy(&mut stream, &mut io::sink());
        });
        let read_timeout = Duration::from_millis(50);
        let options = FetchOptions { read_timeout, retries: 0, ..FetchOptions::default() };
        let impatient = Fetcher::new(options.clone());
        assert!(read(impatient.fetch(&stalling, &Validators::default()).unwrap()).is_err());
        drop(impatient);
        server.join().unwrap();
        assert!(read(fetcher().fetch(&url, &Validators::default()).unwrap()).is_err());
    }

    #[test]
    fn a_folder_serves_as_mirror_and_nothing_outside_it_does() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a.example/x y")).unwrap();
        std::fs::write(folder.path().join("a.example/x y/f"), "data").unwrap();
        let mirror = Some(Mirror::Directory(folder.path().to_owned()));
        let fetcher = Fetcher::new(FetchOptions { mirror, offline: true, ..FetchOptions::default() });
        let fetched = fetcher.fetch("https://a.example/x%20y/f", &Validators::default()).unwrap();
        let Fetched::Body { validators, length: Some(4), .. } = &fetched else { panic!("{fetched:?}") };
        let again = fetcher.fetch("https://a.example/x%20y/f", validators).unwrap();
        assert!(matches!(again, Fetched::NotModified));
        for url in ["https://a.example/%2e%2e/%2e%2e/etc/passwd", "https://../x", "nonsense"] {
            let refused = fetcher.fetch(url, &Validators::default());
            assert!(matches!(refused, Err(FetchError::Address(_))), "{url}: {refused:?}");
        }
        let missing = fetcher.fetch("https://a.example/none", &Validators::default());
        assert!(matches!(missing, Err(FetchError::NotFound { .. })));
    }

    #[test]
    fn offline_means_no_network() {
        let fetcher = Fetcher::new(FetchOptions { offline: true, ..FetchOptions::default() });
        let refused = fetcher.fetch("http://127.0.0.1:1/x", &Validators::default());
        assert!(matches!(refused, Err(FetchError::Offline { .. })));
    }
}
