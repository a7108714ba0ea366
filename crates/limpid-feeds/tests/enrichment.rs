//! Every record that upstream publishes on vulnerabilities is read, or left out with a name for the reason.
//! Counted by the documents' own words, or by other readers.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use limpid_feeds::{CveRecords, Document, Epss, Feed, Kev, Limits, Nvd, ParseSummary, ScoreFeed as _};
use limpid_model::Advisory;
use limpid_testkit::{feeds_mirror, require_or_skip};

fn mirrored(mirror: &Path, document: &Document) -> PathBuf {
    mirror.join(document.url.strip_prefix("https://").unwrap())
}

fn load(feed: &dyn Feed, document: &Document, path: &Path) -> (BTreeMap<String, Advisory>, ParseSummary) {
    let mut found = BTreeMap::new();
    let mut file = File::open(path).unwrap();
    let summary = feed.parse(document, &mut file, &Limits::default(), &mut |advisory| {
        assert!(found.insert(advisory.id.clone(), advisory).is_none(), "an id came twice");
        Ok(())
    });
    (found, summary.unwrap())
}

fn mirror() -> Option<PathBuf> {
    require_or_skip(feeds_mirror(), "the feeds' data")
}

#[test]
fn every_cve_record_of_the_archive_is_read() {
    let Some(mirror) = mirror() else { return };
    let document = &CveRecords.all_documents()[0];
    let path = mirrored(&mirror, document);
    let (found, summary) = load(&CveRecords, document, &path);
    let mut names = 0;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(&path).unwrap()));
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let file = entry.path().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        names += usize::from(file.starts_with("CVE-") && file.ends_with(".json"));
    }
    assert_eq!((found.len(), summary.skipped.len()), (names, 0), "{summary:?}");
    assert!(names > 40_000);
    let xz = &found["CVE-2024-3094"].details;
    assert!(
        xz.cvss.iter().any(|cvss| cvss.source == "redhat" && cvss.vector.starts_with("CVSS:3.1/")),
        "{xz:?}"
    );
    assert!(xz.weaknesses.contains(&"CWE-506".to_owned()));
    let regresshion = &found["CVE-2024-6387"].details;
    assert!(!regresshion.cvss.is_empty() && !regresshion.description.is_empty());
}

#[test]
fn every_record_of_nvd_is_read_and_its_checksum_is_the_one_that_nvd_names() {
    let Some(mirror) = mirror() else { return };
    let mut total = 0;
    for document in Nvd.all_documents() {
        let path = mirrored(&mirror, &document);
        let (found, summary) = load(&Nvd, &document, &path);
        let meta = fs::read(mirrored(&mirror, &Nvd.checksum(&document).unwrap())).unwrap();
        assert_eq!(Nvd.read_checksum(&meta).unwrap(), summary.sha256, "{}", document.name);
        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let claimed = json["totalResults"].as_u64().unwrap();
        assert_eq!(claimed, found.len() as u64 + summary.skipped.values().sum::<u64>(), "{}", document.name);
        assert!(summary.skipped.keys().all(|reason| reason == "rejected"), "{summary:?}");
        total += claimed;
    }
    assert!(total > 60_000);
}

#[test]
fn every_entry_of_the_catalogue_of_exploited_vulnerabilities_is_read() {
    let Some(mirror) = mirror() else { return };
    let document = &Kev.all_documents()[0];
    let path = mirrored(&mirror, document);
    let (found, summary) = load(&Kev, document, &path);
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!((found.len() as u64, summary.skipped.len()), (json["count"].as_u64().unwrap(), 0));
    assert!(found["CVE-2021-44228"].details.exploited.as_ref().unwrap().by_ransomware);
    let fallback = Kev.fallback(document).unwrap();
    assert_eq!(load(&Kev, &fallback, &mirrored(&mirror, &fallback)).0.len(), found.len());
}

#[test]
fn every_score_is_read_in_every_form_that_was_published() {
    let Some(mirror) = mirror() else { return };
    let folder = mirrored(&mirror, &Epss.document()).parent().unwrap().to_owned();
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("CVE-")).count();
        let mut found = 0;
        let mut file = File::open(&path).unwrap();
        let summary = Epss.parse(&Epss.document(), &mut file, &Limits::default(), &mut |_, _| {
            found += 1;
            Ok(())
        });
        assert_eq!((found, summary.unwrap().skipped), (lines, 0), "{}", path.display());
        files += 1;
    }
    assert!(files >= 5);
}
