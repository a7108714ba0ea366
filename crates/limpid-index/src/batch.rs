//! Many images at once: one pool of threads for the layers of all of them.
//!
//! Images are opened in the order given, a bounded number at a time. The distinct layers of those that are open
//! stand in one queue, the large ones first, so that no thread is left with a large one at the end. An image whose
//! layers are all there is composed and closed before anything new is begun. Images come from a [`Source`]: a list that
//! is known, or a queue that is asked again and again.
//!
//! One image's failure is its own: a layer that cannot be read from one is read from the next that has it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

/// Layers that are remembered to be in the store; the store knows of the others.
const LAYERS_REMEMBERED_MAX: usize = 100_000;

/// How soon a source that had nothing more is asked again, while other images are worked on.
const ASKED_AGAIN: Duration = Duration::from_millis(500);

/// After so many images it is seen whether the fleet's index needs work, that a long list does not leave it to the end.
const IMAGES_STORED_BETWEEN: u64 = 256;

/// Opens what the reference at a position names: one image, or one for each platform.
pub type Opener<'a> = dyn Fn(usize) -> Result<Vec<Box<dyn Image>>, Error> + Sync + 'a;

/// What became of the images of a reference: of several if all platforms are wanted, of one at least.
pub(crate) type Outcomes = Vec<Result<ImageRecord, Error>>;

/// Where a batch takes references from. They have positions, in the order in which they come.
pub(crate) trait Source: Sync {
    /// At most so many references more; none if there are none now. It is asked again as long as others are worked on.
    fn more(&self, limit: usize) -> Vec<String>;
    /// So many images are open at a time.
    fn open_max(&self) -> usize {
        IMAGES_OPEN_MAX
    }
    /// Opens what the reference at a position names.
    fn open(&self, position: usize) -> Result<Vec<Box<dyn Image>>, Error>;
    /// All images of the reference at a position are done. Each position is told of once.
    fn ended(&self, position: usize, outcomes: Outcomes);
}

/// References that are all known.
pub(crate) struct List<'a> {
    references: &'a [String],
    open: &'a Opener<'a>,
    state: Mutex<(usize, Vec<Outcomes>)>,
}

impl<'a> List<'a> {
    pub(crate) fn new(references: &'a [String], open: &'a Opener<'a>) -> Self {
        let outcomes = references.iter().map(|_| Vec::new()).collect();
        Self { references, open, state: Mutex::new((0, outcomes)) }
    }

    pub(crate) fn outcomes(self) -> Vec<Outcomes> {
        let (_, mut outcomes) = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        for outcomes in outcomes.iter_mut().filter(|outcomes| outcomes.is_empty()) {
            outcomes.push(Err(Error::Stopped));
        }
        outcomes
    }
}

impl Source for List<'_> {
    fn more(&self, limit: usize) -> Vec<String> {
        let (next, _) = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let more: Vec<String> = self.references.iter().skip(*next).take(limit).cloned().collect();
        *next += more.len();
        more
    }

    fn open(&self, position: usize) -> Result<Vec<Box<dyn Image>>, Error> {
        (self.open)(position)
    }

    fn ended(&self, position: usize, outcomes: Outcomes) {
        let (_, all) = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = all.get_mut(position) {
            *place = outcomes;
        }
    }
}

pub(crate) struct Batch<'a> {
    indexer: &'a Indexer<'a>,
    source: &'a dyn Source,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// References that nobody has opened yet, with their positions.
    references: VecDeque<(usize, String)>,
    references_seen: usize,
    /// Somebody asks for more references; there were none just now.
    asking: bool,
    dry: bool,
    /// Threads that are at a job, and how many of them open or compose an image.
    busy: usize,
    opening: usize,
    composing: usize,
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
    /// Images that were composed.
    stored: u64,
    /// The store failed: nothing new is begun.
    stopped: bool,
    /// Outcomes of the references that are opened and not all done.
    outcomes: BTreeMap<usize, Vec<Option<Result<ImageRecord, Error>>>>,
    /// Those of references that are done, until that is told.
    told: Vec<(usize, Outcomes)>,
}

struct OpenImage {
    image: Arc<dyn Image>,
    reference: Arc<str>,
    /// Where its outcome goes: the reference, and which of its images.
    place: (usize, usize),
    layers_missing: usize,
    records: BTreeMap<Digest, Arc<LayerRecord>>,
}

enum Job {
    Ask(usize),
    Open { position: usize, reference: Arc<str> },
    Read { number: usize, image: Arc<dyn Image>, index: usize, digest: Digest },
    Compose(OpenImage),
}

impl<'a> Batch<'a> {
    pub(crate) fn new(indexer: &'a Indexer<'a>, source: &'a dyn Source) -> Self {
        Self { indexer, source, state: Mutex::default(), changed: Condvar::new() }
    }

    pub(crate) fn run(self) {
        std::thread::scope(|scope| {
            for _ in 1..self.indexer.threads {
                scope.spawn(|| self.work());
            }
            self.work();
        });
        self.indexer.tend();
        // What a failure of the store left undone.
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (position, outcomes) in state.outcomes {
            let outcomes = outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(Error::Stopped)));
            self.source.ended(position, outcomes.collect());
        }
        for (position, _) in state.references {
            self.source.ended(position, vec![Err(Error::Stopped)]);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.take() {
            match job {
                Job::Ask(limit) => {
                    let more = self.source.more(limit);
                    self.state().references_come(more);
                }
                Job::Open { position, reference } => self.open(position, &reference),
                Job::Read { number, image, index, digest } => {
                    let size_bytes = image.metadata().layers.get(index).map_or(0, |layer| layer.size_bytes);
                    let result = self.indexer.analysis().layer(image.as_ref(), index);
                    self.indexer.progress.layer_is_there(size_bytes);
                    self.state().layer_ends(number, digest, size_bytes, result);
                }
                Job::Compose(open) => {
                    let result = self.indexer.compose_all(open.image.as_ref(), &open.reference, open.records);
                    let stored = self.state().image_is_stored(open.place, result.map(|(_, record)| record));
                    if stored.is_multiple_of(IMAGES_STORED_BETWEEN) {
                        self.indexer.tend();
                    }
                }
            }
            let (ended, told) = {
                let mut state = self.state();
                state.busy -= 1;
                (std::mem::take(&mut state.ended), std::mem::take(&mut state.told))
            };
            self.changed.notify_all();
            (0..ended).for_each(|_| self.indexer.progress.image_ends());
            told.into_iter().for_each(|(position, outcomes)| self.source.ended(position, outcomes));
        }
    }

    /// The next job; waits while others may still make one.
    fn take(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.take(self.source.open_max()) {
                state.busy += 1;
                return Some(job);
            }
            if state.busy == 0 {
                self.changed.notify_all();
                return None;
            }
            let waited = self.changed.wait_timeout(state, ASKED_AGAIN);
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.dry &= !timeout.timed_out();
        }
    }

    fn open(&self, position: usize, reference: &Arc<str>) {
        let opened = self.source.open(position).map(|images| {
            let known = |image: Box<dyn Image>| {
                let known = self.indexer.known(image.as_ref(), reference);
                (image, known)
            };
            images.into_iter().map(known).collect::<Vec<_>>()
        });
        let mut state = self.state();
        state.opening -= 1;
        let images = match opened {
            Ok(images) => images,
            Err(error) => {
                state.outcomes.insert(position, vec![None]);
                return state.image_ends((position, 0), Err(error));
            }
        };
        self.indexer.progress.images_found(images.len().saturating_sub(1) as u64);
        if images.is_empty() {
            state.told.push((position, vec![Err(Error::Worker)]));
            return;
        }
        state.outcomes.insert(position, images.iter().map(|_| None).collect());
        for (number, (image, known)) in images.into_iter().enumerate() {
            let place = (position, number);
            match known {
                Ok(Some((_, record))) => state.image_ends(place, Ok(record)),
                Ok(None) => {
                    let image = Arc::from(image);
                    state.image_begins(place, image, Arc::clone(reference), self.indexer.progress);
                }
                Err(error) => state.image_ends(place, Err(error)),
            }
        }
    }
}

impl State {
    fn take(&mut self, open_max: usize) -> Option<Job> {
        if self.stopped {
            return None;
        }
        if let Some(open) = self.ready.pop_front().and_then(|number| self.images.remove(&number)) {
            self.records_held -= open.records.len();
            self.composing += 1;
            return Some(Job::Compose(open));
        }
        let room = open_max.saturating_sub(self.images.len() + self.opening + self.composing);
        if room > 0 {
            if let Some((position, reference)) = self.references.pop_front() {
                self.opening += 1;
                return Some(Job::Open { position, reference: Arc::from(reference) });
            }
            if !self.asking && !self.dry {
                self.asking = true;
                return Some(Job::Ask(room));
            }
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

    fn references_come(&mut self, more: Vec<String>) {
        self.asking = false;
        self.dry = more.is_empty();
        for reference in more {
            self.references.push_back((self.references_seen, reference));
            self.references_seen += 1;
        }
    }

    fn image_begins(
        &mut self,
        place: (usize, usize),
        image: Arc<dyn Image>,
        reference: Arc<str>,
        progress: &dyn crate::Progress,
    ) {
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
        let records = BTreeMap::new();
        self.images.insert(number, OpenImage { image, reference, place, layers_missing, records });
    }

    /// How many there were.
    fn image_is_stored(&mut self, place: (usize, usize), result: Result<ImageRecord, Error>) -> u64 {
        self.stored += 1;
        self.composing -= 1;
        self.image_ends(place, result);
        self.stored
    }

    fn image_ends(&mut self, place: (usize, usize), result: Result<ImageRecord, Error>) {
        self.ended += 1;
        self.stopped |= matches!(result, Err(Error::Store(ref error)) if error.concerns_all());
        let Some(outcomes) = self.outcomes.get_mut(&place.0) else { return };
        if let Some(outcome) = outcomes.get_mut(place.1) {
            *outcome = Some(result);
        }
        if outcomes.iter().all(Option::is_some) {
            let outcomes = self.outcomes.remove(&place.0).unwrap_or_default();
            self.told.push((place.0, outcomes.into_iter().flatten().collect()));
        }
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
            if self.done.len() >= LAYERS_REMEMBERED_MAX {
                self.done.clear();
            }
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
