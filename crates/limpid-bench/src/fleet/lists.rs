//! Package lists of real images, from which the synthetic registry's bases are made.
//!
//! They are the `*.packages.tsv` files beside the shared fixtures (`LIMPID_SHARED`) and images (`LIMPID_IMAGES`), which
//! hold what each ecosystem's own tool says. Where a file is not there, a list of the same length is made up, and the
//! benchmark says so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use limpid_model::{Distribution, Package, PackageType};

use super::random::rng;

/// A base image's distribution and packages.
#[derive(Debug, Clone)]
pub(crate) struct BaseList {
    pub(crate) name: &'static str,
    pub(crate) distribution: Distribution,
    pub(crate) packages: Vec<Package>,
    pub(crate) database: Database,
    /// Whether the packages are those of a real image.
    pub(crate) is_real: bool,
}

/// Where a base's packages are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Database {
    pub(crate) kind: PackageType,
    pub(crate) path: &'static str,
    pub(crate) extractor: &'static str,
}

const DPKG: Database = Database { kind: PackageType::Deb, path: "var/lib/dpkg/status", extractor: "dpkg" };
const APK: Database = Database { kind: PackageType::Apk, path: "lib/apk/db/installed", extractor: "apk" };
const RPM: Database =
    Database { kind: PackageType::Rpm, path: "var/lib/rpm/rpmdb.sqlite", extractor: "rpm-sqlite" };

/// A list by name, its distribution as os-release names it (id, version, code name), and how many packages it has.
type Known = (&'static str, [&'static str; 3], Database, usize);

/// The bases, those that most images stand on first. Debian 12 comes twice, as small and as upgraded image.
const KNOWN: &[Known] = &[
    ("debian-bookworm-min", ["debian", "12", "bookworm"], DPKG, 96),
    ("ubuntu1804", ["ubuntu", "18.04", "bionic"], DPKG, 91),
    ("alpine37", ["alpine", "3.7.0", ""], APK, 11),
    ("debian9-stretch", ["debian", "9", "stretch"], DPKG, 83),
    ("debian-trixie-min", ["debian", "13", "trixie"], DPKG, 78),
    ("debian8-jessie", ["debian", "8", "jessie"], DPKG, 117),
    ("debian-bookworm-upgraded", ["debian", "12", "bookworm"], DPKG, 128),
    ("debian7-wheezy", ["debian", "7", "wheezy"], DPKG, 80),
    // Limpid has no feed that speaks for these two: images without an answer.
    ("mariner2-sqlite", ["mariner", "2.0", ""], RPM, 129),
    ("sle15-1-ndb", ["sles", "15.1", ""], RPM, 35),
];

/// All bases.
pub(crate) fn bases() -> Vec<BaseList> {
    let folders = [limpid_testkit::shared().map(|shared| shared.join("fixtures")), limpid_testkit::corpus()];
    let folders: Vec<PathBuf> = folders.into_iter().flatten().collect();
    KNOWN.iter().map(|known| base(known, &folders)).collect()
}

fn base(known: &Known, folders: &[PathBuf]) -> BaseList {
    let (name, [id, version_id, code_name], database, packages) = *known;
    let real = folders.iter().find_map(|folder| read(folder, name, database.kind));
    let distribution = Distribution {
        id: id.to_owned(),
        version_id: version_id.to_owned(),
        code_name: code_name.to_owned(),
        pretty_name: format!("{id} {version_id}"),
        ..Distribution::default()
    };
    let is_real = real.is_some();
    let packages = real.unwrap_or_else(|| made_up(packages, database.kind));
    BaseList { name, distribution, packages, database, is_real }
}

/// The packages of a list, sorted; `None` if there is no such file or it lists nothing.
fn read(folder: &Path, name: &str, kind: PackageType) -> Option<Vec<Package>> {
    let file = format!("{name}.packages.tsv");
    let text = std::fs::read_to_string(folder.join(&file));
    let text = text.or_else(|_| std::fs::read_to_string(folder.join(name).join(&file))).ok()?;
    let packages: BTreeSet<Package> = text.lines().skip(1).filter_map(|line| package(line, kind)).collect();
    (!packages.is_empty()).then(|| packages.into_iter().collect())
}

/// A line `type name version arch source source_version ...`.
fn package(line: &str, kind: PackageType) -> Option<Package> {
    let mut columns = line.split('\t');
    let mut next = || columns.next().map(str::to_owned);
    (next()? == kind.name()).then_some(())?;
    Some(Package {
        kind,
        name: next()?,
        version: next()?,
        arch: next()?,
        source_name: next()?,
        source_version: next()?,
        facts: Vec::new(),
    })
}

/// Packages with the names that nearly every image has, and some more.
const COMMON: [&str; 24] = [
    "bash",
    "coreutils",
    "glibc",
    "zlib",
    "openssl",
    "util-linux",
    "ncurses",
    "tar",
    "gzip",
    "sed",
    "grep",
    "findutils",
    "perl",
    "pam",
    "shadow",
    "systemd",
    "xz-utils",
    "bzip2",
    "gnupg2",
    "libgcrypt20",
    "apt",
    "dpkg",
    "tzdata",
    "curl",
];

fn made_up(count: usize, kind: PackageType) -> Vec<Package> {
    let package = |position: usize| {
        let name = COMMON.get(position).map_or_else(|| format!("lib{position}"), |name| (*name).to_owned());
        let mut rng = rng(&[position as u64]);
        let version = format!("{}.{}.{}-{}", rng.u8(0..6), rng.u8(0..20), rng.u8(0..9), rng.u8(1..9));
        Package {
            kind,
            source_name: name.clone(),
            name,
            source_version: version.clone(),
            version,
            arch: if kind == PackageType::Deb { "amd64" } else { "x86_64" }.to_owned(),
            facts: Vec::new(),
        }
    };
    let mut packages: Vec<Package> = (0..count).map(package).collect();
    packages.sort();
    packages
}
