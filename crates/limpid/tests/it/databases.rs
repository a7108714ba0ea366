//! Package databases beside dpkg's and apk's: with the ecosystem's own tool where Debian has it, else small ones by hand.

use std::fs;
use std::path::Path;
use std::process::Command;

use limpid_testkit::{Encoding, ImageBuilder, Layer, dpkg_status, require_or_skip};

use crate::{BOOKWORM, Context};

const ALPINE: &str = "ID=alpine\nVERSION_ID=3.20.3\nPRETTY_NAME=\"Alpine Linux v3.20\"\n";
const APK: &str = "P:busybox\nV:1.36.1-r29\nA:x86_64\no:busybox\nF:bin\nR:busybox\n\n";

/// `type name version source` of each package of an image.
fn packages(context: &Context, reference: &str) -> Vec<String> {
    let text = context.ok(&["packages", "--offline", "--quiet", "--format", "tsv", reference]);
    let columns = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    columns.map(|row| format!("{} {} {} {}", row[0], row[1], row[2], row[4])).collect()
}

fn one_layer(context: &Context, name: &str, layer: &Layer) -> String {
    let image = ImageBuilder::new().layer("COPY . /", layer);
    image.oci_layout(&context.path().join(name), Encoding::Gzip);
    format!("oci:{name}")
}

fn coverage(context: &Context, reference: &str) -> serde_json::Value {
    let text = context.ok(&["scan", "--offline", "--quiet", "--format", "json", reference]);
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["coverage"].clone()
}

/// Makes a package with tar alone and has pacman install it below `root`.
fn install_with_pacman(folder: &Path, root: &Path, info: &str, program: &str) {
    let package = folder.join(program);
    fs::create_dir_all(package.join("usr/bin")).unwrap();
    fs::write(package.join("usr/bin").join(program), "x").unwrap();
    fs::write(package.join(".PKGINFO"), info).unwrap();
    let archive = folder.join(format!("{program}.pkg.tar"));
    let tar = Command::new("tar")
        .arg("-cf")
        .arg(&archive)
        .arg("-C")
        .arg(&package)
        .args([".PKGINFO", "usr"])
        .status();
    assert!(tar.unwrap().success());
    fs::create_dir_all(root.join("var/lib/pacman")).unwrap();
    let mut pacman = Command::new("pacman");
    pacman.arg("--root").arg(root).args(["--config", "/dev/null", "--noconfirm", "-U"]).arg(&archive);
    let output = pacman.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn pacman() -> Option<()> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    (is_root && Path::new("/usr/bin/pacman").is_file()).then_some(())
}

#[test]
fn pacman_says_the_same() {
    if require_or_skip(pacman(), "pacman, as root").is_none() {
        return;
    }
    let context = Context::new();
    let root = context.path().join("root");
    let info = |name: &str, version: &str| {
        format!(
            "pkgname = {name}\npkgbase = {name}-base\npkgver = {version}\nsize = 1\narch = any\nbuilddate = 1\n"
        )
    };
    install_with_pacman(context.path(), &root, &info("hello", "2:1.2.3-4"), "hello");
    install_with_pacman(context.path(), &root, &info("lib32-world", "20231112.r5.gabc-1"), "world");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/os-release"), "NAME=\"Arch Linux\"\nID=arch\nBUILD_ID=rolling\n").unwrap();
    let said = Command::new("pacman").arg("--root").arg(&root).args(["--config", "/dev/null", "-Q"]).output();
    let said = String::from_utf8(said.unwrap().stdout).unwrap();
    let expected: Vec<String> =
        said.lines().map(|line| format!("alpm {line} {}-base", line.split(' ').next().unwrap())).collect();
    assert_eq!(expected.len(), 2);
    assert_eq!(packages(&context, "dir:root"), expected);
    let owner = context.ok(&["owner", "--quiet", "dir:root", "/usr/bin/world"]);
    assert_eq!(
        owner,
        "lib32-world 20231112.r5.gabc-1 any (alpm), listed in var/lib/pacman/local/lib32-world-20231112.r5.gabc-1/desc\n"
    );
    // What pacman removes is gone.
    let removed = Command::new("pacman")
        .arg("--root")
        .arg(&root)
        .args(["--config", "/dev/null", "--noconfirm", "-R", "hello"])
        .output();
    assert!(removed.unwrap().status.success());
    assert_eq!(packages(&context, "dir:root"), expected[1..]);
}

#[test]
fn portage_by_hand() {
    let context = Context::new();
    let base = Layer::new()
        .file("etc/os-release", "NAME=Gentoo\nID=gentoo\nVERSION_ID=2.14\n")
        .file("var/db/pkg/dev-libs/openssl-3.0.13-r2/PF", "openssl-3.0.13-r2\n")
        .file("var/db/pkg/dev-libs/openssl-3.0.13-r2/CATEGORY", "dev-libs\n")
        .file("var/db/pkg/dev-libs/openssl-3.0.13-r2/CONTENTS", "obj /usr/bin/openssl 0123 1700000000\n")
        .file("var/db/pkg/sys-libs/glibc-2.38-r10/PF", "glibc-2.38-r10\n")
        .file("var/db/pkg/x11-libs/-MERGING-gtk+-3.24.41/PF", "gtk+-3.24.41\n");
    let top = Layer::new()
        .whiteout("var/db/pkg/sys-libs/glibc-2.38-r10")
        .file("var/db/pkg/sys-libs/glibc-2.39-r1/PF", "glibc-2.39-r1\n");
    let image = ImageBuilder::new().layer("stage3", &base).layer("emerge -u glibc", &top);
    image.oci_layout(&context.path().join("image"), Encoding::Gzip);
    let expected = [
        "ebuild dev-libs/openssl 3.0.13-r2 dev-libs/openssl",
        "ebuild sys-libs/glibc 2.39-r1 sys-libs/glibc",
    ];
    assert_eq!(packages(&context, "oci:image"), expected);
    let owner = context.ok(&["owner", "--quiet", "oci:image", "usr/bin/openssl"]);
    assert!(owner.starts_with("dev-libs/openssl 3.0.13-r2 (ebuild)"), "{owner}");
    let layers = context.ok(&["layers", "--offline", "--quiet", "--format", "json", "oci:image"]);
    let layers: serde_json::Value = serde_json::from_str(&layers).unwrap();
    let change = serde_json::json!({"installed": 0, "upgraded": 1, "removed": 0});
    assert_eq!(layers["layers"][1]["packages"], change);
}

#[test]
fn opkg_by_hand() {
    let context = Context::new();
    let layer = Layer::new()
        .file("etc/os-release", "NAME=OpenWrt\nID=openwrt\nVERSION_ID=23.05.3\nID_LIKE=\"lede openwrt\"\n")
        .file(
            "usr/lib/opkg/status",
            "Package: busybox\nVersion: 1.36.1-1\nStatus: install user installed\nArchitecture: x86_64\n\n\
             Package: gone\nVersion: 1\nStatus: deinstall user not-installed\nArchitecture: x86_64\n\n",
        )
        .file("usr/lib/opkg/info/busybox.list", "/bin/busybox\n")
        .file("usr/lib/opkg/info/gone.list", "/bin/gone\n");
    let image = one_layer(&context, "image", &layer);
    assert_eq!(packages(&context, &image), ["opkg busybox 1.36.1-1 busybox"]);
    let owner = |path: &str| context.ok(&["owner", "--quiet", &image, path]);
    assert_eq!(owner("/bin/busybox"), "busybox 1.36.1-1 x86_64 (opkg), listed in usr/lib/opkg/status\n");
    assert_eq!(owner("/bin/gone"), "No package of the image says that it brought /bin/gone.\n");
}

#[test]
fn chisel_by_hand_and_beside_dpkg() {
    let context = Context::new();
    let wall = "{\"jsonwall\":\"1.0\",\"schema\":\"1.0\",\"count\":4}\n\
                {\"kind\":\"package\",\"name\":\"libssl3t64\",\"version\":\"3.0.13-0ubuntu3.4\",\"arch\":\"amd64\"}\n\
                {\"kind\":\"package\",\"name\":\"openssl\",\"version\":\"3.0.13-0ubuntu3.4\",\"arch\":\"amd64\"}\n\
                {\"kind\":\"path\",\"path\":\"/usr/bin/openssl\",\"slices\":[\"openssl_bins\"]}\n";
    let noble = "ID=ubuntu\nVERSION_ID=\"24.04\"\nVERSION_CODENAME=noble\n";
    let manifest = ("var/lib/chisel/manifest.wall", Encoding::Zstd.encode(wall.as_bytes()));
    let layer = Layer::new().file("etc/os-release", noble).file(manifest.0, &manifest.1);
    let image = one_layer(&context, "chiselled", &layer);
    let expected = ["deb libssl3t64 3.0.13-0ubuntu3.4 libssl3t64", "deb openssl 3.0.13-0ubuntu3.4 openssl"];
    assert_eq!(packages(&context, &image), expected);
    let owner = context.ok(&["owner", "--quiet", &image, "/usr/bin/openssl"]);
    assert!(owner.starts_with("openssl 3.0.13-0ubuntu3.4 amd64 (deb)"), "{owner}");
    let problems = coverage(&context, &image)["unreadable"].to_string();
    assert!(problems.contains("names no source packages"), "{problems}");
    // Where dpkg's database lists the same package, what it says counts: it knows the source.
    let status = dpkg_status(&[("libssl3t64", "3.0.13-0ubuntu3.4", "openssl")]);
    let layer = layer.file("var/lib/dpkg/status", status);
    let image = one_layer(&context, "both", &layer);
    let expected = ["deb libssl3t64 3.0.13-0ubuntu3.4 openssl", "deb openssl 3.0.13-0ubuntu3.4 openssl"];
    assert_eq!(packages(&context, &image), expected);
}

#[test]
fn two_databases_side_by_side_do_not_mix() {
    let context = Context::new();
    let layer = Layer::new()
        .file("etc/os-release", ALPINE)
        .file("lib/apk/db/installed", APK)
        .file("var/lib/dpkg/status", dpkg_status(&[("openssl", "3.0.11-1", "")]))
        .file(
            "var/lib/dpkg/status.d/zlib",
            "Package: zlib1g\nVersion: 1.2\nArchitecture: amd64\nSource: zlib\n",
        )
        .file("var/lib/dpkg/status.d/zlib.md5sums", "0123  usr/bin/zz\n");
    let image = one_layer(&context, "image", &layer);
    let expected = ["deb openssl 3.0.11-1 openssl", "deb zlib1g 1.2 zlib", "apk busybox 1.36.1-r29 busybox"];
    assert_eq!(packages(&context, &image), expected);
    let coverage = coverage(&context, &image);
    assert_eq!(coverage["distribution"]["id"], "alpine");
    let unmatched = coverage["notCovered"].to_string();
    assert!(unmatched.contains("deb packages: Alpine Linux v3.20 has none of its own"), "{unmatched}");
    assert!(!unmatched.contains("deb packages of alpine"), "{unmatched}");
    let owner = |path: &str| context.ok(&["owner", "--quiet", &image, path]);
    assert_eq!(owner("/usr/bin/zz"), "zlib1g 1.2 amd64 (deb), listed in var/lib/dpkg/status.d/zlib\n");
    assert_eq!(owner("/bin/busybox"), "busybox 1.36.1-r29 x86_64 (apk), listed in lib/apk/db/installed\n");
}

#[test]
fn owners_are_those_of_all_layers_together() {
    let context = Context::new();
    let base = Layer::new()
        .file("etc/os-release", BOOKWORM)
        .symlink("bin", "usr/bin")
        .file("var/lib/dpkg/status", dpkg_status(&[("a", "1", ""), ("b", "1", ""), ("c", "1", "")]))
        .file("var/lib/dpkg/info/a.list", "/.\n/bin\n/bin/a\n/usr/bin/moved\n")
        .file("var/lib/dpkg/info/b:amd64.list", "/usr/bin/b\n")
        .file("var/lib/dpkg/info/c.list", "/usr/bin/c\n");
    // `a` gives up a file, `b` is removed and leaves its list behind, `c` is removed with its list.
    let top = Layer::new()
        .file("var/lib/dpkg/status", dpkg_status(&[("a", "2", ""), ("d", "1", "")]))
        .file("var/lib/dpkg/info/a.list", "/bin/a\n")
        .file("var/lib/dpkg/info/d.list", "/usr/bin/moved\n")
        .whiteout("var/lib/dpkg/info/c.list");
    let image = ImageBuilder::new().layer("ADD base", &base).layer("apt-get upgrade", &top);
    image.oci_layout(&context.path().join("image"), Encoding::Gzip);
    let owner = |path: &str| context.ok(&["owner", "--quiet", "oci:image", path]);
    let listed = "amd64 (deb), listed in var/lib/dpkg/status\n";
    // By the name in the list, and by the one that the link gives it.
    assert_eq!(owner("/bin/a"), format!("a 2 {listed}"));
    assert_eq!(owner("/usr/bin/a"), format!("a 2 {listed}"));
    assert_eq!(owner("usr/bin/moved"), format!("d 1 {listed}"));
    for gone in ["/usr/bin/b", "/usr/bin/c", "/usr/bin/never"] {
        assert!(owner(gone).starts_with("No package"), "{gone}");
    }
    assert!(owner("/etc/passwd").starts_with("Nothing can be said"));
}

#[test]
fn a_kernel_counts_where_no_package_brought_it() {
    let context = Context::new();
    let layer = Layer::new()
        .file("etc/os-release", BOOKWORM)
        .file("var/lib/dpkg/status", dpkg_status(&[("linux-image-6.1.0-13-amd64", "6.1.55-1", "linux")]))
        .file(
            "var/lib/dpkg/info/linux-image-6.1.0-13-amd64.list",
            "/lib/modules/6.1.0-13-amd64/modules.builtin\n",
        )
        .symlink("lib", "usr/lib")
        .file("usr/lib/modules/6.1.0-13-amd64/modules.builtin", "kernel/x.ko\n")
        .file("usr/lib/modules/6.6.9-house/modules.builtin", "kernel/x.ko\n")
        .file("boot/vmlinuz-6.6.9-house", "not an image for x86")
        .file("boot/vmlinuz-lts", "x");
    let image = one_layer(&context, "image", &layer);
    let expected = ["deb linux-image-6.1.0-13-amd64 6.1.55-1 linux", "generic linux 6.6.9-house linux"];
    assert_eq!(packages(&context, &image), expected);
    let unmatched = coverage(&context, &image)["notCovered"].to_string();
    assert!(unmatched.contains("kernels that no package brought"), "{unmatched}");
}

#[test]
fn third_parties_packages_are_listed_and_said_not_to_be_covered() {
    let context = Context::new();
    // The tracker knows bash and a package that is called like a third party's.
    let tracker = serde_json::json!({
        "bash": {"CVE-2019-18276": {"description": "x", "releases": {"bookworm": {
            "status": "open", "repositories": {"bookworm": "5.2.15-2"}, "urgency": "unimportant"}}}},
        "docker-ce": {"CVE-2000-0001": {"description": "x", "releases": {"bookworm": {
            "status": "open", "repositories": {"bookworm": "1"}, "urgency": "high"}}}}
    });
    let folder = context.path().join("mirror/security-tracker.debian.org/tracker/data");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("json"), tracker.to_string()).unwrap();
    let status = format!(
        "{}Package: docker-ce\nStatus: install ok installed\nArchitecture: amd64\n\
         Maintainer: Docker <support@docker.com>\nVersion: 5:24.0.7-1~debian.12~bookworm\n\n\
         Package: agent\nStatus: install ok installed\nArchitecture: amd64\nMaintainer: House <h@house.example>\n\
         Version: 1.0\n\n",
        dpkg_status(&[("bash", "5.2.15-2+b2", "")])
    );
    let layer = Layer::new().file("etc/os-release", BOOKWORM).file("var/lib/dpkg/status", status);
    let image = one_layer(&context, "image", &layer);
    assert_eq!(packages(&context, &image).len(), 3);
    let text = context.ok(&["scan", "--quiet", "--feeds-mirror", "mirror", "--format", "json", &image]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(!text.contains("CVE-2000-0001"), "{text}");
    let expected = serde_json::json!([
        {"packages": 1, "reason": "packages of third parties: the feeds of debian:12 do not speak for them"},
        {"packages": 1, "reason": "packages that may be a third party's: neither their maintainers nor the feeds \
                                   of debian:12 know them"},
    ]);
    assert_eq!(report["coverage"]["notCovered"], expected);
    assert_eq!(report["coverage"]["answer"], "partial");
}

#[test]
fn a_derivative_is_named_and_not_judged_by_its_parents_feed() {
    let context = Context::new();
    let kali = "ID=kali\nID_LIKE=debian\nVERSION_ID=\"2023.4\"\nPRETTY_NAME=\"Kali GNU/Linux Rolling\"\n";
    let layer = Layer::new()
        .file("etc/os-release", kali)
        .file("etc/debian_version", "12.0\n")
        .file("var/lib/dpkg/status", dpkg_status(&[("bash", "5.2.15-2", "")]));
    let image = one_layer(&context, "image", &layer);
    let coverage = coverage(&context, &image);
    assert_eq!(coverage["distribution"]["name"], "Kali GNU/Linux Rolling");
    assert_eq!(coverage["answer"], "none");
    let expected = "deb packages of kali:2023.4: Limpid has no feed that speaks for them; it stands on Debian, \
                    whose feeds speak of their own packages only";
    assert_eq!(coverage["notCovered"], serde_json::json!([{"packages": 1, "reason": expected}]));
}

#[test]
fn windows_is_named_and_never_clean() {
    let context = Context::new();
    let layer = Layer::new()
        .directory("Files")
        .directory("Files/Windows")
        .file("Files/Windows/System32/ntdll.dll", "MZ")
        .directory("UtilityVM");
    let image = ImageBuilder::new().layer("Apply image", &layer).windows("10.0.17763.5329");
    image.oci_layout(&context.path().join("image"), Encoding::Gzip);
    let coverage = coverage(&context, "oci:image");
    assert_eq!(coverage["distribution"]["id"], "windows");
    assert_eq!(coverage["distribution"]["version"], "10.0.17763.5329");
    assert_eq!(coverage["answer"], "none");
    assert!(coverage["unreadable"].to_string().contains("an image for Windows"), "{coverage}");
}

#[test]
fn repositories_of_every_layer_count_for_all_rpm_packages() {
    let context = Context::new();
    let manifest = |set: &str| format!("{{\"metadata\":{{\"icm_version\":1}},\"content_sets\":[\"{set}\"]}}");
    let directory = "root/buildinfo/content_manifests";
    let base = Layer::new()
        .file("etc/os-release", "ID=rhel\nVERSION_ID=\"9.4\"\n")
        .file(&format!("{directory}/ubi9-container-9.4-1.json"), manifest("rhel-9-for-x86_64-baseos-rpms"));
    let top = Layer::new()
        .file(
            &format!("{directory}/nodejs-20-container-1-1.json"),
            manifest("rhel-9-for-x86_64-appstream-rpms"),
        )
        .file("usr/share/buildinfo/labels.json", "{\"cpe\":\"cpe:/a:redhat:rhel_nodejs:20\"}");
    // Who squeezes files out of an image does not change where its packages came from.
    let squeezed = Layer::new().whiteout("root/buildinfo");
    let image = ImageBuilder::new().layer("ubi9", &base).layer("nodejs", &top).layer("rm", &squeezed);
    image.oci_layout(&context.path().join("image"), Encoding::Gzip);
    assert_eq!(packages(&context, "oci:image"), [""; 0]);
    let coverage = coverage(&context, "oci:image");
    assert_eq!(coverage["distribution"]["id"], "rhel");
    assert_eq!(coverage["unreadable"], serde_json::json!([]));
}

/// Every kind of database, damaged each in its own way: what is there instead, and what the report says of it.
fn damaged_databases() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let zstd_cut = {
        let mut bytes = Encoding::Zstd.encode(b"{\"jsonwall\":\"1.0\",\"schema\":\"1.0\",\"count\":1}\n");
        bytes.truncate(bytes.len() / 2);
        bytes
    };
    vec![
        ("var/lib/dpkg/status.d/cut", b"Package: \xff\xfe\n".to_vec(), "no valid package name"),
        ("lib/apk/db/installed", b"\x1f\x8b\x08\x00 no text".to_vec(), "no record"),
        ("usr/lib/opkg/status", b"<html>404</html>\n".to_vec(), "an opkg database"),
        ("var/lib/chisel/manifest.wall", zstd_cut, "zstd"),
        ("var/lib/pacman/local/broken-1-1/desc", b"%NAME%\n\n%VERSION%\n".to_vec(), ""),
        ("var/db/pkg/dev-libs/broken-1/PF", b"\0\0\0\0".to_vec(), "portage"),
        ("var/lib/rpm/rpmdb.sqlite", b"SQLite format 3\0 and then nothing".to_vec(), ""),
        (
            "usr/lib/sysimage/rpm/Packages.db",
            b"RpmP\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
            "",
        ),
        ("usr/share/rpm/Packages", vec![0xff; 4096], ""),
        ("var/lib/rpmmanifest/container-manifest-2", b"one column\n".to_vec(), ""),
        ("var/lib/dnf/history.sqlite", b"SQLite format 3\0".to_vec(), ""),
        ("usr/lib/sysimage/libdnf5/nevras.toml", b"[nevras\n".to_vec(), ""),
        ("root/buildinfo/content_manifests/x-1-1.json", b"{\"content_sets\": [".to_vec(), ""),
    ]
}

#[test]
fn a_damaged_database_of_any_kind_costs_itself_and_is_named() {
    let context = Context::new();
    let damaged = damaged_databases();
    let sound = Layer::new()
        .file("etc/os-release", BOOKWORM)
        .file("var/lib/dpkg/status", dpkg_status(&[("bash", "5.2.15-2", ""), ("zlib1g", "1.2", "zlib")]));
    let harm = damaged.iter().fold(Layer::new(), |layer, (path, bytes, _)| layer.file(path, bytes));
    let image = ImageBuilder::new().layer("sound", &sound).layer("harm", &harm);
    image.oci_layout(&context.path().join("image"), Encoding::Gzip);
    assert_eq!(packages(&context, "oci:image"), ["deb bash 5.2.15-2 bash", "deb zlib1g 1.2 zlib"]);
    let coverage = coverage(&context, "oci:image");
    assert_ne!(coverage["answer"], "complete");
    let problems = coverage["unreadable"].as_array().unwrap();
    for (path, _, reason) in &damaged {
        let said: Vec<&str> = problems
            .iter()
            .filter(|problem| problem["path"] == *path && problem["layer"].is_string())
            .map(|problem| problem["reason"].as_str().unwrap())
            .collect();
        assert!(said.iter().any(|said| said.contains(reason) && said.len() < 400), "{path}: {said:?}");
    }
    assert_eq!(problems.len(), damaged.len(), "{problems:#?}");
    // People read it too, each in its layer.
    let text = context.ok(&["packages", "--offline", "--quiet", "oci:image"]);
    for (path, ..) in &damaged {
        assert!(text.contains(&format!("unreadable    layer 2 {path}: ")), "{path}: {text}");
    }
}
