//! What the feeds of rpm distributions say, against a few lines of Python that read the same files another way.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use limpid_feeds::{
    AlmaLinux, Amazon, Document, Feed, Limits, Oracle, ParseSummary, RedHatVex, RepositoryCpes, Rocky,
};
use limpid_model::{Advisory, Affected, PackageKind};
use limpid_testkit::{feeds_mirror, require_or_skip};
use serde_json::Value;

fn mirror() -> Option<PathBuf> {
    require_or_skip(feeds_mirror(), "the feeds' data")
}

fn load(feed: &dyn Feed, document: &Document, path: &Path) -> (Vec<Advisory>, ParseSummary) {
    let mut found = Vec::new();
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let summary = feed.parse(document, &mut file, &Limits::default(), &mut |advisory| {
        found.push(advisory);
        Ok(())
    });
    (found, summary.unwrap())
}

/// What the script prints as JSON.
fn python(script: &str, path: &Path) -> Value {
    let output = Command::new("python3").args(["-c", script]).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn lines(value: &Value) -> BTreeSet<String> {
    value.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

fn said(advisories: &[Advisory], line: impl Fn(&str, &Affected) -> Vec<String>) -> BTreeSet<String> {
    let rows = advisories.iter().flat_map(|advisory| advisory.affected.iter().map(|row| (&advisory.id, row)));
    rows.flat_map(|(id, row)| line(id, row)).collect()
}

fn skipped(summary: &ParseSummary) -> u64 {
    summary.skipped.values().sum()
}

/// Every status entry of every document, told by its purl: what should become of it.
const VEX: &str = r#"
import json, subprocess, sys, tarfile, io, urllib.parse
data = subprocess.run(['zstd', '-dcq', sys.argv[1]], check=True, capture_output=True).stdout
entries, fixed, others = 0, set(), set()
for member in tarfile.open(fileobj=io.BytesIO(data)):
    document = json.load(tarfile.open(fileobj=io.BytesIO(data)).extractfile(member.name))
    known = {}
    def walk(branches):
        for branch in branches:
            if 'product' in branch:
                known[branch['product']['product_id']] = branch['product'].get('product_identification_helper', {})
            walk(branch.get('branches', []))
    walk(document['product_tree'].get('branches', []))
    parts = {r['full_product_name']['product_id']: (r['product_reference'], r['relates_to_product_reference'])
             for r in document['product_tree'].get('relationships', [])}
    for vulnerability in document['vulnerabilities']:
        notice = {i: r['url'].split('/')[-1] for r in vulnerability.get('remediations', []) if r['category'] == 'vendor_fix' for i in r['product_ids']}
        for status, ids in vulnerability['product_status'].items():
            for i in ids:
                entries += 1
                component, product = parts.get(i, (None, None))
                purl = known.get(component, {}).get('purl', '')
                cpe = known.get(product, {}).get('cpe')
                if not component: continue
                if not purl and status != 'fixed' and '/' not in component:
                    others.add(' '.join([vulnerability['cve'], status, component, 'Source', cpe]))
                if not purl.startswith('pkg:rpm/'): continue
                path, _, query = purl.partition('?')
                query = dict(pair.split('=', 1) for pair in query.split('&') if pair)
                name, _, version = path.split('/')[-1].partition('@')
                name, version = urllib.parse.unquote(name), urllib.parse.unquote(version)
                module = ':'.join(urllib.parse.unquote(query.get('rpmmod', '')).split(':')[:2])
                if query.get('epoch', '0') != '0': version = query['epoch'] + ':' + version
                if status == 'fixed':
                    if query.get('arch') != 'src':
                        fixed.add(' '.join([vulnerability['cve'], name, version, cpe, module, query['arch'], notice.get(i, '')]))
                else:
                    kind = 'Source' if query.get('arch') == 'src' else 'Binary'
                    others.add(' '.join([vulnerability['cve'], status, name, kind, cpe]))
print(json.dumps({'entries': entries, 'fixed': sorted(fixed), 'others': sorted(others)}))
"#;

#[test]
fn every_status_of_red_hats_documents_is_read() {
    let Some(mirror) = mirror() else { return };
    let folder = mirror.join("security.access.redhat.com/data/csaf/v2");
    let document = &RedHatVex.all_documents()[0];
    for archive in ["vex-feed/vex-archive.tar.zst", "vex/csaf_vex_2026-03-01.tar.zst"] {
        let path = folder.join(archive);
        let (found, summary) = load(&RedHatVex, document, &path);
        let expected = python(VEX, &path);
        assert_eq!(summary.records, expected["entries"].as_u64().unwrap());
        let fixed = said(&found, |id, row| {
            if row.fixed.is_empty() || row.package_kind == PackageKind::Source {
                return Vec::new();
            }
            let line = |arch: &String| {
                let Affected { package, fixed, cpe, module, notice, .. } = row;
                format!("{id} {package} {fixed} {cpe} {module} {arch} {notice}")
            };
            row.arches.iter().map(line).collect()
        });
        let (expected_fixed, expected_others) = (lines(&expected["fixed"]), lines(&expected["others"]));
        assert_eq!(fixed, expected_fixed, "{archive}");
        assert!(fixed.len() > 2000);
        let others = said(&found, |id, row| {
            let status = row.state_word.split(';').next().unwrap_or_default();
            let line = format!("{id} {status} {} {:?} {}", row.package, row.package_kind, row.cpe);
            if row.fixed.is_empty() { vec![line] } else { Vec::new() }
        });
        // What a product fixes in one stream it may call unaffected in another; the stronger word stays.
        let missing: Vec<&String> = expected_others.difference(&others).collect();
        assert!(others.is_subset(&expected_others), "{archive}");
        assert!(missing.len() as u64 <= summary.skipped.get(STRONGER).copied().unwrap_or(0), "{missing:?}");
        let read: u64 = summary.records - skipped(&summary);
        assert!(read >= fixed.len() as u64 + others.len() as u64 && read > 0);
        eprintln!("{archive}: {summary:?}");
    }
}

const STRONGER: &str = "product says something stronger of the same package";

const REPOSITORIES: &str = r#"
import json, sys
data = json.load(open(sys.argv[1]))['data']
print(json.dumps({'count': len(data), 'pairs': sorted({name + ' ' + cpe for name, entry in data.items() for cpe in entry['cpes']})}))
"#;

#[test]
fn every_repository_has_its_products() {
    let Some(mirror) = mirror() else { return };
    let path = mirror.join(RepositoryCpes::document().url.strip_prefix("https://").unwrap());
    let (map, summary) = RepositoryCpes::parse(&mut File::open(&path).unwrap(), &Limits::default()).unwrap();
    let expected = python(REPOSITORIES, &path);
    let pairs: BTreeSet<String> =
        map.iter().flat_map(|(name, cpes)| cpes.iter().map(move |cpe| format!("{name} {cpe}"))).collect();
    assert_eq!(pairs, lines(&expected["pairs"]));
    assert_eq!(summary.records, expected["count"].as_u64().unwrap());
    assert_eq!(summary.records, map.len() as u64 + skipped(&summary));
    assert!(pairs.len() > 10_000);
}

const ALMALINUX: &str = r#"
import json, sys
rows, data = set(), json.load(open(sys.argv[1]))['data']
for erratum in data:
    if erratum['type'] != 'security': continue
    for reference in erratum['references']:
        if reference['type'] != 'cve': continue
        for p in erratum['packages']:
            epoch = '' if p['epoch'] in ('', '0') else p['epoch'] + ':'
            rows.add(' '.join([reference['id'], p['name'], epoch + p['version'] + '-' + p['release'], ':'.join(p.get('module', '').split(':')[:2]), p['arch'], erratum['id']]))
print(json.dumps({'count': len(data), 'rows': sorted(rows)}))
"#;

#[test]
fn every_erratum_of_almalinux_is_read() {
    let Some(mirror) = mirror() else { return };
    let document = &AlmaLinux.documents("almalinux:9")[0];
    let path = mirror.join(document.url.strip_prefix("https://").unwrap());
    let (found, summary) = load(&AlmaLinux, document, &path);
    let expected = python(ALMALINUX, &path);
    let rows = said(&found, |id, row| {
        let Affected { package, fixed, module, notice, .. } = row;
        row.arches.iter().map(|arch| format!("{id} {package} {fixed} {module} {arch} {notice}")).collect()
    });
    assert_eq!(rows, lines(&expected["rows"]));
    assert!(!rows.is_empty());
    assert_eq!(summary.records, expected["count"].as_u64().unwrap());
    assert_eq!(summary.skipped, BTreeMap::from([("erratum is not about security".to_owned(), 1)]));
}

const ALMALINUX_OSV: &str = r#"
import json, sys, tarfile
rows, count, chosen, late = set(), 0, set(), {}
for member in (archive := tarfile.open(sys.argv[1])):
    if not member.name.endswith('.json') or '/advisories/' not in member.name: continue
    count += 1
    record = json.load(archive.extractfile(member))
    if not record['id'].startswith('ALSA-'): continue
    for entry in record['affected']:
        if entry['package']['ecosystem'] != 'AlmaLinux:8': continue
        chosen.add(member.name)
        for cve in [i for i in record['related'] if i.startswith('CVE-')] or [record['id']]:
            rows.add(' '.join([cve, entry['package']['name'], entry['ranges'][0]['events'][1]['fixed'], record['id']]))
print(json.dumps({'count': count, 'chosen': len(chosen), 'rows': sorted(rows)}))
"#;

#[test]
fn almalinux_osv_records_stand_in_for_its_errata() {
    let Some(mirror) = mirror() else { return };
    let document = AlmaLinux.fallback(&AlmaLinux.documents("almalinux:8")[0]).unwrap();
    let path = mirror.join(document.url.strip_prefix("https://").unwrap());
    let (found, summary) = load(&AlmaLinux, &document, &path);
    let expected = python(ALMALINUX_OSV, &path);
    let rows = said(&found, |id, row| vec![format!("{id} {} {} {}", row.package, row.fixed, row.notice)]);
    assert_eq!(rows, lines(&expected["rows"]));
    assert!(rows.len() > 50_000, "{}", rows.len());
    let [count, chosen] = ["count", "chosen"].map(|key| expected[key].as_u64().unwrap());
    assert_eq!((summary.records, skipped(&summary)), (count, count - chosen));
    // What the world knows of these, beside what the file says.
    for row in [
        "CVE-2023-4911 glibc 2.28-225.el8_8.6 ALSA-2023:5455",
        "CVE-2022-0778 openssl-libs 1:1.1.1k-6.el8_5 ALSA-2022:1065",
    ] {
        assert!(rows.contains(row), "{row}");
    }
    let nodejs = found.iter().flat_map(|advisory| &advisory.affected).filter(|row| row.package == "nodejs");
    assert!(nodejs.clone().filter(|row| row.module == "nodejs:18").count() > 5);
    assert!(nodejs.filter(|row| row.fixed.contains(".module")).all(|row| row.module.starts_with("nodejs:")));
}

/// Through tests, objects and states, where the feed reads comments.
const ORACLE: &str = r#"
import bz2, json, re, sys
import xml.etree.ElementTree as E
root = E.fromstring(bz2.decompress(open(sys.argv[1], 'rb').read()))
local = lambda e: e.tag.split('}')[-1]
by_id = {e.get('id'): e for e in root.iter() if e.get('id')}
text = lambda e, name: next((c.text for c in e.iter() if local(c) == name), None)
rows, count = set(), 0
for definition in root.iter():
    if local(definition) != 'definition': continue
    count += 1
    erratum = next(r.get('ref_id') for r in definition.iter() if local(r) == 'reference' and r.get('source') == 'elsa')
    cves = [r.get('ref_id') for r in definition.iter() if local(r) == 'reference' and r.get('source') == 'CVE']
    def walk(element, scope):
        scope = dict(scope)
        for child in element:
            if local(child) == 'criteria': walk(child, scope)
            if local(child) != 'criterion': continue
            test = by_id[child.get('test_ref')]
            refs = {local(c): by_id.get(c.get(local(c) + '_ref')) for c in test}
            object, state = refs.get('object'), refs.get('state')
            name = text(object, 'name')
            if name == 'oraclelinux-release':
                if text(state, 'version'): scope['release'] = re.sub(r'\D', '', text(state, 'version'))
                if text(state, 'arch'): scope['arch'] = text(state, 'arch')
            elif local(test).startswith('textfile'):
                scope['module'] = re.search(r'Module (\S+) is', test.get('comment')).group(1)
            elif text(state, 'evr'):
                evr = text(state, 'evr')
                evr = evr[2:] if evr.startswith('0:') else evr
                for cve in cves:
                    rows.add(' '.join([cve, name, scope['release'], evr, scope.get('module', ''), scope.get('arch', ''), erratum]))
    walk(definition.find('{*}criteria'), {})
print(json.dumps({'count': count, 'rows': sorted(rows)}))
"#;

#[test]
fn oracles_comments_say_what_its_tests_and_states_say() {
    let Some(mirror) = mirror() else { return };
    let document = &Oracle.all_documents()[0];
    let path = mirror.join(document.url.strip_prefix("https://").unwrap());
    let (found, summary) = load(&Oracle, document, &path);
    let expected = python(ORACLE, &path);
    let rows = said(&found, |id, row| {
        let Affected { package, fixed, module, notice, .. } = row;
        let release = row.release.strip_prefix("ol:").unwrap();
        row.arches
            .iter()
            .map(|arch| format!("{id} {package} {release} {fixed} {module} {arch} {notice}"))
            .collect()
    });
    // OVAL matches machines of 32 bit by a pattern; the comment calls them i386.
    let plain = |rows: BTreeSet<String>| -> BTreeSet<String> {
        rows.into_iter().map(|row| row.replace(" i.86 ", " i386 ")).collect()
    };
    assert_eq!(rows, plain(lines(&expected["rows"])));
    assert_eq!((summary.records, skipped(&summary)), (expected["count"].as_u64().unwrap(), 0));
    assert!(!rows.is_empty());
}

const UPDATEINFO: &str = r#"
import gzip, json, sys
import xml.etree.ElementTree as E
root = E.fromstring(gzip.open(sys.argv[1]).read())
rows = set()
for update in root:
    if update.get('type') != 'security': continue
    for reference in update.find('references'):
        if reference.get('type') != 'cve': continue
        for p in update.iter('package'):
            epoch = '' if p.get('epoch') in (None, '', '0') else p.get('epoch') + ':'
            rows.add(' '.join([reference.get('id'), p.get('name'), epoch + p.get('version') + '-' + p.get('release'), update.findtext('id')]))
print(json.dumps({'count': len(root), 'security': sum(u.get('type') == 'security' for u in root), 'rows': sorted(rows)}))
"#;

#[test]
fn every_update_of_amazon_and_rocky_is_read() {
    let Some(mirror) = mirror() else { return };
    let mut documents: Vec<(&dyn Feed, Document)> =
        Amazon.all_documents().into_iter().map(|document| (&Amazon as &dyn Feed, document)).collect();
    documents.extend(Rocky.documents("rocky:9").into_iter().map(|document| (&Rocky as &dyn Feed, document)));
    let catalog = Amazon.catalog("amzn:2").unwrap();
    let content = std::fs::read(mirror.join(catalog.url.strip_prefix("https://").unwrap())).unwrap();
    documents.extend(
        Amazon
            .catalogued(&catalog, &content)
            .unwrap()
            .into_iter()
            .map(|document| (&Amazon as &dyn Feed, document)),
    );
    let mut read = 0;
    for (feed, document) in documents {
        let limpid_feeds::Layout::Behind(pointers) = feed.layout() else { panic!("{}", document.name) };
        let mut url = document.url.clone();
        for pointer in pointers {
            let Ok(content) = std::fs::read(mirror.join(url.strip_prefix("https://").unwrap())) else {
                // Of two topics in the sample catalog one is laid out, of Rocky's repositories two.
                assert!(["2/extras/emacs", "9/CRB"].contains(&document.name.as_str()), "{}", document.name);
                url.clear();
                break;
            };
            url = pointer.follow(&url, &content).unwrap().unwrap();
        }
        if url.is_empty() {
            continue;
        }
        let path = mirror.join(url.strip_prefix("https://").unwrap());
        let (found, summary) = load(feed, &document, &path);
        let expected = python(UPDATEINFO, &path);
        let rows = said(&found, |id, row| vec![format!("{id} {} {} {}", row.package, row.fixed, row.notice)]);
        assert_eq!(rows, lines(&expected["rows"]), "{}", document.name);
        let [count, security] = ["count", "security"].map(|key| expected[key].as_u64().unwrap());
        assert_eq!((summary.records, skipped(&summary)), (count, count - security), "{}", document.name);
        read += 1;
    }
    assert_eq!(read, 9);
}
