//! Any bytes for the extractor that the target is named after: an answer or an error, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpid_extract::EXTRACTORS;

fuzz_target!(|bytes: &[u8]| {
    let name = env!("CARGO_BIN_NAME");
    let extractor = EXTRACTORS.iter().find(|known| known.name() == name).expect("an extractor of that name");
    let _ = extractor.extract_in_pieces("", &bytes);
    let _ = extractor.extract("", bytes);
});
