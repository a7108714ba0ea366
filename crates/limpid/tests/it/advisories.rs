//! A user's own advisories, from a folder of OSV records, beside what the distributions' feeds say.

use std::fs;

use limpid_testkit::{Encoding, ImageBuilder, Layer, dpkg_status};
use serde_json::Value;

use crate::{BOOKWORM, Context};

const TRACKER: &str = r#"{"a":{
    "CVE-2001-0001":{"releases":{"bookworm":{"status":"open","urgency":"low"}}},
    "CVE-2001-0002":{"releases":{"bookworm":{"status":"resolved","fixed_version":"1.0-9","urgency":"medium"}}},
    "CVE-2001-0003":{"releases":{"bookworm":{"status":"open","urgency":"high"}}}}}"#;
const SECDB: &str = r#"{"distroversion":"v3.3","reponame":"main","packages":[{"pkg":{"name":"b","secfixes":{
    "2.0-r0":["CVE-2001-0001"]}}}]}"#;

/// A Debian and an Alpine image, and feeds that know vulnerabilities of both.
fn prepared() -> Context {
    let context = Context::new();
    let debian = Layer::new()
        .file("etc/os-release", BOOKWORM)
        .file("var/lib/dpkg/status", dpkg_status(&[("liba", "1.0-1", "a"), ("c", "3-1", "")]));
    ImageBuilder::new().layer("ADD", &debian).oci_layout(&context.path().join("debian"), Encoding::Gzip);
    let alpine = Layer::new()
        .file("etc/os-release", "ID=alpine\nVERSION_ID=3.3.1\n")
        .file("lib/apk/db/installed", "P:b\nV:1.0-r0\nA:x86_64\no:b\n\n");
    ImageBuilder::new().layer("ADD", &alpine).oci_layout(&context.path().join("alpine"), Encoding::Gzip);
    for (path, name, content) in [
        ("mirror/security-tracker.debian.org/tracker/data", "json", TRACKER),
        ("mirror/secdb.alpinelinux.org/v3.3", "main.json", SECDB),
        ("own", "README.txt", "what no record is, is not read"),
    ] {
        fs::create_dir_all(context.path().join(path)).unwrap();
        fs::write(context.path().join(path).join(name), content).unwrap();
    }
    context.ok(&["--feeds-mirror", "mirror", "feeds", "update", "debian:12", "alpine:3.3"]);
    context
}

fn record(context: &Context, name: &str, text: &str) {
    fs::write(context.path().join("own").join(name), text).unwrap();
}

/// Vulnerability, package, state, fixed version, severity and feed of each finding.
fn findings(context: &Context, image: &str, more: &[&str]) -> Vec<String> {
    let scan = ["--offline", "scan", "--no-enrich", "--format", "json", image];
    let report: Value = serde_json::from_str(&context.ok(&[&scan[..], more].concat())).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let mut rows: Vec<String> = findings
        .map(|finding| {
            let package = &finding["package"]["name"];
            let keys = ["id", "state", "fixedIn", "severity", "feed"].map(|key| &finding[key]);
            let [id, state, fixed, severity, feed] = keys.map(|value| value.as_str().unwrap_or_default());
            format!("{id} {} {state} {fixed} {severity} {feed}", package.as_str().unwrap())
        })
        .collect();
    rows.sort_unstable();
    rows
}

#[test]
fn own_words_count_first_wherever_a_feed_finds_the_vulnerability() {
    let context = prepared();
    let before = findings(&context, "oci:debian", &[]);
    assert_eq!(
        before,
        [
            "CVE-2001-0001 liba no-fix  Low debian-tracker",
            "CVE-2001-0002 liba fixable 1.0-9 Medium debian-tracker",
            "CVE-2001-0003 liba no-fix  High debian-tracker",
        ]
    );
    // A word on the vulnerability itself, without any package.
    record(&context, "defcon.json", r#"{"id":"CVE-2001-0001","database_specific":{"severity":"Defcon1"}}"#);
    // The same vulnerability under a name of one's own, with another fix.
    record(
        &context,
        "alias.json",
        r#"{"id":"OWN-1","aliases":["CVE-2001-0002"],"summary":"Our backport.","affected":[{
            "package":{"ecosystem":"Debian:12","name":"a"},
            "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1.0-5"}]}]}]}"#,
    );
    record(
        &context,
        "not.json",
        r#"[{"id":"OWN-2","aliases":["CVE-2001-0003"],"affected":[{
            "package":{"ecosystem":"Debian:12","name":"a"},"database_specific":{"state":"not-affected"}}]},
           {"id":"OWN-3","affected":[{"package":{"ecosystem":"Debian:12","name":"c"},
            "database_specific":{"severity":"Critical"},
            "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"3"}]}]}]}]"#,
    );
    context.ok(&["feeds", "import", "own"]);
    assert_eq!(
        findings(&context, "oci:debian", &[]),
        [
            "CVE-2001-0001 liba no-fix  Defcon1 debian-tracker",
            "CVE-2001-0002 liba fixable 1.0-5 Medium local",
            "OWN-3 c no-fix  Critical local",
        ]
    );
    assert_eq!(
        findings(&context, "oci:alpine", &[]),
        ["CVE-2001-0001 b fixable 2.0-r0 Defcon1 alpine-secdb"]
    );
    let explained = |id: &str| context.ok(&["--offline", "explain", "oci:debian", id]);
    let told = explained("CVE-2001-0003");
    assert!(told.contains("OWN-2") && told.contains("debian-tracker"), "{told}");
    let told = explained("OWN-1");
    assert!(told.contains("CVE-2001-0002") && told.contains("1.0-9"), "{told}");
    let (code, _) =
        context.fails(&["--offline", "scan", "--no-enrich", "--fail-on", "Defcon1", "oci:alpine"]);
    assert_eq!(code, 2);
    // What was known before is not changed by it, and what is taken back is gone.
    assert_eq!(findings(&context, "oci:debian", &["--as-of", "revision:2"]), before);
    for name in ["defcon.json", "alias.json", "not.json"] {
        fs::remove_file(context.path().join("own").join(name)).unwrap();
    }
    context.ok(&["feeds", "import", "own"]);
    assert_eq!(findings(&context, "oci:debian", &[]), before);
}

#[test]
fn a_record_that_cannot_be_read_is_named_and_nothing_is_taken() {
    let context = prepared();
    record(&context, "a.json", r#"{"id":"CVE-2001-0001","database_specific":{"severity":"Defcon1"}}"#);
    for wrong in [
        r#"{"id":"OWN-1","affected":[{"package":{"ecosystem":"Debian:12","name":"a"},"versions":["1.0-1"]}]}"#,
        r#"{"id":"OWN-1","database_specific":{"severity":"terrible"}}"#,
        "{",
    ] {
        record(&context, "b.json", wrong);
        let (code, error) = context.fails(&["feeds", "import", "own"]);
        assert!(code != 0 && error.contains("b.json"), "{error}");
    }
    assert!(findings(&context, "oci:alpine", &[])[0].contains(" Unknown "));
    // Entries for languages' packages are counted, and the rest of the record counts.
    record(
        &context,
        "b.json",
        r#"{"id":"OWN-1","aliases":["CVE-2001-0003"],"affected":[
            {"package":{"ecosystem":"npm","name":"a"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]},
            {"package":{"ecosystem":"Debian:12","name":"a"},"database_specific":{"state":"not-affected"}}]}"#,
    );
    let output = context.run(&["feeds", "import", "own"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.contains("b.json: 1 left out: ecosystem is no release"),
        "{errors}"
    );
    assert!(!findings(&context, "oci:debian", &[]).iter().any(|row| row.starts_with("CVE-2001-0003")));
}

#[test]
fn the_example_of_the_documentation_is_right() {
    let context = prepared();
    let page = include_str!("../../../../docs/advisories.md");
    let examples: Vec<&str> =
        page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 3);
    for (number, example) in examples.iter().enumerate() {
        record(&context, &format!("{number}.json"), example);
    }
    let output = context.run(&["feeds", "import", "own"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
}

#[test]
fn a_fix_of_another_channel_is_named_with_it_by_every_command() {
    let context = Context::new();
    let ubuntu = Layer::new()
        .file("etc/os-release", "ID=ubuntu\nVERSION_ID=\"18.04\"\n")
        .file("var/lib/dpkg/status", dpkg_status(&[("gzip", "1.0-1", "")]));
    ImageBuilder::new().layer("ADD", &ubuntu).oci_layout(&context.path().join("ubuntu"), Encoding::Gzip);
    fs::create_dir(context.path().join("own")).unwrap();
    record(
        &context,
        "a.json",
        r#"{"id":"CVE-2001-0001","affected":[{"package":{"ecosystem":"Ubuntu:Pro:18.04:LTS","name":"gzip"},
        "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1.0-1+esm1"}]}]}]}"#,
    );
    context.ok(&["feeds", "import", "own"]);
    let said = |arguments: &[&str]| context.ok(&[&["--offline"], arguments].concat());
    let scanned: Value = serde_json::from_str(&said(&["scan", "--format", "json", "oci:ubuntu"])).unwrap();
    let channel = scanned["findings"][0]["channel"].as_str().unwrap();
    assert!(!channel.is_empty());
    assert!(said(&["scan", "oci:ubuntu"]).contains(&format!("1.0-1+esm1 ({channel})")));
    assert!(said(&["explain", "oci:ubuntu", "CVE-2001-0001"]).contains(&format!("channel   {channel}\n")));
    let answer = said(&["affected", "CVE-2001-0001"]);
    assert!(answer.contains(&format!("gzip 1.0-1 (fixed in 1.0-1+esm1 through {channel})")), "{answer}");
    let answer: Value =
        serde_json::from_str(&said(&["affected", "--format", "json", "CVE-2001-0001"])).unwrap();
    assert_eq!(answer["images"][0]["packages"][0]["channel"], channel);
}
