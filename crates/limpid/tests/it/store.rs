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

#[test]
fn a_store_that_may_only_be_read_answers_and_refuses_what_writes() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
    use std::os::unix::process::CommandExt as _;

    /// `nobody`, as whom root runs the program: root may write anything.
    const NOBODY: u32 = 65_534;
    let context = Context::new();
    crate::two_layers().oci_layout(&context.path().join("image"), Encoding::Gzip);
    let advisory = r#"{"id":"OWN-1","affected":[{"package":{"ecosystem":"Debian:12","name":"a"},
        "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"9"}]}]}]}"#;
    fs::write(context.path().join("own.json"), advisory).unwrap();
    context.ok(&["feeds", "import", "own.json"]);
    context.ok(&["--offline", "packages", "oci:image"]);
    let before = fs::read(context.path().join("store.db")).unwrap();
    let is_root = fs::metadata(context.path()).unwrap().uid() == 0;
    fs::set_permissions(context.path().join("store.db"), PermissionsExt::from_mode(0o444)).unwrap();
    fs::set_permissions(context.path(), PermissionsExt::from_mode(0o555)).unwrap();
    // The program itself may lie where nobody else may look.
    let programs = tempfile::tempdir().unwrap();
    fs::set_permissions(programs.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_limpid"), programs.path().join("limpid")).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(programs.path().join("limpid"));
        command.args(arguments).current_dir(context.path());
        command.env("LIMPID_STORE", context.path().join("store.db"));
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.output().unwrap()
    };
    let outputs =
        [&["affected", "OWN-1"][..], &["feeds", "status"], &["--offline", "scan", "oci:image"]].map(run);
    fs::set_permissions(context.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let [affected, status, scan] = outputs;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(text(&affected.stdout).contains("1 of 1 images"), "{}", text(&affected.stderr));
    assert!(text(&status.stdout).contains("own.json"), "{}", text(&status.stderr));
    let error = text(&scan.stderr);
    assert!(
        scan.status.code() == Some(5) && error.contains("may only be read") && error.contains("hint:"),
        "{error}"
    );
    assert_eq!(fs::read(context.path().join("store.db")).unwrap(), before);
}
