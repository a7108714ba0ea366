//! rpm's databases in images: behind links, side by side, large, damaged, and with dnf's history.

use std::fs;
use std::path::Path;
use std::process::Command;

use limpid_testkit::{
    BerkeleyDb, Encoding, ImageBuilder, Layer, RpmHeader, dpkg_status, require_or_skip, rpm_berkeley_db,
    rpm_ndb,
};
use serde_json::Value;

use crate::Context;

const BERKELEY: BerkeleyDb = BerkeleyDb { version: 9, page_bytes: 4096, big_endian: false };

fn blobs(names: &[&str]) -> Vec<Vec<u8>> {
    let header = |name: &&str| RpmHeader::new(name, "1", "1").text(1022, "noarch");
    names.iter().map(|name| header(name).text(1044, "source-1-1.src.rpm").blob()).collect()
}

/// The names of the packages of an image of one layer, and its coverage.
fn packages(context: &Context, layer: &Layer) -> (Vec<String>, Value) {
    let folder = context.path().join("image");
    let _ = fs::remove_dir_all(&folder);
    ImageBuilder::new().layer("ADD", layer).oci_layout(&folder, Encoding::Gzip);
    listed(context, "oci:image")
}

fn listed(context: &Context, reference: &str) -> (Vec<String>, Value) {
    let text = context.ok(&["packages", "--offline", "--format", "json", reference]);
    let mut json: Value = serde_json::from_str(&text).unwrap();
    let names = json["packages"].as_array().unwrap().iter();
    let names = names.map(|package| package["name"].as_str().unwrap().to_owned()).collect();
    (names, json["coverage"]["unreadable"].take())
}

#[test]
fn a_directory_behind_a_link_is_read_once() {
    let layer = Layer::new()
        .symlink("var/lib/rpm", "../../usr/lib/sysimage/rpm")
        .file("usr/lib/sysimage/rpm/Packages.db", rpm_ndb(&blobs(&["a", "b"])));
    let (names, unreadable) = packages(&Context::new(), &layer);
    assert_eq!(names, ["a", "b"]);
    assert_eq!(unreadable, serde_json::json!([]));
}

#[test]
fn of_two_forms_side_by_side_the_one_that_rpm_would_open_counts() {
    let context = Context::new();
    let old = rpm_berkeley_db(BERKELEY, &blobs(&["gone", "kept"]));
    let layer = Layer::new()
        .file("var/lib/rpm/Packages", &old)
        .file("var/lib/rpm/Packages.db", rpm_ndb(&blobs(&["kept", "new"])));
    let (names, unreadable) = packages(&context, &layer);
    assert_eq!(names, ["kept", "new"]);
    assert_eq!(unreadable[0]["path"], "var/lib/rpm/Packages");
    let reason = unreadable[0]["reason"].as_str().unwrap();
    assert!(reason.contains("var/lib/rpm/Packages.db is the database that counts"), "{reason}");
    // One without packages, or that is none, does not hide another.
    for other in [rpm_ndb(&[]), b"no database".to_vec()] {
        let layer = Layer::new().file("var/lib/rpm/Packages", &old).file("var/lib/rpm/Packages.db", other);
        assert_eq!(packages(&context, &layer).0, ["gone", "kept"]);
    }
}

#[test]
fn what_is_left_of_an_older_database_owns_nothing() {
    let context = Context::new();
    // The names, the directories and for each name its directory's place: what rpm keeps of the files of a package.
    let with_file = |name: &str, file: &str| {
        let header = RpmHeader::new(name, "1", "1").text(1022, "noarch").text(1044, "source-1-1.src.rpm");
        vec![header.numbers(1116, &[0]).texts(1117, &[file]).texts(1118, &["/usr/bin/"]).blob()]
    };
    let layer = Layer::new()
        .file("var/lib/rpm/Packages", rpm_berkeley_db(BERKELEY, &with_file("gone", "old")))
        .file("var/lib/rpm/Packages.db", rpm_ndb(&with_file("kept", "new")));
    assert_eq!(packages(&context, &layer).0, ["kept"]);
    let owner = |path: &str| context.ok(&["owner", "--quiet", "oci:image", path]);
    assert!(owner("/usr/bin/new").starts_with("kept 1-1"), "{}", owner("/usr/bin/new"));
    assert_eq!(owner("/usr/bin/old"), "No package of the image says that it brought /usr/bin/old.\n");
    // Where the newer one cannot be read, the older one counts and owns.
    let layer = Layer::new()
        .file("var/lib/rpm/Packages", rpm_berkeley_db(BERKELEY, &with_file("gone", "old")))
        .file("var/lib/rpm/Packages.db", "no database");
    assert_eq!(packages(&context, &layer).0, ["gone"]);
    assert!(owner("/usr/bin/old").starts_with("gone 1-1"), "{}", owner("/usr/bin/old"));
}

#[test]
fn a_damaged_database_costs_itself_and_is_named() {
    // A header and a frame with the same salts.
    let mut log = vec![0; 32 + 24 + 512];
    log[..4].copy_from_slice(&0x377f_0682_u32.to_be_bytes());
    let layer = Layer::new()
        .file("var/lib/dpkg/status", dpkg_status(&[("deb", "1", "")]))
        .file("usr/share/rpm/rpmdb.sqlite", "SQLite format 3\0 and then nothing")
        .file("var/lib/rpm/Packages", &rpm_berkeley_db(BERKELEY, &blobs(&["lost"]))[..600])
        .file("var/lib/rpm/rpmdb.sqlite-wal", log)
        // Not a frame of this log: SQLite would not take it either.
        .file("usr/lib/sysimage/rpm/rpmdb.sqlite-wal", [7; 100]);
    let (names, unreadable) = packages(&Context::new(), &layer);
    assert_eq!(names, ["deb"]);
    let paths: Vec<&str> =
        unreadable.as_array().unwrap().iter().map(|problem| problem["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["usr/share/rpm/rpmdb.sqlite", "var/lib/rpm/Packages", "var/lib/rpm/rpmdb.sqlite-wal"]);
}

#[test]
fn a_large_database_is_read_from_a_file() {
    let context = Context::new();
    let filler = "x".repeat(10_000);
    let names: Vec<String> = (0..1000).map(|number| format!("package-{number:04}")).collect();
    let header = |name: &String| RpmHeader::new(name, "1", "1").text(1082, &filler).blob();
    let blobs: Vec<Vec<u8>> = names.iter().map(header).collect();
    let database = rpm_ndb(&blobs);
    assert!(database.len() > 8 << 20);
    let layer = Layer::new().file("var/lib/rpm/Packages.db", &database);
    assert_eq!(packages(&context, &layer), (names.clone(), serde_json::json!([])));
    let root = context.path().join("root/var/lib/rpm");
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("Packages.db"), database).unwrap();
    assert_eq!(listed(&context, "dir:root"), (names, serde_json::json!([])));
}

#[test]
fn a_list_stands_in_for_a_database() {
    let line = "zlib\t1.2-3\t1\t2\tVendor\t(none)\t4\tx86_64\t0\tzlib-1.2-3.src.rpm\n";
    let layer = Layer::new().file("var/lib/rpmmanifest/container-manifest-2", line);
    assert_eq!(packages(&Context::new(), &layer).0, ["zlib"]);
}

/// A spec file of an empty package.
fn spec(name: &str, version: &str, epoch: &str) -> String {
    format!(
        "Name: {name}\nVersion: {version}\nRelease: 1\n{epoch}Summary: None\nLicense: None\nBuildArch: noarch\n\
         %description\nNone.\n%files\n"
    )
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn dnf_says_which_repository_a_package_came_from() {
    let tools = ["dnf", "createrepo_c", "rpmbuild"].map(|tool| Path::new("/usr/bin").join(tool));
    let there = tools.iter().all(|tool| tool.exists()).then_some(());
    if require_or_skip(there, "dnf, createrepo-c or rpm").is_none() {
        return;
    }
    let context = Context::new();
    let folder = context.path();
    for (repository, name, version, epoch) in [
        ("one", "alpha", "1.0", "Epoch: 2\n"),
        ("one", "beta", "1.0", ""),
        ("two", "beta", "1.1~rc1", "Epoch: 0\n"),
    ] {
        let path = folder.join(format!("{name}-{version}.spec"));
        fs::write(&path, spec(name, version, epoch)).unwrap();
        let top = format!("_topdir {}", folder.join("build").display());
        let rpms = format!("_rpmdir {}", folder.join(repository).display());
        run(Command::new("rpmbuild").args(["-bb", "--quiet", "--define", &top, "--define", &rpms]).arg(path));
    }
    let root = folder.join("root");
    for (repository, arguments) in [("one", &["install", "alpha", "beta"][..]), ("two", &["upgrade"])] {
        let path = folder.join(repository);
        run(Command::new("createrepo_c").arg("-q").arg(&path));
        let mut dnf = Command::new("dnf");
        dnf.args(["-q", "-y", "--releasever", "1", "--disablerepo", "*", "--nogpgcheck", "--installroot"])
            .arg(&root)
            .args(["--setopt", "reposdir=/nonexistent", "--repofrompath"])
            .arg(format!("{repository},{}", path.display()))
            .args(arguments);
        run(&mut dnf);
    }
    // Where Debian's rpm keeps its database, which is nowhere that others look.
    let database = Command::new("rpm").args(["--eval", "%{_dbpath}"]).output().unwrap();
    let database = String::from_utf8(database.stdout).unwrap();
    let database = root.join(database.trim().trim_start_matches('/'));
    fs::create_dir_all(root.join("var/lib/rpm")).unwrap();
    for entry in fs::read_dir(database).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, root.join("var/lib/rpm").join(path.file_name().unwrap())).unwrap();
        }
    }
    let text = context.ok(&["packages", "--offline", "--format", "json", "dir:root"]);
    let json: Value = serde_json::from_str(&text).unwrap();
    let shown = |place: usize| {
        let package = &json["packages"][place];
        ["name", "version"]
            .map(|key| package[key].clone())
            .into_iter()
            .chain([package["facts"]["repository"].clone()])
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(0), ["alpha", "2:1.0-1", "one"]);
    assert_eq!(shown(1), ["beta", "0:1.1~rc1-1", "two"]);
    assert_eq!(json["coverage"]["unreadable"], serde_json::json!([]));
}
