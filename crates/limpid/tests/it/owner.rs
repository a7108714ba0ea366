//! `owner` against dpkg itself, on a real image of several layers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use limpid_index::PathOwner;
use limpid_store::Store as _;
use limpid_testkit::{corpus, require_or_skip};

use crate::Context;

/// Unpacks dpkg's database of an image, layer over layer; lists of packages that are gone do no harm.
fn unpack_dpkg(layout: &Path, root: &Path) {
    let json = |path: &Path| serde_json::from_slice::<serde_json::Value>(&fs::read(path).unwrap()).unwrap();
    let blob = |descriptor: &serde_json::Value| {
        layout.join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/"))
    };
    let index = json(&layout.join("index.json"));
    let manifest = json(&blob(&index["manifests"][0]));
    for layer in manifest["layers"].as_array().unwrap() {
        // A layer without the folder makes tar fail.
        let _ =
            Command::new("tar").arg("-xf").arg(blob(layer)).arg("-C").arg(root).arg("var/lib/dpkg").output();
    }
}

/// What dpkg says: the packages of each path that one of the patterns fits.
fn owners_by_dpkg(root: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let admin = root.join("var/lib/dpkg");
    let mut dpkg = Command::new("dpkg-query");
    dpkg.arg("--admindir").arg(admin).arg("-S").args(["/bin/*", "/sbin/*", "/usr/bin/*", "/usr/sbin/*"]);
    let said = String::from_utf8(dpkg.output().unwrap().stdout).unwrap();
    let mut owners: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in said.lines().filter(|line| !line.starts_with("diversion ")) {
        let (packages, path) = line.split_once(": ").unwrap();
        let names = packages.split(", ").map(|name| name.split(':').next().unwrap().to_owned());
        owners.entry(path.to_owned()).or_default().extend(names);
    }
    owners
}

#[test]
fn owners_are_those_that_dpkg_names() {
    let dpkg = Path::new("/usr/bin/dpkg-query").is_file().then_some(());
    let found = require_or_skip(corpus().zip(dpkg), "the corpus of real images, or dpkg,");
    let Some((corpus, ())) = found else { return };
    let context = Context::new();
    for name in ["debian-bookworm-upgraded", "dpkg-symlink-db", "distroless-python"] {
        let layout = corpus.join(name).join("oci");
        let reference = format!("oci:{}", layout.display());
        context.ok(&["packages", "--offline", "--quiet", &reference]);
        let store = limpid_store::SqliteStore::open(&context.path().join("store.db")).unwrap();
        let (_, record) = store.image_by_reference(&reference).unwrap().unwrap();
        let ownership = limpid_index::ownership(&store, &record).unwrap();
        assert_eq!(ownership.unread(), [""; 0], "{name}");
        if name != "debian-bookworm-upgraded" {
            let (path, package) = if name == "dpkg-symlink-db" {
                ("/bin/bash", "bash")
            } else {
                ("/usr/bin/openssl", "openssl")
            };
            let owner = ownership.owner(path);
            let PathOwner::Packages(owners) = owner else { panic!("{name}: {owner:?}") };
            assert_eq!(owners.iter().map(|owner| &owner.package.name).collect::<Vec<_>>(), [package]);
            continue;
        }
        let root = context.path().join(name);
        fs::create_dir(&root).unwrap();
        unpack_dpkg(&layout, &root);
        let expected = owners_by_dpkg(&root);
        assert!(expected.len() > 300, "{} paths", expected.len());
        for (path, packages) in expected {
            let ours: BTreeSet<String> = match ownership.owner(&path) {
                PathOwner::Packages(owners) => {
                    owners.iter().map(|owner| owner.package.name.clone()).collect()
                }
                PathOwner::Nobody | PathOwner::NotKept => BTreeSet::new(),
            };
            assert_eq!(ours, packages, "{path}");
        }
    }
}
