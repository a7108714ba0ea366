//! Replays the corpus of the fuzz targets: every target is an extractor, has seeds, and reads each of them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;

use limpid_extract::EXTRACTORS;

#[test]
fn every_target_reads_its_seeds_and_survives_their_pieces() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let targets = manifest["bin"].as_array().unwrap();
    assert!(targets.len() >= 6);
    for target in targets {
        let name = target["name"].as_str().unwrap();
        let extractor = EXTRACTORS.iter().find(|known| known.name() == name);
        let extractor = extractor.unwrap_or_else(|| panic!("{name} is no extractor"));
        let seeds = fs::read_dir(fuzz.join("corpus").join(name)).unwrap();
        let mut sound = 0;
        for seed in seeds {
            let bytes = fs::read(seed.unwrap().path()).unwrap();
            let slice = bytes.as_slice();
            if extractor.extract_in_pieces("", &slice).is_ok_and(|extracted| extracted.problems.is_empty()) {
                sound += 1;
            }
            for end in (0..bytes.len()).step_by(97) {
                let _ = extractor.extract("", &bytes[..end]);
            }
        }
        assert!(sound > 0, "{name} has no sound seed");
    }
}
