//! `scan`, `explain` and `affected`: against a feed's own words, and in small.

use std::fs;
use std::path::Path;
use std::process::Command;

use limpid_testkit::{Encoding, Layer, corpus, feeds_mirror, require_or_skip};

use crate::{Context, two_layers};

/// Reads the tracker's JSON directly: what is vulnerable among `type, name, version, …` rows on standard input.
const INDEPENDENT: &str = r"
import json, subprocess, sys, functools
import apt_pkg
apt_pkg.init_system()
tracker = json.load(open(sys.argv[1]))
for line in sys.stdin:
    f = line.rstrip('\n').split('\t')
    for cve, facts in tracker.get(f[4], {}).items():
        release = facts['releases'].get('bookworm')
        if release is None:
            continue
        fixed = release.get('fixed_version')
        if release['status'] == 'open' or (release['status'] == 'resolved' and fixed != '0'
                and apt_pkg.version_compare(f[5], fixed) < 0):
            print(cve, f[1], f[2], fixed if release['status'] == 'resolved' else '')
";

#[test]
fn a_real_image_agrees_with_the_tracker_finding_for_finding() {
    let found = corpus().zip(feeds_mirror());
    let Some((corpus, mirror)) = require_or_skip(found, "the corpus of real images, or the feeds' data,")
    else {
        return;
    };
    let tracker = mirror.join("security-tracker.debian.org/tracker/data/json");
    let image = format!("oci:{}", corpus.join("debian-bookworm-upgraded/oci").display());
    let context = Context::new();
    let packages = context.ok(&["packages", "--offline", "--format", "tsv", &image]);
    let rows = context.path().join("rows");
    fs::write(&rows, packages).unwrap();
    let output = Command::new("/usr/bin/python3")
        .args(["-c", INDEPENDENT, tracker.to_str().unwrap()])
        .stdin(fs::File::open(&rows).unwrap())
        .output()
        .unwrap();
    if !output.status.success() {
        assert!(require_or_skip(None::<()>, "python3-apt").is_none());
        return;
    }
    let expected = String::from_utf8(output.stdout).unwrap();
    let mut expected: Vec<&str> = expected.lines().map(str::trim_end).collect();
    expected.sort_unstable();
    assert!(expected.len() > 10, "the feed names too little to test with");
    let report =
        context.ok(&["--feeds-mirror", mirror.to_str().unwrap(), "scan", "--format", "json", &image]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let mut ours: Vec<String> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["affected"] == true)
        .map(|finding| {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let package = &finding["package"];
            let row = [&finding["id"], &package["name"], &package["version"], &finding["fixedIn"]].map(text);
            row.join(" ").trim_end().to_owned()
        })
        .collect();
    ours.sort_unstable();
    assert_eq!(ours, expected);
}

/// A mirror with a tracker that says something in each of its words about the packages of `two_layers`.
fn small_mirror(folder: &Path) {
    let data = folder.join("mirror/security-tracker.debian.org/tracker/data");
    fs::create_dir_all(&data).unwrap();
    let say = |words: &str| {
        format!(r#"{{"description":"d","scope":"remote","releases":{{"bookworm":{{{words}}}}}}}"#)
    };
    let entries = [
        ("CVE-2001-0001", r#""status":"resolved","fixed_version":"1.0-3","urgency":"high""#),
        ("CVE-2001-0002", r#""status":"resolved","fixed_version":"1.0-2","urgency":"high""#),
        ("CVE-2001-0003", r#""status":"resolved","fixed_version":"0","urgency":"unimportant""#),
        ("CVE-2001-0004", r#""status":"open","urgency":"low","nodsa":"x","nodsa_reason":"postponed""#),
        ("CVE-2001-0005", r#""status":"open","urgency":"unimportant""#),
        ("CVE-2001-0006", r#""status":"undetermined","urgency":"not yet assigned""#),
        ("CVE-2001-0007", r#""status":"open","urgency":"end-of-life""#),
        ("CVE-2001-0008", r#""status":"open","urgency":"medium","nodsa":"x","nodsa_reason":"ignored""#),
    ];
    let entries: Vec<String> =
        entries.iter().map(|(id, words)| format!(r#""{id}":{}"#, say(words))).collect();
    let bee = r#""CVE-2001-0009":{"releases":{"bookworm":{"status":"open","urgency":"high"}}}"#;
    fs::write(data.join("json"), format!(r#"{{"a":{{{}}},"bee":{{{bee}}}}}"#, entries.join(","))).unwrap();
}

#[test]
fn every_state_keeps_the_meaning_that_its_source_gives_it() {
    let context = Context::new();
    small_mirror(context.path());
    two_layers().oci_layout(&context.path().join("image"), Encoding::Zstd);
    let report = context.ok(&["--feeds-mirror", "mirror", "scan", "--format", "json", "oci:image"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let found: Vec<String> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| {
            format!(
                "{} {} {}",
                f["id"].as_str().unwrap(),
                f["state"].as_str().unwrap(),
                f["severity"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            "CVE-2001-0001 fixable High",
            "CVE-2001-0008 will-not-fix Medium",
            "CVE-2001-0004 deferred Low",
            "CVE-2001-0005 no-fix Negligible",
            "CVE-2001-0006 unknown Unknown",
            "CVE-2001-0007 end-of-life Unknown",
        ]
    );
    let explained = context.ok(&["--feeds-mirror", "mirror", "explain", "oci:image", "CVE-2001-0002"]);
    assert!(explained.contains("not affected") && explained.contains("1.0-2 = 1.0-2"), "{explained}");
    assert_eq!(context.run(&["--offline", "scan", "--fail-on", "high", "oci:image"]).status.code(), Some(2));
    assert_eq!(
        context.run(&["--offline", "scan", "--fail-on", "critical", "oci:image"]).status.code(),
        Some(0)
    );
    // The layer that removed `b` fixed what it had.
    let layers = context.ok(&["--offline", "layers", "--format", "json", "oci:image"]);
    let layers: serde_json::Value = serde_json::from_str(&layers).unwrap();
    assert_eq!(layers["layers"][1]["vulnerabilities"], serde_json::json!({"introduced": 0, "fixed": 2}));
    let status = context.ok(&["feeds", "status"]);
    assert!(status.contains("debian-tracker tracker") && status.contains("9 affected ranges"), "{status}");
}

#[test]
fn an_image_that_nothing_is_known_of_never_looks_clean() {
    let context = Context::new();
    let cases = [
        ("empty", limpid_testkit::ImageBuilder::new()),
        ("scratch", limpid_testkit::ImageBuilder::new().layer("COPY app /", &Layer::new().file("app", "x"))),
        (
            "plan9",
            limpid_testkit::ImageBuilder::new().layer(
                "ADD",
                &Layer::new()
                    .file("etc/os-release", "ID=plan9\nVERSION_ID=4\n")
                    .file("var/lib/dpkg/status", limpid_testkit::dpkg_status(&[("a", "1", "")])),
            ),
        ),
    ];
    for (name, image) in cases {
        image.oci_layout(&context.path().join(name), Encoding::Gzip);
        let text = context.ok(&["scan", &format!("oci:{name}")]);
        assert!(text.contains("No statement is possible"), "{name}: {text}");
        let gate = context.run(&["scan", "--fail-on", "coverage", &format!("oci:{name}")]);
        assert_eq!(gate.status.code(), Some(2), "{name}");
    }
}

#[test]
fn the_demo_ends_with_the_share_of_ghost() {
    let text = Context::new().ok(&["demo", "--offline"]);
    assert!(text.ends_with("CVE-2015-0235: 1 of 3 images is affected (33.3 %).\n"), "{text}");
    assert!(text.contains("brought by layer") && text.contains("ADD rootfs.tar.xz /"));
    assert!(!text.contains('\x1b'), "colours in a pipe");
}

#[test]
fn advisories_of_ones_own_are_read_and_replaced() {
    let context = Context::new();
    two_layers().oci_layout(&context.path().join("image"), Encoding::Gzip);
    let record = |fixed: &str| {
        format!(
            r#"{{"id":"OWN-1","database_specific":{{"severity":"Defcon1"}},"affected":[{{"package":{{"ecosystem":"Debian:12",
               "name":"a"}},"ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}]}}"#
        )
    };
    fs::write(context.path().join("own.json"), record("1.0-9")).unwrap();
    assert_eq!(context.ok(&["feeds", "import", "own.json"]), "1 new, 0 gone, 0 as before\n");
    assert!(context.ok(&["--offline", "scan", "oci:image"]).contains("Defcon1"));
    fs::write(context.path().join("own.json"), record("1.0-2")).unwrap();
    assert_eq!(context.ok(&["feeds", "import", "own.json"]), "1 new, 1 gone, 0 as before\n");
    assert!(!context.ok(&["--offline", "scan", "oci:image"]).contains("Defcon1"));
    // An image without packages is not one that was found clean.
    let bare = limpid_testkit::ImageBuilder::new()
        .layer("ADD", &Layer::new().file("etc/os-release", crate::BOOKWORM));
    bare.oci_layout(&context.path().join("bare"), Encoding::Gzip);
    context.ok(&["--offline", "scan", "oci:bare"]);
    let share = context.ok(&["affected", "OWN-1"]);
    assert!(share.contains("0 of 1 images") && share.contains("1 more cannot be judged"), "{share}");
}
