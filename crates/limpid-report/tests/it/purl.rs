//! purls against the rules of purl-spec's types. That they are as purl's reference implementation writes them is judged
//! wherever a document is (`limpid_testkit::validate`).

use limpid_model::{
    Context, Distribution, InstalledPackage, Package, PackageClass, PackageFact, PackageType,
};
use limpid_report::purl;

fn of(
    kind: PackageType,
    distribution: (&str, &str),
    package: [&str; 5],
    facts: &[(PackageFact, &str)],
) -> String {
    let [name, version, arch, source_name, source_version] = package.map(str::to_owned);
    let (id, version_id) = distribution;
    let distribution =
        Distribution { id: id.to_owned(), version_id: version_id.to_owned(), ..Distribution::default() };
    let facts = facts.iter().map(|(fact, value)| (*fact, (*value).to_owned())).collect();
    let installed = InstalledPackage {
        package: Package { kind, name, version, arch, source_name, source_version, facts },
        class: PackageClass::Ordinary,
        context: Context {
            release: if id.is_empty() { String::new() } else { format!("{id}:{version_id}") },
            ..Context::default()
        },
        layer: 0,
        path: String::new(),
    };
    purl(&installed, Some(&distribution))
}

#[test]
fn each_type_has_its_own_rules() {
    use PackageType::{Alpm, Apk, Deb, Ebuild, Generic, Opkg, Rpm};
    assert_eq!(
        of(Deb, ("debian", "12"), ["libc6", "1:2.36-9+deb12u3", "amd64", "glibc", "1:2.36-9+deb12u3"], &[]),
        "pkg:deb/debian/libc6@1:2.36-9%2Bdeb12u3?arch=amd64&distro=debian-12&upstream=glibc"
    );
    assert_eq!(
        of(Deb, ("ubuntu", "22.04"), ["G++", "1~2", "all", "gcc", "2"], &[]),
        "pkg:deb/ubuntu/g%2B%2B@1~2?arch=all&distro=ubuntu-22.04&upstream=gcc%402"
    );
    assert_eq!(
        of(
            Rpm,
            ("rhel", "9.4"),
            ["NetworkManager", "1:1.46.0-8.el9", "x86_64", "NetworkManager", "1:1.46.0-8.el9"],
            &[]
        ),
        "pkg:rpm/redhat/NetworkManager@1.46.0-8.el9?arch=x86_64&distro=rhel-9.4&epoch=1&upstream=NetworkManager-1.46.0-8.el9.src.rpm"
    );
    assert_eq!(
        of(Rpm, ("opensuse-leap", "15.6"), ["a", "1-2", "noarch", "", ""], &[]),
        "pkg:rpm/opensuse/a@1-2?arch=noarch&distro=opensuse-leap-15.6"
    );
    let module = [(PackageFact::Module, "nodejs:18:8090020240301:rhel9")];
    assert_eq!(
        of(Rpm, ("rocky", "9"), ["npm", "1-2", "x86_64", "", ""], &module),
        "pkg:rpm/rocky/npm@1-2?arch=x86_64&distro=rocky-9&rpmmod=nodejs:18:8090020240301:rhel9"
    );
    assert_eq!(
        of(Apk, ("alpine", "3.20.3"), ["libssl3", "3.3.2-r0", "x86_64", "openssl", "3.3.2-r0"], &[]),
        "pkg:apk/alpine/libssl3@3.3.2-r0?arch=x86_64&distro=alpine-3.20.3&upstream=openssl"
    );
    assert_eq!(
        of(Alpm, ("arch", ""), ["pacman", "1:6.1.0-3", "x86_64", "pacman", "1:6.1.0-3"], &[]),
        "pkg:alpm/arch/pacman@1:6.1.0-3?arch=x86_64&distro=arch"
    );
    assert_eq!(
        of(
            Ebuild,
            ("gentoo", ""),
            ["dev-libs/openssl", "3.0.13-r2", "", "dev-libs/openssl", "3.0.13-r2"],
            &[]
        ),
        "pkg:ebuild/dev-libs/openssl@3.0.13-r2?distro=gentoo"
    );
    assert_eq!(
        of(Opkg, ("openwrt", "23.05"), ["busybox", "1.36.1-1", "x86_64", "busybox", "1.36.1-1"], &[]),
        "pkg:opkg/openwrt/busybox@1.36.1-1?arch=x86_64&distro=openwrt-23.05"
    );
    assert_eq!(of(Generic, ("debian", "12"), ["linux", "6.1", "", "", ""], &[]), "pkg:generic/linux@6.1");
    // A kind that the distribution does not have: who built it is not known.
    assert_eq!(of(Deb, ("", ""), ["a", "1", "amd64", "a", "1"], &[]), "pkg:deb/a@1?arch=amd64");
}
