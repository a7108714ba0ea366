//! Where package databases and release files are looked for, for those who want to know.

use limpid_extract::{Anchor, EXTRACTORS};

/// An extractor and where the ecosystem's tools keep what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The extractor's name.
    pub extractor: &'static str,
    /// Its version.
    pub version: u32,
    /// Paths; `*` stands for one name, a `/` at the end for every file of the directory that it reads.
    pub paths: Vec<String>,
}

/// Every extractor's, in the order in which they count.
pub fn places() -> Vec<Place> {
    let path = |anchor: &Anchor| match anchor {
        Anchor::File(path) => (*path).to_owned(),
        Anchor::Directory(path) => format!("{path}/"),
        Anchor::Below(path, levels, file) => format!("{path}/{}{file}", "*/".repeat(*levels)),
    };
    let places = EXTRACTORS.iter().map(|extractor| Place {
        extractor: extractor.name(),
        version: extractor.version(),
        paths: extractor.anchors().iter().map(path).collect(),
    });
    places.collect()
}
