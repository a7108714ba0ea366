//! Feeds and verdicts of rpm distributions, end to end over the real data.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use limpid_testkit::{Encoding, ImageBuilder, Layer, feeds_mirror, require_or_skip, shared};
use serde_json::Value;

use crate::Context;

const HOST: &str = "security.access.redhat.com";

/// A mirror's server, with the log of what was asked of it.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(shared: &Path, folder: &Path, log: &Path) -> Self {
        let mut child = Command::new("python3")
            .arg(shared.join("feeds/serve.py"))
            .arg(folder)
            .args(["--port", "0", "--log"])
            .arg(log)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, address: format!("http://127.0.0.1:{}", port.trim()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The paths that were asked for, with the answers' status.
fn requests(log: &Path) -> Vec<(String, u64)> {
    let text = fs::read_to_string(log).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| (line["path"].as_str().unwrap().to_owned(), line["status"].as_u64().unwrap())).collect()
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

fn update(context: &Context, mirror: &str, release: &str) -> String {
    context.ok(&["--feeds-mirror", mirror, "feeds", "update", release])
}

#[test]
fn red_hats_changes_are_read_and_nothing_else() {
    let found = shared().zip(feeds_mirror());
    let Some((shared, mirror)) = require_or_skip(found, "the feeds' data") else { return };
    let context = Context::new();
    let (one, two) = (context.path().join("one"), context.path().join("two"));
    fs::create_dir(&one).unwrap();
    copy(&mirror.join(HOST), &one);
    let revised = Command::new("python3").arg(shared.join("feeds/revise.py")).arg(&one).arg(&two).output();
    let revised = revised.unwrap();
    assert!(revised.status.success(), "{}", String::from_utf8_lossy(&revised.stderr));

    let (first_log, second_log) = (context.path().join("first"), context.path().join("second"));
    let first = Server::start(&shared, &one, &first_log);
    let status = update(&context, &first.address, "rhel:9");
    assert!(status.contains("redhat-vex vex") && status.contains("redhat-repository-cpes"), "{status}");
    let before = requests(&first_log).len();
    update(&context, &first.address, "rhel:9");
    // Unchanged: the map and the list of changes are not sent again, and no document is asked for.
    let again: Vec<(String, u64)> = requests(&first_log).split_off(before);
    assert_eq!(again.iter().filter(|(_, status)| *status == 304).count(), 2, "{again:?}");
    assert!(again.iter().all(|(path, _)| !path.contains("/cve-") && !path.contains(".tar")), "{again:?}");

    let second = Server::start(&shared, &two, &second_log);
    update(&context, &second.address, "rhel:9");
    let told = context.ok(&["feeds", "changes", "--since", "revision:2", "--format", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let told = told["changes"].as_array().unwrap();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let ids: BTreeSet<String> = told.iter().map(|change| text(change, "advisory")).collect();
    let manifest: Value = serde_json::from_slice(&fs::read(two.join(".changes.json")).unwrap()).unwrap();
    let edits = manifest["changes"].as_array().unwrap();
    let edited: BTreeSet<String> = edits.iter().map(|edit| text(edit, "id")).collect();
    assert_eq!(ids, edited);
    assert!(edited.len() > 8);
    for edit in edits {
        let (id, kind) = (text(edit, "id"), text(edit, "kind"));
        let of_id = told.iter().filter(|change| text(change, "advisory") == id);
        assert!(of_id.clone().any(|change| text(change, "kind") == kind), "{id} {kind}");
        if kind == "new" || kind == "withdrawn" {
            assert!(of_id.clone().all(|change| text(change, "kind") == kind), "{id} {kind}");
        }
    }
    // Besides the documents that changed only the one at the mark itself is read again.
    let read: BTreeSet<String> = requests(&second_log)
        .into_iter()
        .filter_map(|(path, _)| path.rsplit_once('/').map(|(_, name)| name.to_owned()))
        .filter_map(|name| name.strip_suffix(".json").map(str::to_ascii_uppercase))
        .filter(|id| id.starts_with("CVE-"))
        .collect();
    assert_eq!(read.difference(&edited).collect::<Vec<_>>(), ["CVE-2026-2673"]);
}

#[test]
fn the_older_address_is_asked_where_there_is_no_newer_one_and_both_say_the_same() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let (newer, older) = (Context::new(), Context::new());
    for (context, gone) in [(&newer, "vex"), (&older, "vex-feed")] {
        fs::create_dir(context.path().join("m")).unwrap();
        copy(&mirror.join(HOST), &context.path().join("m"));
        fs::remove_dir_all(context.path().join("m").join(HOST).join("data/csaf/v2").join(gone)).unwrap();
        update(context, "m", "rhel:9");
    }
    let of = |context: &Context| {
        let status = context.ok(&["feeds", "status"]);
        let from = status.lines().filter(|line| line.contains("/vex")).map(str::to_owned).collect::<String>();
        let records: Vec<String> =
            status.lines().filter(|line| line.contains("affected ranges")).map(str::to_owned).collect();
        (from, records)
    };
    let ((from_newer, records_newer), (from_older, records_older)) = (of(&newer), of(&older));
    assert!(from_newer.contains("/vex-feed/") && from_older.contains("/vex/"), "{from_newer} {from_older}");
    // The older archive lacks four documents, which the list of changes names.
    assert_eq!(records_newer, records_older);
}

#[test]
fn an_archive_that_is_damaged_leaves_the_last_good_data() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let context = Context::new();
    fs::create_dir(context.path().join("m")).unwrap();
    copy(&mirror.join(HOST), &context.path().join("m"));
    let folder = context.path().join("m").join(HOST).join("data/csaf/v2");
    fs::remove_dir_all(folder.join("vex")).unwrap();
    let archive = folder.join("vex-feed/vex-archive.tar.zst");
    let whole = fs::read(&archive).unwrap();
    fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
    let (_, error) = context.fails(&["--feeds-mirror", "m", "feeds", "update", "rhel:9"]);
    assert!(error.contains("redhat-vex"), "{error}");
    fs::write(&archive, &whole).unwrap();
    let good = update(&context, "m", "rhel:9");
    let records = |status: &str| {
        let line = status.lines().find(|line| line.contains("affected ranges")).unwrap();
        line.trim().to_owned()
    };
    // A list that is damaged fails the update; a document that is damaged is left out, and its last form stays.
    let changes = folder.join("vex-feed/changes.csv");
    let list = fs::read_to_string(&changes).unwrap();
    fs::write(&changes, "\"../x\",\"2027-01-01T00:00:00+00:00\"\n").unwrap();
    let output = context.run(&["--feeds-mirror", "m", "feeds", "update", "rhel:9"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("using the data of"), "{output:?}");
    let later = "\"2023/cve-2023-38545.json\",\"2026-04-01T00:00:00+00:00\"\n";
    fs::write(&changes, format!("{later}{list}")).unwrap();
    fs::write(folder.join("vex-feed/2023/cve-2023-38545.json"), "{\"document\": [[[").unwrap();
    let after = update(&context, "m", "rhel:9");
    assert_eq!(records(&after), records(&good));
    assert!(context.ok(&["affected", "CVE-2023-38545"]).contains("CVE-2023-38545"));
}

/// An image whose packages are listed as distroless images list them, with the epoch in a column of its own.
pub(crate) fn image(context: &Context, os_release: &str, packages: &[(&str, &str, &str)]) {
    let lines: Vec<String> = packages
        .iter()
        .map(|(name, version, source)| {
            let (epoch, version) = version.split_once(':').unwrap_or(("0", version));
            format!(
                "{name}\t{version}\t1\t1\tVendor\t{epoch}\t1\tx86_64\t{epoch}\t{source}-{version}.src.rpm\n"
            )
        })
        .collect();
    let layer = Layer::new()
        .file("etc/os-release", os_release)
        .file("var/lib/rpmmanifest/container-manifest-2", lines.concat());
    let folder = context.path().join("image");
    let _ = fs::remove_dir_all(&folder);
    ImageBuilder::new().layer("base", &layer).oci_layout(&folder, Encoding::Gzip);
}

/// Vulnerability, package, state, fixed version of every finding.
fn findings(context: &Context, mirror: &Path) -> BTreeSet<String> {
    let text = context.ok(&[
        "--feeds-mirror",
        mirror.to_str().unwrap(),
        "--no-enrich",
        "scan",
        "--format",
        "json",
        "oci:image",
    ]);
    let report: Value = serde_json::from_str(&text).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |finding: &Value| {
        let package = &finding["package"];
        let name = package.as_str().map_or_else(|| text(&package["name"]), str::to_owned);
        let (state, fixed) = (text(&finding["state"]), text(&finding["fixedIn"]));
        format!("{} {name} {state} {fixed}", text(&finding["id"]))
    };
    report["findings"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn images_of_rpm_distributions_are_judged_by_their_own_errata() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let context = Context::new();
    let os = |id: &str, version: &str| format!("ID={id}\nVERSION_ID=\"{version}\"\n");
    for (id, version, packages, expected) in [
        (
            "rhel",
            "9.3",
            vec![("curl", "7.76.1-26.el9_3.1", "curl"), ("libcurl", "7.76.1-26.el9_3.2", "curl")],
            "CVE-2023-38545 curl fixable 7.76.1-26.el9_3.2",
        ),
        (
            "centos",
            "9",
            vec![("curl", "7.76.1-26.el9_3.1", "curl"), ("libcurl", "7.76.1-26.el9_3.2", "curl")],
            "CVE-2023-38545 curl fixable 7.76.1-26.el9_3.2",
        ),
        ("rocky", "9.1", vec![("xz", "5.2.5-7.el9", "xz")], "CVE-2022-1271 xz fixable 5.2.5-8.el9_0"),
        (
            "amzn",
            "2023",
            vec![("rsyslog", "8.2204.0-1.amzn2023", "rsyslog")],
            "CVE-2022-24903 rsyslog fixable 8.2204.0-3.amzn2023.0.2",
        ),
        (
            "ol",
            "5.11",
            vec![("bind-libs", "9.3.3-7.el5", "bind")],
            "CVE-2007-0493 bind-libs fixable 30:9.3.3-8.el5",
        ),
    ] {
        image(&context, &os(id, version), &packages);
        let found = findings(&context, &mirror);
        assert!(found.contains(expected), "{id}: {found:?}");
        let fixed = found.iter().filter(|line| line.starts_with("CVE-2023-38545 libcurl"));
        assert_eq!(fixed.count(), 0, "{found:?}");
    }
    // CentOS goes by what is said of Red Hat's release, for one image and for all.
    let share = context.ok(&["affected", "--format", "json", "CVE-2023-38545"]);
    let share: Value = serde_json::from_str(&share).unwrap();
    assert_eq!(share["affected"], 2, "{share}");
    image(&context, &os("rhel", "9.3"), &[("curl", "7.76.1-26.el9_3.1", "curl")]);
    let told = context.ok(&["--offline", "explain", "oci:image", "CVE-2023-38545"]);
    assert!(told.contains("main products are taken") && told.contains("enterprise_linux:9::"), "{told}");
}

/// For known vulnerabilities, by release: package, the versions that fix, and of several the last in rpm's own order.
const FIXES: &str = r#"
import functools, json, sys, zipfile
from rpm import labelCompare
known = '''CVE-2021-44228 CVE-2023-4911 CVE-2024-3094 CVE-2024-6387 CVE-2014-0160 CVE-2014-6271 CVE-2015-0235 CVE-2022-0778 CVE-2021-3156
CVE-2021-4034 CVE-2022-40674 CVE-2022-1271 CVE-2023-38545 CVE-2022-3602 CVE-2023-44487 CVE-2021-33574 CVE-2022-25236 CVE-2023-0286 CVE-2022-37434
CVE-2018-25032 CVE-2021-3712 CVE-2024-2961 CVE-2023-5981 CVE-2021-3520 CVE-2023-29491 CVE-2022-29154 CVE-2024-12085 CVE-2023-2650 CVE-2022-24407'''.split()
def split(evr):
    epoch, _, rest = evr.rpartition(':')
    version, _, release = rest.rpartition('-')
    return epoch or '0', version, release
order = functools.cmp_to_key(lambda a, b: labelCompare(split(a), split(b)))
fixes = {}
archive = zipfile.ZipFile(sys.argv[1] + '/all.zip')
for name in archive.namelist():
    record = json.loads(archive.read(name)) if name.startswith('ALSA-') else {'related': []}
    for cve in set(record['related']) & set(known):
        for entry in record['affected']:
            fixed = entry['ranges'][0]['events'][1]['fixed']
            if '.module' not in fixed:
                release = entry['package']['ecosystem'].split(':')[1]
                fixes.setdefault(release, {}).setdefault(entry['package']['name'], {}).setdefault(cve, set()).add(fixed)
print(json.dumps({release: {name: {'last': max((v for vs in cves.values() for v in vs), key=order),
    'cves': {cve: max(versions, key=order) for cve, versions in cves.items()}} for name, cves in names.items()} for release, names in fixes.items()}))
"#;

#[test]
fn known_vulnerabilities_are_fixed_where_almalinux_says() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let records = mirror.join("storage.googleapis.com/osv-vulnerabilities/AlmaLinux");
    let output = Command::new("/usr/bin/python3").args(["-c", FIXES]).arg(&records).output().unwrap();
    if !output.status.success() {
        assert!(require_or_skip(None::<()>, "python3-rpm").is_none());
        return;
    }
    let fixes: Value = serde_json::from_slice(&output.stdout).unwrap();
    let context = Context::new();
    // The records come from another copy than the one that is read here.
    let host = context.path().join("m/codeload.github.com");
    fs::create_dir_all(&host).unwrap();
    copy(&mirror.join("codeload.github.com/AlmaLinux"), &host);
    let mut vulnerabilities = BTreeSet::new();
    assert!(fixes["8"].is_object() && fixes["9"].is_object());
    for (release, names) in fixes.as_object().unwrap() {
        let names = names.as_object().unwrap();
        let os = format!("ID=almalinux\nVERSION_ID=\"{release}.1\"\n");
        let mut expected = BTreeSet::new();
        for (name, entry) in names {
            for (cve, version) in entry["cves"].as_object().unwrap() {
                expected.insert(format!("{cve} {name} fixable {}", version.as_str().unwrap()));
                vulnerabilities.insert(cve.clone());
            }
        }
        let old: Vec<(&str, &str, &str)> = names.keys().map(|name| (name.as_str(), "0-1", "none")).collect();
        image(&context, &os, &old);
        let found = findings(&context, &context.path().join("m"));
        let missing: Vec<&String> = expected.difference(&found).collect();
        assert!(missing.is_empty(), "{release}: {missing:?}");
        // With the last of their fixes, none of them is left.
        let fixed: Vec<(&str, &str, &str)> = names
            .iter()
            .map(|(name, entry)| (name.as_str(), entry["last"].as_str().unwrap(), "none"))
            .collect();
        image(&context, &os, &fixed);
        let left = findings(&context, &context.path().join("m"));
        let known = |line: &&String| vulnerabilities.iter().any(|cve| line.starts_with(&format!("{cve} ")));
        let left: Vec<&String> = left.iter().filter(known).collect();
        assert!(left.is_empty(), "{release}: {left:?}");
    }
    assert!(vulnerabilities.len() >= 20, "{vulnerabilities:?}");
}

#[test]
fn content_sets_decide_which_streams_fixes_count() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let context = Context::new();
    // Release 9 has the fix in 9.2 and in 9.3, the stream of 9.0 has it in a build of its own.
    let packages = "curl\t7.76.1-14.el9_0.8\t1\t1\tRed Hat, Inc.\t(none)\t1\tx86_64\t0\tcurl-7.76.1-14.el9_0.8.src.rpm\n";
    for (content_set, fixed) in [
        ("rhel-9-for-x86_64-baseos-rpms", "7.76.1-23.el9_2.4"),
        ("rhel-9-for-x86_64-baseos-eus-rpms__9_DOT_0", "7.76.1-14.el9_0.9"),
        ("rhel-9-for-x86_64-baseos-eus-rpms__9_DOT_2", "7.76.1-23.el9_2.4"),
        ("of-which-nobody-heard", "7.76.1-23.el9_2.4"),
    ] {
        let manifest = format!(r#"{{"metadata":{{"icm_version":1}},"content_sets":["{content_set}"]}}"#);
        let layer = Layer::new()
            .file("etc/os-release", "ID=rhel\nVERSION_ID=\"9.2\"\n")
            .file("root/buildinfo/content_manifests/ubi9-container-9.2-1.json", manifest)
            .file("var/lib/rpmmanifest/container-manifest-2", packages);
        let folder = context.path().join("image");
        let _ = fs::remove_dir_all(&folder);
        ImageBuilder::new().layer("base", &layer).oci_layout(&folder, Encoding::Gzip);
        let found = findings(&context, &mirror);
        assert!(found.contains(&format!("CVE-2023-38545 curl fixable {fixed}")), "{content_set}: {found:?}");
    }
}
