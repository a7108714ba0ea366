//! Many processes on one store, and processes that die.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use limpid_testkit::{Encoding, ImageBuilder, Layer, dpkg_status};

use crate::{BOOKWORM, Context};

/// An image whose layers are large enough for a process to be stopped while it reads them.
fn large(variant: u32) -> ImageBuilder {
    let filler: Vec<u8> =
        (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let base = Layer::new()
        .file("etc/os-release", BOOKWORM)
        .file("x", &filler)
        .file("var/lib/dpkg/status", dpkg_status(&[("a", "1", "")]));
    let status = dpkg_status(&[("a", "1", ""), ("b", &variant.to_string(), "")]);
    let top = Layer::new().file("y", &filler[..1_000_000]).file("var/lib/dpkg/status", status);
    ImageBuilder::new().layer("base", &base).layer("top", &top)
}

#[test]
fn many_processes_share_a_store_without_an_error() {
    let context = Context::new();
    for variant in 0..4 {
        large(variant).oci_layout(&context.path().join(variant.to_string()), Encoding::Gzip);
    }
    let children: Vec<_> = (0..12)
        .map(|number| {
            let reference = format!("oci:{}", number % 4);
            let mut command = context.command(&["--offline", "packages", "--format", "tsv", &reference]);
            (number % 4, command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        })
        .collect();
    for (variant, child) in children {
        let output = child.wait_with_output().unwrap();
        let (text, error) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{error}");
        assert!(text.contains(&format!("deb\tb\t{variant}\t")), "{text}");
    }
}

#[test]
fn a_process_that_is_killed_leaves_a_store_that_the_next_opens() {
    let context = Context::new();
    large(7).oci_layout(&context.path().join("image"), Encoding::Gzip);
    for step in 0..8 {
        let mut child =
            context.command(&["--offline", "scan", "oci:image"]).stdout(Stdio::null()).spawn().unwrap();
        // A different moment each time; which one does not matter, only that none does harm.
        std::thread::sleep(Duration::from_millis(step * 9));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let text = context.ok(&["--offline", "packages", "--format", "tsv", "oci:image"]);
    assert_eq!(text.lines().count(), 2);
    assert!(fs::metadata(context.path().join("store.db")).unwrap().len() > 0);
}
