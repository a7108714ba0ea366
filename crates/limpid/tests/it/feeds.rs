//! Feeds served as upstream serves them, against a few lines of Python that read the same bytes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use limpid_testkit::{Encoding, ImageBuilder, Layer, corpus, feeds_mirror, require_or_skip, shared};
use serde_json::Value;

use crate::Context;

/// A mirror of the feeds on loopback, by the shared data's own server. It ends with its value.
struct Upstream {
    child: Child,
    base: String,
    log: PathBuf,
}

impl Upstream {
    /// Serves `mirror`; `folder` takes the log.
    fn serve(mirror: &Path, folder: &Path, faults: &[&str]) -> Option<Self> {
        let program = shared()?.join("feeds/serve.py");
        let log = folder.join("requests");
        let _ = fs::remove_file(&log);
        let mut command = Command::new("python3");
        command.arg(program).arg(mirror).args(["--port", "0", "--log"]).arg(&log);
        for fault in faults {
            command.args(["--fault", fault]);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let mut port = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut port).ok()?;
        Some(Self { child, base: format!("http://127.0.0.1:{}", port.trim()), log })
    }

    /// Path and status of every request.
    fn requests(&self) -> Vec<(String, u64)> {
        let text = fs::read_to_string(&self.log).unwrap();
        let requests = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        requests
            .map(|request| {
                (request["path"].as_str().unwrap().to_owned(), request["status"].as_u64().unwrap())
            })
            .collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines that the Python programs print, and those that Limpid's report comes to.
fn rows_of(report: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    let mut rows: Vec<String> = findings
        .map(|finding| {
            let package = &finding["package"];
            [
                text(&finding["id"]),
                text(&package["name"]),
                text(&package["version"]),
                text(&finding["state"]),
                text(&finding["fixedIn"]),
                text(&finding["channel"]),
                text(&finding["severity"]),
            ]
            .join("\t")
        })
        .collect();
    rows.sort_unstable();
    rows
}

/// Both say the same; if not, what only one of them says.
fn assert_same(report: &Value, expected: &[String], name: &str) {
    let ours = rows_of(report);
    let only = |these: &[String], others: &[String]| -> Vec<String> {
        these.iter().filter(|row| others.binary_search(row).is_err()).cloned().collect()
    };
    let difference = (only(&ours, expected), only(expected, &ours));
    assert_eq!(difference, (vec![], vec![]), "{name}");
    assert_eq!(ours.len(), expected.len(), "{name}");
}

/// What `program` says of the packages of `image`, read from `feeds`, in rows like those of [`rows_of`].
fn independent(context: &Context, image: &str, program: &str, feeds: &[PathBuf]) -> Option<Vec<String>> {
    let packages = context.ok(&["packages", "--offline", "--format", "tsv", image]);
    let rows = context.path().join("rows");
    fs::write(&rows, packages).unwrap();
    let output = Command::new("/usr/bin/python3")
        .args(["-c", program])
        .args(feeds)
        .stdin(fs::File::open(&rows).unwrap())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("No module named 'apt_pkg'") {
        return require_or_skip(None, "python3-apt");
    }
    assert!(output.status.success(), "{errors}");
    let mut rows: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    rows.sort_unstable();
    Some(rows)
}

fn scan(context: &Context, upstream: &Upstream, image: &str) -> Value {
    let report =
        context.ok(&["--feeds-mirror", &upstream.base, "scan", "--no-enrich", "--format", "json", image]);
    serde_json::from_str(&report).unwrap()
}

/// The images, the mirror's folder and the server, if all are here.
fn data(context: &Context) -> Option<(PathBuf, PathBuf, Upstream)> {
    let found = corpus().zip(feeds_mirror()).and_then(|(corpus, mirror)| {
        let upstream = Upstream::serve(&mirror, context.path(), &[])?;
        Some((corpus, mirror, upstream))
    });
    require_or_skip(found, "the corpus of real images, or the feeds' data,")
}

/// An image of the corpus, if it was built.
fn fixture(corpus: &Path, name: &str) -> Option<String> {
    let layout = corpus.join(name).join("oci");
    let found = layout.join("index.json").is_file().then(|| format!("oci:{}", layout.display()));
    require_or_skip(found, name)
}

/// Of one source package and vulnerability: the release's own word, then those of Ubuntu Pro's pockets.
const UBUNTU: &str = r"
import json, sys, tarfile, re, collections
import apt_pkg
apt_pkg.init_system()
release = sys.argv[2]
said = collections.defaultdict(lambda: collections.defaultdict(list))
for member in (archive := tarfile.open(sys.argv[1])):
    if not member.name.endswith('.json'):
        continue
    record = json.load(archive.extractfile(member))
    if not record['id'].startswith('UBUNTU-CVE-') or record.get('withdrawn'):
        continue
    priority = [s['score'] for s in record.get('severity', []) if s['type'] == 'Ubuntu']
    for a in record['affected']:
        p = a['package']
        m = re.fullmatch(r'Ubuntu:(Pro:)?(\d\d\.\d\d)(:LTS)?', p['ecosystem'])
        if not m or m[2] != release:
            continue
        pocket = re.search('distro=(esm-[a-z]+)/', p['purl'])
        channel = (pocket[1] if pocket else 'esm') if m[1] else ''
        fixed = [e['fixed'] for r in a['ranges'] for e in r['events'] if 'fixed' in e]
        status = a['ecosystem_specific'].get('uct_status', '')
        said[p['name']][record['id'][7:]].append((channel, fixed, status, priority[0].capitalize()))
OPEN = {'needs-triage': 'unknown', 'deferred': 'deferred', 'ignored': 'will-not-fix'}
RANK = ['fixed', 'fixable', 'will-not-fix', 'deferred', 'no-fix', 'unknown']
for line in sys.stdin:
    f = line.rstrip('\n').split('\t')
    for cve, words in said.get(f[4], {}).items():
        verdicts = []
        for channel, fixed, status, severity in words:
            if fixed and apt_pkg.version_compare(f[5], fixed[0]) >= 0:
                verdicts.append(('fixed', channel, '', severity))
            elif fixed:
                verdicts.append(('fixable', channel, fixed[0], severity))
            else:
                verdicts.append((OPEN.get(status, 'no-fix'), channel, '', severity))
        state, channel, fixed, severity = min(verdicts, key=lambda v: (RANK.index(v[0]), v[1]))
        if state != 'fixed':
            print(cve, f[1], f[2], state, fixed, channel, 'Unknown' if severity == 'Untriaged' else severity, sep='\t')
";

#[test]
fn a_real_ubuntu_agrees_with_its_osv_records_finding_for_finding() {
    let context = Context::new();
    let Some((corpus, mirror, upstream)) = data(&context) else { return };
    let Some(image) = fixture(&corpus, "fx-ubuntu1804") else { return };
    let archive = mirror.join("security-metadata.canonical.com/osv/osv-all.tar.xz");
    let Some(expected) = independent(&context, &image, UBUNTU, &[archive, "18.04".into()]) else { return };
    let report = scan(&context, &upstream, &image);
    assert_same(&report, &expected, "fx-ubuntu1804");
    assert!(expected.len() > 300, "the feed names too little to test with");
    assert!(expected.iter().any(|row| row.contains("\tfixable\t") && row.contains("\tesm-infra\t")));
    assert_eq!(report["coverage"]["support"]["programme"], "Ubuntu Pro (ESM)");
    // What only Ubuntu Pro fixes is not among what can be fixed as it is.
    let own = expected.iter().filter(|row| row.contains("\tfixable\t") && row.contains("\t\t")).count();
    let table = context.ok(&["--offline", "scan", &image]);
    assert!(
        table.contains(&format!("{own} can be fixed, ")) && table.contains("more through esm-infra alone")
    );
    assert!(table.contains("(esm-infra)"), "{table}");
}

/// DSAs, DLAs and ELAs: within one list the last fix of a vulnerability counts; any list's fix is a fix.
const DEBIAN: &str = r"
import json, re, sys, tarfile, collections, functools
import apt_pkg
apt_pkg.init_system()
code_name, number = sys.argv[4], sys.argv[5]
said = collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(list)))
def tell(package, ids, channel, fixed):
    for id in ids:
        said[package][id][channel].append(fixed)
NOT = 'regression|new upstream version|new timezone database|bugfix|crash fix|database update|new package|version number correction'
for path, channel in ((sys.argv[1], ''), (sys.argv[2], 'lts')):
    for notice in re.split(r'(?m)^(?=\[)', open(path, encoding='utf-8').read()):
        head = re.match(r'\[[^\]]*\] (D[SL]A-[0-9-]+)(.*)', notice)
        if not head:
            continue
        ids = re.findall(r'CVE-[0-9]+-[0-9]+', ' '.join(re.findall(r'(?m)^\s+\{(.*)\}', notice)))
        if not ids and not re.search(NOT, head[2], re.I):
            ids = [head[1]]
        for package, fixed in re.findall(r'(?m)^\s+\[' + code_name + r'\] - (\S+)\s+(\S+)', notice):
            tell(package, ids, channel, fixed)
for member in (archive := tarfile.open(sys.argv[3])):
    if member.name.endswith('.json'):
        record = json.load(archive.extractfile(member))
        for a in record['affected']:
            package = a['package']
            ranges = a['ranges'] if isinstance(a['ranges'], list) else [a['ranges']]
            if package['ecosystem'] == 'Debian:' + number and '/' + package['name'] + '?' in package['purl']:
                tell(package['name'], record['related'], 'elts', ranges[0]['events'][1]['fixed'])
newest = functools.cmp_to_key(apt_pkg.version_compare)
RANK = ['fixed', 'fixable', 'never', 'end-of-life', 'unknown']
for line in sys.stdin:
    f = line.rstrip('\n').split('\t')
    for id, channels in said.get(f[4], {}).items():
        verdicts = []
        for channel in ('', 'lts', 'elts'):
            words = channels.get(channel, [])
            fixes = [w for w in words if w[0].isalnum() and w[-1].isalnum()]
            open_fixes = [w for w in fixes if apt_pkg.version_compare(f[5], w) < 0]
            if open_fixes:
                verdicts.append(('fixable', channel, max(open_fixes, key=newest)))
            elif '<end-of-life>' in words:
                verdicts.append(('end-of-life', channel, ''))
            elif any(not w[-1].isalnum() and w[0] != '<' for w in words):
                verdicts.append(('unknown', channel, ''))
            elif fixes:
                verdicts.append(('fixed', channel, ''))
            elif '<not-affected>' in words:
                verdicts.append(('never', channel, ''))
        if not verdicts:
            continue
        state, channel, fixed = min(verdicts, key=lambda v: RANK.index(v[0]))
        if state not in ('fixed', 'never'):
            print(id, f[1], f[2], state, fixed, channel, 'Unknown', sep='\t')
";

#[test]
fn debians_past_the_tracker_agree_with_the_notices_finding_for_finding() {
    let context = Context::new();
    let Some((corpus, mirror, upstream)) = data(&context) else { return };
    let tracker = mirror.join("salsa.debian.org/security-tracker-team/security-tracker/-/raw/master/data");
    let extended = mirror.join("codeload.github.com/captn3m0/debian-elts-advisories/tar.gz/refs/heads/main");
    for (name, code_name, number, least) in [
        ("fx-debian7-wheezy", "wheezy", "7", 50),
        ("fx-debian8-jessie", "jessie", "8", 100),
        ("fx-debian9-stretch", "stretch", "9", 100),
    ] {
        let Some(image) = fixture(&corpus, name) else { return };
        let feeds = [
            tracker.join("DSA/list"),
            tracker.join("DLA/list"),
            extended.clone(),
            code_name.into(),
            number.into(),
        ];
        let Some(expected) = independent(&context, &image, DEBIAN, &feeds) else { return };
        let report = scan(&context, &upstream, &image);
        assert_same(&report, &expected, name);
        assert!(expected.len() > least, "{name}: only {} findings", expected.len());
        // Silence of a list of fixes is no clean bill.
        assert_eq!(report["coverage"]["answer"], "partial");
        let reason = report["coverage"]["notCovered"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("only notices of fixes are left"), "{reason}");
    }
}

#[test]
fn ghost_is_fixed_where_its_notice_says() {
    let context = Context::new();
    let Some((_, _, upstream)) = data(&context) else { return };
    let of = |version: &str| {
        let status = limpid_testkit::dpkg_status(&[("libc6", version, "eglibc")]);
        let release = "ID=debian\nVERSION_ID=\"7\"\nVERSION=\"7 (wheezy)\"\n";
        let layer = Layer::new().file("etc/os-release", release).file("var/lib/dpkg/status", status);
        ImageBuilder::new().layer("ADD", &layer).oci_layout(&context.path().join(version), Encoding::Gzip);
        let report = scan(&context, &upstream, &format!("oci:{version}"));
        let rows = rows_of(&report);
        rows.into_iter().find(|row| row.starts_with("CVE-2015-0235\t"))
    };
    let fixed = "2.13-38+deb7u7";
    let expected = format!("CVE-2015-0235\tlibc6\t2.13-38+deb7u6\tfixable\t{fixed}\t\tUnknown");
    assert_eq!(of("2.13-38+deb7u6"), Some(expected));
    assert_eq!(of(fixed), None);
    let explained = context.ok(&["--offline", "explain", "oci:2.13-38+deb7u6", "CVE-2015-0235"]);
    assert!(explained.contains("notice    DSA-3142-1"), "{explained}");
}

/// apk's order for the versions that recipes may have: numbers, a letter, suffixes, the revision. Written from
/// Alpine's rules for `pkgver`, apart from Limpid's own.
pub(crate) const APK_ORDER: &str = r"
import re
SUFFIXES = ['alpha', 'beta', 'pre', 'rc', '', 'cvs', 'svn', 'git', 'hg', 'p']
def parts(version):
    m = re.fullmatch(r'([0-9]+(?:\.[0-9]+)*)([a-z]?)((?:_[a-z]+[0-9]*)*)(?:-r([0-9]+))?', version)
    if not m:
        raise ValueError(version)
    suffixes = [(SUFFIXES.index(name), int(number or 0)) for name, number in re.findall('_([a-z]+)([0-9]*)', m[3])]
    return m[1].split('.'), m[2], suffixes + [(4, 0)], int(m[4] or -1)
def number(first, a, b):
    if not first and (a[0] == '0' or b[0] == '0') and a != b:
        return (a > b) - (a < b)
    return (int(a) > int(b)) - (int(a) < int(b))
def less(a, b):
    (na, la, sa, ra), (nb, lb, sb, rb) = parts(a), parts(b)
    for at, (x, y) in enumerate(zip(na, nb)):
        if order := number(at == 0, x, y):
            return order < 0
    if len(na) != len(nb):
        return len(na) < len(nb)
    return (la, sa, ra) < (lb, sb, rb)
";

/// Of each package's fixes the last that its version is before.
const ALPINE: &str = r"
import collections, json, re, sys
said = collections.defaultdict(lambda: collections.defaultdict(list))
for path in sys.argv[1:]:
    for package in json.load(open(path))['packages']:
        package = package['pkg']
        for version, ids in (package['secfixes'] or {}).items():
            for text in ids or []:
                words = [w for w in text.split() if re.match(r'[A-Z]+-', w) and not re.search(r'\?|XX', w)]
                words = [re.sub(r'^(CVE-[0-9]{4}-[0-9]{4,})[.-].*', r'\1', w) for w in words]
                for id in [w for w in words if w.startswith('CVE-')] or words[:1]:
                    said[package['name']][id].append(version)
for line in sys.stdin:
    f = line.rstrip('\n').split('\t')
    for id, versions in said.get(f[4], {}).items():
        fixes = [v for v in versions if v != '0' and less(f[5], v)]
        if fixes:
            last = fixes[0]
            for fix in fixes:
                last = fix if less(last, fix) else last
            print(id, f[1], f[2], 'fixable', last, '', 'Unknown', sep='\t')
";

/// A version in the middle of those that a branch names for each of its packages, where `ALPINE` can order all.
fn middle_versions(documents: &[PathBuf]) -> String {
    let mut installed = String::new();
    for document in documents {
        let document: Value = serde_json::from_slice(&fs::read(document).unwrap()).unwrap();
        for package in document["packages"].as_array().unwrap() {
            let name = package["pkg"]["name"].as_str().unwrap();
            let fixes = package["pkg"]["secfixes"].as_object().unwrap();
            let versions: Vec<&String> = fixes.keys().filter(|version| version.as_str() != "0").collect();
            if let Some(version) = versions.get(versions.len() / 2) {
                installed.push_str(&format!("P:{name}-bin\nV:{version}\nA:x86_64\no:{name}\n\n"));
            }
        }
    }
    installed
}

#[test]
fn alpines_agree_with_secdb_finding_for_finding() {
    let context = Context::new();
    let Some((corpus, mirror, upstream)) = data(&context) else { return };
    let program = [APK_ORDER, ALPINE].concat();
    let documents = |branch: &str| {
        let folder = mirror.join("secdb.alpinelinux.org").join(branch);
        [folder.join("main.json"), folder.join("community.json")]
    };
    for (branch, version_id) in [("v3.20", "3.20.3"), ("edge", "3.24.0_alpha20251224")] {
        let release = format!("ID=alpine\nVERSION_ID={version_id}\n");
        let layer = Layer::new()
            .file("etc/os-release", release)
            .file("lib/apk/db/installed", middle_versions(&documents(branch)));
        ImageBuilder::new().layer("ADD", &layer).oci_layout(&context.path().join(branch), Encoding::Zstd);
        let image = format!("oci:{branch}");
        let Some(expected) = independent(&context, &image, &program, &documents(branch)) else { return };
        assert_same(&scan(&context, &upstream, &image), &expected, branch);
        assert!(expected.len() > 500, "{branch}: only {} findings", expected.len());
    }
    let Some(image) = fixture(&corpus, "fx-alpine37") else { return };
    let Some(expected) = independent(&context, &image, &program, &documents("v3.7")) else { return };
    assert_same(&scan(&context, &upstream, &image), &expected, "fx-alpine37");
    assert!(!expected.is_empty());
}

/// Documents of several forms, in a mirror of the test's own: a list, an archive, JSON.
const DOCUMENTS: [&str; 4] = [
    "salsa.debian.org/security-tracker-team/security-tracker/-/raw/master/data/DSA/list",
    "salsa.debian.org/security-tracker-team/security-tracker/-/raw/master/data/DLA/list",
    "codeload.github.com/captn3m0/debian-elts-advisories/tar.gz/refs/heads/main",
    "secdb.alpinelinux.org/v3.3/main.json",
];

/// Name, records and error of each document that the store has, from `feeds status`.
fn status(text: &str) -> Vec<(String, String, String)> {
    let value = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.trim_start().strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    blocks.map(|block| (value(block, "feed "), value(block, "records "), value(block, "error "))).collect()
}

#[test]
fn what_did_not_change_is_not_sent_again_and_what_fails_leaves_the_last_good_data() {
    let context = Context::new();
    let Some(whole) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let mirror = context.path().join("mirror");
    for document in DOCUMENTS {
        let copy = mirror.join(document);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(whole.join(document), copy).unwrap();
    }
    let update = |faults: &[&str]| {
        let upstream = Upstream::serve(&mirror, context.path(), faults)?;
        let update = ["--feeds-mirror", &upstream.base, "feeds", "update", "debian:7", "alpine:3.3"];
        let output = context.run(&update);
        Some((status(&String::from_utf8(output.stdout).unwrap()), upstream.requests()))
    };
    let Some((good, requests)) = require_or_skip(update(&[]), "the feeds' server") else { return };
    assert_eq!(requests.iter().filter(|(_, status)| *status == 200).count(), 4, "{requests:?}");
    assert!(good.len() == 4 && good.iter().all(|(_, _, error)| error.is_empty()), "{good:?}");
    let (again, requests) = update(&[]).unwrap();
    assert_eq!(requests.iter().map(|(_, status)| *status).collect::<Vec<_>>(), [304; 4], "{requests:?}");
    assert_eq!(again, good);
    // Every document changes, and every one fails in its own way.
    fs::write(mirror.join(DOCUMENTS[1]), "").unwrap();
    for document in [DOCUMENTS[0], DOCUMENTS[2], DOCUMENTS[3]] {
        let mut bytes = fs::read(mirror.join(document)).unwrap();
        bytes.push(b'\n');
        fs::write(mirror.join(document), bytes).unwrap();
    }
    let faults = ["truncate@*/DSA/list", "corrupt@*/heads/main", "status:503@*/v3.3/main.json"];
    let (failed, _) = update(&faults).unwrap();
    for ((name, records, error), (_, before, _)) in failed.iter().zip(&good) {
        assert_eq!(records, before, "{name}");
        assert!(!error.is_empty(), "{name} took what is damaged");
    }
    // What is cut is resumed where it was cut, and the feeds are well again.
    for document in &DOCUMENTS[1..3] {
        fs::copy(whole.join(document), mirror.join(document)).unwrap();
    }
    let (well, requests) = update(&["cut:200000@*/DSA/list#1"]).unwrap();
    assert!(
        requests.iter().any(|(path, status)| path.ends_with("DSA/list") && *status == 206),
        "{requests:?}"
    );
    assert_eq!(well, good);
}
