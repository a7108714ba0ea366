//! A worker: takes jobs from the store's queue, indexes their images, and says what became of them.
//!
//! It holds few jobs at a time, and says every few seconds that it lives. What it holds when it dies waits again: at once
//! if another process sees that it is dead, else when its time is over. Images of which it had stored some layers
//! are done by another from there.
//!
//! A store that fails, because its server restarts or its disk is full, is no job's fault: jobs go back, the ends of
//! those that are done wait until they can be told, and the worker tries again, less and less often.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use limpid_image::{Image, RegistryError};
use limpid_store::{JobEnd, Lease, TakenJob, Taking};

use crate::batch::{Outcomes, Source};
use crate::lease::{LEASE_SECONDS, RENEWAL, is_over};
use crate::work::KINDS;
use crate::{Error, Indexer, Stop, Work};

/// A job that failed so often is given up.
const FAILURES_MAX: u32 = 5;
/// Seconds before a job that failed is tried again; each further time twice as many, up to the second number.
const RETRY_SECONDS: i64 = 30;
const RETRY_SECONDS_MAX: i64 = 3600;
/// How often an idle worker looks for jobs, first and at last.
const POLL_FIRST: Duration = Duration::from_millis(100);
const POLL_MAX: Duration = Duration::from_secs(1);
/// How long a worker waits for a store that failed, first and at most.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Opens what a job asks for: one image, or one for each platform.
pub type WorkOpener<'a> = dyn Fn(&Work) -> Result<Vec<Box<dyn Image>>, Error> + Sync + 'a;

/// What happens to a worker, for its log.
#[derive(Debug)]
pub enum WorkerEvent<'e> {
    /// So many jobs of workers that died wait again.
    Recovered(u64),
    /// It took a job.
    Took(&'e TakenJob),
    /// It is done with a job.
    Ended {
        /// The job.
        job: &'e TakenJob,
        /// How it ended.
        end: &'e JobEnd,
        /// Images that were indexed.
        images: u64,
        /// Seconds since it was taken.
        seconds: i64,
        /// Whether that counts. It does not if the job was taken from the worker meanwhile, or called off.
        counts: bool,
    },
    /// The store failed; it is tried again after a pause.
    StoreFailed {
        /// Why.
        error: &'e limpid_store::Error,
        /// The pause.
        pause: Duration,
    },
    /// The store answers again.
    StoreIsBack,
}

/// Takes jobs and does them, until it is asked to stop.
pub struct Worker<'a> {
    /// Indexes images, with the store that has the queue.
    pub indexer: Indexer<'a>,
    /// Opens them.
    pub open: &'a WorkOpener<'a>,
    /// Is told what happens.
    pub watch: &'a (dyn Fn(&WorkerEvent<'_>) + Sync),
    /// Says when to stop: what is begun is finished then, and nothing new is.
    pub stop: &'a Stop,
    /// Jobs that are held at a time.
    pub jobs_max: usize,
    /// Whether to end once no job waits or runs any more, whoever has it.
    pub until_empty: bool,
}

impl Worker<'_> {
    /// Works. Ends well when it was asked to stop or the queue is empty, else with what is wrong with the store.
    pub fn run(&self) -> Result<(), Error> {
        let ended = Stop::new();
        std::thread::scope(|scope| {
            scope.spawn(|| self.say_it_lives(&ended));
            let result = self.work();
            ended.ask();
            result
        })
    }

    fn work(&self) -> Result<(), Error> {
        let jobs = Jobs { worker: self, state: Mutex::default() };
        let (mut pause, mut poll) = (PAUSE_FIRST, POLL_FIRST);
        loop {
            let seen = jobs.state().seen;
            self.indexer.index_from(&jobs);
            match jobs.settle() {
                Ok(()) if pause > PAUSE_FIRST => {
                    (self.watch)(&WorkerEvent::StoreIsBack);
                    pause = PAUSE_FIRST;
                }
                Ok(()) => {}
                Err(error) if !error.may_pass() || self.stop.is_asked() => return Err(error.into()),
                Err(error) => {
                    (self.watch)(&WorkerEvent::StoreFailed { error: &error, pause });
                    self.stop.wait(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                    continue;
                }
            }
            let is_empty = || Ok(self.indexer.store.job_counts(self.indexer.clock.now())?.open() == 0);
            if self.stop.is_asked() || (self.until_empty && is_empty().or_else(passing)?) {
                // Only the worker's own row is left, and what could not be begun.
                self.indexer.store.give_back(self.name(), self.indexer.clock.now())?;
                return Ok(());
            }
            poll = if jobs.state().seen > seen { POLL_FIRST } else { (poll * 2).min(POLL_MAX) };
            self.stop.wait(poll);
        }
    }

    fn name(&self) -> &str {
        self.indexer.process.name()
    }

    fn lease(&self) -> Lease {
        Lease { owner: self.name().to_owned(), until: self.indexer.clock.now() + LEASE_SECONDS }
    }

    fn say_it_lives(&self, ended: &Stop) {
        while !ended.wait(RENEWAL) {
            // If that fails often enough, others do what this one has in hand; its ends do not count then.
            let _ = self.indexer.store.renew(&self.lease());
        }
    }
}

/// What the store's failure was is told of where it is next needed.
fn passing(error: limpid_store::Error) -> Result<bool, Error> {
    if error.may_pass() { Ok(false) } else { Err(error.into()) }
}

/// The queue, as a batch takes images from it.
struct Jobs<'a> {
    worker: &'a Worker<'a>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Jobs that were taken so far.
    seen: usize,
    /// How many had been when the batch began: positions count from there.
    batch_began: usize,
    held: BTreeMap<usize, Held>,
    /// Jobs that ended and whose end the store does not know yet.
    untold: Vec<(Held, JobEnd, u64)>,
    /// How the store failed last.
    failure: Option<limpid_store::Error>,
}

struct Held {
    job: TakenJob,
    work: Result<Work, String>,
    since: i64,
}

impl Jobs<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fails(&self, error: limpid_store::Error) {
        self.state().failure = Some(error);
    }

    /// Tells the store what it could not be told. An error if it cannot be told now either, or failed otherwise.
    fn settle(&self) -> Result<(), limpid_store::Error> {
        let (untold, failure) = {
            let mut state = self.state();
            state.batch_began = state.seen;
            (std::mem::take(&mut state.untold), state.failure.take())
        };
        for (held, end, images) in untold {
            self.tell(held, end, images);
        }
        self.state().failure.take().or(failure).map_or(Ok(()), Err)
    }

    fn tell(&self, held: Held, end: JobEnd, images: u64) {
        let indexer = &self.worker.indexer;
        let (job, now) = (&held.job, indexer.clock.now());
        match indexer.store.finish(self.worker.name(), job.id, job.attempt, &end, now) {
            Ok(counts) => {
                let seconds = now - held.since;
                (self.worker.watch)(&WorkerEvent::Ended { job, end: &end, images, seconds, counts });
            }
            Err(error) => {
                let mut state = self.state();
                state.failure = Some(error);
                state.untold.push((held, end, images));
            }
        }
    }

    /// How a job ends with these outcomes of its images.
    fn end(&self, job: &TakenJob, outcomes: Outcomes) -> JobEnd {
        let mut worst = Fault::None;
        let mut reason = String::new();
        for error in outcomes.into_iter().filter_map(Result::err) {
            let fault = Fault::of(&error);
            if fault > worst {
                (worst, reason) = (fault, error.to_string());
            }
            if let (Fault::Ours, Error::Store(error)) = (fault, error) {
                self.fails(error);
            }
        }
        match worst {
            Fault::None => JobEnd::Done,
            Fault::Ours => JobEnd::Returned,
            Fault::Passing if job.failures + 1 < FAILURES_MAX => {
                let at = self.worker.indexer.clock.now() + retry_seconds(job);
                JobEnd::Retry { reason, at }
            }
            Fault::Passing | Fault::Final => JobEnd::Dead { reason },
        }
    }
}

impl Source for Jobs<'_> {
    fn more(&self, limit: usize) -> Vec<String> {
        let Worker { indexer, stop, watch, .. } = self.worker;
        if stop.is_asked() || self.state().failure.is_some() {
            return Vec::new();
        }
        let now = indexer.clock.now();
        let lease = self.worker.lease();
        let taking = Taking { kinds: &KINDS, limit, worker: &lease, failures_max: FAILURES_MAX, now };
        let taken = match indexer.store.take(&taking, &|held| is_over(indexer.process, held, now)) {
            Ok(taken) => taken,
            Err(error) => {
                self.fails(error);
                return Vec::new();
            }
        };
        if taken.recovered > 0 {
            watch(&WorkerEvent::Recovered(taken.recovered));
        }
        let mut references = Vec::new();
        for job in taken.jobs {
            watch(&WorkerEvent::Took(&job));
            let work = Work::of(&job).map_err(|error| error.to_string());
            references.push(work.as_ref().map(|work| work.reference().to_owned()).unwrap_or_default());
            let mut state = self.state();
            let position = state.seen;
            state.seen += 1;
            state.held.insert(position, Held { job, work, since: now });
        }
        references
    }

    fn open_max(&self) -> usize {
        self.worker.jobs_max
    }

    fn open(&self, position: usize) -> Result<Vec<Box<dyn Image>>, Error> {
        if self.worker.stop.is_asked() {
            return Err(Error::Stopped);
        }
        let work = {
            let state = self.state();
            state.held.get(&(state.batch_began + position)).map(|held| held.work.clone())
        };
        match work {
            Some(Ok(work)) => (self.worker.open)(&work),
            Some(Err(reason)) => Err(Error::Work(reason)),
            None => Err(Error::Worker),
        }
    }

    fn ended(&self, position: usize, outcomes: Outcomes) {
        let held = {
            let mut state = self.state();
            let position = state.batch_began + position;
            state.held.remove(&position)
        };
        let Some(held) = held else { return };
        let images = outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
        let end = self.end(&held.job, outcomes);
        self.tell(held, end, images);
    }
}

/// How long a job waits after a failure. Those that failed together do not come back together.
fn retry_seconds(job: &TakenJob) -> i64 {
    let seconds = RETRY_SECONDS.saturating_mul(1 << job.failures.min(16)).min(RETRY_SECONDS_MAX);
    seconds + job.id.0.rem_euclid(seconds / 4 + 1)
}

/// Whose fault it is that an image was not indexed; the later, the more it says of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    None,
    /// The image's, and trying again does not help.
    Final,
    /// Of something on the way, and trying again may help.
    Passing,
    /// The worker's or the store's own.
    Ours,
}

impl Fault {
    fn of(error: &Error) -> Self {
        match error {
            Error::Stopped => Self::Ours,
            Error::Store(error) if error.concerns_all() => Self::Ours,
            Error::Store(limpid_store::Error::Gone(_)) => Self::Passing,
            Error::Store(_)
            | Error::Endless(_)
            | Error::Encode { .. }
            | Error::Work(_)
            | Error::Cursor(_) => Self::Final,
            Error::Image(error) => Self::of_image(error),
            Error::Changed { .. } | Error::LayerGone(_) | Error::Worker => Self::Passing,
        }
    }

    fn of_image(error: &limpid_image::Error) -> Self {
        use limpid_image::Error as Image;
        match error {
            Image::NotFound { .. }
            | Image::Unsupported { .. }
            | Image::Malformed { .. }
            | Image::Limit { .. } => Self::Final,
            Image::Registry(
                RegistryError::Everywhere { last: error, .. } | RegistryError::OnDisk { error, .. },
            ) => Self::of_image(error),
            Image::Registry(
                RegistryError::Name { .. }
                | RegistryError::Offline { .. }
                | RegistryError::Blocked { .. }
                | RegistryError::Configuration { .. }
                | RegistryError::PlainHttp { .. }
                | RegistryError::NotFound { .. },
            ) => Self::Final,
            _ => Self::Passing,
        }
    }
}
