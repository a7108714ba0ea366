//! Kernels and their headers: found, told apart, and counted where a container cannot run them.

use std::fs;

use limpid_testkit::{Encoding, ImageBuilder, Layer, dpkg_status};
use serde_json::{Value, json};

use crate::{BOOKWORM, Context};

const IMAGE: &str = "linux-image-6.1.0-13-amd64";

/// A mirror whose tracker knows of two vulnerabilities in the kernel, one of which nobody has judged, and one in bash.
fn mirror(context: &Context) {
    let said = |status: &str| {
        json!({"description": "x", "releases": {"bookworm": {
            "status": status, "repositories": {"bookworm": "1"}, "urgency": "not yet assigned"}}})
    };
    let tracker = json!({
        "bash": {"CVE-2019-0001": said("open")},
        "linux": {"CVE-2023-0001": said("open"), "CVE-2023-0002": said("undetermined")},
    });
    let folder = context.path().join("mirror/security-tracker.debian.org/tracker/data");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("json"), tracker.to_string()).unwrap();
}

fn layers() -> (Layer, Layer) {
    let ordinary = ("bash", "5.2.15-2", "");
    let kernels = [(IMAGE, "6.1.55-1", "linux"), ("linux-libc-dev", "6.1.55-1", "linux")];
    let base = Layer::new()
        .file("etc/os-release", BOOKWORM)
        .file("var/lib/dpkg/status", dpkg_status(&[ordinary, ("linux-perf", "6.1.55-1", "linux")]));
    let all = [ordinary, ("linux-perf", "6.1.55-1", "linux"), kernels[0], kernels[1]];
    (base, Layer::new().file("var/lib/dpkg/status", dpkg_status(&all)))
}

fn scan(context: &Context, arguments: &[&str]) -> String {
    let common = ["--quiet", "--no-enrich", "--feeds-mirror", "mirror"];
    context.ok(&[&common[..], arguments].concat())
}

fn names(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|f| (text(&f["package"]["name"]), text(&f["package"]["class"]))).collect()
}

#[test]
fn what_a_container_cannot_run_is_counted_and_shown_on_request() {
    let context = Context::new();
    mirror(&context);
    let (base, top) = layers();
    let image = ImageBuilder::new().layer("base", &base).layer("apt-get install gcc", &top);
    image.oci_layout(&context.path().join("image"), Encoding::Gzip);
    let report = |arguments: &[&str]| -> Value {
        let text = scan(&context, &[&["scan", "--format", "json", "oci:image"], arguments].concat());
        serde_json::from_str(&text).unwrap()
    };
    // Programs that are built from the kernel's source are programs.
    let by_default = report(&[]);
    let own = |(name, class): (&str, &str)| (name.to_owned(), class.to_owned());
    let mut listed = names(&by_default);
    listed.sort();
    let programs = [("bash", "ordinary"), ("linux-perf", "ordinary"), ("linux-perf", "ordinary")].map(own);
    assert_eq!(listed, programs);
    let hidden = json!([
        {"class": "kernel", "packages": 1, "vulnerabilities": 1, "undetermined": 1},
        {"class": "kernel-headers", "packages": 1, "vulnerabilities": 1, "undetermined": 1},
    ]);
    assert_eq!(by_default["summary"]["hidden"], hidden);
    assert_eq!(by_default["summary"]["vulnerabilities"], 2);
    assert_eq!(by_default["coverage"]["answer"], "complete");
    let shown = report(&["--kernel", "show"]);
    assert_eq!(names(&shown).len(), 7);
    assert!(names(&shown).contains(&own(("linux-libc-dev", "kernel-headers"))));
    assert!(names(&shown).contains(&own((IMAGE, "kernel"))));
    assert_eq!(shown["summary"]["hidden"], json!([]));
    assert_eq!(shown["summary"]["vulnerabilities"], 4);

    let text = scan(&context, &["scan", "oci:image"]);
    let said = "Not listed: 1 vulnerability and 1 not determined of kernels, 1 vulnerability and 1 not determined of \
                kernel headers, as a container runs on its host's kernel; --kernel show lists them.";
    assert!(text.contains(said), "{text}");
    assert!(!text.contains("linux-libc-dev"), "{text}");
    // Layers count what reports list.
    let introduced = |arguments: &[&str]| {
        let text = scan(&context, &[&["layers", "--format", "json", "oci:image"], arguments].concat());
        let layers: Value = serde_json::from_str(&text).unwrap();
        (layers["layers"][1]["vulnerabilities"]["introduced"].clone(), layers["hidden"].clone())
    };
    assert_eq!(introduced(&[]), (json!(0), hidden));
    assert_eq!(introduced(&["--kernel", "show"]), (json!(2), json!([])));
    assert!(scan(&context, &["layers", "oci:image"]).contains("Not listed: 1 vulnerability"));
    // Whoever asks for one vulnerability is told all of it.
    let told = scan(&context, &["explain", "oci:image", "CVE-2023-0001"]);
    assert!(
        told.contains("linux-libc-dev 6.1.55-1 (deb)\n") && told.contains("class       kernel-headers"),
        "{told}"
    );
    assert_eq!(told.matches("AFFECTED").count(), 3, "{told}");
}

#[test]
fn an_image_that_boots_shows_its_kernel_and_a_clean_one_says_what_it_leaves_out() {
    let context = Context::new();
    mirror(&context);
    let kernel = dpkg_status(&[(IMAGE, "6.1.55-1", "linux")]);
    let layer = Layer::new().file("etc/os-release", BOOKWORM).file("var/lib/dpkg/status", kernel);
    let image = ImageBuilder::new().layer("base", &layer);
    image.oci_layout(&context.path().join("container"), Encoding::Gzip);
    let text = scan(&context, &["scan", "oci:container"]);
    assert!(text.contains("No known vulnerability in 1 package, kernels aside. Not listed: 1"), "{text}");
    image.label("containers.bootc", "1").oci_layout(&context.path().join("machine"), Encoding::Gzip);
    let text = scan(&context, &["scan", "oci:machine"]);
    assert!(text.contains(IMAGE) && !text.contains("Not listed"), "{text}");
    let text = scan(&context, &["scan", "--kernel", "hide", "oci:machine"]);
    assert!(text.contains("Not listed: 1"), "{text}");
}

#[test]
fn a_gate_judges_what_is_listed() {
    let context = Context::new();
    mirror(&context);
    let kernel = dpkg_status(&[("linux-libc-dev", "6.1.55-1", "linux")]);
    let layer = Layer::new().file("etc/os-release", BOOKWORM).file("var/lib/dpkg/status", kernel);
    ImageBuilder::new().layer("base", &layer).oci_layout(&context.path().join("image"), Encoding::Gzip);
    let gate =
        ["--quiet", "--no-enrich", "--feeds-mirror", "mirror", "scan", "--fail-on", "unknown", "oci:image"];
    context.ok(&gate);
    let (code, _) = context.fails(&[&gate[..], &["--kernel", "show"]].concat());
    assert_eq!(code, 2);
}
