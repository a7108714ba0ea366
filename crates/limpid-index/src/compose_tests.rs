//! Layers put together by hand: findings in, packages and contexts out.

use limpid_extract::EXTRACTORS;
use limpid_model::{Distribution, TreeEntry, TreeEntryKind};

use super::*;

fn package(kind: PackageType, name: &str, version: &str) -> Package {
    Package {
        kind,
        name: name.to_owned(),
        version: version.to_owned(),
        arch: String::new(),
        source_name: name.to_owned(),
        source_version: version.to_owned(),
        facts: Vec::new(),
    }
}

fn findings(records: Vec<(&str, &str, Record)>) -> LayerFindings {
    let mut findings = LayerFindings::default();
    for (path, extractor, record) in records {
        findings.entries.push(TreeEntry { path: path.to_owned(), kind: TreeEntryKind::File });
        let (path, extractor) = (path.to_owned(), extractor.to_owned());
        findings.records.push(FileRecord { path, extractor, record, owners: Vec::new() });
    }
    findings.records.sort_by(|a, b| (&a.path, &a.extractor).cmp(&(&b.path, &b.extractor)));
    findings
}

fn composed(layers: &[LayerFindings]) -> Composition {
    let chain: Vec<(&LayerFindings, Digest)> = layers.iter().map(|layer| (layer, Digest::of(b"x"))).collect();
    compose(EXTRACTORS, &chain, &BTreeSet::new())
}

fn os_release(id: &str, version_id: &str) -> (&'static str, &'static str, Record) {
    let (id, version_id) = (id.to_owned(), version_id.to_owned());
    (
        "etc/os-release",
        "os-release",
        Record::Distribution(Distribution { id, version_id, ..Distribution::default() }),
    )
}

fn repositories(names: &[&str]) -> Record {
    Record::Repositories(names.iter().map(|name| (*name).to_owned()).collect())
}

/// Where the packages of these tests are listed; what the file is called does not matter to composition.
const DATABASE: (&str, &str) = ("var/lib/dpkg/status", "dpkg");

#[test]
fn repositories_of_all_layers_count_and_stay() {
    let rpm = Record::Packages(vec![package(PackageType::Rpm, "bash", "5.1.8-9.el9")]);
    let manifests = "root/buildinfo/content_manifests";
    let base = format!("{manifests}/ubi9-container-9.4-1.json");
    let top = format!("{manifests}/nodejs-20-container-1-1.json");
    let mut squeezed = LayerFindings::default();
    squeezed.entries.push(TreeEntry { path: "root/buildinfo".to_owned(), kind: TreeEntryKind::Whiteout });
    let composition = composed(&[
        findings(vec![
            os_release("rhel", "9.4"),
            (DATABASE.0, DATABASE.1, rpm),
            (&base, "content-manifest", repositories(&["baseos"])),
        ]),
        findings(vec![(&top, "content-manifest", repositories(&["appstream", "baseos"]))]),
        squeezed,
    ]);
    let first = &composition.steps[0].1.installed[0].occurrence.context;
    assert_eq!(
        (first.release.as_str(), first.repositories.as_slice()),
        ("rhel:9", &["baseos".to_owned()][..])
    );
    let (_, second) = &composition.steps[1].1.reassigned[0];
    assert_eq!(second.occurrence.context.repositories, ["appstream", "baseos"]);
    assert_eq!(composition.steps[2].1, PackageDiff::default());
}

#[test]
fn a_distribution_that_is_upgraded_takes_its_packages_along() {
    let debs = || Record::Packages(vec![package(PackageType::Deb, "a", "1")]);
    let composition = composed(&[
        findings(vec![os_release("debian", "7"), (DATABASE.0, DATABASE.1, debs())]),
        findings(vec![os_release("debian", "8")]),
    ]);
    let (from, to) = &composition.steps[1].1.reassigned[0];
    assert_eq!(
        (from.context.release.as_str(), to.occurrence.context.release.as_str()),
        ("debian:7", "debian:8")
    );
}

#[test]
fn of_two_kinds_of_database_the_first_counts() {
    let known = Package { source_name: "openssl".to_owned(), ..package(PackageType::Deb, "libssl3", "3") };
    let composition = composed(&[findings(vec![
        os_release("ubuntu", "24.04"),
        (DATABASE.0, DATABASE.1, Record::Packages(vec![known.clone()])),
        (
            "var/lib/chisel/manifest.wall",
            "chisel",
            Record::Packages(vec![
                package(PackageType::Deb, "libssl3", "3"),
                package(PackageType::Deb, "z", "1"),
            ]),
        ),
    ])]);
    let installed: Vec<&Package> =
        composition.steps[0].1.installed.iter().map(|placed| &placed.occurrence.package).collect();
    assert_eq!(installed, [&known, &package(PackageType::Deb, "z", "1")]);
}
