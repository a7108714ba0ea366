//! The service as Quay and Clair's other clients see it: the real binary, on loopback.

mod attacks;
mod flow;
mod load;
mod operation;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use limpid_model::Digest;
use limpid_testkit::{Content, Server};
use limpid_testkit::{Encoding, ImageBuilder};
use serde_json::{Value, json};

use crate::Context;

pub(super) const TRACKER: &str = r#"{
 "a": {"CVE-2020-1001": {"description": "first", "scope": "local", "releases": {"bookworm": {"status": "resolved", "fixed_version": "1.0-2", "urgency": "medium", "repositories": {"bookworm": "1.0-1"}}}},
       "CVE-2020-1002": {"description": "second", "scope": "local", "releases": {"bookworm": {"status": "open", "urgency": "unimportant", "repositories": {"bookworm": "1.0-1"}}}}},
 "bee": {"CVE-2020-1003": {"scope": "remote", "releases": {"bookworm": {"status": "open", "urgency": "not yet assigned", "repositories": {"bookworm": "1.9-1"}}}}}
}"#;

/// `limpid serve`, running. It is killed with its value.
pub(super) struct Service {
    child: Child,
    /// Where the APIs are, and where the service tells of itself.
    pub(super) apis: String,
    pub(super) introspection: String,
    /// What it writes to standard error.
    pub(super) log: Arc<Mutex<String>>,
}

impl Service {
    /// Starts it with settings beside those of the test's own.
    pub(super) fn start(context: &Context, settings: &str, arguments: &[&str]) -> Self {
        let settings = format!("introspection: \"127.0.0.1:0\"\n{settings}\n");
        let listen = if settings.contains("listen:") { "" } else { "listen: \"127.0.0.1:0\"\n" };
        fs::write(context.path().join("serve.yaml"), format!("{listen}{settings}")).unwrap();
        let mut command = context.command(&[&["serve", "--config", "serve.yaml"], arguments].concat());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut told = || {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            let address = line.trim_end().rsplit_once("http://").map(|(_, address)| address.to_owned());
            address.unwrap_or_else(|| panic!("the service did not start: {line}"))
        };
        let (apis, introspection) = (told(), told());
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                kept.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Self { child, apis, introspection, log }
    }

    pub(super) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], b"")
    }

    pub(super) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        ask(&self.apis, method, path, headers, body).unwrap()
    }

    pub(super) fn index(&self, manifest: &Value) -> Reply {
        self.ask("POST", "/indexer/api/v1/index_report", &[], manifest.to_string().as_bytes())
    }

    /// Asks the other listener.
    pub(super) fn introspect(&self, path: &str) -> Reply {
        ask(&self.introspection, "GET", path, &[], b"").unwrap()
    }

    /// Asks again and again until the answer is as wanted: what it waits for is done in the background.
    pub(super) fn until(&self, ask: impl Fn(&Self) -> Reply, wanted: impl Fn(&Reply) -> bool) -> Reply {
        loop {
            let reply = ask(self);
            if wanted(&reply) {
                return reply;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    pub(super) fn until_ready(&self) {
        self.until(|service| service.introspect("/readyz"), |reply| reply.status == 200);
    }

    pub(super) fn signal(&self, signal: &str) {
        let status = std::process::Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    pub(super) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Names in lower case; several values of one name follow each other.
    pub(super) headers: BTreeMap<String, Vec<String>>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|values| values.first()).map_or("", String::as_str)
    }

    /// The status and the code of an error in Clair's form.
    pub(super) fn error(&self) -> (u16, String, String) {
        let body = self.json();
        let text = |key: &str| body[key].as_str().unwrap().to_owned();
        assert!(self.body.is_ascii(), "Quay reads errors as ASCII");
        (self.status, text("code"), text("message"))
    }
}

/// One request on a connection of its own.
pub(super) fn ask(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(address)?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    // Who is refused early may find the connection closed.
    let _ = stream.write_all(body);
    reply(&mut stream)
}

pub(super) fn reply(stream: &mut TcpStream) -> std::io::Result<Reply> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        headers.entry(name.to_ascii_lowercase()).or_default().push(value.trim().to_owned());
    }
    Ok(Reply { status: status.unwrap(), headers, body: bytes[end + 4..].to_vec() })
}

/// An image in a registry that speaks HTTP on loopback, and the manifest that Quay would send of it.
pub(super) fn put(content: &mut Content, context: &Context, name: &str, image: &ImageBuilder) -> Pushed {
    let layout = context.path().join(name);
    image.oci_layout(&layout, Encoding::Gzip);
    let digest = content.put_layout(name, "latest", &layout);
    let manifest = fs::read(layout.join("blobs/sha256").join(digest.hex())).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    let layers = layers.map(|layer| layer["digest"].as_str().unwrap().parse().unwrap()).collect();
    Pushed { name: name.to_owned(), digest, layers }
}

pub(super) struct Pushed {
    name: String,
    pub(super) digest: Digest,
    pub(super) layers: Vec<Digest>,
}

impl Pushed {
    pub(super) fn blob(&self, layer: usize) -> String {
        format!("/v2/{}/blobs/{}", self.name, self.layers[layer])
    }

    /// As Quay sends it.
    pub(super) fn manifest(&self, host: &str) -> Value {
        let layers: Vec<Value> = (0..self.layers.len())
            .map(|index| {
                json!({
                    "hash": self.layers[index], "uri": format!("http://{host}{}", self.blob(index)),
                    "headers": {"Accept": ["application/gzip"], "Authorization": ["Bearer of-quay"]},
                })
            })
            .collect();
        json!({"hash": self.digest, "layers": layers})
    }
}

/// A registry with the images, and what the service must be told to fetch from it.
pub(super) fn serve(content: Content) -> (Server, String) {
    let registry = Server::start(move |request| content.answer(request));
    let settings = format!("registries: [\"{}\"]", registry.address());
    (registry, settings)
}

/// A mirror whose tracker speaks for Debian 12.
pub(super) fn debian_mirror(context: &Context) {
    let folder = context.path().join("mirror/security-tracker.debian.org/tracker/data");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("json"), TRACKER).unwrap();
}

pub(super) const NO_FEEDS: &str = "feeds: {update: false}";
