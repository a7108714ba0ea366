//! The real binary, end to end.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod advisories;
mod binary_versions;
mod clair_v4;
mod databases;
mod distributions;
mod engines;
mod enrichment;
mod errors;
mod events;
mod faults;
mod feeds;
mod fleet;
mod interrupt;
mod json;
mod kernels;
mod known;
mod many;
mod outputs;
mod owner;
mod packages;
mod postgres;
mod queue;
mod redhat;
mod references;
mod registry;
mod revisions;
mod rpm;
mod rpm_feeds;
mod scan;
mod store;
mod upkeep;

use std::path::Path;
use std::process::{Command, Output};

use limpid_testkit::{ImageBuilder, Layer, dpkg_status};

/// A folder with a store of its own.
struct Context {
    folder: tempfile::TempDir,
}

impl Context {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limpid"));
        command.args(arguments).current_dir(self.path());
        command.env("LIMPID_STORE", self.path().join("store.db"));
        command.env_remove("LIMPID_FEEDS_MIRROR").env_remove("NO_COLOR");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a run that must succeed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit code and standard error of a run that must fail.
    fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

const BOOKWORM: &str = "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";

/// Two layers: a base, and one that upgrades `a`, removes `b` and installs `c`.
fn two_layers() -> ImageBuilder {
    let base = Layer::new()
        .file("etc/os-release", BOOKWORM)
        .file("var/lib/dpkg/status", dpkg_status(&[("a", "1.0-1", ""), ("b", "2.0-1", "bee (1.9-1)")]));
    let top = Layer::new().file("var/lib/dpkg/status", dpkg_status(&[("a", "1.0-2", ""), ("c", "3", "")]));
    ImageBuilder::new().layer("ADD base", &base).layer("apt-get upgrade", &top)
}
