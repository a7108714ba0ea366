//! `docker-archive:FILE[:NAME]`: what `docker save` and `podman save` write, or standard input for `-`.
//!
//! Both layouts are read: the old one, with a folder and a `layer.tar` for each layer, and that of Docker 25 and
//! later, with `blobs/sha256`. There is no manifest in the registry's sense: the image is known by a digest
//! over its config's digest and its layers' digests.

use limpid_model::{Digest, Hasher, ImageMetadata};
use serde::Deserialize;

use crate::archive::{self, Archive};
use crate::compression::{Compression, Decoded};
use crate::image::{Image, LayerContent, OpenOptions};
use crate::manifest::{Config, parse};
use crate::oci_layout::limited;
use crate::reference::{Selector, split_target};
use crate::{Error, names};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Saved {
    pub(crate) config: String,
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) layers: Option<Vec<String>>,
}

/// What stands in for the digest of the manifest that a saved image has not.
pub(crate) fn stand_in(config: Digest, layers: impl IntoIterator<Item = Digest>) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(config.as_bytes());
    layers.into_iter().for_each(|digest| hasher.update(digest.as_bytes()));
    hasher.finish()
}

pub(crate) struct DockerImage {
    archive: Archive,
    layers: Vec<String>,
    metadata: ImageMetadata,
}

pub(crate) fn open(target: &str, options: &OpenOptions) -> Result<DockerImage, Error> {
    let (path, selector) = split_target(target, archive::exists);
    let archive = Archive::open(&path, &options.limits)?;
    let name = archive.name().to_owned();
    if !archive.has("manifest.json") {
        return Err(Error::malformed(&name, "it has no manifest.json, so `docker save` did not write it"));
    }
    let what = format!("manifest.json of {name}");
    let saved: Vec<Saved> = parse(&limited(archive.member("manifest.json")?.0, &what)?, &what)?;
    let saved = select(saved, &selector, &name)?;
    let what = format!("config {} of {name}", saved.config);
    let bytes = limited(archive.member(&saved.config)?.0, &what)?;
    let config_digest = Digest::of(&bytes);
    let config: Config = parse(&bytes, &what)?;
    let diff_ids = config.diff_ids();
    let paths = saved.layers.unwrap_or_default();
    let mut layers = Vec::with_capacity(paths.len());
    for (index, path) in paths.iter().enumerate() {
        let diff_id = diff_ids.get(index).copied().flatten();
        layers.push(describe(&archive, path, diff_id, options)?);
    }
    let digest = stand_in(config_digest, layers.iter().map(|(digest, _)| *digest));
    let metadata = config.metadata(digest, Some(config_digest), &layers, &name)?;
    Ok(DockerImage { archive, layers: paths, metadata })
}

fn select(saved: Vec<Saved>, selector: &Selector, name: &str) -> Result<Saved, Error> {
    let tags: Vec<String> =
        saved.iter().flat_map(|image| image.repo_tags.iter().flatten().cloned()).collect();
    let missing = |what: String| Error::NotFound { what, available: tags.clone() };
    match selector {
        Selector::Default if saved.len() > 1 => {
            Err(missing(format!("the one image of {name}, which holds several,")))
        }
        Selector::Default => {
            saved.into_iter().next().ok_or_else(|| Error::malformed(name, "its manifest.json lists no image"))
        }
        Selector::Index(at) => {
            saved.into_iter().nth(*at).ok_or_else(|| missing(format!("image number {at} in {name}")))
        }
        Selector::Digest(digest) => Err(missing(format!("an image by the digest {digest} in {name}"))),
        Selector::Name(wanted) => {
            let names =
                saved.iter().map(|image| image.repo_tags.iter().flatten().map(String::as_str).collect());
            match names::named(names, wanted)[..] {
                [at] => {
                    saved.into_iter().nth(at).ok_or_else(|| missing(format!("image number {at} in {name}")))
                }
                [] => Err(missing(format!("the image `{wanted}` in {name}"))),
                _ => Err(missing(format!("the one image `{wanted}` in {name}, where it names several,"))),
            }
        }
    }
}

/// A layer's digest and size as stored. Of a plain archive the config claims the digest, and reading it
/// verifies that; of a compressed one nobody does, so it is hashed here.
fn describe(
    archive: &Archive,
    path: &str,
    diff_id: Option<Digest>,
    options: &OpenOptions,
) -> Result<(Digest, u64), Error> {
    let (reader, size) = archive.member(path)?;
    let what = format!("{path} of {}", archive.name());
    let compression = Decoded::new(reader, &what, &options.limits)?.compression();
    if let (Compression::None, Some(diff_id)) = (compression, diff_id) {
        return Ok((diff_id, size));
    }
    let (mut reader, _) = archive.member(path)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = reader.read(&mut buffer).map_err(|error| Error::io(what.as_str(), error))?;
        if read == 0 {
            return Ok((hasher.finish(), size));
        }
        hasher.update(&buffer[..read]);
    }
}

impl Image for DockerImage {
    fn metadata(&self) -> &ImageMetadata {
        &self.metadata
    }

    fn layer(&self, index: usize) -> Result<LayerContent, Error> {
        let path = self.layers.get(index);
        let path = path.ok_or_else(|| Error::not_found(format!("layer {}", index + 1)))?;
        Ok(LayerContent::Blob(self.archive.member(path)?.0))
    }
}
