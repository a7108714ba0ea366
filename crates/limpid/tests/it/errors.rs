//! Bad input: one sentence, a remedy, the right exit code, and the store as it was.

use std::fs;

use limpid_testkit::{Encoding, ImageBuilder, Layer};

use crate::{Context, two_layers};

/// The one blob of the layout that is the first layer: the largest.
fn largest_blob(folder: &std::path::Path) -> std::path::PathBuf {
    let blobs = fs::read_dir(folder.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    blobs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

type Damage = fn(&mut Vec<u8>);

#[test]
fn damaged_layers_are_refused_and_nothing_of_them_is_kept() {
    let damage: [(&str, Damage); 3] = [
        ("cut", |bytes| bytes.truncate(bytes.len() / 2)),
        ("flipped", |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x55;
        }),
        ("longer", |bytes| bytes.push(0)),
    ];
    for encoding in [Encoding::Gzip, Encoding::Zstd, Encoding::Plain] {
        for (name, damage) in damage {
            let context = Context::new();
            let filler: Vec<u8> =
                (0..60_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
            let image = ImageBuilder::new()
                .layer("ADD", &Layer::new().file("etc/os-release", crate::BOOKWORM).file("x", filler));
            let folder = context.path().join("image");
            image.oci_layout(&folder, encoding);
            let blob = largest_blob(&folder);
            let good = fs::read(&blob).unwrap();
            let mut bad = good.clone();
            damage(&mut bad);
            fs::write(&blob, bad).unwrap();
            let (code, error) = context.fails(&["--offline", "scan", "oci:image"]);
            assert_eq!(code, 4, "{encoding:?} {name}: {error}");
            assert!(error.starts_with("limpid: layer sha256:"), "{encoding:?} {name}: {error}");
            fs::write(&blob, good).unwrap();
            context.ok(&["--offline", "scan", "oci:image"]);
        }
    }
}

#[test]
fn what_cannot_be_found_says_what_there_is() {
    let context = Context::new();
    two_layers().oci_layout(&context.path().join("image"), Encoding::Gzip);
    let (code, error) = context.fails(&["scan", "oci:image:none"]);
    assert!(code == 4 && error.contains("there is: latest"), "{error}");
    let (code, error) = context.fails(&["scan", "oci:nowhere"]);
    assert!(code == 4 && error.contains("nowhere"), "{error}");
    let (code, _) = context.fails(&["scan", "oci:"]);
    assert_eq!(code, 3);
    let (code, error) = context.fails(&["scan", "host:5000:1"]);
    assert!(code == 3 && error.contains("is not the name of an image"), "{error}");
    let (code, error) = context.fails(&["scan", "https://host/name"]);
    assert!(code == 3 && error.contains("leave out"), "{error}");
    let (code, error) = context.fails(&["scan", "--fail-on", "severe", "oci:image"]);
    assert!(code == 3 && error.contains("negligible"), "{error}");
    fs::write(context.path().join("image/index.json"), "{\"manifests\":[{").unwrap();
    let (code, error) = context.fails(&["scan", "oci:image"]);
    assert!(code == 4 && error.contains("index.json"), "{error}");
}

#[test]
fn archives_that_are_cut_short_say_so() {
    let context = Context::new();
    let images = [
        ("docker-archive", two_layers().docker_archive()),
        ("oci-archive", two_layers().oci_archive(Encoding::Gzip)),
    ];
    for (transport, whole) in images {
        fs::write(context.path().join("whole.tar"), &whole).unwrap();
        context.ok(&["--offline", "packages", &format!("{transport}:whole.tar")]);
        // In the content of the first member, so that none of the others is there.
        fs::write(context.path().join("cut.tar"), &whole[..520]).unwrap();
        let (code, error) = context.fails(&["packages", &format!("{transport}:cut.tar")]);
        assert!(
            code == 4 && error.contains("cut.tar is malformed") && error.contains("cut short"),
            "{error}"
        );
    }
}

#[test]
fn a_store_that_cannot_be_used_is_left_alone() {
    let context = Context::new();
    two_layers().oci_layout(&context.path().join("image"), Encoding::Gzip);
    fs::write(
        context.path().join("text"),
        "this is a letter, not a store, and long enough to be looked at".repeat(20),
    )
    .unwrap();
    let before = fs::read(context.path().join("text")).unwrap();
    let (code, error) = context.fails(&["--store", "text", "scan", "oci:image"]);
    assert!(code == 5 && error.contains("is not a Limpid store") && error.contains("hint:"), "{error}");
    assert_eq!(fs::read(context.path().join("text")).unwrap(), before);
    let (code, error) = context.fails(&["--store", "/proc/none/store", "scan", "oci:image"]);
    assert!(code == 5 && error.contains("hint:"), "{error}");
}

#[test]
fn a_feed_that_fails_keeps_its_last_good_data() {
    let context = Context::new();
    two_layers().oci_layout(&context.path().join("image"), Encoding::Gzip);
    let data = context.path().join("mirror/security-tracker.debian.org/tracker/data");
    fs::create_dir_all(&data).unwrap();
    let (code, error) = context.fails(&["--feeds-mirror", "mirror", "scan", "oci:image"]);
    assert!(code == 6 && error.contains("debian-tracker"), "{error}");
    let good = r#"{"a":{"CVE-2001-0001":{"releases":{"bookworm":{"status":"open","urgency":"high"}}}}}"#;
    fs::write(data.join("json"), good).unwrap();
    assert!(context.ok(&["--feeds-mirror", "mirror", "scan", "oci:image"]).contains("CVE-2001-0001"));
    fs::write(data.join("json"), &good[..good.len() / 2]).unwrap();
    context.ok(&["--feeds-mirror", "mirror", "feeds", "update"]);
    let output = context.run(&["--feeds-mirror", "mirror", "scan", "oci:image"]);
    let (text, warning) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("CVE-2001-0001"), "{text}");
    assert!(warning.contains("was not updated") && text.contains("not updated:"), "{warning} {text}");
}
