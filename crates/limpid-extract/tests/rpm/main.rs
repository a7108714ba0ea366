//! rpm's databases, made by rpm itself where it can, compared with what it says of them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod against_rpm;
mod hostile;
mod made_by_hand;
mod sqlite_file;

use limpid_extract::{EXTRACTORS, ExtractError, Extracted};
use limpid_model::{Package, Record};

/// What an extractor makes of a file.
fn extract(extractor: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
    let extractor = EXTRACTORS.iter().find(|known| known.name() == extractor).unwrap();
    extractor.extract_in_pieces("", &content)
}

/// The packages of a file that must be sound.
fn packages(extractor: &str, content: &[u8]) -> Vec<Package> {
    let extracted = extract(extractor, content).unwrap();
    assert_eq!(extracted.problems, Vec::<String>::new());
    let Record::Packages(packages) = extracted.record else { panic!("packages") };
    packages
}
