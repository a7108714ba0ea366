//! Two revisions of the feeds: what an update writes, what it reports, and both worlds afterwards.
//!
//! Of Ubuntu's records one edit makes another priority. The record has one, and each package may have its own. A
//! package's own counts, and a row says so only where it differs from the record's: so a new priority of a record
//! is one change of that advisory and not one of each of its packages, while a package whose own priority no longer
//! differs, or differs anew, is a change of that package.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use limpid_testkit::{Encoding, ImageBuilder, Layer, dpkg_status, feeds_mirror, require_or_skip, shared};
use serde_json::Value;

use crate::{Context, two_layers};

pub(crate) fn tracker(folder: &Path, content: &str) {
    let data = folder.join("security-tracker.debian.org/tracker/data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("json"), content).unwrap();
}

fn changes(context: &Context, since: u64) -> Vec<Value> {
    let since = format!("revision:{since}");
    let text = context.ok(&["feeds", "changes", "--since", &since, "--format", "json"]);
    let document: Value = serde_json::from_str(&text).unwrap();
    document["changes"].as_array().unwrap().clone()
}

#[test]
fn both_worlds_stay_and_what_changed_is_told() {
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
    let scan = |more: &[&str]| {
        let mut arguments = vec!["--offline", "scan", "--format", "json", "oci:image"];
        arguments.extend(more);
        context.ok(&arguments)
    };
    context.ok(&["--feeds-mirror", "one", "feeds", "update", "debian:12"]);
    let before = scan(&[]);
    context.ok(&["--feeds-mirror", "two", "feeds", "update", "debian:12"]);
    let after = scan(&[]);
    let told: Vec<String> = changes(&context, 1)
        .iter()
        .map(|change| {
            format!("{} {}", change["kind"].as_str().unwrap(), change["advisory"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        ["fixed CVE-2001-0001", "severity CVE-2001-0002", "withdrawn CVE-2001-0003", "new CVE-2001-0004"]
    );
    // The past is told in the words of the past, and the same question gives the same bytes.
    let past = scan(&["--as-of", "revision:1"]);
    assert_eq!(past, scan(&["--as-of", "revision:1"]));
    let findings = |text: &str| serde_json::from_str::<Value>(text).unwrap()["findings"].clone();
    assert_eq!(findings(&past), findings(&before));
    assert_ne!(findings(&past), findings(&after));
    assert_eq!(findings(&scan(&["--as-of", "revision:2"])), findings(&after));
    assert_eq!(after, scan(&[]));
    // Before the first revision nothing was known, and nothing is called clean.
    let none = context.ok(&["--offline", "scan", "--as-of", "2001-01-01", "oci:image"]);
    assert!(none.contains("No statement is possible"), "{none}");
    let (code, error) = context.fails(&["--offline", "scan", "--as-of", "revision:99", "oci:image"]);
    assert!(code == 3 && error.contains("no revision 99"), "{error}");
    let explained =
        context.ok(&["--offline", "explain", "--as-of", "revision:1", "oci:image", "CVE-2001-0001"]);
    assert!(explained.contains("no-fix"), "{explained}");
}

/// (kind, advisory, package, release) of Debian's and Alpine's edits, as the script that made them says.
pub(crate) fn edits(folder: &Path) -> BTreeSet<[String; 4]> {
    let manifest: Value = serde_json::from_slice(&fs::read(folder.join(".changes.json")).unwrap()).unwrap();
    let mut edits = BTreeSet::new();
    for change in manifest["changes"].as_array().unwrap() {
        let text = |key: &str| change[key].as_str().unwrap_or_default().to_owned();
        let mut add = |release: String| {
            edits.insert([text("kind"), text("id"), text("package"), release]);
        };
        match text("feed").as_str() {
            "alpine" => {
                let branch = text("file").split('/').nth(1).unwrap().trim_start_matches('v').to_owned();
                add(format!("alpine:{branch}"));
            }
            "debian" if change["release"].is_string() => add(debian(&text("release"))),
            "debian" => {
                // One edit in every release that the entry speaks of.
                let side = if change["after"].is_null() { &change["before"] } else { &change["after"] };
                let releases = side.get("releases").unwrap_or(side);
                releases.as_object().unwrap().keys().for_each(|code_name| add(debian(code_name)));
            }
            _ => {}
        }
    }
    edits
}

fn debian(code_name: &str) -> String {
    let release = match code_name {
        "bullseye" => "11",
        "bookworm" => "12",
        "trixie" => "13",
        "forky" => "14",
        other => other,
    };
    format!("debian:{release}")
}

/// Copies parts of the mirror to the folder `one`, and edits them to be `two`.
pub(crate) fn two_revisions(context: &Context, shared: &Path, mirror: &Path, parts: &[&str]) -> PathBuf {
    let (one, two) = (context.path().join("one"), context.path().join("two"));
    for part in parts {
        let copy = one.join(part);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        assert!(Command::new("cp").arg("-r").arg(mirror.join(part)).arg(copy).status().unwrap().success());
    }
    let revised =
        Command::new("python3").arg(shared.join("feeds/revise.py")).arg(&one).arg(&two).output().unwrap();
    assert!(revised.status.success(), "{}", String::from_utf8_lossy(&revised.stderr));
    two
}

#[test]
fn an_update_of_real_feeds_writes_exactly_what_was_edited() {
    let found = shared().zip(feeds_mirror());
    let Some((shared, mirror)) = require_or_skip(found, "the feeds' data") else { return };
    let context = Context::new();
    let parts = ["security-tracker.debian.org", "secdb.alpinelinux.org"];
    let two = two_revisions(&context, &shared, &mirror, &parts);
    let update = |mirror: &str| {
        context.ok(&[
            "--feeds-mirror",
            mirror,
            "feeds",
            "update",
            "debian:12",
            "alpine:3.20",
            "alpine:3.21",
            "alpine:3.22",
            "alpine:3.23",
            "alpine:edge",
        ])
    };
    update("one");
    let documents = 11;
    update("two");
    let told: BTreeSet<[String; 4]> = changes(&context, documents)
        .iter()
        .map(|change| {
            ["kind", "advisory", "package", "release"].map(|key| change[key].as_str().unwrap().to_owned())
        })
        .filter(|[_, _, package, _]| !package.is_empty())
        .collect();
    let expected = edits(&two);
    assert!(expected.len() > 300, "the script edited only {} places", expected.len());
    let missed: Vec<_> = expected.difference(&told).collect();
    let invented: Vec<_> = told.difference(&expected).collect();
    assert!(missed.is_empty() && invented.is_empty(), "missed {missed:?}\ninvented {invented:?}");
    // The same once more changes nothing.
    update("two");
    let status = context.ok(&["feeds", "status"]);
    assert_eq!(changes(&context, 2 * documents), Vec::<Value>::new(), "{status}");
}

/// Kind, advisory, package, release and channel of every change that the script's edits come to.
fn expected_changes(folder: &Path) -> BTreeSet<[String; 5]> {
    let program = include_str!("revisions.py");
    let mut python = Command::new("python3");
    let output = python.args(["-c", program, "one", "two"]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = |row: &Value| [0, 1, 2, 3, 4].map(|column| row[column].as_str().unwrap().to_owned());
    rows.as_array().unwrap().iter().map(row).collect()
}

#[test]
fn updates_of_ubuntu_and_red_hat_write_exactly_what_was_edited_and_both_worlds_stay() {
    let found = shared().zip(feeds_mirror());
    let Some((shared, mirror)) = require_or_skip(found, "the feeds' data") else { return };
    let context = Context::new();
    let parts = [
        "security-metadata.canonical.com/osv",
        // The script reads the records here and writes them there.
        "storage.googleapis.com/osv-vulnerabilities/Ubuntu/all.zip",
        "security.access.redhat.com",
    ];
    two_revisions(&context, &shared, &mirror, &parts);
    let expected = expected_changes(context.path());
    assert!(expected.len() > 1000, "the script edited only {} places", expected.len());
    let update = |mirror: &str| {
        context.ok(&["--feeds-mirror", mirror, "--no-enrich", "feeds", "update", "ubuntu:22.04", "rhel:9"])
    };
    // Packages of one release that the edits name, all of them old.
    let edited: BTreeSet<&str> = expected
        .iter()
        .filter(|change| change[3] == "ubuntu:22.04")
        .map(|change| change[2].as_str())
        .collect();
    let packages: Vec<(&str, &str, &str)> = edited.into_iter().map(|name| (name, "0.1-1", "")).collect();
    let layer = Layer::new()
        .file("etc/os-release", "ID=ubuntu\nVERSION_ID=\"22.04\"\n")
        .file("var/lib/dpkg/status", dpkg_status(&packages));
    ImageBuilder::new().layer("ADD", &layer).oci_layout(&context.path().join("image"), Encoding::Gzip);
    let scan = |more: &[&str]| {
        let mut arguments =
            vec!["--offline", "scan", "--kernel", "show", "--no-enrich", "--format", "json", "oci:image"];
        arguments.extend(more);
        context.ok(&arguments)
    };
    update("one");
    // One revision for the records, one for the documents, one for the map of repositories.
    let documents = 3;
    let before = scan(&[]);
    update("two");
    let after = scan(&[]);
    let told = || -> BTreeSet<[String; 5]> {
        let keys = ["kind", "advisory", "package", "release", "channel"];
        let changes = changes(&context, documents);
        changes.iter().map(|change| keys.map(|key| change[key].as_str().unwrap().to_owned())).collect()
    };
    let (missed, invented): (Vec<_>, Vec<_>) = {
        let told = told();
        (expected.difference(&told).cloned().collect(), told.difference(&expected).cloned().collect())
    };
    assert!(missed.is_empty() && invented.is_empty(), "missed {missed:?}\ninvented {invented:?}");
    let findings = |text: &str| serde_json::from_str::<Value>(text).unwrap()["findings"].clone();
    let past = scan(&["--as-of", &format!("revision:{documents}")]);
    assert_eq!(past, scan(&["--as-of", &format!("revision:{documents}")]));
    assert_eq!(findings(&past), findings(&before));
    assert_ne!(findings(&past), findings(&after));
    assert_eq!(after, scan(&[]));
    // The same once more changes nothing.
    update("two");
    assert_eq!(told(), expected);
    assert_eq!(after, scan(&[]));
}
