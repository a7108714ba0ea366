//! Manifests as Clair's API takes them, `clairctl manifest` prints them and Quay sends them. What they are is said in
//! [`ClairManifest`].

use limpid_image::ClairManifest;

use super::{Entry, Format};
use crate::Work;

pub(super) const FORMAT: Format = Format {
    is_it: |keys| keys.hash && keys.layers,
    read: |json, _| {
        let manifest = ClairManifest::parse(json).map_err(|error| error.to_string())?;
        Ok(Entry::Work(vec![Work::Manifest(manifest)]))
    },
};
