//! Several references in one command, and all platforms of one.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use limpid_store::{SqliteStore, Store as _};
use limpid_testkit::{Encoding, ImageBuilder, Layer, dpkg_status};

use crate::{BOOKWORM, Context, two_layers};

const ADVISORY: &str = r#"{"id":"OWN-1","database_specific":{"severity":"High"},"affected":[{"package":{"ecosystem":"Debian:12",
    "name":"a"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2"}]}]}]}"#;

fn base() -> Layer {
    Layer::new().file("etc/os-release", BOOKWORM).file("x", "shared".repeat(1000))
}

fn image(version: &str) -> ImageBuilder {
    let top = Layer::new().file("var/lib/dpkg/status", dpkg_status(&[("a", version, "")]));
    ImageBuilder::new().layer("base", &base()).layer("top", &top)
}

#[test]
fn several_images_have_their_reports_in_order_and_one_failure_is_its_own() {
    let context = Context::new();
    image("1").oci_layout(&context.path().join("one"), Encoding::Plain);
    image("2").oci_layout(&context.path().join("two"), Encoding::Plain);
    image("3").oci_layout(&context.path().join("three"), Encoding::Plain);
    // The shared layer is damaged here, and good elsewhere.
    let blob = context.path().join("three/blobs/sha256").join(limpid_model::Digest::of(&base().tar()).hex());
    fs::write(&blob, vec![7; base().tar().len()]).unwrap();
    fs::write(context.path().join("own.json"), ADVISORY).unwrap();
    context.ok(&["feeds", "import", "own.json"]);
    for references in [["oci:one", "oci:gone", "oci:two"], ["oci:two", "oci:gone", "oci:one"]] {
        let [first, gone, last] = references;
        let output = context.run(&["--offline", "scan", first, gone, last]);
        let text = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(4), "{error}");
        assert!(
            error.starts_with("limpid: oci:gone: ")
                && error.contains("was not found") | error.contains("gone")
        );
        let at = |name: &str| text.find(&format!("{name} (")).unwrap();
        assert!(at(first) < at(last), "{text}");
        assert!(!text.contains("gone"));
    }
    // Each report is the one that a lone scan gives.
    let list = "# images\noci:one\n\n  oci:two # the other\noci:gone\n";
    fs::write(context.path().join("list"), list).unwrap();
    let output = context.run(&["--offline", "scan", "--format", "json", "--from-file", "list"]);
    let several: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(several["schema"], "limpid-reports/1");
    let alone = |reference: &str| -> serde_json::Value {
        serde_json::from_str(&context.ok(&["--offline", "scan", "--format", "json", reference])).unwrap()
    };
    assert_eq!(several["reports"], serde_json::json!([alone("oci:one"), alone("oci:two")]));
    assert_eq!(several["errors"].as_array().unwrap().len(), 1);
    assert_eq!(several["errors"][0]["reference"], "oci:gone");
    // The same from standard input, to the byte.
    let mut command = context.command(&["--offline", "scan", "--format", "json", "--from-file", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, output.stdout);
    // The gate is of all, and an error is worse.
    let gate = ["--offline", "scan", "--fail-on", "high", "oci:two", "oci:one"];
    let (code, error) = context.fails(&gate);
    assert!(code == 2 && error.contains("oci:one linux/amd64: the gate is closed"), "{error}");
    let (code, _) = context.fails(&["--offline", "scan", "--fail-on", "high", "oci:one", "oci:gone"]);
    assert_eq!(code, 4);
    // A damaged copy fails where it is, and does not harm whoever has a good one.
    for order in [["oci:three", "oci:one"], ["oci:one", "oci:three"]] {
        let mut arguments = vec!["--offline", "--store", ":memory:", "packages", "--format", "json"];
        arguments.extend(order);
        let output = context.run(&arguments);
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(value["reports"].as_array().unwrap().iter().any(|report| report["reference"] == "oci:one"));
    }
}

#[test]
fn a_list_that_cannot_be_used_is_refused() {
    let context = Context::new();
    let (code, error) = context.fails(&["scan", "--from-file", "none"]);
    assert!(code == 1 && error.contains("the list none cannot be read"), "{error}");
    let (code, _) = context.fails(&["scan"]);
    assert_eq!(code, 3);
    let (code, error) = context.fails(&["packages", "--format", "tsv", "oci:a", "oci:b"]);
    assert!(code == 3 && error.contains("is of one image; name one"), "{error}");
    fs::write(context.path().join("empty"), "# nothing\n").unwrap();
    let text = context.ok(&["--offline", "scan", "--format", "json", "--from-file", "empty"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value, serde_json::json!({"schema": "limpid-reports/1", "reports": [], "errors": []}));
}

#[test]
fn all_platforms_have_a_report_each_and_one_together() {
    let context = Context::new();
    let images = [image("1"), image("1").architecture("arm64"), image("3").architecture("s390x")];
    ImageBuilder::oci_layout_of_platforms(&images, &context.path().join("image"), Encoding::Gzip);
    fs::write(context.path().join("own.json"), ADVISORY).unwrap();
    context.ok(&["feeds", "import", "own.json"]);
    let all = ["--offline", "scan", "--platform", "all", "oci:image"];
    let text = context.ok(&[&all[..], &["--format", "json"]].concat());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["schema"], "limpid-platforms/1");
    let platforms: Vec<&str> = value["platforms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|report| report["image"]["platform"].as_str().unwrap())
        .collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64", "linux/s390x"], "and no attestation");
    let findings = value["union"]["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0]["id"], "OWN-1");
    assert_eq!(findings[0]["platforms"], serde_json::json!(["linux/amd64", "linux/arm64"]));
    assert_eq!(value["union"]["summary"]["vulnerabilities"], 1);
    let one =
        context.ok(&["--offline", "scan", "--format", "json", "--platform", "linux/arm64", "oci:image"]);
    let one: serde_json::Value = serde_json::from_str(&one).unwrap();
    assert_eq!(one, value["platforms"][1]);
    let table = context.ok(&all);
    assert!(
        table.contains("linux/amd64, linux/arm64\n") && table.contains("3 platforms together"),
        "{table}"
    );
    // What the platforms share was read once.
    let store = SqliteStore::open(&context.path().join("store.db")).unwrap();
    let shared = value["platforms"][0]["image"]["layers"][0]["digest"].as_str().unwrap();
    assert_eq!(store.readings(&shared.parse().unwrap()).unwrap(), 1);
    // An image that is no index has one.
    two_layers().oci_layout(&context.path().join("plain"), Encoding::Gzip);
    let text = context.ok(&["--offline", "packages", "--platform", "all", "--format", "json", "oci:plain"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["platforms"].as_array().unwrap().len(), 1);
}

#[test]
fn more_images_than_are_open_at_a_time_are_all_analysed() {
    let context = Context::new();
    let count = limpid_index::IMAGES_OPEN_MAX * 2 + 3;
    let names: Vec<String> = (0..count).map(|number| format!("oci:{number}")).collect();
    for number in 0..count {
        let folder = context.path().join(number.to_string());
        image(&number.to_string()).oci_layout(&folder, Encoding::Plain);
    }
    let mut arguments = vec!["--offline", "packages", "--format", "json"];
    arguments.extend(names.iter().map(String::as_str));
    let several: serde_json::Value = serde_json::from_str(&context.ok(&arguments)).unwrap();
    let reports = several["reports"].as_array().unwrap();
    assert_eq!(reports.len(), count);
    for (number, report) in reports.iter().enumerate() {
        assert_eq!(report["reference"], names[number]);
        assert_eq!(report["packages"][0]["version"], number.to_string());
    }
    let store = SqliteStore::open(&context.path().join("store.db")).unwrap();
    assert_eq!(store.readings(&limpid_model::Digest::of(&base().tar())).unwrap(), 1);
}

#[test]
fn one_password_is_not_shown_to_several_registries() {
    let context = Context::new();
    let arguments = ["--offline", "scan", "--registry-token", "T", "a.example/x", "b.example/y"];
    let (code, error) = context.fails(&arguments);
    assert!(code == 3 && error.contains("a.example, b.example"), "{error}");
    // Of one registry several images are fine; that they cannot be had here is another matter.
    let arguments = ["--offline", "scan", "--registry-token", "T", "a.example/x", "a.example/y"];
    assert_eq!(context.fails(&arguments).0, 4);
}

#[test]
fn the_only_image_of_a_name_is_told_to_be_for_another_platform() {
    let context = Context::new();
    image("1").architecture("arm64").oci_layout(&context.path().join("image"), Encoding::Gzip);
    let warnings = |platform: &str| {
        let output = context.run(&["--offline", "packages", "--platform", platform, "oci:image"]);
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(warnings("linux/arm64/v8"), "");
    assert!(warnings("linux/s390x").contains("oci:image is for linux/arm64, not for linux/s390x"));
}
