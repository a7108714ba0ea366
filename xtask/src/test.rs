//! The README's second command: installs what tests need, checks everything, runs all tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};

/// Debian packages that tests use, and a program that shows that they are there.
const PACKAGES: &[(&str, &str)] = &[
    // The orders of versions are compared with the ecosystems' own libraries.
    ("python3-apt", "/usr/share/doc/python3-apt"),
    ("python3-rpm", "/usr/share/doc/python3-rpm"),
    // Real images are built and copied with these.
    ("mmdebstrap", "/usr/bin/mmdebstrap"),
    ("umoci", "/usr/bin/umoci"),
    ("skopeo", "/usr/bin/skopeo"),
    ("jq", "/usr/bin/jq"),
    // A real registry, its passwords and its certificates.
    ("docker-registry", "/usr/bin/docker-registry"),
    ("apache2-utils", "/usr/bin/htpasswd"),
    ("openssl", "/usr/bin/openssl"),
    ("pigz", "/usr/bin/pigz"),
    ("zstd", "/usr/bin/zstd"),
    ("xz-utils", "/usr/bin/xz"),
    ("rpm", "/usr/bin/rpmbuild"),
    ("dnf", "/usr/bin/dnf"),
    ("createrepo-c", "/usr/bin/createrepo_c"),
    // Engines whose images are read.
    ("podman", "/usr/bin/podman"),
    ("docker.io", "/usr/sbin/dockerd"),
    ("containerd", "/usr/bin/ctr"),
    // The second engine of the store. Tests start clusters of their own; that of the package is not touched.
    ("postgresql", "/usr/share/doc/postgresql"),
    // Makes real databases of Arch Linux's.
    ("pacman-package-manager", "/usr/bin/pacman"),
    // Validators of output formats come from Python's and Node's registries.
    ("python3-venv", "/usr/share/doc/python3-venv"),
    ("npm", "/usr/bin/npm"),
];

/// Images that are built from the shared recipes, with the part of the recipe that makes them.
const IMAGES: &[(&str, &str)] = &[
    ("debian-bookworm-min", "debian_min"),
    ("debian-trixie-min", "debian_min"),
    ("debian-sid-min", "debian_min"),
    ("debian-bookworm-upgraded", "debian_bookworm_upgraded"),
    ("distroless-python", "distroless"),
    ("dpkg-symlink-db", "dpkg_variants"),
    ("fx-debian-dist-upgrade", "fixtures"),
];

/// Sections of the shared feeds that tests use, with a file that each lays out.
const FEEDS: &[(&str, &str)] = &[
    ("debian", "security-tracker.debian.org/tracker/data/json"),
    ("alpine", "secdb.alpinelinux.org/v3.20/main.json"),
    ("ubuntu-osv", "security-metadata.canonical.com/osv/osv-all.tar.xz"),
    ("redhat-vex", "security.access.redhat.com/data/csaf/v2/vex-feed/changes.csv"),
    ("redhat-other", "security.access.redhat.com/data/metrics/repository-to-cpe.json"),
    // The samples of Rocky's, Oracle's and Amazon's errata.
    ("raw", "linux.oracle.com/security/oval/com.oracle.elsa-all.xml.bz2"),
    ("osv-distro", "storage.googleapis.com/osv-vulnerabilities/AlmaLinux/all.zip"),
    ("git:almalinux-osv", "codeload.github.com/AlmaLinux"),
    ("git:debian-elts", "codeload.github.com/captn3m0/debian-elts-advisories/tar.gz/refs/heads/main"),
    ("git:vulnrichment", "codeload.github.com/cisagov/vulnrichment/tar.gz/refs/heads/develop"),
    ("nvd", "nvd.nist.gov/feeds/json/cve/2.0/nvdcve-2.0-2024.json.gz"),
    ("kev", "www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json"),
    ("git:cisa-kev", "raw.githubusercontent.com/cisagov/kev-data"),
    ("epss", "epss.empiricalsecurity.com/epss_scores-current.csv.gz"),
];

/// Runs everything and stops at the first failure.
pub(crate) fn run() -> anyhow::Result<()> {
    let root = crate::root().canonicalize()?;
    step("install what tests need", || install().map(|()| true))?;
    let shared = std::env::var_os("LIMPID_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let images = root.join("target/corpus");
    let feeds = root.join("target/feeds");
    if shared.is_dir() {
        let shared = shared.canonicalize()?;
        step("build real images", || build_images(&shared, &images))?;
        step("lay out feeds", || lay_out_feeds(&shared, &feeds))?;
    } else {
        println!("skipped: the shared data is not here; tests that use it will say that they skip");
    }
    step("install validators of output formats", || {
        crate::validators::install(&root.join("target/validators"))
    })?;
    step("house rules", || crate::tidy::run().map(|()| true))?;
    cargo("format", &["fmt", "--all", "--check"])?;
    cargo("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    if succeeds(Command::new("cargo").args(["deny", "--version"])) {
        cargo("dependencies", &["deny", "--all-features", "check", "bans", "licenses", "sources"])?;
    } else {
        println!("skipped: cargo-deny is not installed");
    }
    let mut tests = Command::new("cargo");
    tests.args(["test", "--workspace", "--no-fail-fast"]).current_dir(&root);
    if std::env::var_os("CI").is_some() && shared.is_dir() && is_root() {
        // What should be here is here: a test that skips for want of it has failed.
        tests.env("LIMPID_REQUIRE_DATA", "1");
    }
    tests.env("LIMPID_SHARED", &shared).env("LIMPID_IMAGES", &images).env("LIMPID_FEEDS_DATA", &feeds);
    step("tests", || succeeded(&mut tests).map(|()| true))
}

fn step(name: &str, work: impl FnOnce() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let begun = Instant::now();
    println!("== {name}");
    let done = work().with_context(|| format!("the step `{name}` failed"))?;
    println!(
        "== {name}: {} in {:.0} s",
        if done { "done" } else { "skipped" },
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

fn cargo(name: &str, arguments: &[&str]) -> anyhow::Result<()> {
    step(name, || succeeded(Command::new("cargo").args(arguments).current_dir(crate::root())).map(|()| true))
}

pub(crate) fn succeeded(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if status.success() { Ok(()) } else { bail!("{:?} ended with {status}", command.get_program()) }
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

fn install() -> anyhow::Result<()> {
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(_, shows)| !Path::new(shows).exists()).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut apt = if is_root() { Command::new("apt-get") } else { Command::new("sudo") };
    if !is_root() {
        apt.args(["-n", "apt-get"]);
    }
    apt.args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive");
    let mut update = Command::new(apt.get_program());
    update.args(if is_root() { &["update", "-qq"][..] } else { &["-n", "apt-get", "update", "-qq"] });
    if succeeds(&mut update) && succeeded(&mut apt).is_ok() {
        return Ok(());
    }
    if std::env::var_os("CI").is_some() {
        bail!("these packages cannot be installed: {}", missing.join(" "));
    }
    println!(
        "skipped: these packages cannot be installed: {}; tests that need them will say so",
        missing.join(" ")
    );
    Ok(())
}

fn build_images(shared: &Path, images: &Path) -> anyhow::Result<bool> {
    if !is_root() {
        println!("skipped: images are built as root only");
        return Ok(false);
    }
    let recipe = shared.join("images");
    std::fs::create_dir_all(images)?;
    let mut built = std::collections::BTreeSet::new();
    for (image, part) in IMAGES {
        if images.join(image).join(format!("{image}.packages.tsv")).is_file() || !built.insert(*part) {
            continue;
        }
        let mut command = Command::new("bash");
        match *part {
            "fixtures" => command.arg(recipe.join("tools/fixtures.sh")),
            part => command.arg(recipe.join("build.sh")).arg(part),
        };
        succeeded(command.env("ROOT", images).env("SUITES", "bookworm trixie sid").current_dir(images))?;
    }
    let zstd = images.join("debian-bookworm-upgraded-zstd/oci");
    if !zstd.is_dir() {
        std::fs::create_dir_all(images.join("debian-bookworm-upgraded-zstd"))?;
        let from = format!("oci:{}:latest", images.join("debian-bookworm-upgraded/oci").display());
        let to = format!("oci:{}:latest", zstd.display());
        let mut copy = Command::new("skopeo");
        copy.args(["copy", "-q", "--dest-compress", "--dest-compress-format", "zstd", &from, &to]);
        succeeded(&mut copy)?;
    }
    let mut without_truth = Vec::new();
    for entry in std::fs::read_dir(images)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let folder = images.join(&name);
        if folder.join("oci/index.json").is_file() && !folder.join(format!("{name}.packages.tsv")).is_file() {
            without_truth.push(name);
        }
    }
    if !without_truth.is_empty() {
        let mut truth = Command::new("python3");
        truth.arg(recipe.join("tools/truth.py")).args(&without_truth);
        succeeded(truth.env("ROOT", images).current_dir(images))?;
    }
    Ok(true)
}

fn lay_out_feeds(shared: &Path, feeds: &Path) -> anyhow::Result<bool> {
    let missing: Vec<&str> =
        FEEDS.iter().filter(|(_, made)| !feeds.join(made).exists()).map(|(section, _)| *section).collect();
    if missing.is_empty() {
        return Ok(true);
    }
    let mut mirror = Command::new("python3");
    mirror.arg(shared.join("feeds/mirror.py")).arg(feeds).args(["--only", &missing.join(","), "--no-ids"]);
    succeeded(&mut mirror)?;
    Ok(true)
}
