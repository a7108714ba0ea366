//! An image of a registry: its manifest and config are read when it is opened, its layers when they are asked
//! for.

use std::path::Path;
use std::sync::Arc;

use limpid_model::{Digest, ImageMetadata};

use super::blob::{Blob, Source};
use super::client::Client;
use super::credentials::Credentials;
use super::name::Name;
use super::registries_conf::{Candidate, Registries};
use super::repository::Repository;
use super::{RegistryError, RegistryOptions};
use crate::Error;
use crate::image::{Image, LayerContent, OpenOptions};
use crate::index::{Documents, Found, Search};
use crate::manifest::{Config, Descriptor, Document, parse};

pub(crate) struct RegistryImage {
    repository: Arc<Repository>,
    metadata: ImageMetadata,
    /// The manifest's words on each layer.
    layers: Vec<Descriptor>,
    foreign_layers: bool,
}

/// Opens the image for the options' platform.
pub(crate) fn open(text: &str, options: &OpenOptions) -> Result<RegistryImage, Error> {
    let images = first_that_answers(text, &options.registry, |repository, digest, document| {
        let search = Search::new(repository);
        Ok(vec![search.one_below(digest, document, options.platform.as_ref())?])
    });
    let mut images = images.map_err(|error| or_on_disk(error, text))?;
    images.pop().ok_or_else(|| Error::not_found(format!("the image {text}")))
}

/// Opens the images of all platforms.
pub(crate) fn open_all(text: &str, options: &OpenOptions) -> Result<Vec<RegistryImage>, Error> {
    let images = first_that_answers(text, &options.registry, |repository, digest, document| {
        Search::new(repository).all_below(digest, document)
    });
    images.map_err(|error| or_on_disk(error, text))
}

type Choose<'a> = &'a dyn Fn(&Repository, Digest, Document) -> Result<Vec<Found>, Error>;

/// Asks wherever the name may be found, mirrors first, until one has the image.
fn first_that_answers(
    text: &str,
    options: &RegistryOptions,
    choose: impl Fn(&Repository, Digest, Document) -> Result<Vec<Found>, Error>,
) -> Result<Vec<RegistryImage>, Error> {
    let name = Name::parse(text)?;
    if options.offline {
        return Err(RegistryError::Offline { name: text.to_owned() }.into());
    }
    let registries = Registries::read(options)?;
    let helpers: Vec<String> = registries
        .credential_helpers
        .iter()
        .filter(|name| *name != "containers-auth.json")
        .cloned()
        .collect();
    let credentials = Arc::new(Credentials::read(options, &helpers)?);
    let client = Arc::new(Client::new(options));
    let mut candidates: Vec<Candidate> = Vec::new();
    for repository in registries.meant(&name)? {
        candidates.extend(registries.candidates(&repository, name.digest.is_some())?);
    }
    let mut others = Vec::new();
    let mut last = None;
    for Candidate { name: at, insecure, is_mirror } in candidates {
        if let Some(error) = last.take() {
            others.push(Error::to_string(&error));
        }
        let repository =
            Repository::new(Arc::clone(&client), at, insecure, Arc::clone(&credentials), !is_mirror);
        match images(repository, &name.selector(), options, &choose) {
            Ok(images) => return Ok(images),
            // What is there and cannot be read is not looked for elsewhere.
            Err(error @ (Error::Unsupported { .. } | Error::NotFound { .. })) => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| Error::not_found(format!("a registry to look for {text} in")));
    if others.is_empty() {
        return Err(error);
    }
    Err(RegistryError::Everywhere { last: Box::new(error), others }.into())
}

/// If a file or folder has the name, that may be what was meant.
fn or_on_disk(error: Error, text: &str) -> Error {
    match Path::new(text).exists() {
        true => RegistryError::OnDisk { error: Box::new(error), path: text.into() }.into(),
        false => error,
    }
}

fn images(
    repository: Repository,
    selector: &str,
    options: &RegistryOptions,
    choose: Choose<'_>,
) -> Result<Vec<RegistryImage>, Error> {
    let repository = Arc::new(repository);
    let (digest, document) = repository.read(selector)?;
    let found = choose(&repository, digest, document)?;
    found.into_iter().map(|found| image(&repository, found, options)).collect()
}

fn image(
    repository: &Arc<Repository>,
    (digest, manifest): Found,
    options: &RegistryOptions,
) -> Result<RegistryImage, Error> {
    let what = format!("manifest {digest}");
    let (config_digest, layers) = manifest.parts(&what)?;
    let name = format!("config {config_digest}");
    let config: Config = parse(&repository.blob_document(config_digest, &name)?, &name)?;
    let metadata = config.metadata(digest, Some(config_digest), &layers, &what)?;
    Ok(RegistryImage {
        repository: Arc::clone(repository),
        metadata,
        layers: manifest.layers.unwrap_or_default(),
        foreign_layers: options.foreign_layers,
    })
}

impl Repository {
    fn read(&self, selector: &str) -> Result<(Digest, Document), Error> {
        let (bytes, digest, media_type) = self.manifest(selector)?;
        let what = format!("manifest {digest} of {}", self.name);
        let document = Document::read_as(&bytes, &media_type, &what)?;
        Ok((digest, document))
    }
}

impl Documents for Repository {
    fn document(&self, digest: Digest, _: Option<&Descriptor>) -> Result<Document, Error> {
        Ok(self.read(&digest.to_string())?.1)
    }

    fn name(&self) -> String {
        self.name.to_string()
    }
}

impl Image for RegistryImage {
    fn metadata(&self) -> &ImageMetadata {
        &self.metadata
    }

    fn layer(&self, index: usize) -> Result<LayerContent, Error> {
        let layer = self.metadata.layers.get(index).zip(self.layers.get(index));
        let (layer, descriptor) = layer.ok_or_else(|| Error::not_found(format!("layer {}", index + 1)))?;
        let mut source = Source::Repository(Arc::clone(&self.repository));
        if descriptor.is_foreign() {
            if !self.foreign_layers {
                return Ok(LayerContent::Withheld(
                    "it is a foreign layer, which the registry does not give away, and was not fetched"
                        .to_owned(),
                ));
            }
            let urls = descriptor.urls.iter().flatten();
            if let Some(url) = urls.into_iter().find(|url| url.starts_with("https://")) {
                source = Source::Elsewhere(Arc::clone(&self.repository), url.clone());
            }
        }
        Ok(LayerContent::Blob(Box::new(Blob::open(source, layer.digest, layer.size_bytes)?)))
    }
}
