//! Packages built and installed by Debian's rpm, and what it answers.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use limpid_extract::ownership::{is_claimable, path_hash};
use limpid_model::{FileOwner, Package, PackageFact};
use limpid_testkit::{BerkeleyDb, require_or_skip, rpm_berkeley_db, rpm_ndb};

use crate::{extract, packages};

/// One source package with packages of all sorts.
const SPEC: &str = "\
Name: sorts
Version: 1.2~rc1^git3
Release: 4.el8
Epoch: 7
Summary: Ünïcödé
License: none
Vendor: Example Vendör
ModularityLabel: sorts:1:820:abc
%description
Of all sorts.
%package -n zero
Summary: An epoch of zero
Epoch: 0
Version: 2
Release: 1
%description -n zero
Of epoch zero.
%package plain-name
Summary: The source's version
BuildArch: noarch
%description plain-name
Plain.
%package many
Summary: Many files
%description many
Many.
%package gone
Summary: Will be erased
%description gone
Gone.
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/usr/share/java %{buildroot}/usr/share/many/ä
touch %{buildroot}/usr/bin/sorts %{buildroot}/usr/share/java/sorts.jar %{buildroot}/usr/share/many/package.json
for i in $(seq 1 900); do echo >%{buildroot}/usr/share/many/ä/a-file-with-a-longish-name-$i; done
for i in $(seq 1 400); do echo >%{buildroot}/usr/share/java/gone-$i; done
%files
/usr/bin/sorts
%files -n zero
%files plain-name
/usr/share/java/sorts.jar
%files many
/usr/share/many
%files gone
/usr/share/java/gone-*
";

/// A database of rpm's, made once for all tests of this file.
struct Database {
    folder: tempfile::TempDir,
}

impl Database {
    fn new() -> Option<Self> {
        let rpm = Path::new("/usr/bin/rpmbuild").exists().then_some(());
        require_or_skip(rpm, "rpm")?;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        fs::write(folder.path().join("sorts.spec"), SPEC).unwrap();
        let database = Self { folder };
        let top = format!("_topdir {path}/build");
        let rpms = format!("_rpmdir {path}/rpms");
        let arguments = ["-bb", "--quiet", "--define", &top, "--define", &rpms, "--target", "x86_64"];
        database.run(Command::new("rpmbuild").args(arguments).arg(database.folder.path().join("sorts.spec")));
        database.rpm(&["--initdb"]);
        let mut files = Vec::new();
        for folder in fs::read_dir(format!("{path}/rpms")).unwrap() {
            files.extend(fs::read_dir(folder.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
        }
        assert_eq!(files.len(), 5);
        let files: Vec<&str> = files.iter().map(|path| path.to_str().unwrap()).collect();
        database
            .rpm(&[&["-i", "--force-debian", "--justdb", "--nodeps", "--ignorearch"][..], &files].concat());
        // Leaves pages that are free and still hold what was there.
        database.rpm(&["-e", "--force-debian", "--justdb", "--nodeps", "sorts-gone"]);
        Some(database)
    }

    fn run(&self, command: &mut Command) -> Vec<u8> {
        let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command:?}: {errors}");
        output.stdout
    }

    fn rpm(&self, arguments: &[&str]) -> String {
        let database = self.folder.path().join("db");
        let output = self.run(
            Command::new("rpm")
                .args(["--define", "_db_backend sqlite", "--dbpath"])
                .arg(database)
                .args(arguments),
        );
        String::from_utf8(output).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.folder.path().join("db/rpmdb.sqlite")).unwrap()
    }

    /// The same database, written anew by SQLite.
    fn with_pages_of(&self, bytes: usize) -> Vec<u8> {
        let path = self.folder.path().join("db/rpmdb.sqlite");
        let copy = self.folder.path().join("copy.sqlite");
        fs::copy(path, &copy).unwrap();
        let program = format!(
            "import sqlite3; c = sqlite3.connect('copy.sqlite', isolation_level=None); \
             c.execute('pragma journal_mode=delete'); c.execute('pragma page_size={bytes}'); c.execute('vacuum')"
        );
        self.run(Command::new("python3").args(["-c", &program]).current_dir(self.folder.path()));
        let file = fs::read(copy).unwrap();
        assert_eq!(usize::from(u16::from_be_bytes([file[16], file[17]])), bytes % 65535, "python3 did not");
        file
    }

    /// The headers, as `rpmdb --exportdb` gives them: a magic number before each.
    fn headers(&self) -> Vec<Vec<u8>> {
        let path = self.folder.path().join("db");
        let exported = self.run(
            Command::new("rpmdb")
                .args(["--define", "_db_backend sqlite", "--exportdb", "--dbpath"])
                .arg(path),
        );
        let mut rest = exported.as_slice();
        let mut headers = Vec::new();
        while !rest.is_empty() {
            assert_eq!(rest[..4], [0x8e, 0xad, 0xe8, 0x01]);
            let field = |at: usize| u32::from_be_bytes(*rest[at..].first_chunk().unwrap()) as usize;
            let end = 16 + 16 * field(8) + field(12);
            headers.push(rest[8..end].to_vec());
            rest = &rest[end..];
        }
        headers
    }
}

const QUERY: &str =
    "%{NAME}|%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}|%{ARCH}|%{SOURCERPM}|%{VENDOR}|%{MODULARITYLABEL}\\n";

/// A package as the query above shows it.
fn shown(package: &Package) -> String {
    let fact = |kind| {
        let fact = package.facts.iter().find(|(fact, _)| *fact == kind);
        fact.map_or("(none)", |(_, value)| value.as_str()).to_owned()
    };
    format!(
        "{}|{}|{}|{}-{}.src.rpm|{}|{}",
        package.name,
        package.version,
        package.arch,
        package.source_name,
        package.source_version,
        fact(PackageFact::Vendor),
        fact(PackageFact::Module)
    )
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn lists_are_those_of_rpm_in_every_form() {
    let Some(database) = Database::new() else { return };
    let expected = lines(&database.rpm(&["-qa", "--qf", QUERY]));
    assert_eq!(expected.len(), 4);
    assert!(expected.iter().any(|line| line.starts_with("zero|0:2-1|")), "{expected:?}");
    assert!(expected.iter().any(|line| line.ends_with("|sorts:1:820:abc")), "{expected:?}");

    let ours = packages("rpm-sqlite", &database.bytes());
    assert_eq!(ours.iter().map(shown).collect::<BTreeSet<_>>(), expected);
    for page_bytes in [512, 1024, 65536] {
        assert_eq!(packages("rpm-sqlite", &database.with_pages_of(page_bytes)), ours, "{page_bytes}");
    }
    let headers = database.headers();
    assert_eq!(packages("rpm-ndb", &rpm_ndb(&headers)), ours);
    for version in 7..=10 {
        for page_bytes in [512, 4096, 65536] {
            for big_endian in [false, true] {
                let form = BerkeleyDb { version, page_bytes, big_endian };
                assert_eq!(packages("rpm-bdb", &rpm_berkeley_db(form, &headers)), ours, "{form:?}");
            }
        }
    }
}

#[test]
fn rpm_reads_the_berkeley_databases_that_tests_write() {
    let Some(database) = Database::new() else { return };
    let expected = lines(&database.rpm(&["-qa", "--qf", QUERY]));
    let folder = tempfile::tempdir().unwrap();
    for (version, big_endian) in [(8, false), (9, false), (10, true)] {
        let form = BerkeleyDb { version, page_bytes: 4096, big_endian };
        fs::write(folder.path().join("Packages"), rpm_berkeley_db(form, &database.headers())).unwrap();
        let arguments = ["--define", "_db_backend bdb_ro", "--nosignature", "-qa", "--qf", QUERY, "--dbpath"];
        let said = database.run(Command::new("rpm").args(arguments).arg(folder.path()));
        assert_eq!(lines(std::str::from_utf8(&said).unwrap()), expected, "{form:?}");
    }
}

#[test]
fn owners_are_those_of_rpm() {
    let Some(database) = Database::new() else { return };
    let mut expected = Vec::new();
    for package in ["sorts", "sorts-many", "sorts-plain-name", "zero"] {
        let files = database.rpm(&["-ql", package]);
        let files = files.lines().filter_map(|line| line.strip_prefix('/'));
        let mut paths: Vec<u64> = files.filter(|path| is_claimable(path)).map(path_hash).collect();
        paths.sort_unstable();
        if !paths.is_empty() {
            expected.push(FileOwner { package: package.to_owned(), paths });
        }
    }
    assert_eq!(expected.len(), 3);
    assert_eq!(extract("rpm-sqlite", &database.bytes()).unwrap().owners, expected);
}
