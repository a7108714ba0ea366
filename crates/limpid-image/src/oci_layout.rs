//! `oci:DIR[:NAME|@DIGEST]`: an OCI image layout.
//!
//! Source: OCI image specification v1.1, "image-layout".

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use limpid_model::{Digest, ImageMetadata, Platform};

use crate::image::{Image, LayerContent, OpenOptions};
use crate::manifest::{Config, DOCUMENT_BYTES_MAX, Descriptor, Document, NESTING_MAX, parse};
use crate::reference::{Selector, split_target};
use crate::{Error, platform};

/// Where a layout's files are.
pub(crate) trait Blobs: Send + Sync {
    /// A file of the layout, by its path in it, and its size if known.
    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, Error>;
    /// The layout's name in errors.
    fn name(&self) -> String;
}

/// An image of a layout.
pub(crate) struct OciImage<B> {
    blobs: B,
    metadata: ImageMetadata,
}

/// A layout in a directory.
pub(crate) struct InDirectory(PathBuf);

impl Blobs for InDirectory {
    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, Error> {
        let path = self.0.join(path);
        let file = File::open(&path).map_err(|error| Error::io(path.display().to_string(), error))?;
        Ok(Box::new(file))
    }

    fn name(&self) -> String {
        self.0.display().to_string()
    }
}

pub(crate) fn open(target: &str, options: &OpenOptions) -> Result<OciImage<InDirectory>, Error> {
    let (directory, selector) = split_target(target, Path::is_dir);
    if !directory.is_dir() {
        return Err(Error::not_found(format!("the directory {}", directory.display())));
    }
    OciImage::find(InDirectory(directory), &selector, options)
}

impl<B: Blobs> OciImage<B> {
    /// Finds the image that `selector` and the options' platform name.
    pub(crate) fn find(blobs: B, selector: &Selector, options: &OpenOptions) -> Result<Self, Error> {
        let name = blobs.name();
        let what = format!("index.json of {name}");
        let index: Document = parse(&limited(blobs.open("index.json")?, &what)?, &what)?;
        let manifests = index.manifests.ok_or_else(|| Error::malformed(&what, "it lists no manifests"))?;
        let descriptor = select(&manifests, selector, &name, options.platform.is_none())?;
        let (manifest_digest, manifest) = resolve(&blobs, descriptor, options.platform.as_ref())?;
        let what = format!("manifest {manifest_digest}");
        let config = manifest.config.ok_or_else(|| Error::malformed(&what, "it has no config"))?;
        let layers = manifest.layers.unwrap_or_default();
        let layers = layers
            .iter()
            .map(|layer| Ok((layer.digest(&what)?, layer.size)))
            .collect::<Result<Vec<_>, Error>>()?;
        let config_digest = config.digest(&what)?;
        if !config.media_type.is_empty() && !config.media_type.contains("image") {
            return Err(Error::unsupported(
                what,
                format!("its config is of type {}: it is no image", config.media_type),
            ));
        }
        let config: Config = parse(&document(&blobs, config_digest)?, &format!("config {config_digest}"))?;
        let metadata = config.metadata(manifest_digest, Some(config_digest), &layers, &what)?;
        Ok(Self { blobs, metadata })
    }
}

impl<B: Blobs> Image for OciImage<B> {
    fn metadata(&self) -> &ImageMetadata {
        &self.metadata
    }

    fn layer(&self, index: usize) -> Result<LayerContent, Error> {
        let layer = self.metadata.layers.get(index);
        let layer = layer.ok_or_else(|| Error::not_found(format!("layer {}", index + 1)))?;
        Ok(LayerContent::Blob(self.blobs.open(&blob_path(layer.digest))?))
    }
}

fn blob_path(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A JSON document, checked against its digest.
fn document(blobs: &impl Blobs, digest: Digest) -> Result<Vec<u8>, Error> {
    let what = format!("blob {digest} of {}", blobs.name());
    let bytes = limited(blobs.open(&blob_path(digest))?, &what)?;
    let got = Digest::of(&bytes);
    if got == digest { Ok(bytes) } else { Err(Error::DigestMismatch { what, expected: digest, got }) }
}

/// All bytes of a document.
pub(crate) fn limited(reader: impl Read, what: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    reader.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| Error::io(what, error))?;
    if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(Error::limit(what, format!("{DOCUMENT_BYTES_MAX} bytes of a JSON document")));
    }
    Ok(bytes)
}

/// The entry of the layout's own index that is meant.
fn select<'a>(
    manifests: &'a [Descriptor],
    selector: &Selector,
    name: &str,
    any_platform: bool,
) -> Result<Chosen<'a>, Error> {
    let names = || {
        let mut names: Vec<String> =
            manifests.iter().flat_map(Descriptor::names).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    };
    let missing = |what: String| Error::NotFound { what, available: names() };
    let named = |wanted: &str| {
        let is_it =
            |name: &&str| *name == wanted || name.rsplit_once(':').is_some_and(|(_, tag)| tag == wanted);
        manifests.iter().filter(|manifest| manifest.names().iter().any(is_it)).collect::<Vec<_>>()
    };
    let found: Vec<&Descriptor> = match selector {
        Selector::Name(wanted) => {
            let found = named(wanted);
            if found.is_empty() {
                return Err(missing(format!("the image `{wanted}` in {name}")));
            }
            found
        }
        Selector::Digest(digest) => {
            let wanted = digest.to_string();
            let found: Vec<_> = manifests.iter().filter(|manifest| manifest.digest == wanted).collect();
            // A digest may also be that of a manifest that no index entry names.
            if found.is_empty() {
                return Ok(Chosen { among: Vec::new(), direct: Some(*digest), any_platform });
            }
            found
        }
        Selector::Index(at) => {
            let found = manifests.get(*at).ok_or_else(|| missing(format!("image number {at} in {name}")))?;
            vec![found]
        }
        Selector::Default => match named("latest") {
            latest if !latest.is_empty() => latest,
            _ => {
                let names = names();
                if names.len() > 1 {
                    return Err(missing(format!("the one image of {name}, which holds several,")));
                }
                manifests.iter().collect()
            }
        },
    };
    Ok(Chosen { among: found, direct: None, any_platform })
}

struct Chosen<'a> {
    among: Vec<&'a Descriptor>,
    direct: Option<Digest>,
    any_platform: bool,
}

/// Follows indexes down to a manifest for the platform.
fn resolve(
    blobs: &impl Blobs,
    chosen: Chosen<'_>,
    wanted: Option<&Platform>,
) -> Result<(Digest, Document), Error> {
    let mut among: Vec<Descriptor> = chosen.among.into_iter().cloned().collect();
    let mut next = chosen.direct;
    for _ in 0..NESTING_MAX {
        let digest = match next.take() {
            Some(digest) => digest,
            None => choose(&among, wanted, chosen.any_platform)?.digest("an index")?,
        };
        let what = format!("blob {digest} of {}", blobs.name());
        let document: Document = parse(&document(blobs, digest)?, &what)?;
        match document.manifests {
            Some(manifests) if document.layers.is_none() => among = manifests,
            _ if document.config.is_some() => return Ok((digest, document)),
            _ => return Err(Error::malformed(what, "it is neither a manifest nor an index")),
        }
    }
    Err(Error::limit(blobs.name(), format!("{NESTING_MAX} indexes inside one another")))
}

/// The descriptor for the platform; if there is only one and nobody asked for a platform, that one.
fn choose<'a>(
    among: &'a [Descriptor],
    wanted: Option<&Platform>,
    any_platform: bool,
) -> Result<&'a Descriptor, Error> {
    let images: Vec<&Descriptor> = among
        .iter()
        .filter(|descriptor| {
            !descriptor.platform().is_some_and(|platform| platform::is_attestation(&platform))
        })
        .collect();
    if let [only] = images[..]
        && (any_platform || only.platform().is_none())
    {
        return Ok(only);
    }
    let wanted = wanted.cloned().unwrap_or_else(platform::host);
    let found = images
        .iter()
        .find(|descriptor| descriptor.platform().is_some_and(|offered| platform::matches(&offered, &wanted)));
    found.copied().ok_or_else(|| Error::NotFound {
        what: format!("an image for {wanted}"),
        available: images
            .iter()
            .filter_map(|descriptor| descriptor.platform())
            .map(|p| p.to_string())
            .collect(),
    })
}
