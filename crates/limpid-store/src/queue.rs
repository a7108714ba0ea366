//! Work that waits to be done, and who does it.
//!
//! Workers take jobs, and hold them for as long as they say that they live: one row for a worker, whatever it holds.
//! What a worker held that lives no longer waits again. A job's end counts only from the worker that holds it, in the
//! attempt that it was taken for, so that of two that did the same job one ends it.

use limpid_model::Digest;

use crate::store::Lease;
use crate::{Error, Result};

/// A job whose priority is one higher is taken as if it had waited for so much longer. So no job waits for ever, however
/// many more important ones come.
pub const PRIORITY_STEP_SECONDS: i64 = 600;
/// The highest priority; the lowest is its negative.
pub const PRIORITY_MAX: i32 = 100;
/// Bytes of a job's subject: a reference is far shorter.
pub const SUBJECT_BYTES_MAX: usize = 4096;
/// Bytes of a job's options: a thousand layers' signed addresses.
pub const OPTIONS_BYTES_MAX: usize = 4 << 20;
/// Bytes of the reason for a job's failure that are kept.
pub(crate) const REASON_BYTES_MAX: usize = 2000;

/// What a job is told that was given up because its workers died.
pub(crate) const LOST: &str = "its workers ended without finishing it";

/// A job in this store. Ids grow, and are never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub i64);

/// A job to add.
#[derive(Clone, PartialEq, Eq)]
pub struct NewJob {
    /// What is to be done: whoever takes jobs says which kinds.
    pub kind: String,
    /// What it is about, for people.
    pub subject: String,
    /// Two jobs of a kind with the same key are the same work, whatever their options.
    pub key: Digest,
    /// How to do it, in the words of those who do. May hold credentials: it goes when the job is done.
    pub options: Vec<u8>,
    /// The higher, the earlier.
    pub priority: i32,
}

impl NewJob {
    /// Refuses what is larger than any job is.
    pub(crate) fn check(&self) -> Result<()> {
        let refused =
            |what: &str| Err(Error::JobRefused(format!("job `{}` {what}", shortened(&self.subject, 100))));
        if self.subject.len() > SUBJECT_BYTES_MAX {
            return refused(&format!("has a subject of more than {SUBJECT_BYTES_MAX} bytes"));
        }
        if self.options.len() > OPTIONS_BYTES_MAX {
            return refused(&format!("has more than {OPTIONS_BYTES_MAX} bytes of options"));
        }
        // What one engine keeps and another does not.
        if self.subject.contains('\0') || self.kind.contains('\0') {
            return refused("has a NUL in it");
        }
        if !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&self.priority) {
            return refused(&format!("has priority {}, beyond {PRIORITY_MAX}", self.priority));
        }
        Ok(())
    }
}

impl std::fmt::Debug for NewJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Options may hold credentials.
        f.debug_struct("NewJob")
            .field("kind", &self.kind)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// What became of a job that was to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// The job.
    pub job: JobId,
    /// Whether it is new. Else it is one that waits or runs already and now has the newer options and the higher
    /// of both priorities. One that runs is done once more when it is done: it may have begun before what it
    /// is about changed.
    pub is_new: bool,
}

/// How jobs are taken.
#[derive(Debug, Clone, Copy)]
pub struct Taking<'a> {
    /// Kinds that the worker can do.
    pub kinds: &'a [&'a str],
    /// So many at most.
    pub limit: usize,
    /// The worker, and until when it holds jobs unless it says again that it lives.
    pub worker: &'a Lease,
    /// A job that failed so often is given up, if its worker's death was the last of the failures.
    pub failures_max: u32,
    /// Seconds since the epoch.
    pub now: i64,
}

/// A job that a worker holds.
#[derive(Clone, PartialEq, Eq)]
pub struct TakenJob {
    /// Which one.
    pub id: JobId,
    /// How often it was taken, this time included: with the worker, this names the attempt.
    pub attempt: u32,
    /// How often it failed since it was added or was done last.
    pub failures: u32,
    /// See [`NewJob::kind`].
    pub kind: String,
    /// See [`NewJob::subject`].
    pub subject: String,
    /// See [`NewJob::options`].
    pub options: Vec<u8>,
}

impl std::fmt::Debug for TakenJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("TakenJob");
        debug.field("id", &self.id).field("attempt", &self.attempt).field("subject", &self.subject);
        debug.finish_non_exhaustive()
    }
}

/// What workers took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    /// The jobs, in the order of their turns.
    pub jobs: Vec<TakenJob>,
    /// Jobs of workers that live no longer, which wait again or were given up.
    pub recovered: u64,
}

/// How a worker is done with a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// It is done.
    Done,
    /// It failed, and will be tried again.
    Retry {
        /// Why.
        reason: String,
        /// When, in seconds since the epoch.
        at: i64,
    },
    /// It failed for good.
    Dead {
        /// Why.
        reason: String,
    },
    /// It was not worked on to its end, for a reason that is not the job's: that is no failure.
    Returned,
}

/// Where a job stands. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobState {
    /// It waits for a worker.
    Waiting = 0,
    /// A worker has it.
    Running = 1,
    /// It is done.
    Done = 2,
    /// It failed for good.
    Dead = 3,
    /// Somebody called it off.
    Cancelled = 4,
}

impl JobState {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Running, Self::Done, Self::Dead, Self::Cancelled];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state that a number stands for.
    pub(crate) fn of(number: i64) -> Result<Self> {
        let state = usize::try_from(number).ok().and_then(|number| Self::ALL.get(number));
        state.copied().ok_or_else(|| Error::Corrupt(format!("a job has the state {number}")))
    }
}

/// A job in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// Which one.
    pub id: JobId,
    /// See [`NewJob::kind`].
    pub kind: String,
    /// See [`NewJob::subject`].
    pub subject: String,
    /// Where it stands.
    pub state: JobState,
    /// See [`NewJob::priority`].
    pub priority: i32,
    /// How often it was taken.
    pub attempts: u32,
    /// How often it failed since it was added or was done last.
    pub failures: u32,
    /// When it was added, in seconds since the epoch.
    pub added_at: i64,
    /// Not before this time it is taken, if it waits.
    pub due_at: i64,
    /// When it was taken last, 0 for never.
    pub begun_at: i64,
    /// When it ended, 0 for not yet.
    pub ended_at: i64,
    /// Who has it or had it last, empty for nobody.
    pub worker: String,
    /// Why it failed last, empty if it did not.
    pub reason: String,
}

/// How many jobs stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobCounts {
    /// That wait.
    pub waiting: u64,
    /// Of these, those that wait for a later time because they failed.
    pub delayed: u64,
    /// That workers have.
    pub running: u64,
    /// That are done and still kept.
    pub done: u64,
    /// That failed for good.
    pub dead: u64,
    /// That were called off.
    pub cancelled: u64,
    /// Workers that hold jobs, or held some and have not ended.
    pub workers: u64,
    /// When the job that waits the longest was added, in seconds since the epoch.
    pub oldest_added_at: Option<i64>,
}

impl JobCounts {
    /// Jobs that are still to be done.
    pub fn open(&self) -> u64 {
        self.waiting + self.running
    }
}

/// A queue of jobs.
pub trait Queue {
    /// Adds jobs, all or none. Of the same work only one waits or runs at a time.
    fn enqueue(&self, jobs: &[NewJob], now: i64) -> Result<Vec<Enqueued>>;
    /// Takes the jobs whose turn it is. What is held by a worker that `is_over` says lives no longer waits
    /// again first; a job that was lost so is taken alone, so that one that kills its workers takes no others along.
    fn take(&self, taking: &Taking<'_>, is_over: &dyn Fn(&Lease) -> bool) -> Result<Taken>;
    /// Says that a worker lives, for all that it holds. Whether it is known: else what it held was taken from it.
    fn renew(&self, worker: &Lease) -> Result<bool>;
    /// Ends a job in the attempt that it was taken for. Whether that counts: it does not if the job was taken from the
    /// worker meanwhile. Saying the same again, because the answer was lost, counts the same.
    fn finish(&self, worker: &str, job: JobId, attempt: u32, end: &JobEnd, now: i64) -> Result<bool>;
    /// Gives back all that a worker holds, and forgets it. How many jobs that were.
    fn give_back(&self, worker: &str, now: i64) -> Result<u64>;
    /// How many jobs stand where.
    fn job_counts(&self, now: i64) -> Result<JobCounts>;
    /// Jobs with ids greater than `after`, of one state or all, in the order of their ids: a page.
    fn jobs(&self, state: Option<JobState>, after: JobId, limit: usize) -> Result<Vec<JobRecord>>;
    /// Calls off jobs that wait or run; all of them if none is named. Those that it was for.
    fn cancel(&self, jobs: Option<&[JobId]>, now: i64) -> Result<Vec<JobId>>;
    /// Has jobs that failed for good tried again from the start; all of them if none is named. Those that it is for:
    /// not one whose work waits or runs as another job.
    fn retry(&self, jobs: Option<&[JobId]>, now: i64) -> Result<Vec<JobId>>;
    /// Forgets at most `limit` jobs that were done or called off before a time, and those that failed for good if they
    /// are meant too. How many that were.
    fn purge(&self, ended_before: i64, dead_too: bool, limit: usize) -> Result<u64>;
    /// Whether it is time for what is done by one of all processes every so many seconds. Then it is the caller's turn.
    fn is_due(&self, task: &str, every_seconds: i64, now: i64) -> Result<bool>;
}

/// At most so many bytes of a text, whole characters.
pub(crate) fn shortened(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Where a job stands in the order of turns.
pub(crate) fn turn(due_at: i64, priority: i32) -> i64 {
    due_at.saturating_sub(i64::from(priority) * PRIORITY_STEP_SECONDS)
}
