//! Twenty processes on one store: every layer read once, every report that of a lone scan, whoever is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use limpid_model::Digest;
use limpid_store::{SqliteStore, Store as _};
use limpid_testkit::{Encoding, ImageBuilder, Layer, corpus, dpkg_status, require_or_skip};

use crate::{BOOKWORM, Context};

const PROCESSES: usize = 20;
const IMAGES: usize = 10;
const KILLED: usize = 5;
const ROUNDS: usize = 50;

/// Pseudo-random numbers (xorshift64), the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }
}

/// Ten images: one base for all, one of two layers above it, one of five above that, and a layer of their own.
fn shared_layers(context: &Context) {
    let mut random = Random(0x11d1_7e57);
    let mut layer = |packages: &[(&str, &str, &str)], bytes: usize| {
        Layer::new()
            .file("opt/filler", random.bytes(bytes))
            .file("etc/os-release", BOOKWORM)
            .file("var/lib/dpkg/status", dpkg_status(packages))
    };
    let base = layer(&[("a", "1", "")], 3_000_000);
    let second: Vec<Layer> =
        ["1", "2"].iter().map(|b| layer(&[("a", "1", ""), ("b", b, "")], 1_000_000)).collect();
    let third: Vec<Layer> = ["1", "2", "3", "4", "5"]
        .iter()
        .map(|c| layer(&[("a", "1", ""), ("b", "1", ""), ("c", c, "")], 300_000))
        .collect();
    for image in 0..IMAGES {
        let own = layer(&[("a", "2", ""), ("d", &image.to_string(), "")], 50_000);
        ImageBuilder::new()
            .layer("base", &base)
            .layer("second", &second[image % second.len()])
            .layer("third", &third[image % third.len()])
            .layer("own", &own)
            .oci_layout(&context.path().join(image.to_string()), Encoding::Gzip);
    }
    std::fs::write(context.path().join("own.json"), ADVISORY).unwrap();
    context.ok(&["--store", "template.db", "feeds", "import", "own.json"]);
}

/// A store with advisories and nothing else: all of one moment, which reports tell.
fn new_store(context: &Context, store: &str) {
    std::fs::copy(context.path().join("template.db"), context.path().join(store)).unwrap();
}

const ADVISORY: &str = r#"{"id":"OWN-1","database_specific":{"severity":"High"},"affected":[{"package":{"ecosystem":"Debian:12",
    "name":"a"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"9"}]}]}]}"#;

fn scan(context: &Context, store: &str, image: usize) -> Child {
    let reference = format!("oci:{image}");
    let mut command =
        context.command(&["--offline", "--store", store, "scan", "--format", "json", &reference]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a lone scan says of each image.
fn lone_reports(context: &Context) -> Vec<String> {
    (0..IMAGES)
        .map(|image| {
            let store = format!("lone{image}.db");
            new_store(context, &store);
            let output = scan(context, &store, image).wait_with_output().unwrap();
            let report = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && report.contains("OWN-1"), "{report}");
            report
        })
        .collect()
}

fn layers(reports: &[String]) -> BTreeSet<Digest> {
    let mut layers = BTreeSet::new();
    for report in reports {
        let report: serde_json::Value = serde_json::from_str(report).unwrap();
        let of_image = report["image"]["layers"].as_array().unwrap().iter();
        layers.extend(of_image.map(|layer| layer["digest"].as_str().unwrap().parse::<Digest>().unwrap()));
    }
    layers
}

fn check(output: &Output, expected: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert!(error.is_empty(), "{error}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

/// Every layer was read to its end exactly once, and the file is sound.
fn check_store(context: &Context, store: &str, layers: &BTreeSet<Digest>) {
    let path = context.path().join(store);
    let opened = SqliteStore::open(&path).unwrap();
    for layer in layers {
        assert_eq!(opened.readings(layer).unwrap(), 1, "{layer} in {store}");
    }
    drop(opened);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

#[test]
fn twenty_processes_read_every_layer_once() {
    let context = Context::new();
    shared_layers(&context);
    let reports = lone_reports(&context);
    let layers = layers(&reports);
    assert_eq!(layers.len(), 1 + 2 + 5 + IMAGES);
    new_store(&context, "store.db");
    let children: Vec<Child> =
        (0..PROCESSES).map(|number| scan(&context, "store.db", number % IMAGES)).collect();
    for (number, child) in children.into_iter().enumerate() {
        check(&child.wait_with_output().unwrap(), &reports[number % IMAGES]);
    }
    check_store(&context, "store.db", &layers);
}

#[test]
fn twenty_processes_make_a_store_that_was_not_there() {
    let context = Context::new();
    for round in 0..10 {
        let store = format!("new{round}.db");
        let children: Vec<Child> = (0..PROCESSES)
            .map(|_| {
                let mut command = context.command(&["--store", &store, "feeds", "status"]);
                command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn whoever_is_killed_the_others_answer_and_read_every_layer_once() {
    let context = Context::new();
    shared_layers(&context);
    let reports = lone_reports(&context);
    let layers = layers(&reports);
    let mut random = Random(0x5eed);
    // How long a round takes without kills: moments are chosen within.
    let mut window = Duration::from_millis(500);
    let mut hit_readers = 0;
    for round in 0..ROUNDS {
        let store = format!("round{round}.db");
        new_store(&context, &store);
        let began = Instant::now();
        let mut children: Vec<Child> =
            (0..PROCESSES).map(|number| scan(&context, &store, number % IMAGES)).collect();
        let mut victims = BTreeMap::new();
        while round > 0 && victims.len() < KILLED {
            let moment = window.mul_f64(random.below(1000) as f64 / 1000.0);
            victims.insert(random.below(PROCESSES), moment);
        }
        let mut order: Vec<(Duration, usize)> = victims.iter().map(|(victim, at)| (*at, *victim)).collect();
        order.sort();
        for (moment, victim) in order {
            std::thread::sleep(moment.saturating_sub(began.elapsed()));
            children[victim].kill().unwrap();
            hit_readers += usize::from(holds_a_lease(&context, &store, children[victim].id()));
        }
        for (number, child) in children.into_iter().enumerate() {
            let output = child.wait_with_output().unwrap();
            // One that was done before its moment is as good as any.
            if !victims.contains_key(&number) || output.status.code().is_some() {
                check(&output, &reports[number % IMAGES]);
            }
        }
        if round == 0 {
            window = began.elapsed();
        }
        for (image, report) in reports.iter().enumerate() {
            check(&scan(&context, &store, image).wait_with_output().unwrap(), report);
        }
        check_store(&context, &store, &layers);
    }
    assert!(hit_readers > 0, "no process was killed while it read a layer");
}

/// Whether the process holds a lease: owners are named `BOOT NAMESPACE NUMBER START#LEASE`.
fn holds_a_lease(context: &Context, store: &str, process: u32) -> bool {
    let connection = rusqlite::Connection::open(context.path().join(store)).unwrap();
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    let mut statement = connection.prepare("SELECT owner FROM lease").unwrap();
    let owners = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let number = process.to_string();
    owners.map(Result::unwrap).any(|owner| owner.split(' ').any(|part| part == number))
}

#[test]
fn twenty_processes_scan_real_images() {
    let Some(corpus) = require_or_skip(corpus(), "the corpus of real images") else { return };
    let context = Context::new();
    let names = [
        "debian-bookworm-min",
        "debian-bookworm-upgraded",
        "debian-bookworm-upgraded-zstd",
        "dpkg-symlink-db",
        "dpkg-hardlink",
        "dpkg-deleted",
        "distroless-python",
        "fx-alpine37",
    ];
    let references: Vec<String> = names
        .iter()
        .map(|name| corpus.join(name).join("oci"))
        .filter(|folder| folder.is_dir())
        .map(|folder| format!("oci:{}", folder.display()))
        .collect();
    let packages = |store: &str, reference: &str| {
        let mut command =
            context.command(&["--offline", "--store", store, "packages", "--format", "json", reference]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> =
        (0..PROCESSES).map(|number| packages("store.db", &references[number % references.len()])).collect();
    let outputs: Vec<Output> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    for (number, reference) in references.iter().enumerate() {
        let alone = packages(&format!("lone{number}.db"), reference).wait_with_output().unwrap();
        let expected = String::from_utf8(alone.stdout).unwrap();
        for output in outputs.iter().skip(number).step_by(references.len()) {
            check(output, &expected);
        }
    }
}

#[test]
fn one_of_many_processes_fetches_a_feed() {
    let context = Context::new();
    crate::two_layers().oci_layout(&context.path().join("image"), Encoding::Gzip);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mirror = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                request.push(byte[0]);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let (status, body) = if request.contains("/tracker/data/json") {
                counted.fetch_add(1, Ordering::SeqCst);
                (
                    "200 OK",
                    r#"{"a":{"CVE-2001-0001":{"releases":{"bookworm":{"status":"open","urgency":"high"}}}}}"#,
                )
            } else {
                ("404 Not Found", "")
            };
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let children: Vec<Child> = (0..PROCESSES)
        .map(|_| {
            let mut command = context.command(&["--feeds-mirror", &mirror, "scan", "oci:image"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let (text, error) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && text.contains("CVE-2001-0001"), "{text} {error}");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}
