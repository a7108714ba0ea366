//! `packages` against the truth that each ecosystem's own tool tells.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use limpid_store::Store as _;
use limpid_testkit::{Encoding, corpus, require_or_skip, shared};

use crate::{Context, two_layers};

/// Type, name, version, arch, source name, source version, layer.
fn rows(text: &str) -> BTreeSet<Vec<String>> {
    text.lines().map(|line| line.split('\t').take(7).map(str::to_owned).collect()).collect()
}

/// All rows of a truth file: packages that are installed, whatever their kind.
fn truth(path: &Path) -> BTreeSet<Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    let mut rows = rows(&text);
    // The header, and what dpkg remembers of packages that it removed.
    rows.retain(|row| row[0] != "type" && row[0] != "deb-not-installed");
    rows
}

/// The file that says what the ecosystem's own tool says of an image: of databases that came with their truth that
/// one, because not every system's rpm reads every form.
fn truth_of(corpus: &Path, name: &str) -> Option<PathBuf> {
    let fixture = name.strip_prefix("fx-").zip(shared());
    let fixture = fixture.map(|(name, shared)| shared.join(format!("fixtures/{name}.packages.tsv")));
    let beside = corpus.join(name).join(format!("{name}.packages.tsv"));
    fixture.into_iter().chain([beside]).find(|path| path.is_file())
}

/// An image for measuring, of which no tool was asked.
const WITHOUT_TRUTH: &str = "debian-bookworm-big";

#[test]
fn packages_are_those_of_the_ecosystems_own_tools() {
    let Some(corpus) = require_or_skip(corpus(), "the corpus of real images") else { return };
    let context = Context::new();
    let mut checked = BTreeSet::new();
    for entry in fs::read_dir(&corpus).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if !folder.join("oci/index.json").is_file() || name == WITHOUT_TRUTH {
            continue;
        }
        let expected = truth_of(&corpus, &name).unwrap_or_else(|| panic!("{name} has no truth file"));
        let expected = truth(&expected);
        assert!(!expected.is_empty() || name == "dpkg-deleted", "the truth of {name} is empty");
        let reference = format!("oci:{}", folder.join("oci").display());
        let ours = rows(&context.ok(&["packages", "--offline", "--format", "tsv", &reference]));
        assert_eq!(ours, expected, "{name}");
        let removed = folder.join(format!("{name}.removed.tsv"));
        if removed.is_file() {
            // Name and version, unless the very same is installed still.
            let installed: BTreeSet<_> = expected.into_iter().map(|row| row[..4].to_vec()).collect();
            for gone in truth(&removed) {
                let gone = gone[..4].to_vec();
                let reported = ours.iter().any(|row| row[..4] == gone[..]);
                assert!(!reported || installed.contains(&gone), "{name} reports {gone:?}, which is gone");
            }
        }
        checked.insert(name);
    }
    let must = [
        "debian-bookworm-min",
        "debian-bookworm-upgraded",
        "debian-bookworm-upgraded-zstd",
        "debian-sid-min",
        "debian-trixie-min",
        "dpkg-symlink-db",
        "dpkg-hardlink",
        "dpkg-deleted",
        "distroless-python",
    ];
    for name in must {
        assert!(checked.contains(name), "{name} was not checked");
    }
    for name in fixtures() {
        assert!(checked.contains(&format!("fx-{name}")), "the fixture {name} was not checked");
    }
}

/// The databases that came with their truth.
fn fixtures() -> Vec<String> {
    let Some(shared) = require_or_skip(shared(), "the shared data") else { return Vec::new() };
    let names = fs::read_dir(shared.join("fixtures")).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.filter_map(|name| name.to_str()?.strip_suffix(".packages.tsv").map(str::to_owned));
    let names: Vec<String> = names.collect();
    assert!(names.len() >= 12, "{names:?}");
    names
}

/// The forms of a database are told apart by nothing but the file that lists the packages.
#[test]
fn the_three_forms_of_an_rpm_database_list_the_same() {
    let Some(corpus) = require_or_skip(corpus(), "the corpus of real images") else { return };
    let context = Context::new();
    let mut lists = Vec::new();
    for form in ["sqlite", "bdb", "ndb"] {
        let reference = format!("oci:{}", corpus.join(format!("fx-mariner2-{form}/oci")).display());
        let json = context.ok(&["packages", "--offline", "--format", "json", &reference]);
        let mut json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["coverage"]["unreadable"], serde_json::json!([]), "{form}");
        let packages = json["packages"].as_array_mut().unwrap();
        assert_eq!(packages.len(), 129, "{form}");
        for package in packages.iter_mut() {
            package["path"].take();
            package["layer"].take();
            assert!(package["facts"]["vendor"].is_string(), "{package}");
        }
        lists.push(json["packages"].take());
    }
    assert_eq!(lists[0], lists[1]);
    assert_eq!(lists[0], lists[2]);
}

#[test]
fn a_layer_brings_upgrades_and_removes() {
    let context = Context::new();
    two_layers().oci_layout(&context.path().join("image"), Encoding::Gzip);
    let text = context.ok(&["packages", "--offline", "--format", "tsv", "oci:image"]);
    let names: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(names.len(), 2);
    assert_eq!(names[0][..6], ["deb", "a", "1.0-2", "amd64", "a", "1.0-2"]);
    assert_eq!(names[1][1], "c");
    assert_eq!(names[0][6], names[1][6]);
    let layers = context.ok(&["layers", "--offline", "--format", "json", "oci:image"]);
    let layers: serde_json::Value = serde_json::from_str(&layers).unwrap();
    let packages = &layers["layers"][1]["packages"];
    assert_eq!(packages, &serde_json::json!({"installed": 1, "upgraded": 1, "removed": 1}));
    assert_eq!(layers["layers"][1]["command"], "apt-get upgrade");
}

#[test]
fn every_form_of_an_image_has_the_same_packages() {
    let context = Context::new();
    let image = two_layers();
    for (name, encoding) in [("gz", Encoding::Gzip), ("zst", Encoding::Zstd), ("plain", Encoding::Plain)] {
        image.oci_layout(&context.path().join(name), encoding);
    }
    fs::write(context.path().join("oci.tar"), image.oci_archive(Encoding::Gzip)).unwrap();
    fs::write(context.path().join("oci.tar.zst"), Encoding::Zstd.encode(&image.oci_archive(Encoding::Gzip)))
        .unwrap();
    fs::write(context.path().join("docker.tar"), image.docker_archive()).unwrap();
    fs::write(context.path().join("docker.tar.gz"), Encoding::Gzip.encode(&image.docker_archive())).unwrap();
    let references = [
        "oci:gz",
        "oci:zst:latest",
        "oci:plain",
        "oci-archive:oci.tar",
        "oci-archive:oci.tar.zst",
        "docker-archive:docker.tar",
        "docker-archive:docker.tar.gz:example:1",
    ];
    let without_layer = |text: String| {
        text.lines().map(|line| line.split('\t').take(6).collect::<Vec<_>>().join("\t")).collect::<Vec<_>>()
    };
    let first = without_layer(context.ok(&["packages", "--offline", "--format", "tsv", references[0]]));
    assert_eq!(first.len(), 2);
    for reference in references {
        let text = context.ok(&["packages", "--offline", "--format", "tsv", reference]);
        assert_eq!(without_layer(text), first, "{reference}");
    }
    let store = limpid_store::SqliteStore::open(&context.path().join("store.db")).unwrap();
    let nodes = |reference: &str| store.image_by_reference(reference).unwrap().unwrap().1.nodes;
    for reference in references {
        assert_eq!(nodes(reference), nodes(references[0]), "{reference} has package set nodes of its own");
    }
}

#[test]
fn a_root_file_system_in_a_folder_is_read() {
    let context = Context::new();
    let root = context.path().join("root");
    fs::create_dir_all(root.join("var/lib/dpkg")).unwrap();
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/os-release"), crate::BOOKWORM).unwrap();
    fs::write(root.join("var/lib/dpkg/status"), limpid_testkit::dpkg_status(&[("a", "1", "")])).unwrap();
    // Leads out of the root: not followed.
    std::os::unix::fs::symlink("/etc/passwd", root.join("etc/alpine-release")).unwrap();
    let text = context.ok(&["packages", "--offline", "--format", "tsv", "dir:root"]);
    assert!(text.starts_with("deb\ta\t1\t"), "{text}");
    assert_eq!(text.lines().count(), 1);
}
