//! Reading a layer once: from its bytes to findings, under a lease that other processes respect.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use limpid_extract::{EXTRACTORS, LayerCollector, ReadAt, Target};
use limpid_image::{Entry, ExpectedBlob, FileContent, Image, Interest, LayerContent, LayerVisitor, Limits};
use limpid_model::{Digest, ExtractorVersion, LayerFindings, LayerMetadata};
use limpid_store::{LayerRecord, Lease, Store};

use crate::report::extractors;
use crate::{Clock, Error, Progress};

/// How long a lease holds without being renewed: the longest that others wait for a process that died.
const LEASE_SECONDS: i64 = 10;
/// How often a holder renews it.
const RENEWAL_SECONDS: i64 = 3;
/// How often those who wait look again.
const POLL: Duration = Duration::from_millis(50);

/// What reading a layer needs beside the layer.
pub(crate) struct Analysis<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) limits: &'a Limits,
    pub(crate) owner: &'a str,
}

impl Analysis<'_> {
    /// What the layer at `index` says: from the store if it was read before by these extractors, else from
    /// its bytes, which are read by one process at a time.
    pub(crate) fn layer(&self, image: &dyn Image, index: usize) -> Result<LayerRecord, Error> {
        let layer = layer_at(image, index)?;
        let task = format!("layer {}", layer.digest);
        loop {
            if let Some(known) = self.known(&layer.digest)? {
                return Ok(known);
            }
            let now = self.clock.now();
            match self.store.lease(&task, self.owner, now, now + LEASE_SECONDS)? {
                Lease::Granted => break,
                Lease::Held { .. } => self.clock.wait(POLL),
            }
        }
        // Whoever held the lease before may have finished between the look and the grant.
        let result = match self.known(&layer.digest) {
            Ok(Some(known)) => Ok(known),
            Ok(None) => self.read(image, index, &BTreeSet::new()),
            Err(error) => Err(error),
        };
        self.store.release(&task, self.owner)?;
        result
    }

    /// Findings of exactly today's extractors, if the store has them.
    pub(crate) fn known(&self, digest: &Digest) -> Result<Option<LayerRecord>, Error> {
        let known = self.store.layer(digest)?;
        Ok(known.filter(|record| record.findings.extractors == extractors()))
    }

    /// Reads the layer and keeps what it says. `targets` are files to read whatever extractors want.
    pub(crate) fn read(
        &self,
        image: &dyn Image,
        index: usize,
        targets: &BTreeSet<Target>,
    ) -> Result<LayerRecord, Error> {
        let layer = layer_at(image, index)?.clone();
        let mut targets: Vec<Target> = targets.iter().cloned().collect();
        let (mut findings, mut stats, unresolved) = self.walk(image, index, &layer, &targets)?;
        if !unresolved.is_empty() {
            // A wanted file is a hard link to one that was passed by: once more, for those alone.
            targets.extend(unresolved);
            (findings, stats, _) = self.walk(image, index, &layer, &targets)?;
        }
        findings.extractors = extractors();
        let record = LayerRecord {
            digest: stats.digest,
            size_bytes: stats.size_bytes,
            uncompressed_bytes: stats.uncompressed_bytes,
            findings,
        };
        self.store.put_layer(&record)?;
        self.progress.layer_ends(&layer.digest);
        Ok(record)
    }

    fn walk(
        &self,
        image: &dyn Image,
        index: usize,
        layer: &LayerMetadata,
        targets: &[Target],
    ) -> Result<(LayerFindings, limpid_image::LayerStats, Vec<Target>), Error> {
        self.progress.layer_begins(&layer.digest, layer.size_bytes);
        let content = image.layer(index)?;
        let expected = match content {
            LayerContent::Blob(_) => {
                Some(ExpectedBlob { digest: layer.digest, size_bytes: Some(layer.size_bytes) })
            }
            LayerContent::Tree(_) => None,
        };
        let mut visitor = Collecting { collector: LayerCollector::new(EXTRACTORS, targets) };
        let task = format!("layer {}", layer.digest);
        let renewed = Cell::new(self.clock.now());
        let advance = |bytes: u64| {
            self.progress.layer_advances(&layer.digest, bytes);
            let now = self.clock.now();
            if now - renewed.get() >= RENEWAL_SECONDS {
                renewed.set(now);
                // A renewal that fails costs at worst that another process reads the layer too.
                let _ = self.store.lease(&task, self.owner, now, now + LEASE_SECONDS);
            }
        };
        let stats =
            limpid_image::read_layer(content, expected.as_ref(), self.limits, &mut visitor, &advance)?;
        let unresolved = visitor.collector.unresolved_hardlinks();
        Ok((visitor.collector.finish(), stats, unresolved))
    }
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
struct Collecting<'a> {
    collector: LayerCollector<'a>,
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
