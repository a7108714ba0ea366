//! Many images at once: one pool of threads for the layers of all of them.
//!
//! Images are opened in the order given, a bounded number at a time. The distinct layers of those that are open
//! stand in one queue, the large ones first, so that no thread is left with a large one at the end. An image whose
//! layers are all there is composed and closed before anything new is begun.
//!
//! One image's failure is its own: a layer that cannot be read from one is read from the next that has it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use limpid_image::Image;
use limpid_model::Digest;
use limpid_store::{ImageRecord, LayerRecord};

use crate::{Error, Indexer};

/// Images that are open at a time: enough to know what is large among what lies ahead, and each may hold a file or a
/// connection.
pub const IMAGES_OPEN_MAX: usize = 32;
/// Findings that are held in memory until the last layer of their image is there; further ones are read back from
/// the store.
const RECORDS_HELD_MAX: usize = 64;

/// Opens what the reference at a position names: one image, or one for each platform.
pub type Opener<'a> = dyn Fn(usize) -> Result<Vec<Box<dyn Image>>, Error> + Sync + 'a;

/// What became of each image of each reference.
pub(crate) type Outcomes = Vec<Vec<Result<ImageRecord, Error>>>;

pub(crate) struct Batch<'a> {
    indexer: &'a Indexer<'a>,
    references: &'a [String],
    open: &'a Opener<'a>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The next reference to open.
    next: usize,
    /// Threads that are at a job, and how many of them open an image.
    busy: usize,
    opening: usize,
    images: BTreeMap<usize, OpenImage>,
    images_seen: usize,
    /// Layers that nobody reads yet, the largest first.
    queue: BTreeSet<(Reverse<u64>, Digest)>,
    /// Layers that are not there yet, with the images that wait for them: the first is the one to read from.
    layers: HashMap<Digest, VecDeque<(usize, usize)>>,
    /// Layers that are in the store.
    done: HashSet<Digest>,
    /// Images whose layers are all there.
    ready: VecDeque<usize>,
    records_held: usize,
    /// Images that ended since that was told.
    ended: u64,
    /// The store failed: nothing new is begun.
    stopped: bool,
    outcomes: Vec<Vec<Option<Result<ImageRecord, Error>>>>,
}

struct OpenImage {
    image: Arc<dyn Image>,
    /// Where its outcome goes: the reference, and which of its images.
    place: (usize, usize),
    layers_missing: usize,
    records: BTreeMap<Digest, Arc<LayerRecord>>,
}

enum Job {
    Open(usize),
    Read { number: usize, image: Arc<dyn Image>, index: usize, digest: Digest },
    Compose(OpenImage),
}

impl<'a> Batch<'a> {
    pub(crate) fn new(indexer: &'a Indexer<'a>, references: &'a [String], open: &'a Opener<'a>) -> Self {
        let outcomes = references.iter().map(|_| Vec::new()).collect();
        let state = Mutex::new(State { outcomes, ..State::default() });
        Self { indexer, references, open, state, changed: Condvar::new() }
    }

    pub(crate) fn run(self) -> Outcomes {
        std::thread::scope(|scope| {
            for _ in 1..self.indexer.threads {
                scope.spawn(|| self.work());
            }
            self.work();
        });
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let outcome = |outcome: Option<_>| outcome.unwrap_or(Err(Error::Stopped));
        let of_reference = |mut outcomes: Vec<_>| {
            if outcomes.is_empty() {
                outcomes.push(None);
            }
            outcomes.into_iter().map(outcome).collect()
        };
        state.outcomes.into_iter().map(of_reference).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.take() {
            match job {
                Job::Open(reference) => self.open(reference),
                Job::Read { number, image, index, digest } => {
                    let size_bytes = image.metadata().layers.get(index).map_or(0, |layer| layer.size_bytes);
                    let result = self.indexer.analysis().layer(image.as_ref(), index);
                    self.indexer.progress.layer_is_there(size_bytes);
                    self.state().layer_ends(number, digest, size_bytes, result);
                }
                Job::Compose(open) => {
                    let reference = &self.references[open.place.0];
                    let result = self.indexer.compose_all(open.image.as_ref(), reference, open.records);
                    self.state().image_ends(open.place, result.map(|(_, record)| record));
                }
            }
            let ended = {
                let mut state = self.state();
                state.busy -= 1;
                std::mem::take(&mut state.ended)
            };
            self.changed.notify_all();
            (0..ended).for_each(|_| self.indexer.progress.image_ends());
        }
    }

    /// The next job; waits while others may still make one.
    fn take(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.take(self.references.len()) {
                state.busy += 1;
                return Some(job);
            }
            if state.busy == 0 {
                self.changed.notify_all();
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn open(&self, reference: usize) {
        let opened = (self.open)(reference).map(|images| {
            let known = |image: Box<dyn Image>| {
                let known = self.indexer.known(image.as_ref(), &self.references[reference]);
                (image, known)
            };
            images.into_iter().map(known).collect::<Vec<_>>()
        });
        let mut state = self.state();
        state.opening -= 1;
        let images = match opened {
            Ok(images) => images,
            Err(error) => {
                state.outcomes[reference].push(None);
                return state.image_ends((reference, 0), Err(error));
            }
        };
        self.indexer.progress.images_found(images.len().saturating_sub(1) as u64);
        for (image, known) in images {
            let place = (reference, state.outcomes[reference].len());
            state.outcomes[reference].push(None);
            match known {
                Ok(Some((_, record))) => state.image_ends(place, Ok(record)),
                Ok(None) => state.image_begins(place, Arc::from(image), self.indexer.progress),
                Err(error) => state.image_ends(place, Err(error)),
            }
        }
    }
}

impl State {
    fn take(&mut self, references: usize) -> Option<Job> {
        if self.stopped {
            return None;
        }
        if let Some(open) = self.ready.pop_front().and_then(|number| self.images.remove(&number)) {
            self.records_held -= open.records.len();
            return Some(Job::Compose(open));
        }
        if self.next < references && self.images.len() + self.opening < IMAGES_OPEN_MAX {
            self.next += 1;
            self.opening += 1;
            return Some(Job::Open(self.next - 1));
        }
        loop {
            let (_, digest) = self.queue.pop_first()?;
            let source = self.layers.get(&digest).and_then(|waiting| waiting.front().copied());
            // Nobody waits for it any more.
            let Some((number, index)) = source else { continue };
            let Some(open) = self.images.get(&number) else { continue };
            return Some(Job::Read { number, image: Arc::clone(&open.image), index, digest });
        }
    }

    fn image_begins(&mut self, place: (usize, usize), image: Arc<dyn Image>, progress: &dyn crate::Progress) {
        let number = self.images_seen;
        self.images_seen += 1;
        let mut wanted = BTreeMap::new();
        // The layers of a stream come all at once: its image is composed by whoever reads it.
        let alone = if image.stream().is_some() { &[][..] } else { &image.metadata().layers };
        for (index, layer) in alone.iter().enumerate() {
            if !self.done.contains(&layer.digest) {
                wanted.entry(layer.digest).or_insert((index, layer.size_bytes));
            }
        }
        let layers_missing = wanted.len();
        for (digest, (index, size_bytes)) in wanted {
            let waiting = self.layers.entry(digest).or_default();
            if waiting.is_empty() {
                self.queue.insert((Reverse(size_bytes), digest));
                progress.layer_is_due(size_bytes);
            }
            waiting.push_back((number, index));
        }
        if layers_missing == 0 {
            self.ready.push_back(number);
        }
        self.images.insert(number, OpenImage { image, place, layers_missing, records: BTreeMap::new() });
    }

    fn image_ends(&mut self, place: (usize, usize), result: Result<ImageRecord, Error>) {
        self.ended += 1;
        self.stopped |= matches!(result, Err(Error::Store(ref error)) if error.concerns_all());
        self.outcomes[place.0][place.1] = Some(result);
    }

    fn layer_ends(
        &mut self,
        source: usize,
        digest: Digest,
        size_bytes: u64,
        result: Result<LayerRecord, Error>,
    ) {
        match result {
            Ok(record) => self.layer_is_there(digest, Arc::new(record)),
            Err(error) => {
                self.image_fails(source, error);
                if self.layers.get(&digest).is_some_and(|waiting| !waiting.is_empty()) {
                    self.queue.insert((Reverse(size_bytes), digest));
                }
            }
        }
    }

    fn layer_is_there(&mut self, digest: Digest, record: Arc<LayerRecord>) {
        // What a directory's one layer is known by shows only when it was read: the store has it under that.
        let in_store = record.digest == digest;
        if in_store {
            self.done.insert(digest);
        }
        for (number, _) in self.layers.remove(&digest).unwrap_or_default() {
            let Some(open) = self.images.get_mut(&number) else { continue };
            if !in_store || self.records_held < RECORDS_HELD_MAX {
                self.records_held += 1;
                open.records.insert(digest, Arc::clone(&record));
            }
            open.layers_missing -= 1;
            if open.layers_missing == 0 {
                self.ready.push_back(number);
            }
        }
    }

    /// Gives up an image; layers that it alone waits for are not read.
    fn image_fails(&mut self, number: usize, error: Error) {
        let Some(open) = self.images.remove(&number) else { return };
        self.records_held -= open.records.len();
        for layer in &open.image.metadata().layers {
            let Some(waiting) = self.layers.get_mut(&layer.digest) else { continue };
            waiting.retain(|(other, _)| *other != number);
            if waiting.is_empty() {
                self.layers.remove(&layer.digest);
            }
        }
        self.image_ends(open.place, Err(error));
    }
}
