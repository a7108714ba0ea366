//! Reading a layer once: from its bytes to findings, under a lease that other processes respect.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use limpid_extract::{EXTRACTORS, LayerCollector, ReadAt, Target};
use limpid_image::{Entry, ExpectedBlob, FileContent, Image, Interest, LayerContent, LayerVisitor, Limits};
use limpid_model::{Digest, ExtractorVersion, LayerFindings, LayerMetadata};
use limpid_store::{LayerRecord, SearchedFile};

use crate::lease::Leases;
use crate::report::extractors;
use crate::{Error, Progress};

/// What reading a layer needs beside the layer.
pub(crate) struct Analysis<'a> {
    pub(crate) leases: Leases<'a>,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) limits: &'a Limits,
}

impl Analysis<'_> {
    /// What the layer at `index` says: from the store if it was read before by these extractors, else from
    /// its bytes, which are read by one process at a time.
    pub(crate) fn layer(&self, image: &dyn Image, index: usize) -> Result<LayerRecord, Error> {
        let layer = layer_at(image, index)?;
        let known = |_| self.known(&layer.digest);
        self.leases.once(&task(&layer.digest), &known, || self.read(image, index, BTreeSet::new()))
    }

    /// The same, and what is at `target`, whatever extractors want. Where the layer was not searched for that yet,
    /// it is read once more.
    pub(crate) fn search(
        &self,
        image: &dyn Image,
        index: usize,
        record: &LayerRecord,
        target: &Target,
    ) -> Result<LayerRecord, Error> {
        let searched = SearchedFile { path: target.path.clone(), extractor: target.extractor.clone() };
        let known = |_| Ok(self.known(&record.digest)?.filter(|known| known.searched.contains(&searched)));
        self.leases.once(&task(&record.digest), &known, || {
            // What it was searched for before, for whichever image, is searched for again: findings are replaced
            // whole.
            let before = self.known(&record.digest)?.map_or(BTreeSet::new(), |known| known.searched);
            let searched =
                before.into_iter().chain(record.searched.iter().cloned()).chain([searched.clone()]);
            self.read(image, index, searched.collect())
        })
    }

    /// Findings of exactly today's extractors, if the store has them.
    pub(crate) fn known(&self, digest: &Digest) -> Result<Option<LayerRecord>, Error> {
        let known = self.leases.store.layer(digest)?;
        Ok(known.filter(|record| record.findings.extractors == extractors()))
    }

    /// Reads the layer and keeps what it says. `searched` are files to read whatever extractors want.
    fn read(
        &self,
        image: &dyn Image,
        index: usize,
        searched: BTreeSet<SearchedFile>,
    ) -> Result<LayerRecord, Error> {
        let layer = layer_at(image, index)?;
        self.progress.layer_begins(&layer.digest, layer.size_bytes);
        let record = self.read_watched(image, index, layer, searched);
        self.progress.layer_ends(&layer.digest);
        let record = record?;
        self.leases.store.put_layer(&record)?;
        Ok(record)
    }

    fn read_watched(
        &self,
        image: &dyn Image,
        index: usize,
        layer: &LayerMetadata,
        searched: BTreeSet<SearchedFile>,
    ) -> Result<LayerRecord, Error> {
        let mut targets: Vec<Target> = searched
            .iter()
            .map(|file| Target { path: file.path.clone(), extractor: file.extractor.clone() })
            .collect();
        let (mut findings, mut stats, unresolved) = self.walk(image, index, layer, &targets)?;
        if !unresolved.is_empty() {
            // A wanted file is a hard link to one that was passed by: once more, for those alone.
            targets.extend(unresolved);
            (findings, stats, _) = self.walk(image, index, layer, &targets)?;
        }
        // What was withheld today may be had tomorrow: no extractor has seen it.
        let withheld = is_withheld(layer, stats.size_bytes);
        if withheld && let Some(known) = self.known(&layer.digest)? {
            return Ok(known);
        }
        findings.extractors = if withheld { Vec::new() } else { extractors() };
        Ok(LayerRecord {
            digest: stats.digest,
            size_bytes: stats.size_bytes,
            uncompressed_bytes: stats.uncompressed_bytes,
            findings,
            searched,
        })
    }

    fn walk(
        &self,
        image: &dyn Image,
        index: usize,
        layer: &LayerMetadata,
        targets: &[Target],
    ) -> Result<(LayerFindings, limpid_image::LayerStats, Vec<Target>), Error> {
        let content = image.layer(index)?;
        let expected = match content {
            LayerContent::Blob(_) | LayerContent::Withheld(_) => {
                // 0 stands for a size that nobody has said.
                let size_bytes = Some(layer.size_bytes).filter(|bytes| *bytes > 0);
                Some(ExpectedBlob { digest: layer.digest, size_bytes })
            }
            LayerContent::Tree(_) => None,
        };
        let mut visitor = Collecting { collector: LayerCollector::new(EXTRACTORS, targets) };
        let advance = |bytes: u64| self.progress.layer_advances(&layer.digest, bytes);
        let stats =
            limpid_image::read_layer(content, expected.as_ref(), self.limits, &mut visitor, &advance)?;
        let unresolved = visitor.collector.unresolved_hardlinks();
        Ok((visitor.collector.finish(), stats, unresolved))
    }
}

fn task(digest: &Digest) -> String {
    format!("layer {digest}")
}

/// Whether the layer's bytes were not to be had: fewer than declared are an error in all other cases.
pub(crate) fn is_withheld(layer: &LayerMetadata, size_bytes: u64) -> bool {
    size_bytes < layer.size_bytes
}

fn layer_at(image: &dyn Image, index: usize) -> Result<&LayerMetadata, Error> {
    image.metadata().layers.get(index).ok_or(Error::Worker)
}

/// The indexer's state: changes only when its output would.
pub fn indexer_state() -> String {
    let versions: Vec<String> = extractors()
        .into_iter()
        .map(|ExtractorVersion { name, version }| format!("{name}={version}"))
        .collect();
    let text = format!("composer={} {}", crate::compose::COMPOSER_VERSION, versions.join(" "));
    Digest::of(text.as_bytes()).hex()[..32].to_owned()
}

/// A file that its layer's reader keeps on disk, as extractors read it.
struct Spool<'a> {
    file: &'a File,
    size_bytes: u64,
}

impl ReadAt for Spool<'_> {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut file = self.file;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buffer)
    }
}

/// Lets a collector see what a layer's reader sees: the two crates do not know each other.
pub(crate) struct Collecting<'a> {
    pub(crate) collector: LayerCollector<'a>,
}

impl LayerVisitor for Collecting<'_> {
    fn entry(&mut self, entry: &Entry<'_>) -> Interest {
        use limpid_extract::EntryKind as Kept;
        use limpid_image::EntryKind as Read;
        let kind = match entry.kind {
            Read::File { .. } => Kept::File,
            Read::Directory => Kept::Directory,
            Read::Symlink(target) => Kept::Symlink(target),
            Read::Hardlink(target) => Kept::Hardlink(target),
            Read::Whiteout => Kept::Whiteout,
            Read::Opaque => Kept::Opaque,
            Read::Other => Kept::Other,
        };
        match self.collector.entry(entry.path, kind) {
            Some(wanted) if wanted.in_pieces => Interest::ReadInPieces { limit_bytes: wanted.limit_bytes },
            Some(wanted) => Interest::Read { limit_bytes: wanted.limit_bytes },
            None => Interest::Skip,
        }
    }

    fn file(&mut self, path: &str, content: FileContent<'_>) {
        match content {
            FileContent::Bytes(bytes) => self.collector.content(path, bytes),
            FileContent::Spooled { file, size_bytes } => {
                self.collector.content_in_pieces(path, &Spool { file, size_bytes });
            }
            FileContent::TooLarge { size_bytes, limit_bytes } => {
                self.collector.too_large(path, size_bytes, limit_bytes);
            }
        }
    }

    fn problem(&mut self, path: &str, reason: String) {
        self.collector.problem(path, reason);
    }
}
