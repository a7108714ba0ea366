//! What images say, and what they are.

use limpid_model::Record;

use super::*;

/// Runs the extractors over files and resolves what they say: `ID VERSION CODENAME`.
fn named(files: &[(&str, &str)]) -> String {
    let mut found = Vec::new();
    for (path, content) in files {
        for extractor in EXTRACTORS.iter().filter(|extractor| extractor.reads(path)) {
            if let Ok(extracted) = extractor.extract(path, content.as_bytes())
                && let Record::Distribution(distribution) = extracted.record
            {
                found.push((*path, distribution));
            }
        }
    }
    let records: Vec<_> = found.iter().map(|(path, distribution)| (*path, distribution)).collect();
    match resolve(&records) {
        Some(d) => format!("{} {} {}", d.id, d.version_id, d.code_name),
        None => "none".into(),
    }
}

const FORKY: &str = "PRETTY_NAME=\"Debian GNU/Linux forky/sid\"\nVERSION_CODENAME=forky\nID=debian\n";

#[test]
fn every_release_anchor_is_ranked() {
    for extractor in EXTRACTORS {
        let ranked = extractor.anchors().iter().filter(|anchor| PRECEDENCE.contains(anchor)).count();
        assert!(ranked == 0 || ranked == extractor.anchors().len(), "{}", extractor.name());
    }
    for anchor in PRECEDENCE {
        assert!(EXTRACTORS.iter().any(|extractor| extractor.anchors().contains(anchor)), "{anchor:?}");
    }
    assert!(is_release_extractor("os-release"));
    assert!(is_release_extractor("apt-sources"));
    assert!(!is_release_extractor("dpkg"));
}

#[test]
fn debian_releases() {
    let bookworm = "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";
    assert_eq!(named(&[("etc/os-release", bookworm), ("etc/debian_version", "12.15")]), "debian 12 bookworm");
    assert_eq!(named(&[("etc/os-release", "ID=debian\nVERSION_ID=\"7\"\n")]), "debian 7 wheezy");
    assert_eq!(named(&[("etc/debian_version", "7.11\n")]), "debian 7 wheezy");
    assert_eq!(named(&[("etc/debian_version", "6.0.10\n")]), "debian 6 squeeze");
    // A released system with unstable pinned in its sources stays what it is.
    let pinned = "deb http://m.example/debian bookworm main\ndeb http://m.example/debian sid main\n";
    assert_eq!(
        named(&[("etc/os-release", bookworm), ("etc/apt/sources.list", pinned)]),
        "debian 12 bookworm"
    );
    assert_eq!(
        named(&[("etc/os-release", "ID=debian\n"), ("etc/debian_version", "12.5\n")]),
        "debian 12 bookworm"
    );
}

#[test]
fn debian_testing_and_unstable() {
    let sid = ("etc/apt/sources.list", "deb http://m.example/debian unstable main");
    let forky = ("etc/apt/sources.list", "deb http://m.example/debian forky main");
    let testing = (
        "etc/apt/sources.list.d/debian.sources",
        "Types: deb\nURIs: http://m.example/debian\nSuites: testing\n",
    );
    let os = ("usr/lib/os-release", FORKY);
    let version = ("etc/debian_version", "forky/sid\n");
    assert_eq!(named(&[os, version, sid]), "debian  sid");
    assert_eq!(named(&[version, sid]), "debian  sid");
    assert_eq!(named(&[os, version, forky]), "debian 14 forky");
    assert_eq!(named(&[os, version, testing]), "debian 14 forky");
    assert_eq!(named(&[os]), "debian 14 forky");
    assert_eq!(named(&[("etc/os-release", "ID=debian\n"), testing]), "debian  testing");
    assert_eq!(named(&[("etc/os-release", "ID=debian\n")]), "debian  sid");
    assert_eq!(named(&[("etc/debian_version", "testing/unstable")]), "debian  sid");
}

#[test]
fn only_sources_are_left() {
    let wheezy = "deb http://m.example/debian wheezy main\ndeb http://m.example/ wheezy/updates main\n";
    assert_eq!(named(&[("etc/apt/sources.list", wheezy)]), "debian 7 wheezy");
    let precise = ("etc/apt/sources.list", "deb http://m.example/ubuntu precise main");
    assert_eq!(named(&[precise]), "ubuntu 12.04 precise");
    assert_eq!(named(&[("etc/debian_version", "wheezy/sid"), precise]), "ubuntu 12.04 precise");
    assert_eq!(named(&[("etc/apt/sources.list", "")]), "none");
}

#[test]
fn others() {
    let lsb = "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=12.04\nDISTRIB_CODENAME=precise\n";
    assert_eq!(
        named(&[("etc/lsb-release", lsb), ("etc/debian_version", "wheezy/sid")]),
        "ubuntu 12.04 precise"
    );
    assert_eq!(named(&[("etc/os-release", "ID=ubuntu\nVERSION_ID=\"14.04\"\n")]), "ubuntu 14.04 trusty");
    assert_eq!(named(&[("etc/alpine-release", "3.7.0\n")]), "alpine 3.7.0 ");
    let oracle = [
        ("etc/redhat-release", "Red Hat Enterprise Linux Server release 6.10 (Santiago)"),
        ("etc/oracle-release", "Oracle Linux Server release 6.10"),
    ];
    assert_eq!(named(&oracle), "ol 6.10 ");
    assert_eq!(named(&[("etc/system-release", "Amazon Linux AMI release 2018.03")]), "amzn 2018.03 ");
    assert_eq!(named(&[("etc/arch-release", "")]), "arch  ");
    assert_eq!(named(&[("etc/redhat-release", "House Linux release 1\n")]), "linux 1 ");
    assert_eq!(
        named(&[("etc/os-release", ""), ("etc/redhat-release", "CentOS release 6.10 (Final)")]),
        "centos 6.10 "
    );
    assert_eq!(named(&[]), "none");
}

#[test]
fn etc_comes_before_usr_lib() {
    let files =
        [("usr/lib/os-release", "ID=fedora\nVERSION_ID=38\n"), ("etc/os-release", "ID=rhel\nVERSION_ID=9\n")];
    assert_eq!(named(&files), "rhel 9 ");
}

/// What the distributions' own os-release files say: id, version, and where it counts the name for people.
#[test]
fn os_release_files_of_many() {
    for (text, expected) in [
        ("ID=wolfi\nNAME=\"Wolfi\"\nPRETTY_NAME=\"Wolfi\"\nVERSION_ID=\"20230201\"\n", "wolfi 20230201 "),
        ("ID=chainguard\nVERSION_ID=\"20230214\"\n", "chainguard 20230214 "),
        ("ID=minimos\nVERSION_ID=20241031\n", "minimos 20241031 "),
        ("ID=\"postmarketos\"\nID_LIKE=\"alpine\"\nVERSION_ID=\"v23.12\"\n", "postmarketos v23.12 "),
        ("ID=\"rhel\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"9.4\"\n", "rhel 9.4 "),
        ("ID=\"centos\"\nVERSION_ID=\"9\"\nPRETTY_NAME=\"CentOS Stream 9\"\n", "centos 9 "),
        ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.3\"\n", "rocky 9.3 "),
        ("ID=\"almalinux\"\nVERSION_ID=\"8.9\"\n", "almalinux 8.9 "),
        ("ID=\"ol\"\nVARIANT_ID=\"server\"\nVERSION_ID=\"8.9\"\n", "ol 8.9 "),
        ("ID=\"amzn\"\nVERSION_ID=\"2018.03\"\nID_LIKE=\"rhel fedora\"\n", "amzn 2018.03 "),
        ("ID=\"amzn\"\nVERSION_ID=\"2\"\nID_LIKE=\"centos rhel fedora\"\n", "amzn 2 "),
        ("ID=\"amzn\"\nVERSION_ID=\"2023\"\nID_LIKE=\"fedora\"\n", "amzn 2023 "),
        ("ID=\"sles\"\nID_LIKE=\"suse\"\nVERSION_ID=\"15.5\"\n", "sles 15.5 "),
        ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.6\"\n", "opensuse-leap 15.6 "),
        ("ID=\"opensuse-tumbleweed\"\nVERSION_ID=\"20240101\"\n", "opensuse-tumbleweed 20240101 "),
        ("ID=photon\nVERSION_ID=5.0\nPRETTY_NAME=\"VMware Photon OS/Linux\"\n", "photon 5.0 "),
        ("ID=azurelinux\nVERSION_ID=\"3.0\"\n", "azurelinux 3.0 "),
        ("ID=mariner\nVERSION_ID=\"2.0\"\n", "mariner 2.0 "),
        ("ID=\"openEuler\"\nVERSION_ID=\"22.03\"\n", "openeuler 22.03 "),
        ("ID=mageia\nVERSION_ID=9\nID_LIKE=\"mandriva fedora\"\n", "mageia 9 "),
        ("ID=bottlerocket\nVERSION_ID=1.19.2\nVARIANT_ID=aws-k8s-1.28\n", "bottlerocket 1.19.2 "),
        ("ID=arch\nBUILD_ID=rolling\nVERSION_ID=20231112.0.191179\n", "arch 20231112.0.191179 "),
        ("ID=gentoo\nVERSION_ID=\"2.14\"\n", "gentoo 2.14 "),
        (
            "ID=kali\nID_LIKE=debian\nVERSION_ID=\"2023.4\"\nVERSION_CODENAME=kali-rolling\n",
            "kali 2023.4 kali-rolling",
        ),
    ] {
        // A parent's files lie beside a derivative's own: they do not count.
        let files =
            [("etc/os-release", text), ("etc/redhat-release", "Red Hat Enterprise Linux release 9.4 (Plow)")];
        assert_eq!(named(&files), expected);
    }
}
