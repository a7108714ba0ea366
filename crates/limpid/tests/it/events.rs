//! Events, end to end: derived from updates, compared with reports of all images, delivered, and killed in between.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use limpid_store::{EventKind, Events as _, ImageId, Processed, SqliteStore, VulnerabilityChange};
use limpid_testkit::{Encoding, ImageBuilder, Layer, dpkg_status, feeds_mirror, require_or_skip, shared};
use serde_json::Value;

use crate::revisions::{edits, tracker, two_revisions};
use crate::{BOOKWORM, Context, two_layers};

fn json(context: &Context, arguments: &[&str]) -> Value {
    let text = context.ok(&[arguments, &["--format", "json"]].concat());
    serde_json::from_str(&text).unwrap()
}

/// A store with an image, and two revisions of the tracker between which five things change.
fn changed() -> Context {
    let context = Context::new();
    two_layers().oci_layout(&context.path().join("image"), Encoding::Gzip);
    tracker(
        &context.path().join("one"),
        r#"{"a":{"CVE-2001-0001":{"releases":{"bookworm":{"status":"open","urgency":"not yet assigned"}}},
                 "CVE-2001-0002":{"releases":{"bookworm":{"status":"open","urgency":"low"}}},
                 "CVE-2001-0003":{"releases":{"bookworm":{"status":"open","urgency":"low"}}}}}"#,
    );
    tracker(
        &context.path().join("two"),
        r#"{"a":{"CVE-2001-0001":{"releases":{"bookworm":{"status":"resolved","fixed_version":"1.0-9",
                                  "urgency":"not yet assigned"}}},
                 "CVE-2001-0002":{"releases":{"bookworm":{"status":"open","urgency":"high"}}},
                 "CVE-2001-0004":{"releases":{"bookworm":{"status":"open","urgency":"low"}}}}}"#,
    );
    context.ok(&["--feeds-mirror", "one", "--no-enrich", "scan", "oci:image"]);
    context
}

fn types(events: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = events["events"].as_array().unwrap().iter();
    events.map(|event| (text(&event["type"]), text(&event["vulnerability"]))).collect()
}

const TOLD: [(&str, &str); 4] = [
    ("vulnerability.fix-available", "CVE-2001-0001"),
    ("vulnerability.severity-raised", "CVE-2001-0002"),
    ("vulnerability.withdrawn", "CVE-2001-0003"),
    ("vulnerability.new", "CVE-2001-0004"),
];

#[test]
fn an_update_tells_what_became_of_images() {
    let context = changed();
    let first = json(&context, &["events", "list"]);
    assert_eq!(types(&first), [("image.assessed".to_owned(), String::new())]);
    let assessment = &first["events"][0]["assessment"];
    assert_eq!((&assessment["revision"], &assessment["answered"]), (&1.into(), &true.into()));
    assert_eq!(assessment["severities"].to_string(), r#"{"Low":2,"Unknown":1}"#);
    let output = context.run(&["--feeds-mirror", "two", "feeds", "update"]);
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && notes.contains("1 vulnerability.new"), "{notes}");
    let events = json(&context, &["events", "list", "--after", "1"]);
    let told = types(&events);
    assert_eq!(told, TOLD.map(|(kind, id)| (kind.to_owned(), id.to_owned())));
    let only = json(&context, &["events", "list", "--type", "vulnerability.new"]);
    assert_eq!(only["events"].as_array().unwrap().len(), 1);
    let page = json(&context, &["events", "list", "--limit", "2"]);
    assert_eq!((page["events"].as_array().unwrap().len(), &page["next"]), (2, &2.into()));
    // By id and by number the same, and its images with the packages that make it so.
    let event = &events["events"][0];
    let id = event["id"].as_str().unwrap();
    assert_eq!(json(&context, &["events", "show", id]), *event);
    assert_eq!(json(&context, &["events", "show", "2"]), *event);
    let images = json(&context, &["events", "images", id]);
    let package = &images["images"][0]["packages"][0];
    assert_eq!((&package["name"], &package["after"]["fixedIn"]), (&"a".into(), &"1.0-9".into()));
    let shown = context.ok(&["events", "show", id]);
    assert!(shown.contains("no-fix (Unknown) → fixable in 1.0-9 (Unknown), 1 image"), "{shown}");
    // The same once more is no news, and what is forgotten has no images.
    context.ok(&["--feeds-mirror", "two", "feeds", "update"]);
    assert_eq!(context.ok(&["events", "derive"]), "no event; revision 2 is processed\n");
    context.ok(&["store", "forget", "oci:image"]);
    assert_eq!(json(&context, &["events", "images", id])["images"], Value::Array(Vec::new()));
    assert!(json(&context, &["events", "show", "1"])["image"].is_null());
    context.ok(&["store", "check"]);
    let (code, error) = context.fails(&["events", "show", "99"]);
    assert!(code == 3 && error.contains("no event 99"), "{error}");
}

/// What reports say of each image: by vulnerability and package whether it is affected, the severity and the fix.
type Standings = BTreeMap<(String, String, String), (bool, String, String)>;

const SEVERITIES: [&str; 7] = ["Unknown", "Negligible", "Low", "Medium", "High", "Critical", "Defcon1"];

fn standings(context: &Context, images: &[&str], revision: u64) -> Standings {
    let mut standings = Standings::new();
    for image in images {
        let at = format!("revision:{revision}");
        let report = json(
            context,
            &[
                "--offline",
                "--no-enrich",
                "scan",
                "--kernel",
                "show",
                "--as-of",
                &at,
                &format!("oci:{image}"),
            ],
        );
        let digest = report["image"]["digest"].as_str().unwrap();
        for finding in report["findings"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let key = (text(&finding["id"]), digest.to_owned(), text(&finding["package"]["name"]));
            let said = (finding["affected"] == true, text(&finding["severity"]), text(&finding["fixedIn"]));
            standings.insert(key, said);
        }
    }
    standings
}

/// What must be told: kind, vulnerability, image and package.
fn expected(before: &Standings, after: &Standings) -> BTreeSet<[String; 4]> {
    let rank = |severity: &str| SEVERITIES.iter().position(|name| *name == severity);
    let mut told = BTreeSet::new();
    for key in before.keys().chain(after.keys()) {
        let (id, image, package) = key;
        let mut tell = |kind: &str| {
            told.insert([kind.to_owned(), id.clone(), image.clone(), package.clone()]);
        };
        let (was, is) = (before.get(key), after.get(key));
        let affected = |side: Option<&(bool, String, String)>| side.is_some_and(|side| side.0);
        match (affected(was), affected(is)) {
            (false, true) => tell("new"),
            (true, false) => tell("gone"),
            (true, true) => {
                let ((_, was_severe, was_fixed), (_, is_severe, is_fixed)) = (was.unwrap(), is.unwrap());
                match rank(is_severe).cmp(&rank(was_severe)) {
                    std::cmp::Ordering::Greater => tell("severity-raised"),
                    std::cmp::Ordering::Less => tell("severity-lowered"),
                    std::cmp::Ordering::Equal => {}
                }
                if !is_fixed.is_empty() && was_fixed != is_fixed {
                    tell("fix-available");
                }
            }
            (false, false) => {}
        }
    }
    told
}

/// What events tell, image by image, in pages of two.
fn told(context: &Context) -> BTreeSet<[String; 4]> {
    let (mut told, mut after) = (BTreeSet::new(), 0_u64);
    loop {
        let list =
            json(context, &["events", "list", "--kernels", "--limit", "500", "--after", &after.to_string()]);
        for event in list["events"].as_array().unwrap() {
            after = event["number"].as_u64().unwrap();
            let Some(id) = event["vulnerability"].as_str() else { continue };
            let kind = event["type"].as_str().unwrap().trim_start_matches("vulnerability.");
            let kind = if ["withdrawn", "no-longer-affected"].contains(&kind) { "gone" } else { kind };
            let (mut cursor, mut count) = (0, 0);
            loop {
                let arguments =
                    ["events", "images", &after.to_string(), "--limit", "2", "--after", &cursor.to_string()];
                let page = json(context, &arguments);
                for image in page["images"].as_array().unwrap() {
                    count += 1;
                    for package in image["packages"].as_array().unwrap() {
                        let text = |value: &Value| value.as_str().unwrap().to_owned();
                        let told_once = told.insert([
                            kind.to_owned(),
                            id.to_owned(),
                            text(&image["digest"]),
                            text(&package["name"]),
                        ]);
                        assert!(told_once, "{event} tells of {image} twice");
                    }
                }
                match page["next"].as_i64() {
                    Some(next) => cursor = next,
                    None => break,
                }
            }
            assert_eq!(event["images"], count, "{event}");
        }
        if list["next"].is_null() {
            return told;
        }
    }
}

#[test]
fn real_edits_are_told_as_reports_of_all_images_have_them() {
    let found = shared().zip(feeds_mirror());
    let Some((shared, mirror)) = require_or_skip(found, "the feeds' data") else { return };
    let context = Context::new();
    let parts = ["security-tracker.debian.org", "secdb.alpinelinux.org"];
    let two = two_revisions(&context, &shared, &mirror, &parts);
    let edited = edits(&two);
    // Packages that the edits name, old ones, in three images, one of which has only some of them.
    let named = |release: &str| -> Vec<String> {
        let of_release = edited.iter().filter(|[_, _, _, of]| of == release);
        let names: BTreeSet<String> = of_release.map(|[_, _, package, _]| package.clone()).collect();
        names.into_iter().collect()
    };
    let debian = |path: &str, names: &[String]| {
        let packages: Vec<(&str, &str, &str)> =
            names.iter().map(|name| (name.as_str(), "0.1-1", "")).collect();
        let layer =
            Layer::new().file("etc/os-release", BOOKWORM).file("var/lib/dpkg/status", dpkg_status(&packages));
        ImageBuilder::new().layer("ADD", &layer).oci_layout(&context.path().join(path), Encoding::Gzip);
    };
    let names = named("debian:12");
    assert!(names.len() > 50, "{names:?}");
    debian("all", &names);
    debian("some", &names[..names.len() / 3]);
    debian("others", &names[names.len() / 4..names.len() / 2]);
    let alpine: String = named("alpine:3.20")
        .iter()
        .map(|name| format!("P:{name}\nV:0.1-r0\nA:x86_64\no:{name}\n\n"))
        .collect();
    let layer = Layer::new()
        .file("etc/os-release", "ID=alpine\nVERSION_ID=3.20.3\n")
        .file("lib/apk/db/installed", &alpine);
    ImageBuilder::new().layer("ADD", &layer).oci_layout(&context.path().join("alpine"), Encoding::Gzip);
    let images = ["all", "some", "others", "alpine"];
    for image in images {
        context.ok(&["--feeds-mirror", "one", "--no-enrich", "scan", &format!("oci:{image}")]);
    }
    assert_eq!(told(&context), BTreeSet::new(), "a first reading is no news");
    let revision = |context: &Context| json(context, &["store", "status"])["revisions"].as_u64().unwrap();
    let before = revision(&context);
    context.ok(&["--feeds-mirror", "two", "--no-enrich", "feeds", "update"]);
    let after = revision(&context);
    let expected = expected(&standings(&context, &images, before), &standings(&context, &images, after));
    let told = told(&context);
    let missed: Vec<_> = expected.difference(&told).collect();
    let invented: Vec<_> = told.difference(&expected).collect();
    assert!(missed.is_empty() && invented.is_empty(), "missed {missed:?}\ninvented {invented:?}");
    let kinds: BTreeSet<&str> = told.iter().map(|[kind, ..]| kind.as_str()).collect();
    assert!(kinds.len() >= 4 && told.len() > 100, "{kinds:?} of {} changes", told.len());
    context.ok(&["store", "check"]);
}

/// A request's headers, by their names in lower case, and its body.
type Request = (BTreeMap<String, String>, Vec<u8>);

/// A webhook's receiver: answers each request with the next of some statuses, 200 after these, and hands over what came.
fn receiver(statuses: Vec<u16>) -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?token=hidden", listener.local_addr().unwrap());
    let (sender, received) = channel();
    let mut statuses = statuses.into_iter();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let Some(request) = request(&mut connection) else { continue };
            if sender.send(request).is_err() {
                return;
            }
            let status = statuses.next().unwrap_or(200);
            let answer = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    (url, received)
}

fn request(connection: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = connection.read(&mut buffer).ok()?;
        bytes.extend_from_slice(&buffer[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            if read == 0 {
                return None;
            }
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let headers: BTreeMap<String, String> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers.get("content-length")?.parse().ok()?;
        if bytes.len() >= end + 4 + length || read == 0 {
            return Some((headers, bytes.split_off(end + 4)));
        }
    }
}

/// What docs/events.md tells receivers to do.
const VERIFY: &str = r#"
import base64, hashlib, hmac, sys
key = base64.b64decode(sys.argv[1].removeprefix("whsec_"))
signed = b".".join([sys.argv[2].encode(), sys.argv[3].encode(), sys.stdin.buffer.read()])
expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
ok = any(hmac.compare_digest(f"v1,{expected}", given) for given in sys.argv[4].split(" "))
sys.exit(0 if ok else 1)
"#;

#[test]
fn a_webhook_gets_signed_events_and_those_it_refuses_are_kept() {
    let context = changed();
    context.ok(&["--feeds-mirror", "two", "feeds", "update"]);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    fs::write(context.path().join("secret"), format!("{secret}\n")).unwrap();
    // The second is refused for good, the fourth for now.
    let (url, received) = receiver(vec![200, 422, 200, 503]);
    let deliver = ["events", "deliver", "--webhook", &url, "--secret-file", "secret", "--from", "start"];
    let output = context.run(&deliver);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("it answered 503; the next attempt is due at"), "{told}");
    assert!(!told.contains("hidden") && !told.contains(secret), "{told}");
    let mut numbers = Vec::new();
    for (headers, body) in received.try_iter() {
        let event: Value = serde_json::from_slice(&body).unwrap();
        numbers.push(event["number"].as_u64().unwrap());
        assert_eq!(headers["webhook-id"], event["id"].as_str().unwrap());
        let verify = |secret: &str| {
            let mut python = Command::new("python3");
            python.args(["-c", VERIFY, secret, &headers["webhook-id"], &headers["webhook-timestamp"]]);
            let mut python = python.arg(&headers["webhook-signature"]).stdin(Stdio::piped()).spawn().unwrap();
            python.stdin.take().unwrap().write_all(&body).unwrap();
            python.wait().unwrap().success()
        };
        assert!(verify(secret), "{headers:?}");
        assert!(!verify("whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    }
    assert_eq!(numbers, [1, 2, 3, 4]);
    let state = json(&context, &["events", "channels"]);
    let channel = &state["channels"][0];
    let name = channel["name"].as_str().unwrap();
    assert!(name.ends_with("/hook") && !state.to_string().contains("hidden"), "{state}");
    assert_eq!(
        (&channel["cursor"], &channel["behind"], &channel["attempts"]),
        (&3.into(), &2.into(), &1.into())
    );
    assert_eq!((&channel["dead"], &channel["deadLetters"][0]["number"]), (&1.into(), &2.into()));
    // Its time has not come, however slow the machine is.
    let store = rusqlite::Connection::open(context.path().join("store.db")).unwrap();
    store.execute("UPDATE channel SET next_attempt_at = next_attempt_at + 3600", []).unwrap();
    assert_eq!(context.run(&deliver).status.code(), Some(1));
    assert_eq!(received.try_iter().count(), 0);
    store.execute("UPDATE channel SET next_attempt_at = 1", []).unwrap();
    context.ok(&["events", "retry", name]);
    context.ok(&deliver);
    let numbers: Vec<u64> = received
        .try_iter()
        .map(|(_, body)| serde_json::from_slice::<Value>(&body).unwrap()["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [2, 4, 5], "the dead letter first, the others in order");
    context.ok(&["events", "forget", name]);
    let (code, error) = context.fails(&["events", "retry", name]);
    assert!(code == 3 && error.contains("no channel"), "{error}");
    let (code, error) = context.fails(&["events", "deliver", "--webhook", "ftp://x"]);
    assert!(code == 3 && error.contains("no address of a webhook"), "{error}");
    fs::write(context.path().join("secret"), "short").unwrap();
    let (code, error) = context.fails(&deliver);
    assert!(code == 3 && error.contains("5 bytes"), "{error}");
}

#[test]
fn a_delivery_that_is_killed_loses_nothing_and_repeats_at_most_one_batch() {
    let context = Context::new();
    let store = SqliteStore::open(&context.path().join("store.db")).unwrap();
    let changes: Vec<VulnerabilityChange> = (0..2000)
        .map(|number| VulnerabilityChange {
            kind: EventKind::New,
            vulnerability: format!("CVE-2024-{number}"),
            from_revision: 0,
            revision: 0,
            is_kernel: false,
            last_image: ImageId(0),
            images: 1,
            packages: Vec::new(),
        })
        .collect();
    let from = store.processed().unwrap();
    let to = Processed { rules_version: 1, ..from.clone() };
    assert!(store.put_events(&from, &to, &changes, 1).unwrap());
    drop(store);
    let (url, received) = receiver(vec![]);
    let deliver = ["--quiet", "events", "deliver", "--webhook", &url, "--from", "start"];
    let (mut seen, mut repeated) = (Vec::new(), 0);
    let number = |body: &[u8]| {
        let event: Value = serde_json::from_slice(body).unwrap();
        (event["number"].as_u64().unwrap(), event["id"].as_str().unwrap().to_owned())
    };
    for _ in 0..5 {
        let mut child = context.command(&deliver).spawn().unwrap();
        for _ in 0..40 {
            let (_, body) = received.recv_timeout(Duration::from_secs(60)).unwrap();
            seen.push(number(&body));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    context.ok(&deliver);
    seen.extend(received.try_iter().map(|(_, body)| number(&body)));
    let mut ids = BTreeMap::new();
    let mut last = 0;
    for (number, id) in seen {
        assert!(number <= last + 1, "{number} came before {}", last + 1);
        repeated += u64::from(number <= last);
        last = number;
        assert_eq!(ids.entry(number).or_insert_with(|| id.clone()), &id, "another id");
    }
    assert_eq!(ids.len(), 2000);
    assert!(repeated <= 5, "{repeated} came twice");
}

#[test]
fn deriving_that_is_killed_loses_nothing_and_tells_nothing_twice() {
    let context = Context::new();
    let names: Vec<String> = (0..400).map(|number| format!("p{number}")).collect();
    let packages: Vec<(&str, &str, &str)> = names.iter().map(|name| (name.as_str(), "1", "")).collect();
    let layer =
        Layer::new().file("etc/os-release", BOOKWORM).file("var/lib/dpkg/status", dpkg_status(&packages));
    ImageBuilder::new().layer("ADD", &layer).oci_layout(&context.path().join("image"), Encoding::Gzip);
    let entries = |urgency: &str| {
        let entries = names.iter().enumerate().map(|(number, name)| {
            format!(
                r#""{name}":{{"CVE-2001-{number:04}":{{"releases":{{"bookworm":{{"status":"open","urgency":"{urgency}"}}}}}}}}"#
            )
        });
        format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
    };
    for (mirror, urgency) in [("one", "low"), ("two", "high")] {
        tracker(&context.path().join(mirror), &entries(urgency));
    }
    context.ok(&["--feeds-mirror", "one", "--no-enrich", "scan", "oci:image"]);
    let (mut round, mut killed) = (0, 0);
    while killed < 12 && round < 60 {
        round += 1;
        let mirror = if round % 2 == 1 { "two" } else { "one" };
        let mut child = context
            .command(&["--quiet", "--feeds-mirror", mirror, "feeds", "update"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // At another moment each time; what a machine makes of it is different anyway.
        std::thread::sleep(Duration::from_millis(20 + 17 * (round * 7 % 23)));
        child.kill().unwrap();
        killed += u64::from(!child.wait().unwrap().success());
        let derived = context.ok(&["events", "derive"]);
        assert!(derived.contains("is processed"), "{derived}");
    }
    context.ok(&["store", "check"]);
    // Whatever came of it: who follows the events from the first report arrives at the last.
    let mut high: BTreeMap<String, bool> = BTreeMap::new();
    let (mut after, mut ids) = (0, BTreeSet::new());
    loop {
        let list = json(&context, &["events", "list", "--limit", "1000", "--after", &after.to_string()]);
        for event in list["events"].as_array().unwrap() {
            after = event["number"].as_u64().unwrap();
            assert!(ids.insert(event["id"].as_str().unwrap().to_owned()), "{event}");
            let Some(id) = event["vulnerability"].as_str() else { continue };
            let is_raised = event["type"] == "vulnerability.severity-raised";
            assert!(is_raised || event["type"] == "vulnerability.severity-lowered", "{event}");
            let was = high.insert(id.to_owned(), is_raised).unwrap_or(false);
            assert_ne!(was, is_raised, "{event} was told before");
        }
        if list["next"].is_null() {
            break;
        }
    }
    let report = json(&context, &["--offline", "scan", "oci:image"]);
    for finding in report["findings"].as_array().unwrap() {
        let told = high.get(finding["id"].as_str().unwrap()).copied().unwrap_or(false);
        assert_eq!(finding["severity"] == "High", told, "{finding}");
    }
}
