//! What a registry holds is what a layout holds.

use std::fs;

use limpid_testkit::{Encoding, ImageBuilder, Layer, corpus, require_or_skip};
use serde_json::{Value, json};

use super::{Registry, fails, ok, packages, scan, tools};
use crate::{BOOKWORM, Context, two_layers};

#[test]
fn tags_digests_media_types_and_encodings_give_the_same_packages() {
    if tools().is_none() {
        return;
    }
    let context = Context::new();
    let registry = Registry::start(context.path(), "", "");
    let image = context.path().join("image");
    two_layers().oci_layout(&image, Encoding::Gzip);
    // Without the layer's digest, which is another in another encoding.
    let rows = |text: String| -> Vec<String> {
        let row = |line: &str| {
            line.split('\t').filter(|cell| !cell.starts_with("sha256:")).collect::<Vec<_>>().join(" ")
        };
        text.lines().map(row).collect()
    };
    let expected = rows(ok(packages(&context, &["oci:image"])));
    assert_eq!(expected.len(), 2);
    registry.push(&image, "ns/a:gzip", &["--format", "oci"]);
    registry.push(&image, "ns/a:docker", &["--format", "v2s2"]);
    // What is compressed already is pushed as it is.
    let plain = context.path().join("plain");
    two_layers().oci_layout(&plain, Encoding::Plain);
    registry.push(&plain, "ns/b:zstd", &["--format", "oci", "--dest-compress-format", "zstd"]);
    for name in ["ns/a:gzip", "ns/a:docker", "ns/b:zstd"] {
        // A store of its own, so that nothing is known from before.
        let fresh = Context::new();
        assert_eq!(rows(ok(packages(&fresh, &[&registry.name(name)]))), expected, "{name}");
        let by_scheme = format!("docker://{}", registry.name(name));
        assert_eq!(rows(ok(packages(&fresh, &[&by_scheme]))), expected, "{name}");
    }
    let index: Value = serde_json::from_slice(&fs::read(image.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let fresh = Context::new();
    assert_eq!(rows(ok(packages(&fresh, &[&registry.name(&format!("ns/a@{digest}"))]))), expected);
    let report = scan(&fresh, &["--format", "json", &registry.name("ns/a:gzip")]);
    assert!(report.contains(digest), "the report does not name the manifest");
    let error = fails(&packages(&fresh, &[&registry.name("ns/a:gzap")]));
    assert!(error.contains("no tag gzap") && error.contains("there is: gzip"), "{error}");
    let error = fails(&packages(&fresh, &[&registry.name("ns/none:1")]));
    assert!(error.contains("no repository ns/none") && error.contains("hint:"), "{error}");
}

#[test]
fn a_real_image_has_the_same_packages_as_its_layout() {
    let Some((corpus, ())) = require_or_skip(corpus().zip(tools()), "the corpus of real images") else {
        return;
    };
    let context = Context::new();
    let registry = Registry::start(context.path(), "", "");
    let layout = corpus.join("debian-bookworm-upgraded/oci");
    registry.push(&layout, "debian:12", &[]);
    let from_layout = ok(packages(&Context::new(), &[&format!("oci:{}", layout.display())]));
    assert_eq!(ok(packages(&context, &[&registry.name("debian:12")])), from_layout);
}

#[test]
fn the_image_of_the_platform_is_taken() {
    if tools().is_none() {
        return;
    }
    let context = Context::new();
    let registry = Registry::start(context.path(), "", "");
    let folder = context.path().join("all");
    let mut manifests = Vec::new();
    for (architecture, version) in [("amd64", "1"), ("arm64", "2")] {
        let status = limpid_testkit::dpkg_status(&[("a", version, "")]);
        let layer = Layer::new().file("etc/os-release", BOOKWORM).file("var/lib/dpkg/status", status);
        let digest = ImageBuilder::new().layer("ADD", &layer).oci_layout(&folder, Encoding::Gzip);
        let size = fs::metadata(folder.join("blobs/sha256").join(digest.hex())).unwrap().len();
        manifests.push(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size,
            "platform": {"os": "linux", "architecture": architecture},
        }));
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}).to_string();
    let digest = limpid_model::Digest::of(index.as_bytes());
    fs::write(folder.join("blobs/sha256").join(digest.hex()), &index).unwrap();
    let entry = json!({"mediaType": media_type, "digest": digest, "size": index.len()});
    fs::write(folder.join("index.json"), json!({"schemaVersion": 2, "manifests": [entry]}).to_string())
        .unwrap();
    registry.push(&folder, "multi:1", &["--all"]);
    for (platform, version) in
        [("linux/amd64", "\t1\t"), ("linux/arm64", "\t2\t"), ("linux/arm64/v8", "\t2\t")]
    {
        let text = ok(packages(&context, &["--platform", platform, &registry.name("multi:1")]));
        assert!(text.contains(version), "{platform}: {text}");
    }
    let error = fails(&packages(&context, &["--platform", "linux/s390x", &registry.name("multi:1")]));
    assert!(error.contains("there is: linux/amd64, linux/arm64"), "{error}");
}

#[test]
fn a_mirror_and_a_short_name_lead_to_the_image() {
    if tools().is_none() {
        return;
    }
    let context = Context::new();
    let registry = Registry::start(context.path(), "", "");
    let image = context.path().join("image");
    two_layers().oci_layout(&image, Encoding::Gzip);
    registry.push(&image, "hub/library/debian:12", &[]);
    let conf = format!(
        "[[registry]]\nprefix = 'docker.io'\nlocation = 'registry.invalid'\n\
         [[registry.mirror]]\nlocation = '{}'\n[aliases]\ntwelve = 'docker.io/library/debian:12'\n\
         [[registry]]\nlocation = 'bad.invalid'\nblocked = true\n",
        registry.name("hub")
    );
    let folder = context.path().join("home/.config/containers");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("registries.conf"), conf).unwrap();
    assert!(ok(packages(&context, &["debian:12"])).contains("1.0-2"));
    assert!(ok(packages(&context, &["twelve:12"])).contains("1.0-2"));
    let error = fails(&packages(&context, &["bad.invalid/a:1"]));
    assert!(error.contains("blocks"), "{error}");
    let error = fails(&packages(&context, &["debian:13"]));
    assert!(error.contains("before that") && error.contains("no tag 13"), "{error}");
}
