//! What both kinds of bill of materials need of an image: purls that are unique, and names for what has none.

use std::collections::BTreeMap;

use limpid_model::Report;

use crate::image_name::ImageName;

/// The names of an image and its packages in one document.
pub(crate) struct Bom {
    /// The image's own purl.
    pub(crate) image: String,
    /// The purl of each package, in the order of the report.
    pub(crate) purls: Vec<String>,
    /// The same, with a number behind those that several packages have: the same version in two databases.
    pub(crate) references: Vec<String>,
}

impl Bom {
    pub(crate) fn of(report: &Report) -> Self {
        let name = ImageName::of(report);
        let image = crate::purl::image(
            &name,
            &report.image.manifest_digest.to_string(),
            &report.image.platform.architecture,
        );
        let distribution = report.coverage.distribution.as_ref();
        let purls: Vec<String> =
            report.packages.iter().map(|package| crate::purl(package, distribution)).collect();
        let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
        let mut references = Vec::with_capacity(purls.len());
        for purl in &purls {
            let count = seen.entry(purl).or_default();
            *count += 1;
            // A purl has no `|`, so no other purl can be what comes out.
            references.push(if *count == 1 { purl.clone() } else { format!("{purl}|{count}") });
        }
        Self { image, purls, references }
    }
}
