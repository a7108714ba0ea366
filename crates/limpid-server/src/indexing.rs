//! Images that callers describe by their layers' addresses, brought into the store.
//!
//! Layers that nobody has read are asked for as soon as the request is there, because the tokens that come with it live
//! for a minute. Of many requests that share a layer one reads it, the others wait; if it fails, the next one that
//! waits reads it from the address that it was given itself.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use limpid_image::{ClairImage, ClairManifest, Image, Limits};
use limpid_index::{Error, Indexer, indexer_state};
use limpid_model::Digest;
use limpid_store::ImageRecord;

use crate::metrics::Reading;
use crate::service::Service;

/// Connections of one request, and of all, that wait for their layer's turn. Each takes a file descriptor, of which
/// processes often have 1024.
const CONNECTED_MAX: usize = 32;
const CONNECTED_BY_ALL_MAX: usize = 256;
/// Threads of one request that open connections.
const CONNECTING_MAX: usize = 8;

/// The layers that are being read by this process, and the connections that wait.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    layers: Mutex<HashSet<Digest>>,
    landed: Condvar,
    connected: AtomicUsize,
}

/// The right to read a layer, until it is dropped.
struct Flight<'a> {
    flights: &'a Flights,
    digest: Digest,
    index: usize,
}

impl Flights {
    /// The right to read the layer, unless somebody has it.
    fn claim(&self, digest: Digest, index: usize) -> Option<Flight<'_>> {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        layers.insert(digest).then(|| Flight { flights: self, digest, index })
    }

    /// Waits until nobody reads the layer.
    fn wait(&self, digest: &Digest) {
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.landed.wait_while(layers, |layers| layers.contains(digest)));
    }

    /// Room for so many connections that wait; at most as many as are wanted.
    fn reserve(&self, wanted: usize) -> Reserved<'_> {
        let wanted = wanted.min(CONNECTED_MAX);
        let before = self.connected.fetch_add(wanted, Ordering::Relaxed);
        let granted = CONNECTED_BY_ALL_MAX.saturating_sub(before).min(wanted);
        self.connected.fetch_sub(wanted - granted, Ordering::Relaxed);
        Reserved { flights: self, connections: granted }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.flights.layers.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.digest);
        self.flights.landed.notify_all();
    }
}

struct Reserved<'a> {
    flights: &'a Flights,
    connections: usize,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.flights.connected.fetch_sub(self.connections, Ordering::Relaxed);
    }
}

impl Service {
    /// The image's record, if the store has it as today's extractors see it.
    pub(crate) fn known(&self, digest: &Digest) -> Result<Option<ImageRecord>, Error> {
        let known = self.store.image(digest)?.map(|(_, record)| record);
        Ok(known.filter(|record| record.indexer_state == indexer_state()))
    }

    /// Brings the image into the store. Runs on a thread that may wait.
    pub(crate) fn index(&self, manifest: ClairManifest) -> Result<ImageRecord, Error> {
        let layers: Vec<Digest> = manifest.layers.iter().map(|layer| layer.hash).collect();
        if let Some(known) = self.known(&manifest.hash)? {
            let same = known.metadata.layers.iter().map(|layer| layer.digest).eq(layers);
            // What a caller calls by a known name is not taken for what has it.
            return if same { Ok(known) } else { Err(limpid_store::Error::Conflict(manifest.hash).into()) };
        }
        let reading = Reading::new(&self.metrics);
        let indexer = Indexer {
            store: &*self.store,
            clock: &*self.clock,
            progress: &reading,
            limits: Limits::default(),
            threads: 1,
            process: &*self.process,
        };
        let image = ClairImage::new(&manifest, &self.layers, &indexer.limits)?;
        self.read_layers(&indexer, &image, &layers)?;
        let image = Mutex::new(Some(image));
        let take = || image.lock().unwrap_or_else(PoisonError::into_inner).take();
        let open = |_| take().map(|image| vec![Box::new(image) as Box<dyn Image>]).ok_or(Error::Worker);
        let mut outcomes = indexer.index(&[String::new()], &open);
        outcomes.pop().and_then(|mut outcomes| outcomes.pop()).unwrap_or(Err(Error::Worker))
    }

    /// Sees to it that the store has every layer.
    fn read_layers(&self, indexer: &Indexer<'_>, image: &ClairImage, layers: &[Digest]) -> Result<(), Error> {
        let mut unknown: BTreeMap<Digest, usize> = BTreeMap::new();
        for (index, digest) in layers.iter().enumerate() {
            if !unknown.contains_key(digest) && !indexer.has_layer(digest)? {
                unknown.insert(*digest, index);
            }
        }
        let (mut own, mut of_others) = (Vec::new(), Vec::new());
        for (digest, index) in unknown {
            match self.flights.claim(digest, index) {
                // Somebody may have read it between the look and the claim.
                Some(_) if indexer.has_layer(&digest)? => {}
                Some(flight) => own.push(flight),
                None => of_others.push((digest, index)),
            }
        }
        own.sort_by_key(|flight| flight.index);
        let reserved = self.flights.reserve(own.len());
        connect(image, own.iter().take(reserved.connections).map(|flight| flight.index).collect())?;
        self.read_claimed(indexer, image, own)?;
        drop(reserved);
        // Nothing is claimed while others are waited for, so that no two wait for each other.
        for (digest, index) in of_others {
            self.read_after_others(indexer, image, digest, index)?;
        }
        Ok(())
    }

    fn read_claimed(
        &self,
        indexer: &Indexer<'_>,
        image: &ClairImage,
        own: Vec<Flight<'_>>,
    ) -> Result<(), Error> {
        let threads = self.threads.min(own.len());
        let queue = Mutex::new(own.into_iter());
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let work = || {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(flight) = next else { return };
                if failed.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                    continue;
                }
                let read = {
                    let _turn = self.reading.take();
                    indexer.layer(image, flight.index)
                };
                if let Err(error) = read {
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn read_after_others(
        &self,
        indexer: &Indexer<'_>,
        image: &ClairImage,
        digest: Digest,
        index: usize,
    ) -> Result<(), Error> {
        loop {
            self.flights.wait(&digest);
            if indexer.has_layer(&digest)? {
                return Ok(());
            }
            // Whoever read it failed.
            if let Some(flight) = self.flights.claim(digest, index) {
                let _turn = self.reading.take();
                let read = indexer.layer(image, flight.index);
                return read;
            }
        }
    }
}

/// Asks for layers, several at a time.
fn connect(image: &ClairImage, indices: Vec<usize>) -> Result<(), Error> {
    let threads = indices.len().min(CONNECTING_MAX);
    let queue = Mutex::new(indices.into_iter());
    let failed: Mutex<Option<limpid_image::Error>> = Mutex::new(None);
    let work = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(index) = next else { return };
            if let Err(error) = image.connect(index) {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.map_or(Ok(()), |error| Err(error.into()))
}
