//! Feeds that are cut, slow, damaged or hostile: refused within bounds, with the last good data intact and
//! its date shown.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flate2::write::GzEncoder;
use limpid_testkit::{Encoding, require_or_skip, shared};

use crate::{Context, two_layers};

const TRACKER: &str = "security-tracker.debian.org/tracker/data";
/// What a refusal may take of memory: what loading all feeds may. A record of the largest size that is read,
/// all of it entries of a few bytes, takes most: 16 MiB of text become sixteen times as much.
const PEAK_MB_MAX: u64 = 300;

/// The tracker's JSON with one vulnerability in its middle, between texts of some length.
fn tracker(id: &str) -> String {
    let filler = "d".repeat(1000);
    let releases = r#"{"bookworm":{"status":"open","urgency":"high"}}"#;
    format!(r#"{{"a":{{"{id}":{{"description":"{filler}","releases":{releases},"scope":"{filler}"}}}}}}"#)
}

/// An image, and a store with one vulnerability of it from a folder.
fn loaded() -> Context {
    let context = Context::new();
    two_layers().oci_layout(&context.path().join("image"), Encoding::Gzip);
    put(&context, "CVE-2001-0001");
    context.ok(&["--feeds-mirror", "mirror", "feeds", "update", "debian:12"]);
    context
}

fn put(context: &Context, id: &str) {
    let folder = context.path().join("mirror").join(TRACKER);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("json"), tracker(id)).unwrap();
}

/// The report without asking for anything newer.
fn report(context: &Context) -> String {
    context.ok(&["--offline", "scan", "oci:image"])
}

/// Runs to the end and says how much memory was used at most, by the operating system's own account.
fn measured(mut command: Command) -> (bool, String, u64) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kb = 0;
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        peak_kb = peak_kb.max(peak.trim().trim_end_matches(" kB").parse().unwrap_or(0));
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert!(peak_kb > 0, "there is no account of the program's memory");
    (ended.success(), errors, peak_kb / 1000)
}

/// Answers every request with `head`, and then `piece` as often as it takes for `bytes`, without saying how
/// long it is.
fn serve(head: Vec<u8>, piece: Vec<u8>, bytes: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // The other side hangs up when it has seen enough.
            let _ = answer(stream.unwrap(), &head, &piece, bytes);
        }
    });
    url
}

fn answer(mut stream: TcpStream, head: &[u8], piece: &[u8], bytes: u64) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
    stream.write_all(head)?;
    let mut sent = head.len() as u64;
    while sent < bytes {
        stream.write_all(piece)?;
        sent += piece.len() as u64;
    }
    Ok(())
}

/// `head`, then `times` times `piece`, compressed.
fn gzip(head: &str, piece: &[u8], times: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(head.as_bytes()).unwrap();
    for _ in 0..times {
        encoder.write_all(piece).unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn hostile_documents_are_refused_within_bounds() {
    let context = loaded();
    let before = report(&context);
    assert!(before.contains("CVE-2001-0001"));
    let mebibyte = vec![b'x'; 1 << 20];
    let zip = [b"PK\x03\x04\x14\0\0\0\x08\0".as_slice(), &[0; 100]].concat();
    let nested = [r#"{"a":{"CVE-2001-0002":{"debianbug":"#.as_bytes(), &b"[".repeat(1_000_000)].concat();
    let closed = [nested.as_slice(), &b"]".repeat(1_000_000), b"}}}"].concat();
    let releases: Vec<String> = (0..900_000).map(|number| format!(r#""r{number}":1"#)).collect();
    let wide = format!(r#"{{"a":{{"CVE-2001-0002":{{"releases":{{{}}}}}}}}}"#, releases.join(","));
    for (name, head, piece, bytes, reason) in [
        ("ten gigabytes of spaces", b"{".to_vec(), vec![b' '; 1 << 20], 10 << 30, "too much white space"),
        ("ten gigabytes of nothing", Vec::new(), vec![0; 1 << 20], 10 << 30, "`{` was expected"),
        (
            "a string without end",
            br#"{"a":{"CVE-2001-0002":""#.to_vec(),
            mebibyte.clone(),
            10 << 30,
            "bytes in one record",
        ),
        ("a key without end", br#"{"a":{""#.to_vec(), mebibyte.clone(), 10 << 30, "bytes in one record"),
        ("a bomb", gzip(r#"{"a":{"CVE-2001-0002":""#, &mebibyte, 300), Vec::new(), 0, "bytes in one record"),
        ("a bomb of spaces", gzip("{", &vec![b' '; 1 << 20], 300), Vec::new(), 0, "too much white space"),
        ("a bomb in a bomb in a bomb", gzip_thrice(&mebibyte), Vec::new(), 0, "`{` was expected"),
        ("a zip archive", zip, Vec::new(), 0, "`{` was expected"),
        ("depth without an end", nested, vec![b'['; 1 << 20], 10 << 30, "bytes in one record"),
        ("depth", closed, Vec::new(), 0, "recursion limit"),
        ("nothing that is known", wide.into_bytes(), Vec::new(), 0, "holds no advisories"),
        ("an error page", b"<html>Busy</html>".to_vec(), Vec::new(), 0, "`{` was expected"),
        ("no bytes", Vec::new(), Vec::new(), 0, "ends in the middle"),
    ] {
        let mirror = serve(head, piece, bytes);
        let command = context.command(&["--feeds-mirror", &mirror, "feeds", "update", "debian:12"]);
        let (succeeded, errors, peak_mb) = measured(command);
        assert!(succeeded && errors.contains(reason), "{name}: {errors}");
        assert!(errors.contains("using the data of 20"), "{name}: {errors}");
        assert!(peak_mb <= PEAK_MB_MAX, "{name} took {peak_mb} MB");
        let after = report(&context);
        assert!(after.contains("CVE-2001-0001") && !after.contains("CVE-2001-0002"), "{name}: {after}");
        assert!(after.contains("data of 20") && after.contains("not updated:"), "{name}: {after}");
    }
    context.ok(&["--feeds-mirror", "mirror", "feeds", "update", "debian:12"]);
    assert!(!report(&context).contains("not updated"));
}

fn gzip_thrice(piece: &[u8]) -> Vec<u8> {
    let once = gzip("", piece, 300);
    gzip("", &gzip("", &once, 1), 1)
}

#[test]
fn a_record_of_a_million_aliases_is_left_out_and_the_others_are_not() {
    let context = loaded();
    let aliases: Vec<String> = (0..1_000_000).map(|number| format!("\"A-{number}\"")).collect();
    let affected = r#"[{"package":{"ecosystem":"Debian:12","name":"a"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}]"#;
    fs::create_dir(context.path().join("own")).unwrap();
    for (id, aliases) in [("CVE-2001-0003", aliases.join(",")), ("CVE-2001-0004", String::new())] {
        let text = format!(r#"{{"id":"{id}","aliases":[{aliases}],"affected":{affected}}}"#);
        fs::write(context.path().join("own").join(format!("{id}.json")), text).unwrap();
    }
    let (succeeded, errors, peak_mb) = measured(context.command(&["feeds", "import", "own"]));
    assert!(succeeded && errors.contains("CVE-2001-0003.json: 1 left out: more aliases than"), "{errors}");
    assert!(peak_mb <= PEAK_MB_MAX, "{peak_mb} MB");
    let after = report(&context);
    assert!(after.contains("CVE-2001-0004") && !after.contains("CVE-2001-0003"), "{after}");
}

/// The shared server with faults, ended with the test.
struct FaultyServer {
    process: Child,
    url: String,
}

impl FaultyServer {
    fn start(context: &Context, faults: &[&str]) -> Option<Self> {
        let program = shared().map(|shared| shared.join("feeds/serve.py")).filter(|path| path.is_file());
        let program = require_or_skip(program, "the server with faults")?;
        let mut command = Command::new("python3");
        command.arg(program).arg(context.path().join("mirror")).args(["--port", "0", "--log", "-"]);
        for fault in faults {
            command.args(["--fault", fault]);
        }
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Some(Self { process, url: format!("http://127.0.0.1:{}", port.trim()) })
    }
}

impl Drop for FaultyServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn faults_that_pass_are_overcome_and_others_leave_what_was_there() {
    let context = loaded();
    let overcome: &[&[&str]] = &[
        &["cut:900#1"],
        &["cut:900#2"],
        &["status:503#2"],
        &["status:503#1", "retry-after:1#1"],
        &["retry-after:1#1"],
        &["stall:1"],
        &["slow:4000"],
        &["chunked"],
        &["novalidator"],
    ];
    let failing: &[(&[&str], &str)] = &[
        (&["cut:900", "novalidator"], "could not be read"),
        (&["truncate"], "ends in the middle"),
        (&["truncate:0"], "ends in the middle"),
        (&["corrupt"], "not well-formed"),
        (&["status:403"], "answered with 403"),
        (&["status:404"], "does not exist"),
    ];
    for (number, faults) in overcome.iter().enumerate() {
        let id = format!("CVE-2002-{number:04}");
        put(&context, &id);
        let Some(server) = FaultyServer::start(&context, faults) else { return };
        context.ok(&["--feeds-mirror", &server.url, "feeds", "update", "debian:12"]);
        assert!(report(&context).contains(&id), "{faults:?}");
    }
    let last = format!("CVE-2002-{:04}", overcome.len() - 1);
    put(&context, "CVE-2003-0001");
    for (faults, reason) in failing {
        let Some(server) = FaultyServer::start(&context, faults) else { return };
        let output = context.run(&["--feeds-mirror", &server.url, "feeds", "update", "debian:12"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.contains(reason), "{faults:?}: {errors}");
        let after = report(&context);
        assert!(after.contains(&last) && after.contains("not updated:"), "{faults:?}: {after}");
    }
    let status = context.ok(&["feeds", "status"]);
    assert!(status.contains("last success  20") && status.contains("error"), "{status}");
}

#[test]
fn a_release_whose_feeds_all_fail_at_first_says_so() {
    let context = Context::new();
    two_layers().oci_layout(&context.path().join("image"), Encoding::Gzip);
    let mirror = serve(b"{\"a\"".to_vec(), Vec::new(), 0);
    let (code, error) = context.fails(&["--feeds-mirror", &mirror, "--no-enrich", "scan", "oci:image"]);
    assert!(code == 6 && error.contains("debian-tracker") && error.contains("not well-formed"), "{error}");
    assert!(File::open(context.path().join("store.db")).is_ok());
}
