//! Images of Red Hat Enterprise Linux: which of Red Hat's statements are about their packages, over the real data.
//!
//! What is expected was read off Red Hat's own documents on CVE-2023-38545 and CVE-2025-40907, and off its map of
//! repositories to products.

use std::fs;
use std::path::Path;

use limpid_testkit::{Encoding, ImageBuilder, Layer, RpmHeader, feeds_mirror, require_or_skip, rpm_ndb};
use serde_json::Value;

use crate::Context;

const BASEOS: &str = "rhel-9-for-x86_64-baseos-rpms";
const APPSTREAM: &str = "rhel-9-for-x86_64-appstream-rpms";
/// Serves EUS of 9.0 and of 9.2.
const EUS: &str = "rhel-9-for-x86_64-baseos-eus-rpms";

/// A package as rpm's database has it: name, epoch, version, release, module label.
fn package(name: &str, epoch: u32, version: &str, release: &str, module: &str) -> Vec<u8> {
    let source = format!("{name}-{version}-{release}.src.rpm");
    let header = RpmHeader::new(name, version, release).text(1022, "x86_64").text(1044, &source);
    let header = if epoch > 0 { header.numbers(1003, &[epoch]) } else { header };
    if module.is_empty() { header.blob() } else { header.text(5096, module).blob() }
}

/// A base of release `version` with these packages.
fn base(version: &str, packages: &[Vec<u8>]) -> Layer {
    let os_release = format!(
        "NAME=\"Red Hat Enterprise Linux\"\nID=\"rhel\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"{version}\"\n\
         PRETTY_NAME=\"Red Hat Enterprise Linux {version} (Plow)\"\n"
    );
    Layer::new().file("etc/os-release", os_release).file("var/lib/rpm/Packages.db", rpm_ndb(packages))
}

/// A layer that says which content sets the packages came from.
fn manifest(component: &str, sets: &[&str]) -> Layer {
    let text = serde_json::json!({
        "metadata": {"icm_version": 1, "icm_spec": "", "image_layer_index": 1},
        "content_sets": sets,
        "image_contents": [],
    });
    Layer::new().file(&format!("root/buildinfo/content_manifests/{component}.json"), text.to_string())
}

/// An image of these layers.
fn build(context: &Context, layers: &[&Layer]) {
    let folder = context.path().join("image");
    let _ = fs::remove_dir_all(&folder);
    let image = layers.iter().fold(ImageBuilder::new(), |image, layer| image.layer("ADD", layer));
    image.oci_layout(&folder, Encoding::Gzip);
}

fn run(context: &Context, mirror: &Path, arguments: &[&str]) -> String {
    let common = ["--quiet", "--no-enrich", "--feeds-mirror", mirror.to_str().unwrap()];
    context.ok(&[&common[..], arguments].concat())
}

/// Vulnerability, package and fixed version of every finding of an image of these layers.
fn findings(context: &Context, mirror: &Path, layers: &[&Layer]) -> Vec<String> {
    build(context, layers);
    let text = run(context, mirror, &["scan", "--format", "json", "oci:image"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["coverage"]["answer"], "complete", "{}", report["coverage"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let line = |finding: &Value| {
        let (id, package) = (text(&finding["id"]), text(&finding["package"]["name"]));
        format!("{id} {package} {}", text(&finding["fixedIn"]))
    };
    report["findings"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn a_support_stream_counts_only_where_a_repository_serves_it() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let context = Context::new();
    let of = |release: &str, layers: &[&Layer]| {
        let curl = base("9.0", &[package("curl", 0, "7.76.1", release, "")]);
        findings(&context, &mirror, &[&[&curl][..], layers].concat())
    };
    let (main, eus) = (manifest("ubi9-container-9.0-1", &[BASEOS]), manifest("ubi9-container-9.0-1", &[EUS]));
    let fixed_in = |version: &str| vec![format!("CVE-2023-38545 curl {version}")];
    // The content sets stand in another layer than the packages.
    assert_eq!(of("14.el9_0.8", &[&main]), fixed_in("7.76.1-23.el9_2.4"));
    let told = run(&context, &mirror, &["explain", "oci:image", "CVE-2023-38545"]);
    assert!(told.contains(&format!("which the image has from {BASEOS}")), "{told}");
    assert!(
        told.contains("cpe:/o:redhat:enterprise_linux:9::baseos") && !told.contains("rhel_eus"),
        "{told}"
    );
    assert_eq!(of("14.el9_0.8", &[&eus]), fixed_in("7.76.1-14.el9_0.9"));
    let told = run(&context, &mirror, &["explain", "oci:image", "CVE-2023-38545"]);
    assert!(told.contains(&format!("which the image has from {EUS}")), "{told}");
    // The build that has the fix for EUS of 9.0 is an old one to whoever follows the release itself.
    assert_eq!(of("14.el9_0.9", &[&eus]), [""; 0]);
    assert_eq!(of("14.el9_0.9", &[&main]), fixed_in("7.76.1-23.el9_2.4"));
    assert_eq!(of("26.el9_3.2", &[&main]), [""; 0]);
    // With both, and without any, as the rules say.
    assert_eq!(of("14.el9_0.9", &[&main, &manifest("other-container-1-1", &[EUS])]), [""; 0]);
    assert_eq!(of("14.el9_0.9", &[]), fixed_in("7.76.1-23.el9_2.4"));
}

#[test]
fn two_content_manifests_add_up() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let context = Context::new();
    // perl-FCGI is fixed in AppStream alone.
    let packages = [package("perl-FCGI", 1, "0.79", "8.el9", ""), package("curl", 0, "7.76.1", "14.el9", "")];
    let (base, baseos) = (base("9.6", &packages), manifest("ubi9-container-9.6-1", &[BASEOS]));
    let appstream = manifest("perl-532-container-1-1", &[APPSTREAM]);
    let curl = "CVE-2023-38545 curl 7.76.1-23.el9_2.4";
    let perl = "CVE-2025-40907 perl-FCGI 1:0.79-8.1.el9_6";
    let sorted = |layers: &[&Layer]| {
        let mut found = findings(&context, &mirror, layers);
        found.sort();
        found
    };
    assert_eq!(sorted(&[&base, &baseos]), [curl]);
    assert_eq!(sorted(&[&base, &baseos, &appstream]), [curl, perl]);
    // In any order, and below the packages too.
    assert_eq!(sorted(&[&appstream, &baseos, &base]), [curl, perl]);
    let told = run(&context, &mirror, &["explain", "oci:image", "CVE-2025-40907"]);
    assert!(told.contains(&format!("which the image has from {APPSTREAM},")), "{told}");
    assert_eq!(told.matches("RHSA-2025:8635").count(), 1, "{told}");
    assert!(told.contains(&format!("rhel:9 [{APPSTREAM}, {BASEOS}]")), "{told}");
}

#[test]
fn a_modules_stream_is_told_from_another() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let context = Context::new();
    let sets = manifest("ubi8-container-8.10-1", &["rhel-8-for-x86_64-appstream-rpms"]);
    let of = |release: &str, module: &str| {
        let base = base("8.10", &[package("perl-FCGI", 1, "0.78", release, module)]);
        findings(&context, &mirror, &[&base, &sets])
    };
    let (old, stream) = ("11.module+el8.3.0+6498+9eecfe51", "perl-FCGI:0.78:8030020200611112152:11111111");
    let found = of(old, stream);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("CVE-2025-40907 perl-FCGI 1:0.78-12.module+el8.10.0+23147+"), "{found:?}");
    let told = run(&context, &mirror, &["explain", "oci:image", "CVE-2025-40907"]);
    assert!(told.contains("module perl-FCGI:0.78"), "{told}");
    assert_eq!(of(old, "perl-FCGI:0.79:8030020200611112152:11111111"), [""; 0]);
    assert_eq!(of("12.module+el8.10.0+23147+df114ff4", stream), [""; 0]);
    // What is said of modules is not said of a package that is of none.
    assert_eq!(of("11.el8", ""), [""; 0]);
}

#[test]
fn what_dnf_remembers_stands_beside_the_content_sets() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let context = Context::new();
    let base = base("9.3", &[package("curl", 0, "7.76.1", "26.el9_3.1", "")]);
    let state = "version = \"1.0\"\n[nevras]\n\"curl-0:7.76.1-26.el9_3.1.x86_64\" = {from_repo = \"ubi-9-baseos-rpms\"}\n";
    let history = Layer::new().file("usr/lib/sysimage/libdnf5/nevras.toml", state);
    let sets = manifest("ubi9-container-9.3-1", &[BASEOS]);
    let found = findings(&context, &mirror, &[&base, &sets, &history]);
    assert_eq!(found, ["CVE-2023-38545 curl 7.76.1-26.el9_3.2"]);
    let text = run(&context, &mirror, &["packages", "--format", "json", "oci:image"]);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["packages"][0]["facts"]["repository"], "ubi-9-baseos-rpms");
    assert_eq!(json["packages"][0]["context"], format!("rhel:9 [{BASEOS}]"));
}
