//! Work that of many processes on one store one does at a time, while the others wait for what comes of it.
//!
//! A lease is a row in the store with its owner's name and a time. Three things end it: its owner gives it back;
//! its owner is known to be dead, which other processes of the same machine see at once; or nobody renewed it for
//! too long. It is renewed by a thread of its own, so that a reader that waits for its network keeps it, and an
//! owner that is known to live (stopped, or on a machine that swaps) is given much longer.
//!
//! A lease saves work and guards nothing: whoever lost one finishes and stores the same result under the same key.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use limpid_store::{Lease, Store};

use crate::{Clock, Error};

/// How long a lease holds without being renewed: the longest that others wait for an owner that died where they
/// cannot see it, in another container.
pub(crate) const LEASE_SECONDS: i64 = 30;
/// How often an owner renews it.
pub(crate) const RENEWAL: Duration = Duration::from_secs(5);
/// How long an owner that is known to live may be late, stopped by a signal for example.
const STALLED_SECONDS_MAX: i64 = 300;
/// How long anybody waits for somebody else's work before doing it too: whatever keeps the other, a result is worth
/// more than what doing it twice costs.
const WAIT_SECONDS_MAX: i64 = 900;
/// How often those who wait look again, first and at most.
const POLL_FIRST: Duration = Duration::from_millis(10);
const POLL_MAX: Duration = Duration::from_millis(100);

/// A process among those that use a store, and what it can tell of others.
pub trait Process: Send + Sync {
    /// Its name: of this process alone, for all time, and without a `#`.
    fn name(&self) -> &str;
    /// Whether the process with this name still runs.
    fn state_of(&self, name: &str) -> ProcessState;
}

/// Whether a process still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessState {
    /// It does.
    Alive,
    /// It does not.
    Dead,
    /// That cannot be seen from here.
    Unknown,
}

/// What `work` gives, done under a lease on `task`; `None`, and no waiting, if another has it.
pub fn exclusively<T>(
    store: &dyn Store,
    clock: &dyn Clock,
    process: &dyn Process,
    task: &str,
    work: impl FnOnce() -> T,
) -> Result<Option<T>, Error> {
    let leases = Leases { store, clock, process };
    let owner = leases.owner();
    if leases.take(task, &owner)?.is_some() {
        return Ok(None);
    }
    let result = leases.renewing(task, &owner, work);
    store.release(task, &owner).map_err(Error::from)?;
    Ok(Some(result))
}

/// Takes leases for one process.
#[derive(Clone, Copy)]
pub(crate) struct Leases<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) process: &'a dyn Process,
}

impl Leases<'_> {
    /// What `known` gives; if it gives nothing, what `work` gives, done under a lease on `task`. `known` is told
    /// whether somebody else's work was waited for.
    pub(crate) fn once<T, E: From<Error>>(
        &self,
        task: &str,
        known: &dyn Fn(bool) -> Result<Option<T>, E>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let owner = self.owner();
        let since = self.clock.now();
        let mut waited = false;
        let mut poll = POLL_FIRST;
        loop {
            if let Some(known) = known(waited)? {
                return Ok(known);
            }
            match self.take(task, &owner)? {
                None => break,
                Some(_) if self.clock.now() - since >= WAIT_SECONDS_MAX => return work(),
                Some(_) => {
                    waited = true;
                    self.clock.wait(poll);
                    poll = (poll * 2).min(POLL_MAX);
                }
            }
        }
        // Whoever had the lease before may have finished between the look and the grant.
        let result = match known(waited) {
            Ok(Some(known)) => Ok(known),
            Ok(None) => self.renewing(task, &owner, work),
            Err(error) => Err(error),
        };
        self.store.release(task, &owner).map_err(Error::from)?;
        result
    }

    /// Threads of one process keep out of each other's way too, so each lease has an owner of its own.
    fn owner(&self) -> String {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        format!("{}#{}", self.process.name(), NUMBER.fetch_add(1, Ordering::Relaxed))
    }

    fn take(&self, task: &str, owner: &str) -> Result<Option<Lease>, Error> {
        let now = self.clock.now();
        let lease = Lease { owner: owner.to_owned(), until: now + LEASE_SECONDS };
        Ok(self.store.lease(task, &lease, &|held| is_over(self.process, held, now))?)
    }

    /// Does `work` while another thread renews the lease.
    fn renewing<T>(&self, task: &str, owner: &str, work: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            let (done, waiting) = channel::<()>();
            scope.spawn(move || {
                while waiting.recv_timeout(RENEWAL) == Err(RecvTimeoutError::Timeout) {
                    // A renewal that fails costs at worst that another process does the work too. So does one
                    // that comes too late, when somebody else has the lease: then there is none to renew.
                    if !matches!(self.take(task, owner), Ok(None)) {
                        break;
                    }
                }
            });
            let result = work();
            drop(done);
            result
        })
    }
}

/// Whether a lease counts no longer: its owner's name may have a `#` with more behind the process's.
pub(crate) fn is_over(process: &dyn Process, held: &Lease, now: i64) -> bool {
    let name = held.owner.rsplit_once('#').map_or(held.owner.as_str(), |(process, _)| process);
    match process.state_of(name) {
        ProcessState::Dead => true,
        ProcessState::Alive => now - held.until >= STALLED_SECONDS_MAX,
        // A time further ahead than any lease is: the clock was set back since.
        ProcessState::Unknown => now >= held.until || held.until - now > LEASE_SECONDS,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use limpid_store::SqliteStore;

    use super::*;

    /// Time that moves only when somebody waits.
    struct Stopped(AtomicI64);

    impl Clock for Stopped {
        fn now(&self) -> i64 {
            self.0.load(Ordering::SeqCst)
        }

        fn wait(&self, _: Duration) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct Fixed(ProcessState);

    impl Process for Fixed {
        fn name(&self) -> &str {
            "this"
        }

        fn state_of(&self, name: &str) -> ProcessState {
            assert_eq!(name, "other");
            self.0
        }
    }

    const NOW: i64 = 1_000_000;

    /// How long this process waits before it does what `other` has a lease on, until `until`.
    fn waits(state: ProcessState, until: i64) -> i64 {
        let store = SqliteStore::open(std::path::Path::new(":memory:")).unwrap();
        let lease = Lease { owner: "other#7".to_owned(), until };
        assert_eq!(store.lease("task", &lease, &|_| false).unwrap(), None);
        let clock = Stopped(AtomicI64::new(NOW));
        let leases = Leases { store: &store, clock: &clock, process: &Fixed(state) };
        let done: Result<i64, Error> = leases.once("task", &|_| Ok(None), || Ok(clock.now()));
        done.unwrap() - NOW
    }

    #[test]
    fn a_dead_owner_is_not_waited_for() {
        assert_eq!(waits(ProcessState::Dead, NOW + LEASE_SECONDS), 0);
    }

    #[test]
    fn an_owner_that_cannot_be_seen_is_waited_for_until_its_time_is_over() {
        assert_eq!(waits(ProcessState::Unknown, NOW + 20), 20);
        assert_eq!(waits(ProcessState::Unknown, NOW - 1), 0);
        assert_eq!(waits(ProcessState::Unknown, NOW + 86_400), 0, "the clock was set back");
    }

    #[test]
    fn an_owner_that_lives_is_waited_for_much_longer_but_not_for_ever() {
        assert_eq!(waits(ProcessState::Alive, NOW + 20), 20 + STALLED_SECONDS_MAX);
        assert_eq!(waits(ProcessState::Alive, NOW + 86_400), WAIT_SECONDS_MAX);
    }

    #[test]
    fn what_another_did_meanwhile_is_taken() {
        let store = SqliteStore::open(std::path::Path::new(":memory:")).unwrap();
        let lease = Lease { owner: "other#7".to_owned(), until: NOW + 20 };
        store.lease("task", &lease, &|_| false).unwrap();
        let clock = Stopped(AtomicI64::new(NOW));
        let leases = Leases { store: &store, clock: &clock, process: &Fixed(ProcessState::Alive) };
        let known = |waited: bool| Ok((waited && clock.now() > NOW + 5).then_some("theirs"));
        let work = || -> Result<&str, Error> { Ok("ours") };
        assert_eq!(leases.once("task", &known, work).unwrap(), "theirs");
        // Nothing was taken that the owner still has.
        assert_eq!(store.lease("task", &lease, &|_| false).unwrap(), None);
    }
}
