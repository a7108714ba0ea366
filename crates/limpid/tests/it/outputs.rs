//! Reports in every format, from real images to files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use limpid_testkit::{Encoding, corpus, feeds_mirror, require_or_skip, validate};
use serde_json::Value;

use crate::{Context, two_layers};

/// Every format of `scan`, as help lists them.
const FORMATS: [&str; 19] = [
    "table",
    "json",
    "csv",
    "markdown",
    "html",
    "sarif",
    "cyclonedx",
    "cyclonedx-1.7",
    "spdx",
    "spdx-3",
    "openvex",
    "junit",
    "gitlab",
    "github",
    "cosign-vuln",
    "trivy",
    "grype",
    "clair",
    "quay",
];
/// Real images, whose packages are deb, apk and rpm; the last has no feed.
const IMAGES: [&str; 5] = [
    "debian-bookworm-upgraded",
    "fx-alpine37",
    "fx-debian8-jessie",
    "distroless-python",
    "fx-mariner2-sqlite",
];

/// A context with an image of two layers beside it, and whose clock stands still.
fn context() -> Context {
    let context = Context::new();
    two_layers().oci_layout(&context.path().join("image"), Encoding::Plain);
    context
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn every_format_is_valid_for_real_images() {
    let Some(corpus) = require_or_skip(corpus(), "the corpus of real images") else { return };
    let Some(feeds) = require_or_skip(feeds_mirror(), "the mirror of real feeds") else { return };
    let context = Context::new();
    let documents = context.path().join("documents");
    fs::create_dir(&documents).unwrap();
    for image in IMAGES {
        let reference = format!("oci:{}", corpus.join(image).join("oci").display());
        let outputs: Vec<String> = FORMATS
            .iter()
            .map(|format| {
                format!("--output={format}={}", documents.join(format!("{image}.{format}")).display())
            })
            .collect();
        let mut arguments = vec!["--feeds-mirror", feeds.to_str().unwrap(), "scan", &reference];
        arguments.extend(outputs.iter().map(String::as_str));
        assert_eq!(context.ok(&arguments), "", "reports go to files alone");
        // Bills of materials of packages alone.
        for format in ["cyclonedx", "cyclonedx-1.7", "spdx", "spdx-3", "github", "json", "tsv"] {
            let file = documents.join(format!("{image}-packages.{format}"));
            context.ok(&["packages", "--offline", &reference, "-o", &format!("{format}={}", file.display())]);
        }
    }
    // The other documents of our own.
    let reference = format!("oci:{}", corpus.join(IMAGES[1]).join("oci").display());
    for (name, arguments) in [
        ("layers", vec!["layers", &reference]),
        ("platforms", vec!["scan", "--platform", "all", &reference]),
        ("reports", vec!["scan", &reference, &reference]),
        ("packages-of-two", vec!["packages", &reference, &reference]),
    ] {
        let text = context.ok(&[&["--offline"], &arguments[..], &["--format", "json"]].concat());
        fs::write(documents.join(format!("{name}.json")), text).unwrap();
    }
    // As many findings in each as in our own report.
    for image in IMAGES {
        let count = |format: &str, pointer: &str| {
            let text = fs::read_to_string(documents.join(format!("{image}.{format}"))).unwrap();
            let document: Value = serde_json::from_str(&text).unwrap();
            document.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len)
        };
        let text = fs::read_to_string(documents.join(format!("{image}.json"))).unwrap();
        let ours: Value = serde_json::from_str(&text).unwrap();
        let affected = usize::try_from(ours["summary"]["vulnerabilities"].as_u64().unwrap()).unwrap();
        assert_eq!(count("sarif", "/runs/0/results"), affected, "{image}");
        assert_eq!(count("grype", "/matches"), affected, "{image}");
        assert_eq!(
            count("trivy", "/Results/0/Vulnerabilities"),
            ours["findings"].as_array().unwrap().len(),
            "{image}"
        );
        let rows = fs::read_to_string(documents.join(format!("{image}.csv"))).unwrap();
        assert_eq!(rows.lines().count(), 1 + ours["findings"].as_array().unwrap().len(), "{image}");
    }
    let Some(judged) = validate(&documents) else { return };
    let judged: Value = serde_json::from_str(&judged).unwrap();
    for format in FORMATS {
        assert!(judged[format].as_u64().unwrap() >= 5, "{format}: {judged}");
    }
}

#[test]
fn the_same_report_has_the_same_bytes() {
    let context = context();
    let run = |seconds: &str, format: &str| {
        let mut command = context.command(&["scan", "--offline", "oci:image", "--format", format]);
        command.env("SOURCE_DATE_EPOCH", seconds).output().unwrap().stdout
    };
    for format in FORMATS {
        assert_eq!(run("1700000000", format), run("1700000000", format), "{format}");
    }
    let text = String::from_utf8(run("1700000000", "cyclonedx")).unwrap();
    assert!(text.contains("2023-11-14T22:13:20Z"), "dated as asked: {text}");
    let mut command = context.command(&["scan", "--offline", "oci:image"]);
    let output = command.env("SOURCE_DATE_EPOCH", "soon").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn formats_follow_from_names_of_files_and_several_are_written_at_once() {
    let context = context();
    let text = context.ok(&[
        "scan",
        "--offline",
        "oci:image",
        "-o",
        "table=-",
        "-o",
        "a.sarif",
        "-o",
        "b.cdx.json",
        "-o",
        "c.md",
        "-o",
        "trivy=d.json",
    ]);
    assert!(text.contains("Coverage"), "{text}");
    let has = |file: &str, word: &str| fs::read_to_string(context.path().join(file)).unwrap().contains(word);
    assert!(has("a.sarif", "sarif-2.1.0") && has("b.cdx.json", "CycloneDX") && has("c.md", "### Coverage"));
    assert!(has("d.json", "\"SchemaVersion\": 2"));
    // A format that is named counts for a name that means none.
    context.ok(&["scan", "--offline", "oci:image", "--format", "grype", "--output", "e.json"]);
    assert!(has("e.json", "\"matches\""));
    let help = context.ok(&["scan", "--help"]);
    for format in FORMATS {
        assert!(help.contains(&format!("- {format}")), "help lacks {format}");
    }
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let context = context();
    let folder = context.path().join("out");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("old.sarif"), "old").unwrap();
    // No image, no report: what was there stays, and nothing is left beside it.
    let (code, errors) =
        context.fails(&["scan", "--offline", "oci:gone", "-o", "out/old.sarif", "-o", "out/new.csv"]);
    assert_eq!(code, 4, "{errors}");
    assert_eq!(names(&folder), ["old.sarif"]);
    assert_eq!(fs::read_to_string(folder.join("old.sarif")).unwrap(), "old");
    // What is there is replaced, with the permissions that it has; through a link, what the link leads to.
    fs::set_permissions(folder.join("old.sarif"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("old.sarif", folder.join("link.sarif")).unwrap();
    context.ok(&["scan", "--offline", "oci:image", "-o", "out/link.sarif", "-o", "out/new.csv"]);
    assert_eq!(names(&folder), ["link.sarif", "new.csv", "old.sarif"]);
    let metadata = fs::symlink_metadata(folder.join("old.sarif")).unwrap();
    assert!(metadata.is_file() && metadata.len() > 100);
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(folder.join("link.sarif")).unwrap().is_symlink());
    // A new one is as any other new file, not for its owner alone.
    fs::write(folder.join("plain"), "").unwrap();
    let mode = |name: &str| fs::metadata(folder.join(name)).unwrap().permissions().mode();
    assert_eq!(mode("new.csv"), mode("plain"));
    // A device is written to and not replaced.
    context.ok(&["scan", "--offline", "oci:image", "-o", "json=/dev/null"]);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    let (code, errors) = context.fails(&["scan", "--offline", "oci:image", "-o", "json=gone/a.json"]);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("gone/a.json cannot be written"), "{errors}");
    let (code, errors) = context.fails(&["scan", "--offline", "oci:image", "-o", "json=out"]);
    assert_eq!(code, 3, "{errors}");
}

#[test]
fn several_images_go_to_one_document_or_to_a_file_each() {
    let context = context();
    two_layers().oci_layout(&context.path().join("other"), Encoding::Gzip);
    let two = ["scan", "--offline", "oci:image", "oci:other"];
    for (format, word, count) in [
        ("csv", "Severity,", 1),
        ("sarif", "\"automationDetails\"", 2),
        ("junit", "<testsuite ", 2),
        ("html", "<article", 2),
    ] {
        let text = context.ok(&[&two[..], &["--format", format]].concat());
        assert_eq!(text.matches(word).count(), count, "{format}: {text}");
    }
    let (code, errors) = context.fails(&[&two[..], &["--format", "trivy"]].concat());
    assert_eq!(code, 3);
    assert!(errors.contains("a trivy document is of one image") && errors.contains("{image}"), "{errors}");
    // One that fails keeps nothing from the others, and says so where the format has a place for it.
    let with_a_third =
        [&two[..], &["oci:gone", "-o", "cyclonedx=out-{image}.json", "-o", "j.junit.xml"]].concat();
    let (code, errors) = context.fails(&with_a_third);
    assert_eq!(code, 4, "{errors}");
    let written = names(context.path());
    assert!(
        written.contains(&"out-oci_image.json".to_owned())
            && written.contains(&"out-oci_other.json".to_owned())
    );
    assert!(fs::read_to_string(context.path().join("j.junit.xml")).unwrap().contains("<error message="));
    // Of one image in two platforms, or twice, no file hides another.
    context.ok(&["packages", "oci:image", "oci:image", "-o", "spdx={image}.spdx.json"]);
    assert_eq!(names(context.path()).iter().filter(|name| name.ends_with(".spdx.json")).count(), 2);
}

#[test]
fn a_snapshot_is_of_the_job_that_makes_it() {
    let context = context();
    let mut command = context.command(&["packages", "oci:image", "--format", "github"]);
    let sha = "0123456789abcdef0123456789abcdef01234567";
    for (name, value) in [
        ("GITHUB_SHA", sha),
        ("GITHUB_REF", "refs/heads/next"),
        ("GITHUB_WORKFLOW", "build"),
        ("GITHUB_JOB", "scan"),
        ("GITHUB_RUN_ID", "42"),
    ] {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let snapshot: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&snapshot["sha"], &snapshot["ref"]), (&Value::from(sha), &Value::from("refs/heads/next")));
    assert_eq!(
        (&snapshot["job"]["id"], &snapshot["job"]["correlator"]),
        (&Value::from("42"), &Value::from("build_scan"))
    );
}
