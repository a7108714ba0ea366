//! Connections that break, blobs that were changed, pulls that are interrupted, layers that are withheld.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use limpid_testkit::{Answer, Content, CuttingProxy, Encoding, ImageBuilder, Layer, Server};
use serde_json::Value;

use super::{Registry, command, fails, ok, packages, scan, tools};
use crate::{BOOKWORM, Context, two_layers};

/// An image with some megabytes that do not compress.
fn large() -> ImageBuilder {
    let noise: Vec<u8> =
        (0..1_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let base = Layer::new()
        .file("etc/os-release", BOOKWORM)
        .file("noise", noise)
        .file("var/lib/dpkg/status", limpid_testkit::dpkg_status(&[("a", "1.0-1", "")]));
    ImageBuilder::new().layer("ADD", &base)
}

#[test]
fn connections_that_are_cut_are_resumed() {
    if tools().is_none() {
        return;
    }
    let context = Context::new();
    let registry = Registry::start(context.path(), "", "");
    let image = context.path().join("image");
    large().oci_layout(&image, Encoding::Gzip);
    registry.push(&image, "large:1", &[]);
    let proxy = CuttingProxy::start(&registry.address, 1 << 20);
    assert!(ok(packages(&context, &[&format!("{}/large:1", proxy.address())])).contains("1.0-1"));
    assert!(proxy.cuts() >= 3, "{} cuts", proxy.cuts());
}

#[test]
fn a_blob_that_was_changed_is_refused_and_not_kept() {
    if tools().is_none() {
        return;
    }
    let context = Context::new();
    let registry = Registry::start(context.path(), "", "");
    let image = context.path().join("image");
    large().oci_layout(&image, Encoding::Gzip);
    registry.push(&image, "large:1", &[]);
    let mut folders = vec![context.path().join("data/docker/registry/v2/blobs")];
    let mut blobs = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { blobs.push(path) }
        }
    }
    let largest = blobs.into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let good = fs::read(&largest).unwrap();
    // The time in the header of gzip: what is decoded stays the same.
    let mut bad = good.clone();
    bad[4] ^= 1;
    fs::write(&largest, bad).unwrap();
    let error = fails(&packages(&context, &[&registry.name("large:1")]));
    assert!(error.contains("has the digest") && error.contains("hint:"), "{error}");
    fs::write(&largest, good).unwrap();
    assert!(ok(packages(&context, &[&registry.name("large:1")])).contains("1.0-1"));
}

#[test]
fn an_interrupted_pull_ends_and_the_next_one_goes_on() {
    let context = Context::new();
    let noise: Vec<u8> = (0..500_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let quick = Layer::new().file("etc/os-release", BOOKWORM).file("noise", &noise);
    let status = limpid_testkit::dpkg_status(&[("a", "1.0-1", "")]);
    let slow = Layer::new().file("var/lib/dpkg/status", status).file("less", &noise[..1_000_000]);
    let image = ImageBuilder::new().layer("ADD", &quick).layer("RUN", &slow);
    image.oci_layout(&context.path().join("image"), Encoding::Plain);
    let mut content = Content::new();
    content.put_layout("a", "t", &context.path().join("image"));
    let is_slow = Arc::new(AtomicBool::new(true));
    let slowness = Arc::clone(&is_slow);
    let slow_blob = format!("/v2/a/blobs/{}", limpid_model::Digest::of(&slow.tar()));
    let slow_path = slow_blob.clone();
    let server = Server::start(move |request| {
        let slow = request.target == slow_path && slowness.load(Ordering::Relaxed);
        Answer { slowness: slow.then_some(Duration::from_secs(1)), ..content.answer(request) }
    });
    let name = format!("{}/a:t", server.address());
    let temporary = context.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    // On one processor one layer is read after the other, the larger one first.
    let plain = command(&context, &["packages", &name]);
    let mut pull = Command::new("/usr/bin/taskset");
    pull.args(["-c", "0"]).arg(plain.get_program()).args(plain.get_args()).current_dir(context.path());
    for (key, value) in plain.get_envs() {
        match value {
            Some(value) => pull.env(key, value),
            None => pull.env_remove(key),
        };
    }
    pull.env("TMPDIR", &temporary).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut pull = pull.spawn().unwrap();
    while !server.requests().iter().any(|request| request.target == slow_blob) {
        assert!(pull.try_wait().unwrap().is_none(), "the pull ended by itself");
        std::thread::sleep(Duration::from_millis(10));
    }
    let killed = Command::new("kill").args(["-INT", &pull.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let status = pull.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{status}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "something was left behind");
    is_slow.store(false, Ordering::Relaxed);
    assert!(ok(packages(&context, &[&name])).contains("1.0-1"));
    let quick_blob = format!("/v2/a/blobs/{}", limpid_model::Digest::of(&quick.tar()));
    let of_quick = server.requests().iter().filter(|request| request.target == quick_blob).count();
    assert_eq!(of_quick, 1, "the complete layer was read again");
}

#[test]
fn what_is_no_registry_is_told_with_a_remedy() {
    let context = Context::new();
    let error = fails(&packages(&context, &["--offline", "debian:12"]));
    assert!(error.contains("offline") && error.contains("leave out --offline"), "{error}");
    two_layers().oci_layout(&context.path().join("image"), Encoding::Gzip);
    for arguments in [&["--offline", "image"][..], &["./image"][..]] {
        let error = fails(&packages(&context, arguments));
        assert!(error.contains("there is a folder") && error.contains("oci:"), "{error}");
    }
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = fails(&packages(&context, &[&format!("{refused}/a")]));
    assert!(error.contains("cannot be reached"), "{error}");
    fs::write(context.path().join("auth.json"), "{").unwrap();
    let error = fails(&packages(&context, &["--authfile", "auth.json", "h.invalid/a"]));
    assert!(error.contains("auth.json") && error.contains("malformed"), "{error}");
    let output = packages(&context, &["--username", "me", "h.invalid/a"]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_foreign_layer_that_was_not_fetched_is_in_the_report() {
    let context = Context::new();
    let layer = Layer::new()
        .file("etc/os-release", BOOKWORM)
        .file("var/lib/dpkg/status", limpid_testkit::dpkg_status(&[("a", "1.0-1", "")]));
    let image = context.path().join("image");
    ImageBuilder::new().layer("ADD", &layer).oci_layout(&image, Encoding::Gzip);
    let index: Value = serde_json::from_slice(&fs::read(image.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let manifest = fs::read_to_string(image.join("blobs/sha256").join(&digest[7..])).unwrap();
    let foreign = manifest.replace("image.layer.v1.tar+gzip", "image.layer.nondistributable.v1.tar+gzip");
    let mut content = Content::new();
    content.put_layout("a", "t", &image);
    content.put("a/manifests/foreign", "application/vnd.oci.image.manifest.v1+json", foreign);
    let server = Server::start(move |request| content.answer(request));
    let name = format!("{}/a:foreign", server.address());
    for _ in 0..2 {
        let text = scan(&context, &[&name]);
        assert!(text.contains("foreign layer"), "{text}");
    }
    let text = ok(packages(&context, &["--foreign-layers", &name]));
    assert!(text.contains("1.0-1"), "{text}");
    // What is known is not forgotten.
    assert!(!scan(&context, &[&name]).contains("foreign layer"));
}
