//! From an image to its record in the store: layers in parallel, composition, nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limpid_extract::{EXTRACTORS, WINDOWS_DIRECTORIES};
use limpid_image::{Image, Limits};
use limpid_model::{Digest, Distribution, ImageMetadata, LayerFindings, LayerProblem};
use limpid_store::{ImageId, ImageRecord, LayerRecord, NewImage, Store};

use crate::analyse::{Analysis, indexer_state, is_withheld};
use crate::batch::{Batch, List, Opener, Source};
use crate::compose::{Composition, Missing, compose};
use crate::lease::Leases;
use crate::report::image_problem;
use crate::{Clock, Error, Process, Progress};

/// How often composition may ask for further files: each round follows one more link into files that were
/// not read, and Linux follows 40.
const ROUNDS_MAX: usize = 40;

/// Indexes images.
pub struct Indexer<'a> {
    /// Where results are kept.
    pub store: &'a dyn Store,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Who watches.
    pub progress: &'a dyn Progress,
    /// Bounds on what is read.
    pub limits: Limits,
    /// Layers that are read at the same time.
    pub threads: usize,
    /// This process among those that use the store.
    pub process: &'a dyn Process,
}

impl Indexer<'_> {
    /// Indexes the images that `references` name; `open` opens what the reference at a position names. What the
    /// store knows already is not read again. Each reference has the outcomes of its images, at least one.
    pub fn index(&self, references: &[String], open: &Opener<'_>) -> Vec<Vec<Result<ImageRecord, Error>>> {
        self.progress.images_found(references.len() as u64);
        let list = List::new(references, open);
        Batch::new(self, &list).run();
        list.outcomes()
    }

    /// Indexes images as they come, until none comes and all are done.
    pub(crate) fn index_from(&self, source: &dyn Source) {
        Batch::new(self, source).run();
    }

    /// Reads one layer of an image into the store, unless it is there: for callers that decide themselves which layers are
    /// read when.
    pub fn layer(&self, image: &dyn Image, index: usize) -> Result<(), Error> {
        self.analysis().layer(image, index).map(drop)
    }

    /// Whether the store has what today's extractors say of a layer.
    pub fn has_layer(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(self.analysis().known(digest)?.is_some())
    }

    /// The image, if the store has it as today's extractors see it; notes that `reference` names it.
    pub(crate) fn known(
        &self,
        image: &dyn Image,
        reference: &str,
    ) -> Result<Option<(ImageId, ImageRecord)>, Error> {
        let metadata = image.metadata();
        let known = self.store.image(&metadata.manifest_digest)?;
        if let Some((_, known)) = &known
            && image.stream().is_none()
            && !known
                .metadata
                .layers
                .iter()
                .map(|layer| layer.digest)
                .eq(metadata.layers.iter().map(|layer| layer.digest))
        {
            // Of a manifest that was not read, what its layers are is somebody's word.
            return Err(limpid_store::Error::Conflict(metadata.manifest_digest).into());
        }
        let known = known.filter(|(_, record)| record.indexer_state == indexer_state());
        if let Some((id, _)) = &known {
            match self.store.put_reference(*id, reference, self.clock.now()) {
                // Forgotten this very moment: then it is not known.
                Err(limpid_store::Error::Gone(_)) => return Ok(None),
                noted => noted?,
            }
        }
        Ok(known)
    }

    /// Indexes an image whose layers were analysed. `records` has what is held of them; the rest is in the store.
    pub(crate) fn compose_all(
        &self,
        image: &dyn Image,
        reference: &str,
        records: BTreeMap<Digest, Arc<LayerRecord>>,
    ) -> Result<(ImageId, ImageRecord), Error> {
        let (metadata, mut layers) = match image.stream() {
            Some(stream) => self.analysis().stream(image, stream)?,
            None => {
                let layers = self.layers(image, records)?;
                (with_verified_layers(image.metadata(), &layers), layers)
            }
        };
        let composition = self.compose(image, &mut layers)?;
        self.keep(&metadata, &layers, &composition, reference)
    }

    /// Stores the image, and of its layers and nodes those that are not there: a collection beside may have freed what no
    /// image used yet.
    fn keep(
        &self,
        metadata: &ImageMetadata,
        layers: &[LayerRecord],
        composition: &Composition,
        reference: &str,
    ) -> Result<(ImageId, ImageRecord), Error> {
        let record = record(metadata.clone(), layers, composition);
        let layers: Vec<&LayerRecord> = layers.iter().collect();
        let image = NewImage { record: &record, layers: &layers, steps: &composition.steps, reference };
        let stored = self.store.put_images(&[image], self.clock.now())?.pop();
        Ok(stored.ok_or(Error::Worker)??)
    }

    /// What each layer says, base first.
    fn layers(
        &self,
        image: &dyn Image,
        mut records: BTreeMap<Digest, Arc<LayerRecord>>,
    ) -> Result<Vec<LayerRecord>, Error> {
        let digests: Vec<Digest> = image.metadata().layers.iter().map(|layer| layer.digest).collect();
        for (index, digest) in digests.iter().enumerate() {
            if !records.contains_key(digest) {
                records.insert(*digest, Arc::new(self.analysis().layer(image, index)?));
            }
        }
        let layers =
            digests.iter().map(|digest| records.get(digest).map(|record| LayerRecord::clone(record)));
        layers.collect::<Option<Vec<_>>>().ok_or(Error::Worker)
    }

    /// Keeps the fleet's index fast. Images are stored and answered for all the same if that fails; who comes next tries again,
    /// and whatever keeps the store from being written is told by what it was written for.
    pub(crate) fn tend(&self) {
        let _ = crate::tend::tend(self.store, self.clock, self.process);
    }

    pub(crate) fn analysis(&self) -> Analysis<'_> {
        Analysis {
            leases: Leases { store: self.store, clock: self.clock, process: self.process },
            progress: self.progress,
            limits: &self.limits,
        }
    }

    /// Composes, and reads once more what links turn out to lead to.
    fn compose(&self, image: &dyn Image, layers: &mut [LayerRecord]) -> Result<Composition, Error> {
        let mut searched: BTreeSet<Missing> = BTreeSet::new();
        for _ in 0..ROUNDS_MAX {
            let digests = layers.iter().map(findings_digest).collect::<Result<Vec<_>, _>>()?;
            let chain: Vec<(&LayerFindings, Digest)> =
                layers.iter().map(|layer| &layer.findings).zip(digests).collect();
            let composition = compose(EXTRACTORS, &chain, &searched);
            if composition.missing.is_empty() {
                return Ok(composition);
            }
            if let Some(stream) = image.stream() {
                // For all at once; below, each layer is then found searched.
                let targets = composition.missing.iter().map(|missing| missing.target.clone()).collect();
                self.analysis().search_stream(image.metadata(), stream, layers, targets)?;
            }
            for missing in composition.missing {
                self.search(image, layers, &missing)?;
                searched.insert(missing);
            }
        }
        Err(Error::Endless(image.metadata().manifest_digest))
    }

    /// Searches layers, from the uppermost that counts downwards, until one has the file.
    fn search(&self, image: &dyn Image, layers: &mut [LayerRecord], missing: &Missing) -> Result<(), Error> {
        let analysis = self.analysis();
        let target = &missing.target;
        let is_it = |path: &str| match target.path.strip_suffix('/') {
            Some(_) => path.starts_with(&target.path),
            None => path == target.path,
        };
        for index in (0..=missing.layer_max.min(layers.len().saturating_sub(1))).rev() {
            layers[index] = analysis.search(image, index, &layers[index], target)?;
            let found = layers[index].findings.records.iter().any(|record| is_it(&record.path));
            if found && !target.path.ends_with('/') {
                break;
            }
        }
        Ok(())
    }
}

/// The image's record, but for its nodes, which the store makes.
fn record(metadata: ImageMetadata, layers: &[LayerRecord], composition: &Composition) -> ImageRecord {
    let mut problems: Vec<LayerProblem> = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let of_layer = layer.findings.problems.iter().cloned();
        problems.extend(of_layer.map(|problem| LayerProblem { layer: Some(index), problem }));
    }
    let looping = composition.loops.iter();
    problems.extend(looping.map(|path| image_problem(path, "its links lead in a circle".to_owned())));
    let left_over = composition.left_over.iter();
    problems.extend(left_over.map(|(path, newer)| {
        image_problem(path, format!("it was left out: {newer} is the database that counts"))
    }));
    // An image of which something was withheld is looked at again the next time.
    let mut both = metadata.layers.iter().zip(layers);
    let whole = !both.any(|(layer, record)| is_withheld(layer, record.size_bytes));
    let windows = windows(&metadata, layers).filter(|_| composition.distribution.is_none());
    if windows.is_some() {
        let reason = "an image for Windows: Limpid does not know what is installed in it".to_owned();
        problems.push(image_problem("", reason));
    }
    let distribution = composition.distribution.clone().or(windows);
    ImageRecord {
        metadata,
        nodes: Vec::new(),
        release: distribution
            .as_ref()
            .filter(|_| composition.has_packages)
            .map(limpid_match::release)
            .unwrap_or_default(),
        distribution,
        problems,
        indexer_state: if whole { indexer_state() } else { String::new() },
    }
}

/// Windows has no file that names it: the config does, and the places that its layers unpack to.
fn windows(metadata: &ImageMetadata, layers: &[LayerRecord]) -> Option<Distribution> {
    let in_layers = layers.iter().any(|layer| {
        layer.findings.entries.iter().any(|entry| WINDOWS_DIRECTORIES.contains(&entry.path.as_str()))
    });
    (metadata.platform.os == "windows" || in_layers).then(|| Distribution {
        id: "windows".to_owned(),
        version_id: metadata.os_version.clone(),
        pretty_name: format!("Windows {}", metadata.os_version).trim_end().to_owned(),
        ..Distribution::default()
    })
}

/// The image's metadata with the digests that were verified, and sizes that nobody had said. Digests differ only where
/// the image has no blobs: a directory's one layer is known by its findings.
fn with_verified_layers(metadata: &ImageMetadata, layers: &[LayerRecord]) -> ImageMetadata {
    let mut metadata = metadata.clone();
    for (layer, record) in metadata.layers.iter_mut().zip(layers) {
        if layer.size_bytes == 0 {
            layer.size_bytes = record.size_bytes;
        }
        if layer.digest != record.digest {
            layer.digest = record.digest;
            layer.size_bytes = record.size_bytes;
            metadata.manifest_digest = Digest::of(record.digest.to_string().as_bytes());
        }
    }
    metadata
}

/// What a layer says, whatever blob said it: copies of a layer in other encodings have the same.
fn findings_digest(layer: &LayerRecord) -> Result<Digest, Error> {
    let bytes = postcard::to_stdvec(&layer.findings)
        .map_err(|error| Error::Encode { layer: layer.digest, reason: error.to_string() })?;
    Ok(Digest::of(&bytes))
}
