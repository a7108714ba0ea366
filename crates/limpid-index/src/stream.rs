//! Indexing an image that comes as a stream: one pass over all its layers, in the order of the source.
//!
//! Each layer is analysed while it passes. What it says is kept under the digest of the bytes that came, like
//! any layer's, so that the other sources of the same layer find it known.
//!
//! Layers of a stream are not leased one by one: which ones come is known for sure only when they have come,
//! whoever waits for another process in the middle of a stream keeps the engine waiting, and holding all of
//! them would keep others from reading them where they can be read alone. The export as a whole is leased, so
//! that of many processes that ask for one image one makes the engine export it.

use std::collections::{BTreeMap, BTreeSet};

use limpid_extract::{EXTRACTORS, LayerCollector, Target};
use limpid_image::{Image, LayerStats, LayerStream, LayerVisitor, StreamVisitor, StreamedImage};
use limpid_model::ImageMetadata;
use limpid_store::{LayerRecord, SearchedFile};

use crate::Error;
use crate::analyse::{Analysis, Collecting};
use crate::report::extractors;

/// An image and what each of its layers says, base first.
pub(crate) type Streamed = (ImageMetadata, Vec<LayerRecord>);

/// The files to read, whatever extractors want, of each member of a stream.
enum Targets {
    Everywhere(Vec<Target>),
    Of(BTreeMap<String, Vec<Target>>),
}

impl Targets {
    fn of(&self, member: &str) -> &[Target] {
        match self {
            Self::Everywhere(targets) => targets,
            Self::Of(members) => members.get(member).map(Vec::as_slice).unwrap_or_default(),
        }
    }
}

impl Analysis<'_> {
    /// What the layers of the image say: from the store if all are known, else from one pass over the stream.
    pub(crate) fn stream(&self, image: &dyn Image, stream: &dyn LayerStream) -> Result<Streamed, Error> {
        let metadata = image.metadata();
        let known = |_| self.all_known(metadata, stream);
        let task = format!("export of {}", metadata.manifest_digest);
        self.leases.once(&task, &known, || self.read_stream(metadata, stream))
    }

    /// Reads the stream once more, looks for `wanted` in every layer, and keeps what each says with them.
    pub(crate) fn search_stream(
        &self,
        metadata: &ImageMetadata,
        stream: &dyn LayerStream,
        layers: &[LayerRecord],
        wanted: Vec<Target>,
    ) -> Result<(), Error> {
        let wanted = wanted.into_iter().map(|Target { path, extractor }| SearchedFile { path, extractor });
        let mut searched: BTreeSet<SearchedFile> = wanted.collect();
        // What they were searched for before, for whichever image, is searched for again: findings are replaced
        // whole.
        for layer in layers {
            searched.extend(self.known(&layer.digest)?.unwrap_or_else(|| layer.clone()).searched);
        }
        let targets = searched.iter().map(|SearchedFile { path, extractor }| Target {
            path: path.clone(),
            extractor: extractor.clone(),
        });
        let targets: Vec<Target> = targets.collect();
        let (image, seen) = self.export(metadata, stream, &Targets::Everywhere(targets))?;
        for (member, layer) in image.members.iter().zip(layers) {
            let (record, _) = seen.get(member).ok_or(Error::Worker)?;
            if record.digest != layer.digest {
                return Err(Error::Changed { expected: layer.digest, got: record.digest });
            }
            self.keep(&LayerRecord { searched: searched.clone(), ..record.clone() })?;
        }
        Ok(())
    }

    fn keep(&self, record: &LayerRecord) -> Result<LayerRecord, Error> {
        self.leases.store.put_layer(record)?;
        Ok(record.clone())
    }

    fn all_known(
        &self,
        metadata: &ImageMetadata,
        stream: &dyn LayerStream,
    ) -> Result<Option<Streamed>, Error> {
        if !stream.is_predictable() || metadata.layers.is_empty() {
            return Ok(None);
        }
        let mut metadata = metadata.clone();
        let mut records = Vec::with_capacity(metadata.layers.len());
        for layer in &mut metadata.layers {
            let Some(record) = self.known(&layer.digest)? else { return Ok(None) };
            // An engine counts otherwise.
            layer.size_bytes = record.size_bytes;
            records.push(record);
        }
        Ok(Some((metadata, records)))
    }

    fn read_stream(&self, claimed: &ImageMetadata, stream: &dyn LayerStream) -> Result<Streamed, Error> {
        let (image, mut seen) = self.export(claimed, stream, &Targets::Of(BTreeMap::new()))?;
        let unresolved = |seen: &BTreeMap<String, (LayerRecord, Vec<Target>)>| {
            let missing = image.members.iter().filter_map(|member| Some((member, &seen.get(member)?.1)));
            let missing = missing.filter(|(_, targets)| !targets.is_empty());
            missing.map(|(member, targets)| (member.clone(), targets.clone())).collect::<BTreeMap<_, _>>()
        };
        let again = unresolved(&seen);
        if !again.is_empty() {
            // A wanted file is a hard link to one that was passed by: once more, for those.
            let (_, second) = self.export(claimed, stream, &Targets::Of(again.clone()))?;
            for (member, record) in second.into_iter().filter(|(member, _)| again.contains_key(member)) {
                if let Some(first) = seen.insert(member, record.clone())
                    && first.0.digest != record.0.digest
                {
                    return Err(Error::Changed { expected: first.0.digest, got: record.0.digest });
                }
            }
        }
        let mut records = Vec::with_capacity(image.members.len());
        for member in &image.members {
            let (record, _) = seen.get(member).ok_or(Error::Worker)?;
            // What is known may say more: it may have been read for what a link leads to.
            records.push(match self.known(&record.digest)? {
                Some(known) => known,
                None => self.keep(record)?,
            });
        }
        Ok((image.metadata, records))
    }

    /// One pass: the image, and what each archive in the stream says, by its name, with the files that it would
    /// have to be read for once more.
    #[allow(clippy::type_complexity)]
    fn export(
        &self,
        claimed: &ImageMetadata,
        stream: &dyn LayerStream,
        targets: &Targets,
    ) -> Result<(StreamedImage, BTreeMap<String, (LayerRecord, Vec<Target>)>), Error> {
        let shown = claimed.config_digest.unwrap_or(claimed.manifest_digest);
        self.progress.layer_begins(&shown, claimed.layers.iter().map(|layer| layer.size_bytes).sum());
        let advance = |bytes: u64| self.progress.layer_advances(&shown, bytes);
        let mut gathering = Gathering { targets, current: None, seen: BTreeMap::new() };
        let image = stream.read(self.limits, &mut gathering, &advance);
        self.progress.layer_ends(&shown);
        Ok((image?, gathering.seen))
    }
}

/// Collects what each archive of a stream says.
struct Gathering<'a> {
    targets: &'a Targets,
    current: Option<Collecting<'a>>,
    seen: BTreeMap<String, (LayerRecord, Vec<Target>)>,
}

impl StreamVisitor for Gathering<'_> {
    fn member(&mut self, name: &str) -> &mut dyn LayerVisitor {
        let collector = LayerCollector::new(EXTRACTORS, self.targets.of(name));
        self.current.insert(Collecting { collector })
    }

    fn end(&mut self, name: &str, stats: &LayerStats) {
        let Some(Collecting { collector }) = self.current.take() else { return };
        let unresolved = collector.unresolved_hardlinks();
        let mut findings = collector.finish();
        findings.extractors = extractors();
        let record = LayerRecord {
            digest: stats.digest,
            size_bytes: stats.size_bytes,
            uncompressed_bytes: stats.uncompressed_bytes,
            findings,
            searched: BTreeSet::new(),
        };
        self.seen.insert(name.to_owned(), (record, unresolved));
    }
}
