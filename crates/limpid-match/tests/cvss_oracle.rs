//! Base scores against those that NVD, CISA and the CVE numbering authorities state beside their vectors.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;

use limpid_testkit::{feeds_mirror, require_or_skip};
use serde_json::Value;

/// How many vectors of each version were compared, and those that differ: ours, theirs, the vector.
#[derive(Default)]
struct Comparison {
    compared: BTreeMap<String, u64>,
    differing: Vec<String>,
}

impl Comparison {
    /// Takes every object that has a vector and a base score, wherever it stands.
    fn walk(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(members) => {
                if let (Some(vector), Some(stated)) = (members.get("vectorString"), members.get("baseScore"))
                {
                    self.compare(vector.as_str().unwrap_or_default(), stated.as_f64().unwrap());
                }
                members.values().for_each(|member| self.walk(member));
            }
            _ => {}
        }
    }

    fn compare(&mut self, vector: &str, stated: f64) {
        let ours = limpid_match::base_score(vector);
        let version = ours.map_or("none".to_owned(), |(version, _)| format!("{version:?}"));
        *self.compared.entry(version).or_default() += 1;
        let ours = ours.map(|(_, score)| score.to_string());
        if ours.as_deref() != Some(format!("{stated:.1}").as_str()) {
            self.differing.push(format!("{ours:?} {stated} {vector}"));
        }
    }
}

#[test]
fn every_score_that_nvd_states_is_the_one_that_we_compute() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let mut comparison = Comparison::default();
    for entry in fs::read_dir(mirror.join("nvd.nist.gov/feeds/json/cve/2.0")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "gz") {
            let mut text = String::new();
            flate2::read::GzDecoder::new(File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
            comparison.walk(&serde_json::from_str(&text).unwrap());
        }
    }
    assert_eq!(comparison.differing, Vec::<String>::new());
    assert!(
        comparison.compared["V2_0"] > 40_000 && comparison.compared["V3_1"] > 30_000,
        "{:?}",
        comparison.compared
    );
}

/// Authorities state scores with temporal metrics in them, of another version's rounding, or plainly wrong
/// ones (an 8.4 for a vector of 6.2): 159 of some 26,000 in 2024's records.
#[test]
fn scores_in_cve_records_are_ours_but_for_those_that_contradict_their_vector() {
    let Some(mirror) = require_or_skip(feeds_mirror(), "the feeds' data") else { return };
    let path = mirror.join("codeload.github.com/cisagov/vulnrichment/tar.gz/refs/heads/develop");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(&path).unwrap()));
    let mut comparison = Comparison::default();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let is_record = path.components().any(|part| part.as_os_str() == "2024")
            && path.extension().is_some_and(|extension| extension == "json");
        if is_record {
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            comparison.walk(&serde_json::from_str(&text).unwrap());
        }
    }
    let all: u64 = comparison.compared.values().sum();
    assert!(comparison.compared["V4_0"] > 1_000, "{:?}", comparison.compared);
    assert!((comparison.differing.len() as u64) < all / 100, "{}", comparison.differing.join("\n"));
}
