//! The example images, made from readable facts.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use limpid_testkit::{Encoding, ImageBuilder, Layer, dpkg_status};
use serde::Deserialize;

#[derive(Deserialize)]
struct Facts {
    layers: Vec<LayerFacts>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayerFacts {
    command: String,
    #[serde(default)]
    os_release: String,
    /// Package, version, source as dpkg writes it (empty if it is the package's own name).
    packages: Vec<(String, String, String)>,
}

/// Each example's archive and what it should hold.
fn made() -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = crate::root().join("examples/images");
    let mut made = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let facts: Facts =
            serde_json::from_slice(&fs::read(&path)?).with_context(|| path.display().to_string())?;
        let image = facts.layers.iter().fold(ImageBuilder::new(), |image, facts| {
            let mut layer = Layer::new();
            if !facts.os_release.is_empty() {
                layer = layer.directory("etc").file("etc/os-release", &facts.os_release);
            }
            let packages: Vec<_> =
                facts.packages.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
            image.layer(&facts.command, &layer.file("var/lib/dpkg/status", dpkg_status(&packages)))
        });
        made.push((path.with_extension("tar"), image.oci_archive(Encoding::Gzip)));
    }
    Ok(made)
}

/// Writes the archives.
pub(crate) fn write() -> anyhow::Result<()> {
    for (path, bytes) in made()? {
        fs::write(path, bytes)?;
    }
    Ok(())
}

/// The archives that are not what their facts give.
pub(crate) fn stale() -> anyhow::Result<Vec<String>> {
    let stale = made()?.into_iter().filter(|(path, bytes)| fs::read(path).ok().as_ref() != Some(bytes));
    Ok(stale.map(|(path, _)| path.display().to_string()).collect())
}
