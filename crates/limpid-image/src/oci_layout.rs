//! `oci:DIR[:NAME|@DIGEST]`: an OCI image layout.
//!
//! Source: OCI image specification v1.1, "image-layout".

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use limpid_model::{Digest, ImageMetadata};

use crate::image::{Image, LayerContent, OpenOptions};
use crate::index::{Documents, Search};
use crate::manifest::{Config, DOCUMENT_BYTES_MAX, Descriptor, Document, parse};
use crate::reference::{Selector, split_target};
use crate::{Error, names};

/// Where a layout's files are.
pub(crate) trait Blobs: Send + Sync {
    /// A file of the layout, by its path in it, and its size if known.
    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, Error>;
    /// Whether there is such a file.
    fn has(&self, path: &str) -> bool;
    /// The layout's name in errors.
    fn name(&self) -> String;
}

/// An image of a layout.
pub(crate) struct OciImage<B> {
    blobs: B,
    metadata: ImageMetadata,
}

/// A layout in a directory.
#[derive(Clone)]
pub(crate) struct InDirectory(PathBuf);

impl Blobs for InDirectory {
    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, Error> {
        let path = self.0.join(path);
        let file = File::open(&path).map_err(|error| Error::io(path.display().to_string(), error))?;
        Ok(Box::new(file))
    }

    fn has(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }

    fn name(&self) -> String {
        self.0.display().to_string()
    }
}

pub(crate) fn open(target: &str, options: &OpenOptions) -> Result<OciImage<InDirectory>, Error> {
    let (directory, selector) = locate(target)?;
    OciImage::find(directory, &selector, options)
}

pub(crate) fn open_all(target: &str) -> Result<Vec<OciImage<InDirectory>>, Error> {
    let (directory, selector) = locate(target)?;
    OciImage::find_all(directory, &selector)
}

fn locate(target: &str) -> Result<(InDirectory, Selector), Error> {
    let (directory, selector) = split_target(target, Path::is_dir);
    if !directory.is_dir() {
        return Err(Error::not_found(format!("the directory {}", directory.display())));
    }
    Ok((InDirectory(directory), selector))
}

impl<B: Blobs> OciImage<B> {
    /// Finds the image that `selector` and the options' platform name.
    pub(crate) fn find(blobs: B, selector: &Selector, options: &OpenOptions) -> Result<Self, Error> {
        let (among, direct) = entries(&blobs, selector)?;
        let source = Layout(&blobs);
        let search = Search::new(&source);
        let wanted = options.platform.as_ref();
        let (digest, manifest) = match direct {
            Some(digest) => search.one_from(digest, wanted)?,
            None => search.one(&among, wanted)?,
        };
        let metadata = metadata(&blobs, digest, &manifest)?;
        Ok(Self { blobs, metadata })
    }

    /// Finds the images of all platforms that `selector` names.
    pub(crate) fn find_all(blobs: B, selector: &Selector) -> Result<Vec<Self>, Error>
    where
        B: Clone,
    {
        let (among, direct) = entries(&blobs, selector)?;
        let source = Layout(&blobs);
        let search = Search::new(&source);
        let found = match direct {
            Some(digest) => search.all_from(digest)?,
            None => search.all(&among)?,
        };
        let image = |(digest, manifest): &(Digest, Document)| {
            Ok(Self { blobs: blobs.clone(), metadata: metadata(&blobs, *digest, manifest)? })
        };
        found.iter().map(image).collect()
    }
}

/// Indexes and manifests of a layout.
struct Layout<'a, B>(&'a B);

impl<B: Blobs> Documents for Layout<'_, B> {
    fn document(&self, digest: Digest, _: Option<&Descriptor>) -> Result<Document, Error> {
        let what = format!("blob {digest} of {}", self.0.name());
        keep_present(self.0, Document::read(&document(self.0, digest)?, &what)?)
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

/// The entries of the layout's own index that are meant, or a digest that it need not name.
fn entries(blobs: &impl Blobs, selector: &Selector) -> Result<(Vec<Descriptor>, Option<Digest>), Error> {
    let name = blobs.name();
    let what = format!("index.json of {name}");
    let index: Document = parse(&limited(blobs.open("index.json")?, &what)?, &what)?;
    let manifests = index.manifests.ok_or_else(|| Error::malformed(&what, "it lists no manifests"))?;
    let chosen = select(&manifests, selector, &name)?;
    Ok((chosen.among.into_iter().cloned().collect(), chosen.direct))
}

fn metadata(blobs: &impl Blobs, digest: Digest, manifest: &Document) -> Result<ImageMetadata, Error> {
    let what = format!("manifest {digest}");
    let (config_digest, layers) = manifest.parts(&what)?;
    check_present(blobs, &what, layers.iter().map(|(digest, _)| *digest))?;
    let config: Config = parse(&document(blobs, config_digest)?, &format!("config {config_digest}"))?;
    config.metadata(digest, Some(config_digest), &layers, &what)
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
fn select<'a>(manifests: &'a [Descriptor], selector: &Selector, name: &str) -> Result<Chosen<'a>, Error> {
    let missing = |what: String| {
        let available: BTreeSet<&str> = manifests.iter().filter_map(full_name).collect();
        Error::NotFound { what, available: available.into_iter().map(str::to_owned).collect() }
    };
    let named = |wanted: &str| {
        let found = names::named(manifests.iter().map(Descriptor::names), wanted);
        found.into_iter().filter_map(|at| manifests.get(at)).collect::<Vec<_>>()
    };
    // Entries of one name are one image's for several platforms; those of several names are several images.
    let is_one = |found: &[&Descriptor]| {
        found.iter().filter_map(|found| full_name(found)).collect::<BTreeSet<_>>().len() <= 1
    };
    let found: Vec<&Descriptor> = match selector {
        Selector::Name(wanted) => {
            let found = named(wanted);
            if found.is_empty() {
                return Err(missing(format!("the image `{wanted}` in {name}")));
            }
            if !is_one(&found) {
                return Err(missing(format!("the one image `{wanted}` in {name}, where it names several,")));
            }
            found
        }
        Selector::Digest(digest) => {
            let wanted = digest.to_string();
            let found: Vec<_> = manifests.iter().filter(|manifest| manifest.digest == wanted).collect();
            // A digest may also be that of a manifest that no index entry names.
            if found.is_empty() {
                return Ok(Chosen { among: Vec::new(), direct: Some(*digest) });
            }
            found
        }
        Selector::Index(at) => {
            let found = manifests.get(*at).ok_or_else(|| missing(format!("image number {at} in {name}")))?;
            vec![found]
        }
        Selector::Default => {
            let (all, latest): (Vec<_>, _) = (manifests.iter().collect(), named("latest"));
            if !latest.is_empty() && is_one(&latest) {
                latest
            } else if is_one(&all) {
                all
            } else {
                return Err(missing(format!("the one image of {name}, which holds several,")));
            }
        }
    };
    Ok(Chosen { among: found, direct: None })
}

/// The name that an entry has in full: containerd's, which comes first, or the specification's.
fn full_name(descriptor: &Descriptor) -> Option<&str> {
    descriptor.names().first().copied()
}

/// An index without the entries whose blobs are not there: exports hold the blobs of some platforms only.
fn keep_present(blobs: &impl Blobs, mut index: Document) -> Result<Document, Error> {
    let Some(manifests) = index.manifests.take().filter(|_| index.layers.is_none()) else { return Ok(index) };
    let is_there = |descriptor: &Descriptor| {
        // What is no digest is complained of where it is needed.
        descriptor.digest("an index").map_or(true, |digest| blobs.has(&blob_path(digest)))
    };
    let listed = manifests.len();
    let (there, absent): (Vec<_>, Vec<_>) = manifests.into_iter().partition(is_there);
    if there.is_empty() && listed > 0 {
        let absent = absent.iter().map(|descriptor| {
            descriptor.platform().map_or_else(|| descriptor.digest.clone(), |platform| platform.to_string())
        });
        let absent: Vec<String> = absent.collect();
        return Err(Error::not_found(format!(
            "any image of an index in {} that lists {}",
            blobs.name(),
            absent.join(", ")
        )));
    }
    index.manifests = Some(there);
    Ok(index)
}

/// An error if a blob of the image is not there: known before any of them is read.
fn check_present(blobs: &impl Blobs, what: &str, needed: impl Iterator<Item = Digest>) -> Result<(), Error> {
    let mut needed = needed;
    match needed.find(|digest| !blobs.has(&blob_path(*digest))) {
        Some(digest) => {
            Err(Error::not_found(format!("the blob {digest} that {what} of {} lists", blobs.name())))
        }
        None => Ok(()),
    }
}

struct Chosen<'a> {
    among: Vec<&'a Descriptor>,
    direct: Option<Digest>,
}
