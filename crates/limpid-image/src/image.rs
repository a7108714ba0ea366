//! An image, wherever it comes from.

use std::io::Read;
use std::path::PathBuf;

use limpid_model::{ImageMetadata, Platform};

use crate::engine::{self, EngineOptions};
use crate::stream::LayerStream;
use crate::{
    Error, Limits, Reference, RegistryOptions, directory, docker_archive, oci_archive, oci_layout, registry,
};

/// How to open an image.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Which image of an index; this machine's on Linux if nothing is said.
    pub platform: Option<Platform>,
    /// Bounds.
    pub limits: Limits,
    /// How registries are reached.
    pub registry: RegistryOptions,
    /// Where engines listen.
    pub engines: EngineOptions,
}

/// An image whose metadata is known and whose layers can be read, from several threads at once.
pub trait Image: Send + Sync {
    /// What its manifest and config say.
    fn metadata(&self) -> &ImageMetadata;

    /// The content of the layer at `index` of the metadata's layers, from its beginning.
    fn layer(&self, index: usize) -> Result<LayerContent, Error>;

    /// The image as a stream, if its layers cannot be read one by one. Its metadata is then a claim, and what
    /// the stream says counts.
    fn stream(&self) -> Option<&dyn LayerStream> {
        None
    }
}

/// Where a layer's content is.
pub enum LayerContent {
    /// A blob: an archive, compressed or not.
    Blob(Box<dyn Read + Send>),
    /// A directory of the file system.
    Tree(PathBuf),
    /// It is not to be had, for a reason that is no failure: what the image has in it stays unknown.
    Withheld(String),
}

impl std::fmt::Debug for LayerContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Blob(_) => f.write_str("Blob"),
            Self::Withheld(reason) => f.debug_tuple("Withheld").field(reason).finish(),
            Self::Tree(path) => f.debug_tuple("Tree").field(path).finish(),
        }
    }
}

/// Finds the image that `reference` names and reads its metadata, none of its layers.
pub fn open(reference: &Reference, options: &OpenOptions) -> Result<Box<dyn Image>, Error> {
    match reference {
        Reference::OciLayout(target) => Ok(Box::new(oci_layout::open(target, options)?)),
        Reference::OciArchive(target) => Ok(Box::new(oci_archive::open(target, options)?)),
        Reference::DockerArchive(target) => Ok(Box::new(docker_archive::open(target, options)?)),
        Reference::Directory(path) => Ok(Box::new(directory::open(path)?)),
        Reference::DockerDaemon(name) => Ok(Box::new(engine::open_docker(name, options)?)),
        Reference::Podman(name) => Ok(Box::new(engine::open_podman(name, options)?)),
        Reference::Registry(name) => Ok(Box::new(registry::open(name, options)?)),
    }
}

/// The images of all platforms that `reference` names, in its index's order; of a source without an index its
/// one image. The options' platform is not looked at. Attestations and artifacts are no images.
pub fn open_all(reference: &Reference, options: &OpenOptions) -> Result<Vec<Box<dyn Image>>, Error> {
    fn boxed<I: Image + 'static>(images: Vec<I>) -> Vec<Box<dyn Image>> {
        images.into_iter().map(|image| Box::new(image) as Box<dyn Image>).collect()
    }
    match reference {
        Reference::OciLayout(target) => Ok(boxed(oci_layout::open_all(target)?)),
        Reference::OciArchive(target) => Ok(boxed(oci_archive::open_all(target, options)?)),
        Reference::Registry(name) => Ok(boxed(registry::open_all(name, options)?)),
        _ => Ok(vec![open(reference, options)?]),
    }
}
