//! Ctrl-C: the right exit code, nothing left behind, and the next run goes on.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use limpid_model::Digest;
use limpid_store::{SqliteStore, Store as _};
use limpid_testkit::{Encoding, ImageBuilder, Layer, dpkg_status};

use crate::{BOOKWORM, Context};

/// An image whose smaller layer, read last, is a pipe that gives half of it and then nothing.
struct Stalled {
    large: Digest,
    small: Digest,
    path: PathBuf,
    content: Vec<u8>,
}

fn run(program: &str, arguments: &[&str]) {
    assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program} {arguments:?}");
}

impl Stalled {
    fn new(folder: &Path) -> Self {
        let filler: Vec<u8> =
            (0..100_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let base = Layer::new().file("etc/os-release", BOOKWORM).file("x", &filler);
        let status = dpkg_status(&[("a", "1", "")]);
        let top = Layer::new().file("y", &filler[..100_000]).file("var/lib/dpkg/status", status);
        ImageBuilder::new().layer("base", &base).layer("top", &top).oci_layout(folder, Encoding::Plain);
        let (large, small) = (Digest::of(&base.tar()), Digest::of(&top.tar()));
        let path = folder.join("blobs/sha256").join(small.hex());
        let content = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        run("mkfifo", &[path.to_str().unwrap()]);
        Self { large, small, path, content }
    }

    /// Waits until the other layer is in the store and half of this one was taken.
    fn stall(&self, store: &Path) -> fs::File {
        // Opening a pipe waits for its reader.
        let mut pipe = fs::OpenOptions::new().write(true).open(&self.path).unwrap();
        pipe.write_all(&self.content[..self.content.len() / 2]).unwrap();
        let store = SqliteStore::open(store).unwrap();
        while store.readings(&self.large).unwrap() == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        pipe
    }

    fn heal(&self) {
        fs::remove_file(&self.path).unwrap();
        fs::write(&self.path, &self.content).unwrap();
    }
}

fn scan(context: &Context) -> Child {
    let temporary = context.path().join("temporary");
    fs::create_dir_all(&temporary).unwrap();
    let mut command = context.command(&["--offline", "packages", "--format", "tsv", "oci:image"]);
    command.env("TMPDIR", temporary).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn an_interrupted_scan_leaves_nothing_and_the_next_goes_on() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let context = Context::new();
        let stalled = Stalled::new(&context.path().join("image"));
        let path = context.path().join("store.db");
        let child = scan(&context);
        let pipe = stalled.stall(&path);
        // The pipe stays open and gives nothing: whoever ended only with the next bytes would never end.
        run("sh", &["-c", &format!("kill {signal} {}", child.id())]);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "limpid: interrupted\n");
        drop(pipe);
        assert_eq!(fs::read_dir(context.path().join("temporary")).unwrap().count(), 0);
        stalled.heal();
        let text = context.ok(&["--offline", "packages", "--format", "tsv", "oci:image"]);
        assert!(text.starts_with("deb\ta\t1\t"), "{text}");
        let store = SqliteStore::open(&path).unwrap();
        let readings = [&stalled.large, &stalled.small].map(|layer| store.readings(layer).unwrap());
        assert_eq!(readings, [1, 1], "the layer that was complete is not read again");
    }
}

#[test]
fn who_waits_for_a_slow_reader_does_not_read_too() {
    let context = Context::new();
    let stalled = Stalled::new(&context.path().join("image"));
    let path = context.path().join("store.db");
    let first = scan(&context);
    let mut pipe = stalled.stall(&path);
    let second = scan(&context);
    // Stopped and going on again: late, but alive.
    run("sh", &["-c", &format!("kill -STOP {}", first.id())]);
    std::thread::sleep(Duration::from_millis(300));
    run("sh", &["-c", &format!("kill -CONT {}", first.id())]);
    pipe.write_all(&stalled.content[stalled.content.len() / 2..]).unwrap();
    drop(pipe);
    for child in [first, second] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.readings(&stalled.small).unwrap(), 1);
}
