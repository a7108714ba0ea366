//! Whole feeds as upstream publishes them: nothing is lost without a named reason.
//!
//! The numbers are those that the shared data's own description states, or that a line of shell counts in it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use limpid_feeds::{AlpineSecdb, DEBIAN_DLA, DEBIAN_DSA, DebianElts, Feed, Limits, ParseSummary, UbuntuOsv};
use limpid_testkit::{feeds_mirror, require_or_skip};

/// Reads all documents of a feed; the summaries' sum.
fn read(feed: &dyn Feed, mirror: &Path) -> ParseSummary {
    let mut sum = ParseSummary::default();
    for document in feed.all_documents() {
        let path = mirror.join(document.url.strip_prefix("https://").unwrap());
        let mut file = File::open(path).unwrap();
        let summary = feed.parse(&document, &mut file, &Limits::default(), &mut |_| Ok(())).unwrap();
        sum.advisories += summary.advisories;
        sum.affected += summary.affected;
        for (reason, count) in summary.skipped {
            *sum.skipped.entry(reason).or_default() += count;
        }
    }
    sum
}

fn skipped(summary: &ParseSummary) -> BTreeMap<&str, u64> {
    summary.skipped.iter().map(|(reason, count)| (reason.as_str(), *count)).collect()
}

#[test]
fn every_record_of_ubuntu_is_taken_or_left_out_by_name() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let summary = read(&UbuntuOsv, &mirror);
    // 39,616 records made from the tracker and three of Canonical's own: a CVE, a USN and an LSN.
    assert_eq!(summary.advisories, 39_617);
    let expected = [
        ("notice of a live patch, which is no package", 1),
        ("notice whose vulnerabilities have records of their own", 1),
    ];
    assert_eq!(skipped(&summary), BTreeMap::from(expected));
}

#[test]
fn every_entry_of_alpine_is_taken_or_left_out_by_name() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let summary = read(&AlpineSecdb, &mirror);
    // 106,960 ids in 44 files, of which 20 are placeholders; 11 say what another says of the same version.
    assert_eq!(skipped(&summary), BTreeMap::from([("id is a placeholder or none", 20)]));
    assert_eq!(summary.affected, 106_960 - 20 - 11);
}

#[test]
fn every_line_of_debians_notices_is_taken_or_left_out_by_name() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    // 5,406 DSAs and 3,534 DLAs: each vulnerability of a notice is an advisory, each package of it a row.
    let summary = read(&DEBIAN_DSA, &mirror);
    assert_eq!((summary.advisories, summary.affected), (16_616, 21_391));
    let expected = [
        ("notice announces no vulnerability", 78),
        ("notice names no package", 23),
        ("release is the Security Tracker's", 410),
    ];
    assert_eq!(skipped(&summary), BTreeMap::from(expected));
    let summary = read(&DEBIAN_DLA, &mirror);
    assert_eq!((summary.advisories, summary.affected), (11_114, 11_119));
    let expected = [("notice announces no vulnerability", 192), ("notice names no package", 4)];
    assert_eq!(skipped(&summary), BTreeMap::from(expected));
    // 1,712 ELAs, and what the rendering gave to the wrong ones.
    let summary = read(&DebianElts, &mirror);
    assert_eq!((summary.advisories, summary.affected), (11_293, 19_352));
    let expected =
        [("notice names no package or no vulnerability", 1), ("package is of another notice", 205)];
    assert_eq!(skipped(&summary), BTreeMap::from(expected));
}
