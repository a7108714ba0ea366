//! A registry in the test's own process, which breaks what it is told to break, and a proxy that cuts
//! connections.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use limpid_model::Digest;

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// GET, POST, HEAD.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The form of a POST.
    pub body: String,
}

impl Request {
    /// A header's value, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What is sent back.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers, `Content-Length` included if it should differ from the body's, or `Transfer-Encoding` if the body has one.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Close the connection after so many bytes of the body.
    pub cut_after: Option<usize>,
    /// Pause after each 64 KiB of the body.
    pub slowness: Option<Duration>,
}

impl Answer {
    /// An answer with a body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    /// With a header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

/// An HTTP server on loopback that answers as a function says. One connection carries one request.
pub struct Server {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    ends: Arc<AtomicBool>,
}

impl Server {
    /// Starts it on a free port.
    pub fn start(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let ends = Arc::new(AtomicBool::new(false));
        let handler: Arc<Handler> = Arc::new(handler);
        let (seen, ended) = (Arc::clone(&requests), Arc::clone(&ends));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
                // A client that goes away is no failure of the test.
                std::thread::spawn(move || stream.map(|stream| serve(stream, &*handler, &seen)));
            }
        });
        Self { address, requests, ends }
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The requests so far. One that was no HTTP (TLS, say) is not among them.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(&self.address);
    }
}

fn serve(mut stream: TcpStream, handler: &Handler, seen: &Mutex<Vec<Request>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    // The first byte of TLS is no letter: close, as a server without TLS does.
    if reader.fill_buf()?.first().is_none_or(|byte| !byte.is_ascii_alphabetic()) {
        return Ok(());
    }
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let mut request = Request {
        method: words.next().unwrap_or_default().to_owned(),
        target: words.next().unwrap_or_default().to_owned(),
        ..Request::default()
    };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some((name, value)) = line.trim_end().split_once(':') {
            request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let length = request.header("content-length").parse().unwrap_or(0);
    reader.take(length).read_to_string(&mut request.body)?;
    seen.lock().unwrap().push(request.clone());
    let answer = handler(&request);
    let mut head = format!("HTTP/1.1 {} Whatever\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let framing = ["content-length", "transfer-encoding"];
    if !answer.headers.iter().any(|(name, _)| framing.contains(&name.to_ascii_lowercase().as_str())) {
        head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    let end = answer.cut_after.unwrap_or(usize::MAX).min(answer.body.len());
    for piece in answer.body[..end].chunks(64 << 10) {
        stream.write_all(piece)?;
        if let Some(pause) = answer.slowness {
            std::thread::sleep(pause);
        }
    }
    stream.flush()
}

/// What a registry holds: documents and blobs, by the path after `/v2/`.
#[derive(Debug, Clone, Default)]
pub struct Content {
    objects: BTreeMap<String, (String, Vec<u8>)>,
}

impl Content {
    /// Holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds an object at a path.
    pub fn put(&mut self, path: &str, media_type: &str, bytes: impl Into<Vec<u8>>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.objects.insert(path.to_owned(), (media_type.to_owned(), bytes));
        digest
    }

    /// Holds everything of an OCI layout as a repository, the first of its index's manifests as `tag`.
    pub fn put_layout(&mut self, repository: &str, tag: &str, layout: &Path) -> Digest {
        let index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
        let top: Digest = index["manifests"][0]["digest"].as_str().unwrap().parse().unwrap();
        for entry in std::fs::read_dir(layout.join("blobs/sha256")).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let digest = Digest::of(&bytes);
            let document: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
            let media_type = document.and_then(|document| document["mediaType"].as_str().map(str::to_owned));
            if let Some(media_type) = media_type {
                self.put(&format!("{repository}/manifests/{digest}"), &media_type, bytes.clone());
                if digest == top {
                    self.put(&format!("{repository}/manifests/{tag}"), &media_type, bytes.clone());
                }
            }
            self.put(&format!("{repository}/blobs/{digest}"), "application/octet-stream", bytes);
        }
        top
    }

    /// The object's bytes at a path, to be damaged.
    pub fn object(&mut self, path: &str) -> &mut Vec<u8> {
        &mut self.objects.get_mut(path).unwrap().1
    }

    /// Answers as a registry without authentication does.
    pub fn answer(&self, request: &Request) -> Answer {
        let path = request.target.strip_prefix("/v2/").unwrap_or_default();
        if path.is_empty() {
            return Answer::new(200, "{}");
        }
        // A blob may be kept for all repositories at once.
        let blob = path.find("/blobs/").map_or(path, |at| &path[at + 1..]);
        let Some((media_type, bytes)) = self.objects.get(path).or_else(|| self.objects.get(blob)) else {
            return Answer::new(
                404,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            );
        };
        let from = request.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
        match from.and_then(|from| from.parse::<usize>().ok()).filter(|from| *from < bytes.len()) {
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                Answer::new(206, &bytes[from..]).header("Content-Range", range)
            }
            None => Answer::new(200, bytes.as_slice()).header("Content-Type", media_type),
        }
    }
}

/// Passes bytes on to another server and cuts each connection after so many of the answer's.
pub struct CuttingProxy {
    address: String,
    cuts: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
}

impl CuttingProxy {
    /// Starts it before `target` (`HOST:PORT`).
    pub fn start(target: &str, cut_after: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cuts = Arc::new(AtomicUsize::new(0));
        let ends = Arc::new(AtomicBool::new(false));
        let (counted, ended, target) = (Arc::clone(&cuts), Arc::clone(&ends), target.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let (target, counted) = (target.clone(), Arc::clone(&counted));
                std::thread::spawn(move || pass(client, &target, cut_after, &counted));
            }
        });
        Self { address, cuts, ends }
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How many connections were cut.
    pub fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(&self.address);
    }
}

fn pass(client: TcpStream, target: &str, cut_after: u64, cuts: &AtomicUsize) -> std::io::Result<()> {
    let server = TcpStream::connect(target)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        // Either side may end first.
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Write);
    });
    let passed = std::io::copy(&mut server.try_clone()?.take(cut_after), &mut &client)?;
    if passed == cut_after {
        cuts.fetch_add(1, Ordering::Relaxed);
    }
    server.shutdown(std::net::Shutdown::Both)?;
    client.shutdown(std::net::Shutdown::Both)
}
