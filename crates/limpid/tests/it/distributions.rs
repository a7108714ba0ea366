//! Distributions of real images, and the page that says what is known and how it was tested.

use std::fs;
use std::path::Path;

use limpid_store::Store as _;
use limpid_testkit::{corpus, require_or_skip};

use crate::Context;

const SAMPLES: &str = include_str!("../samples.tsv");

#[test]
fn every_sample_is_what_the_list_says() {
    let tests = concat!(include_str!("databases.rs"), include_str!("packages.rs"));
    let corpus = require_or_skip(corpus(), "the corpus of real images");
    let context = Context::new();
    for line in SAMPLES.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [release, compared, sample] = columns[..] else { panic!("{line}") };
        assert!(["packages", "name"].contains(&compared), "{line}");
        if let Some(test) = sample.strip_prefix('`') {
            let test = test.split('`').next().unwrap();
            assert!(tests.contains(&format!("fn {test}()")), "{line}");
            continue;
        }
        let Some(corpus) = &corpus else { continue };
        let folder = corpus.join(sample);
        assert!(folder.join(format!("{sample}.packages.tsv")).is_file(), "{sample} has no truth");
        let reference = format!("oci:{}", folder.join("oci").display());
        let packages = context.ok(&["packages", "--offline", "--quiet", "--format", "tsv", &reference]);
        assert!(compared == "name" || !packages.is_empty(), "{sample} has no packages");
        let store = limpid_store::SqliteStore::open(&context.path().join("store.db")).unwrap();
        let (_, record) = store.image_by_reference(&reference).unwrap().unwrap();
        let named = record.distribution.as_ref().map(limpid_match::release).unwrap_or_default();
        assert_eq!(named, release, "{sample}");
    }
}

#[test]
fn the_page_on_coverage_is_what_the_command_prints() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/coverage.md");
    let printed = Context::new().ok(&["coverage"]);
    assert_eq!(fs::read_to_string(page).unwrap_or_default(), printed, "run `cargo xtask coverage`");
}
