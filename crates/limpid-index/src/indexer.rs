//! From an image to its record in the store: layers in parallel, composition, nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use limpid_extract::{EXTRACTORS, WINDOWS_DIRECTORIES};
use limpid_image::{Image, Limits};
use limpid_model::{Digest, Distribution, ImageMetadata, LayerFindings, LayerProblem};
use limpid_store::{ImageId, ImageRecord, LayerRecord, NodeId, Store};

use crate::analyse::{Analysis, indexer_state};
use crate::compose::{Composition, Missing, compose};
use crate::report::image_problem;
use crate::{Clock, Error, Progress};

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
    /// Names this process among those that use the store; unique.
    pub owner: String,
}

impl Indexer<'_> {
    /// Indexes `image`, which was asked for as `reference`. What the store knows already is not read again.
    pub fn index(&self, image: &dyn Image, reference: &str) -> Result<(ImageId, ImageRecord), Error> {
        if let Some((id, record)) = self.store.image(&image.metadata().manifest_digest)?
            && record.indexer_state == indexer_state()
        {
            self.store.put_reference(id, reference, self.clock.now())?;
            return Ok((id, record));
        }
        let mut layers = self.layers(image)?;
        let metadata = with_verified_layers(image.metadata(), &layers);
        let composition = self.compose(image, &mut layers)?;
        let record = self.record(metadata, &layers, composition)?;
        let id = self.store.put_image(&record, reference, self.clock.now())?;
        Ok((id, record))
    }

    /// The findings of every layer, base first; each distinct layer once, the large ones first.
    fn layers(&self, image: &dyn Image) -> Result<Vec<LayerRecord>, Error> {
        let metadata = image.metadata();
        let mut queue: BTreeMap<Digest, usize> = BTreeMap::new();
        for (index, layer) in metadata.layers.iter().enumerate() {
            queue.entry(layer.digest).or_insert(index);
        }
        let mut queue: Vec<usize> = queue.into_values().collect();
        queue.sort_by_key(|index| std::cmp::Reverse(metadata.layers[*index].size_bytes));
        let next = AtomicUsize::new(0);
        let done: Mutex<BTreeMap<Digest, LayerRecord>> = Mutex::default();
        let failed: Mutex<Option<Error>> = Mutex::default();
        let work = || {
            let analysis = self.analysis();
            while let Some(index) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                match analysis.layer(image, *index) {
                    Ok(record) => {
                        let digest = metadata.layers[*index].digest;
                        done.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, record);
                    }
                    Err(error) => {
                        // The others finish the layer they are at and take no further one.
                        next.store(queue.len(), Ordering::Relaxed);
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads.min(queue.len()) {
                scope.spawn(work);
            }
            work();
        });
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        let layers = metadata.layers.iter().map(|layer| done.get(&layer.digest).cloned());
        layers.collect::<Option<Vec<_>>>().ok_or(Error::Worker)
    }

    fn analysis(&self) -> Analysis<'_> {
        Analysis {
            store: self.store,
            clock: self.clock,
            progress: self.progress,
            limits: &self.limits,
            owner: &self.owner,
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
            for missing in composition.missing {
                self.search(image, layers, &missing)?;
                searched.insert(missing);
            }
        }
        Err(Error::Endless(image.metadata().manifest_digest))
    }

    /// Reads layers once more, from the uppermost that counts downwards, until one has the file.
    fn search(&self, image: &dyn Image, layers: &mut [LayerRecord], missing: &Missing) -> Result<(), Error> {
        let analysis = self.analysis();
        let target = &missing.target;
        let is_it = |path: &str| match target.path.strip_suffix('/') {
            Some(_) => path.starts_with(&target.path),
            None => path == target.path,
        };
        for index in (0..=missing.layer_max.min(layers.len().saturating_sub(1))).rev() {
            // Everything this layer was read for before is read for again: findings are replaced whole.
            let mut targets: BTreeSet<limpid_extract::Target> = layers[index]
                .findings
                .records
                .iter()
                .map(|record| limpid_extract::Target {
                    path: record.path.clone(),
                    extractor: record.extractor.clone(),
                })
                .collect();
            targets.insert(target.clone());
            layers[index] = analysis.read(image, index, &targets)?;
            let found = layers[index].findings.records.iter().any(|record| is_it(&record.path));
            if found && !target.path.ends_with('/') {
                break;
            }
        }
        Ok(())
    }

    /// The image's record; makes the nodes that are new.
    fn record(
        &self,
        metadata: ImageMetadata,
        layers: &[LayerRecord],
        composition: Composition,
    ) -> Result<ImageRecord, Error> {
        let mut nodes: Vec<NodeId> = Vec::with_capacity(layers.len());
        for (chain_key, diff) in &composition.steps {
            let node = match self.store.node(chain_key)? {
                Some(known) => known,
                None => self.store.put_node(chain_key, nodes.last().copied(), diff)?,
            };
            nodes.push(node);
        }
        let mut problems: Vec<LayerProblem> = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let of_layer = layer.findings.problems.iter().cloned();
            problems.extend(of_layer.map(|problem| LayerProblem { layer: Some(index), problem }));
        }
        let looping = composition.loops.iter();
        problems.extend(looping.map(|path| image_problem(path, "its links lead in a circle".to_owned())));
        let windows = windows(&metadata, layers).filter(|_| composition.distribution.is_none());
        if windows.is_some() {
            let reason = "an image for Windows: Limpid does not know what is installed in it".to_owned();
            problems.push(image_problem("", reason));
        }
        let distribution = composition.distribution.or(windows);
        Ok(ImageRecord {
            metadata,
            nodes,
            release: distribution
                .as_ref()
                .filter(|_| composition.has_packages)
                .map(limpid_match::release)
                .unwrap_or_default(),
            distribution,
            problems,
            indexer_state: indexer_state(),
        })
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

/// The image's metadata with the digests that were verified. They differ only where the image has no blobs: a
/// directory's one layer is known by its findings.
fn with_verified_layers(metadata: &ImageMetadata, layers: &[LayerRecord]) -> ImageMetadata {
    let mut metadata = metadata.clone();
    for (layer, record) in metadata.layers.iter_mut().zip(layers) {
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
