//! Known vulnerabilities in every release that the data covers, each package in versions around every fix. What is
//! right is read from the sources' own files by `known.py` and `known_rpm.py`, with dpkg's and rpm's own orders of
//! versions. Of rpm distributions there are samples: everything that they speak of is checked (AlmaLinux, of
//! which there is more, in `rpm_feeds`).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use limpid_testkit::{Encoding, ImageBuilder, Layer, dpkg_status, feeds_mirror, require_or_skip};
use serde_json::Value;

use crate::Context;
use crate::feeds::APK_ORDER;

const PROGRAM: &str = include_str!("known.py");

/// What the sources say, or nothing where the program lacks a library of its.
fn right(context: &Context, mirror: &Path) -> Option<Value> {
    // Both stand in one file: the arguments of a program are bounded.
    let program = context.path().join("known.py");
    fs::write(&program, [APK_ORDER, PROGRAM].concat()).unwrap();
    let output = Command::new("/usr/bin/python3").arg(program).arg(mirror).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("No module named 'apt_pkg'") {
        return require_or_skip(None, "python3-apt");
    }
    assert!(output.status.success(), "{errors}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn texts(row: &Value) -> Vec<&str> {
    row.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// An image of a release with packages as (binary name, version, source name).
fn image(folder: &Path, release: &str, packages: &[Vec<&str>]) {
    let (id, version) = release.split_once(':').unwrap();
    let os_release = match version {
        "edge" => "ID=alpine\nVERSION_ID=3.24.0_alpha20251224\n".to_owned(),
        "sid" => "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux forky/sid\"\nVERSION_CODENAME=sid\n".to_owned(),
        version if id == "alpine" => format!("ID=alpine\nVERSION_ID={version}.1\n"),
        version => format!("ID={id}\nVERSION_ID=\"{version}\"\n"),
    };
    let layer = Layer::new().file("etc/os-release", os_release);
    let layer = if id == "alpine" {
        let stanza = |package: &Vec<&str>| {
            let [name, version, origin] = package[..] else { panic!("{package:?}") };
            format!("P:{name}\nV:{version}\nA:x86_64\no:{origin}\n\n")
        };
        layer.file("lib/apk/db/installed", packages.iter().map(stanza).collect::<String>())
    } else {
        let packages: Vec<(&str, &str, &str)> =
            packages.iter().map(|package| (package[0], package[1], package[2])).collect();
        layer.file("var/lib/dpkg/status", dpkg_status(&packages))
    };
    ImageBuilder::new().layer("ADD", &layer).oci_layout(folder, Encoding::Gzip);
}

/// Vulnerability, package, version, state, fixed version and channel of the findings on known vulnerabilities.
fn found(report: &str, known: &BTreeSet<&str>) -> BTreeSet<String> {
    let report: Value = serde_json::from_str(report).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let row = |finding: &Value| {
        let package = &finding["package"];
        [
            &finding["id"],
            &package["name"],
            &package["version"],
            &finding["state"],
            &finding["fixedIn"],
            &finding["channel"],
        ]
        .map(|text| text.as_str().unwrap_or_default())
        .join(" ")
    };
    findings.filter(|finding| known.contains(finding["id"].as_str().unwrap())).map(row).collect()
}

#[test]
fn known_vulnerabilities_are_fixed_where_the_sources_say() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let context = Context::new();
    let Some(right) = right(&context, &mirror) else { return };
    let known: BTreeSet<&str> = texts(&right["known"]).into_iter().collect();
    let releases = right["releases"].as_object().unwrap();
    let mut update = vec!["--feeds-mirror", mirror.to_str().unwrap(), "--no-enrich", "feeds", "update"];
    update.extend(releases.keys().map(String::as_str));
    context.ok(&update);
    let (mut wrong, mut judged) = (Vec::new(), BTreeSet::new());
    for (release, truth) in releases {
        let folder = release.replace(':', "-");
        let packages: Vec<Vec<&str>> = truth["image"].as_array().unwrap().iter().map(texts).collect();
        image(&context.path().join(&folder), release, &packages);
        let reference = format!("oci:{folder}");
        let report = context.ok(&[
            "--offline",
            "scan",
            "--kernel",
            "show",
            "--no-enrich",
            "--format",
            "json",
            &reference,
        ]);
        let found = found(&report, &known);
        let right: BTreeSet<String> =
            truth["right"].as_array().unwrap().iter().map(|row| texts(row).join(" ")).collect();
        wrong.extend(right.difference(&found).map(|row| format!("{release} lacks {row}")));
        wrong.extend(found.difference(&right).map(|row| format!("{release} invents {row}")));
        judged.extend(right.iter().map(|row| row.split(' ').next().unwrap_or_default().to_owned()));
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    // Every one of them is found somewhere, and every kind of distribution speaks in all its releases.
    let judged: BTreeSet<&str> = judged.iter().map(String::as_str).collect();
    assert_eq!(judged, known);
    for (family, least) in [("debian:", 9), ("ubuntu:", 9), ("alpine:", 20)] {
        let count = releases.keys().filter(|release| release.starts_with(family)).count();
        assert!(count >= least, "{family} {count}");
    }
}

#[test]
fn rpm_distributions_fix_what_their_samples_say() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let program = include_str!("known_rpm.py");
    let output = Command::new("/usr/bin/python3").args(["-c", program]).arg(&mirror).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("No module named 'rpm'") {
        assert!(require_or_skip(None::<()>, "python3-rpm").is_none());
        return;
    }
    assert!(output.status.success(), "{errors}");
    let right: Value = serde_json::from_slice(&output.stdout).unwrap();
    let releases = right.as_object().unwrap();
    let context = Context::new();
    let mut wrong = Vec::new();
    for (release, truth) in releases {
        let (id, version) = release.split_once(':').unwrap();
        let rows: Vec<Vec<&str>> = truth["image"].as_array().unwrap().iter().map(texts).collect();
        // A source package of the same name: what is not fixed is said of that.
        let packages: Vec<(&str, &str, &str)> = rows.iter().map(|row| (row[0], row[1], row[0])).collect();
        crate::rpm_feeds::image(&context, &format!("ID={id}\nVERSION_ID=\"{version}\"\n"), &packages);
        let scan = [
            "--feeds-mirror",
            mirror.to_str().unwrap(),
            "--no-enrich",
            "scan",
            "--kernel",
            "show",
            "--format",
            "json",
        ];
        let report = context.ok(&[&scan[..], &["oci:image"]].concat());
        let ids: BTreeSet<&str> = texts(&truth["ids"]).into_iter().collect();
        // Without the channel; and an epoch of 0, which this list of packages writes out, is none.
        let row = |row: &String| row.split(' ').take(5).collect::<Vec<_>>().join(" ").replace(" 0:", " ");
        let found: BTreeSet<String> = found(&report, &ids).iter().map(row).collect();
        let right: BTreeSet<String> = texts(&truth["right"]).into_iter().map(str::to_owned).collect();
        assert!(!right.is_empty(), "{release}");
        wrong.extend(right.difference(&found).map(|row| format!("{release} lacks {row}")));
        wrong.extend(found.difference(&right).map(|row| format!("{release} invents {row}")));
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    for release in ["rhel:8", "rhel:9", "rhel:10", "rocky:9", "amzn:2", "amzn:2022", "amzn:2023", "ol:5"] {
        assert!(releases.contains_key(release), "{release}");
    }
}
