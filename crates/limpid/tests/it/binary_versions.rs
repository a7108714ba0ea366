//! Packages whose source has another version than they have themselves, as real status files list them: each is
//! judged by the version that the advisories speak of. What is right is worked out from the feed by
//! `binary_versions.py`, with dpkg's own order.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use limpid_testkit::{Encoding, ImageBuilder, Layer, dpkg_status, feeds_mirror, require_or_skip};
use serde_json::{Value, json};

use crate::Context;

/// Package, version, and source as the status file has it, with more fields where they matter; whether the package's own version would be judged
/// otherwise.
type Facts<'a> = &'a [(&'a str, &'a str, &'a str, bool)];

const BOOKWORM: Facts<'_> = &[
    // An epoch in the binary package alone.
    ("bsdutils", "1:2.38.1-5+b1", "util-linux (2.38.1-5)", true),
    ("libdevmapper1.02.1", "2:1.02.60-1", "lvm2 (2.02.80-1)", true),
    // Numbers of another kind.
    ("postgresql", "15+248", "postgresql-common (248)", true),
    ("postgresql-client-common", "248", "postgresql-common", false),
    ("gcc", "4:12.2.0-3", "gcc-defaults (1.203)", false),
    ("libgcc-s1", "12.2.0-14", "gcc-12", false),
    // A rebuild: the source is as it was.
    ("login", "1:4.13+dfsg1-1+b1", "shadow (1:4.13+dfsg1-1)", false),
    ("libperl5.36", "5.36.0-7", "perl", false),
    // Signed kernels, whose source holds signatures alone: the tracker does not name it. The metapackage holds none.
    (
        "linux-image-6.1.0-7-amd64",
        "6.1.20-1",
        "linux-signed-amd64 (6.1.20+1)\nBuilt-Using: linux (= 6.1.20-1)\n\
         Description: Linux 6.1 for 64-bit PCs (signed)",
        false,
    ),
    (
        "linux-image-amd64",
        "6.1.20-1",
        "linux-signed-amd64 (6.1.20+1)\nBuilt-Using: linux (= 6.1.20-1)\n\
         Description: Linux for 64-bit PCs (meta-package)",
        false,
    ),
    ("linux-libc-dev", "6.1.20-1", "linux", false),
];
const JAMMY: Facts<'_> = &[
    ("bsdutils", "1:2.37.2-4ubuntu1", "util-linux (2.37.2-4ubuntu1)", true),
    ("gcc", "4:11.2.0-1ubuntu1", "gcc-defaults (1.193ubuntu1)", false),
    ("libperl5.34", "5.34.0-3ubuntu1", "perl", false),
    // A metapackage, of which nobody speaks: what it brings has findings of its own.
    ("linux-image-generic", "5.15.0.25.27", "linux-meta (5.15.0.25.27)", false),
    ("linux-modules-5.15.0-25-generic", "5.15.0-25.25", "linux", false),
    (
        "linux-image-5.15.0-25-generic",
        "5.15.0-25.25",
        "linux-signed (5.15.0-25.25)\nBuilt-Using: linux (= 5.15.0-25.25)\n\
         Description: Signed kernel image generic",
        false,
    ),
];
const XENIAL: Facts<'_> = &[
    ("postgresql", "9.5+173ubuntu0.3", "postgresql-common (173ubuntu0.3)", true),
    ("bsdutils", "1:2.27.1-6ubuntu3", "util-linux (2.27.1-6ubuntu3)", true),
    ("libperl5.22", "5.22.1-9", "perl", false),
];

/// [id, package, state, fixed version, channel] of every finding.
fn findings(context: &Context, mirror: &str, image: &str) -> BTreeSet<Vec<String>> {
    let scan =
        ["--feeds-mirror", mirror, "--no-enrich", "scan", "--kernel", "show", "--format", "json", image];
    let report: Value = serde_json::from_str(&context.ok(&scan)).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    findings
        .map(|finding| {
            let name = text(&finding["package"]["name"]);
            let [id, state, fixed, channel] =
                ["id", "state", "fixedIn", "channel"].map(|key| text(&finding[key]));
            vec![id, name, state, fixed, channel]
        })
        .collect()
}

fn rows(value: &Value) -> BTreeSet<Vec<String>> {
    let row =
        |row: &Value| row.as_array().unwrap().iter().map(|text| text.as_str().unwrap().into()).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

/// What the feed says by the sources' versions, and what it would say by the packages' own.
fn right_and_wrong(status: &Path, feed: &Path, release: &str) -> Option<[BTreeSet<Vec<String>>; 2]> {
    let program = include_str!("binary_versions.py");
    let mut python = Command::new("/usr/bin/python3");
    let output = python.args(["-c", program]).arg(status).arg(feed).arg(release).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("No module named 'apt_pkg'") {
        return require_or_skip(None, "python3-apt");
    }
    assert!(output.status.success(), "{errors}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    Some([rows(&said["by_source"]), rows(&said["by_binary"])])
}

#[test]
fn debs_are_judged_by_the_version_of_their_source() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let context = Context::new();
    let tracker = "security-tracker.debian.org/tracker/data/json";
    let records = "security-metadata.canonical.com/osv/osv-all.tar.xz";
    for (release, feed, facts) in [
        ("debian:12", tracker, BOOKWORM),
        ("ubuntu:22.04", records, JAMMY),
        ("ubuntu:16.04", records, XENIAL),
    ] {
        let packages: Vec<(&str, &str, &str)> =
            facts.iter().map(|(name, version, source, _)| (*name, *version, *source)).collect();
        let status = context.path().join("status");
        fs::write(&status, dpkg_status(&packages)).unwrap();
        let (id, version) = release.split_once(':').unwrap();
        let layer = Layer::new()
            .file("etc/os-release", format!("ID={id}\nVERSION_ID=\"{version}\"\n"))
            .file("var/lib/dpkg/status", dpkg_status(&packages));
        let folder = release.replace(':', "-");
        ImageBuilder::new().layer("ADD", &layer).oci_layout(&context.path().join(&folder), Encoding::Gzip);
        let Some([right, wrong]) = right_and_wrong(&status, &mirror.join(feed), release) else { return };
        let found = findings(&context, mirror.to_str().unwrap(), &format!("oci:{folder}"));
        let missed: Vec<_> = right.difference(&found).collect();
        let invented: Vec<_> = found.difference(&right).collect();
        assert!(missed.is_empty() && invented.is_empty(), "{release} lacks {missed:?}, invents {invented:?}");
        assert!(!right.is_empty());
        for (kernel, is_named) in [
            ("linux-image-6.1.0-7-amd64", release == "debian:12"),
            ("linux-image-amd64", false),
            ("linux-image-5.15.0-25-generic", release == "ubuntu:22.04"),
        ] {
            assert_eq!(right.iter().any(|row| row[1] == kernel), is_named, "{release} {kernel}");
        }
        for (name, .., differs) in facts {
            let of = |rows: &BTreeSet<Vec<String>>| -> Vec<Vec<String>> {
                rows.iter().filter(|row| row[1] == *name).cloned().collect()
            };
            assert_eq!(of(&right) != of(&wrong), *differs, "{release} {name}: {:?}", of(&right));
        }
    }
}

#[test]
fn a_signed_kernel_follows_what_is_said_of_its_source() {
    let context = Context::new();
    let revision = |linux: Value| {
        let folder = context.path().join("mirror/security-tracker.debian.org/tracker/data");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("json"), json!({ "linux": linux }).to_string()).unwrap();
        context.ok(&["--feeds-mirror", "mirror", "feeds", "update", "debian:12"]);
    };
    let fixed = |version: &str| {
        json!({"releases": {"bookworm": {
            "status": "resolved", "fixed_version": version, "urgency": "not yet assigned"}}})
    };
    let source = "linux-signed-amd64 (6.1.76+1)";
    let packages =
        [("linux-image-6.1.0-18-amd64", "6.1.76-1", source), ("linux-image-amd64", "6.1.76-1", source)];
    let layer = Layer::new()
        .file("etc/os-release", crate::BOOKWORM)
        .file("var/lib/dpkg/status", dpkg_status(&packages));
    ImageBuilder::new().layer("ADD", &layer).oci_layout(&context.path().join("image"), Encoding::Gzip);
    let scan = |more: &[&str]| -> Vec<String> {
        let scan = ["--offline", "--no-enrich", "scan", "--kernel", "show", "--format", "json", "oci:image"];
        let report: Value = serde_json::from_str(&context.ok(&[&scan[..], more].concat())).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let findings = report["findings"].as_array().unwrap().iter();
        findings.map(|f| [&f["id"], &f["package"]["name"], &f["fixedIn"]].map(text).join(" ")).collect()
    };
    let affected = |id: &str, more: &[&str]| -> Vec<String> {
        let affected = ["--offline", "affected", "--format", "json", id];
        let answer: Value = serde_json::from_str(&context.ok(&[&affected[..], more].concat())).unwrap();
        let images = answer["images"].as_array().unwrap().iter();
        let packages = images.flat_map(|image| image["packages"].as_array().unwrap());
        packages.map(|package| package["name"].as_str().unwrap().to_owned()).collect()
    };
    let kernel = ["linux-image-6.1.0-18-amd64"];

    // 6.1.76-2 is newer than the kernel, and older than what its own source is numbered.
    revision(json!({"CVE-2001-0001": fixed("6.1.76-2"), "CVE-2001-0002": fixed("6.1.76-1")}));
    let before = ["CVE-2001-0001 linux-image-6.1.0-18-amd64 6.1.76-2"];
    assert_eq!(scan(&[]), before);
    assert_eq!(affected("CVE-2001-0001", &[]), kernel);
    assert_eq!(affected("CVE-2001-0002", &[]), [""; 0]);
    let told = context.ok(&["--offline", "explain", "oci:image", "CVE-2001-0001"]);
    assert!(told.contains("6.1.76-1 < 6.1.76-2, which fixes it"), "{told}");

    revision(json!({"CVE-2001-0001": fixed("6.1.76-1"), "CVE-2001-0003": fixed("6.1.82-1")}));
    // Before any scan: the verdicts that are kept are those of the first revision.
    assert_eq!(affected("CVE-2001-0003", &[]), kernel);
    assert_eq!(affected("CVE-2001-0001", &[]), [""; 0]);
    assert_eq!(scan(&[]), ["CVE-2001-0003 linux-image-6.1.0-18-amd64 6.1.82-1"]);
    assert_eq!(scan(&["--as-of", "revision:1"]), before);
    assert_eq!(affected("CVE-2001-0001", &["--as-of", "revision:1"]), kernel);
}

#[test]
fn rpms_are_judged_by_the_version_of_what_the_advisory_names() {
    let context = Context::new();
    fs::create_dir(context.path().join("own")).unwrap();
    let record = |id: &str, name: &str, fixed: &str| {
        let text = format!(
            r#"{{"id":"{id}","affected":[{{"package":{{"ecosystem":"Rocky Linux:9","name":"{name}"}},
                "ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}]}}"#
        );
        fs::write(context.path().join("own").join(format!("{id}.json")), text).unwrap();
    };
    record("CVE-2001-0001", "ruby", "3.0.7-162.el9");
    record("CVE-2001-0002", "rubygem-json", "2.5.1-161.el9");
    context.ok(&["feeds", "import", "own"]);
    let found = |own: &str, source: &str| {
        let line = format!("rubygem-json\t{own}\t1\t1\tVendor\t0\t1\tx86_64\t0\truby-{source}.src.rpm\n");
        let layer = Layer::new()
            .file("etc/os-release", "ID=rocky\nVERSION_ID=\"9.3\"\n")
            .file("var/lib/rpmmanifest/container-manifest-2", line);
        let folder = context.path().join("image");
        let _ = fs::remove_dir_all(&folder);
        ImageBuilder::new().layer("ADD", &layer).oci_layout(&folder, Encoding::Gzip);
        let scan = ["--offline", "--no-enrich", "scan", "--kernel", "show", "--format", "json", "oci:image"];
        let report: Value = serde_json::from_str(&context.ok(&scan)).unwrap();
        let ids = report["findings"].as_array().unwrap().iter().map(|finding| finding["id"].to_string());
        ids.map(|id| id.trim_matches('"').to_owned()).collect::<BTreeSet<String>>()
    };
    let both = BTreeSet::from(["CVE-2001-0001".to_owned(), "CVE-2001-0002".to_owned()]);
    assert_eq!(found("2.5.1-160.el9", "3.0.4-160.el9"), both);
    // 2.5.1 is less than 3.0.7, which is of no matter: that is the source's version.
    let source_fixed = BTreeSet::from(["CVE-2001-0002".to_owned()]);
    assert_eq!(found("2.5.1-160.el9", "3.0.7-162.el9"), source_fixed);
    assert_eq!(found("2.5.1-161.el9", "3.0.7-162.el9"), BTreeSet::new());
    assert_eq!(found("2.5.1-161.el9", "3.0.4-160.el9"), BTreeSet::from(["CVE-2001-0001".to_owned()]));
}

#[test]
fn apks_are_judged_by_their_origin() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let context = Context::new();
    let document = fs::read(mirror.join("secdb.alpinelinux.org/v3.20/main.json")).unwrap();
    let document: Value = serde_json::from_slice(&document).unwrap();
    let packages = document["packages"].as_array().unwrap().iter();
    let mut origin = packages.filter(|package| package["pkg"]["name"] == "busybox");
    let fixes = origin.next().unwrap()["pkg"]["secfixes"].as_object().unwrap();
    let ids =
        fixes.iter().filter(|(version, _)| *version != "0").flat_map(|(_, ids)| ids.as_array().unwrap());
    let expected: BTreeSet<String> = ids
        .flat_map(|ids| ids.as_str().unwrap().split_whitespace())
        .filter(|id| id.starts_with("CVE-"))
        .map(|id| format!("{id} ssl_client"))
        .collect();
    assert!(expected.len() > 10);
    // The second has a name that the database knows, and is of another origin.
    let installed =
        "P:ssl_client\nV:0.1-r0\nA:x86_64\no:busybox\n\nP:busybox\nV:0.1-r0\nA:x86_64\no:toolbox\n\n";
    let layer = Layer::new()
        .file("etc/os-release", "ID=alpine\nVERSION_ID=3.20.3\n")
        .file("lib/apk/db/installed", installed);
    ImageBuilder::new().layer("ADD", &layer).oci_layout(&context.path().join("image"), Encoding::Gzip);
    let found = findings(&context, mirror.to_str().unwrap(), "oci:image");
    let found: BTreeSet<String> = found.iter().map(|row| format!("{} {}", row[0], row[1])).collect();
    assert_eq!(found, expected);
}
