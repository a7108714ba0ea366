//! An engine that is none: answers the requests of Docker's interface from what it was given.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use limpid_model::Digest;
use serde_json::json;

use crate::ImageBuilder;

/// How an answer's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `Transfer-Encoding: chunked`, as engines send exports.
    Chunked,
    /// `Content-Length`, with this many bytes more than there are.
    Length(usize),
    /// The connection's end.
    Close,
}

/// What the engine says to requests whose path ends so.
#[derive(Debug, Clone)]
pub struct EngineAnswer {
    /// The end of the path.
    pub path: String,
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// How its end is told.
    pub framing: Framing,
    /// Ends the connection after so many bytes of the body.
    pub cut: Option<usize>,
}

impl EngineAnswer {
    /// An answer as it should be.
    pub fn ok(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { path: path.to_owned(), status: 200, body: body.into(), framing: Framing::Chunked, cut: None }
    }
}

/// An engine on a Unix socket, until it is dropped.
#[derive(Debug)]
pub struct FakeEngine {
    socket: PathBuf,
    requests: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeEngine {
    /// Starts to listen. What no answer fits is answered with 404.
    pub fn start(socket: &Path, answers: Vec<EngineAnswer>) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let Some(request) = lines.next() else { return };
                while lines.next().is_some_and(|line| !line.is_empty()) {}
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let answer = answers.iter().find(|answer| path.ends_with(&answer.path));
                seen.lock().unwrap().push(path);
                let missing =
                    EngineAnswer { status: 404, ..EngineAnswer::ok("", r#"{"message":"No such image"}"#) };
                // A client that has seen enough hangs up.
                let _ = send(stream, answer.unwrap_or(&missing));
            }
        });
        Self { socket: socket.to_owned(), requests, thread: Some(thread) }
    }

    /// An engine that has the image under any name, and exports it as `export`.
    pub fn with_image(socket: &Path, image: &ImageBuilder, export: Vec<u8>) -> Self {
        Self::start(socket, Self::answers(image, export))
    }

    /// What such an engine says.
    pub fn answers(image: &ImageBuilder, export: Vec<u8>) -> Vec<EngineAnswer> {
        vec![
            EngineAnswer::ok("/json", image.inspected()),
            EngineAnswer::ok("/history", image.history()),
            EngineAnswer::ok("/get", export),
        ]
    }

    /// The paths that were asked for.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// How often an image was exported.
    pub fn exports(&self) -> usize {
        self.requests().iter().filter(|path| path.ends_with("/get")).count()
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        // A connection without a request ends the thread.
        if UnixStream::connect(&self.socket).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn send(mut stream: UnixStream, answer: &EngineAnswer) -> std::io::Result<()> {
    let framing = match answer.framing {
        Framing::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
        Framing::Length(more) => format!("Content-Length: {}\r\n", answer.body.len() + more),
        Framing::Close => String::new(),
    };
    write!(stream, "HTTP/1.1 {} Whatever\r\n{framing}Connection: close\r\n\r\n", answer.status)?;
    let body = &answer.body[..answer.cut.unwrap_or(answer.body.len())];
    if answer.framing != Framing::Chunked {
        return stream.write_all(body);
    }
    for chunk in body.chunks(10_000) {
        write!(stream, "{:x}\r\n", chunk.len())?;
        stream.write_all(chunk)?;
        stream.write_all(b"\r\n")?;
    }
    if answer.cut.is_some() { Ok(()) } else { stream.write_all(b"0\r\n\r\n") }
}

impl ImageBuilder {
    /// The image's id: the digest of its config.
    pub fn id(&self) -> Digest {
        Digest::of(&self.config())
    }

    /// What an engine says of the image.
    pub fn inspected(&self) -> String {
        let layers: Vec<Digest> = self.layers.iter().map(|(_, tar)| Digest::of(tar)).collect();
        let description = json!({
            "Id": self.id(),
            "RepoTags": ["example:1"],
            "Created": "1970-01-01T00:00:00Z",
            "Architecture": "amd64",
            "Os": "linux",
            "Config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Labels": null},
            "RootFS": {"Type": "layers", "Layers": layers},
        });
        description.to_string()
    }

    /// The image's history, as an engine tells it: with a last step that made no layer.
    pub fn history(&self) -> String {
        let steps = self.layers.iter().rev();
        let steps =
            steps.map(|(command, tar)| json!({"Created": 0, "CreatedBy": command, "Size": tar.len()}));
        let last = json!({"Created": 0, "CreatedBy": "CMD sh", "Size": 0});
        json!(std::iter::once(last).chain(steps).collect::<Vec<_>>()).to_string()
    }
}
