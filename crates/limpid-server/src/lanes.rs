//! How much is done at a time. The store is synchronous: each question to it takes a thread while it is answered.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio::sync::Semaphore;

/// Work of one kind: so much at a time, so much waits, more is turned away.
#[derive(Debug)]
pub(crate) struct Lane {
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
    places: usize,
    at_a_time: usize,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too much is waiting already.
    Busy,
    /// The work ended without a result.
    Broken,
}

impl Lane {
    pub(crate) fn new(at_a_time: usize, waiting: usize) -> Self {
        let places = at_a_time.saturating_add(waiting).min(Semaphore::MAX_PERMITS);
        Self {
            admitted: Arc::new(Semaphore::new(places)),
            running: Arc::new(Semaphore::new(at_a_time)),
            places,
            at_a_time,
        }
    }

    /// Does the work on a thread of its own. It is done to its end even if nobody waits for it any more, and keeps its
    /// place as long.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let place = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| Refused::Busy)?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Refused::Broken)?;
        let work = move || {
            let result = work();
            drop((place, turn));
            result
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Refused::Broken)
    }

    /// How much is done at the moment, and how much waits.
    pub(crate) fn load(&self) -> (usize, usize) {
        let running = self.at_a_time.saturating_sub(self.running.available_permits());
        let admitted = self.places.saturating_sub(self.admitted.available_permits());
        (running, admitted.saturating_sub(running))
    }
}

/// Turns of threads: so many have one at a time.
#[derive(Debug)]
pub(crate) struct Turns {
    free: Mutex<usize>,
    changed: Condvar,
}

impl Turns {
    pub(crate) fn new(at_a_time: usize) -> Self {
        Self { free: Mutex::new(at_a_time), changed: Condvar::new() }
    }

    /// Waits for a turn, and has it until what is given is dropped.
    pub(crate) fn take(&self) -> Turn<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            self.changed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Turn(self)
    }
}

pub(crate) struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_turned_away_and_places_come_back() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let lane = Arc::new(Lane::new(1, 1));
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (begun, has_begun) = std::sync::mpsc::channel::<()>();
        let run = |work: Box<dyn FnOnce() + Send>| {
            let lane = Arc::clone(&lane);
            runtime.spawn(async move { lane.run(work).await })
        };
        let first = run(Box::new(move || {
            begun.send(()).unwrap();
            wait.recv().unwrap();
        }));
        has_begun.recv().unwrap();
        let second = run(Box::new(|| ()));
        while lane.load() != (1, 1) {
            std::thread::yield_now();
        }
        assert_eq!(runtime.block_on(run(Box::new(|| ()))).unwrap(), Err(Refused::Busy));
        go.send(()).unwrap();
        assert_eq!(runtime.block_on(first).unwrap(), Ok(()));
        assert_eq!(runtime.block_on(second).unwrap(), Ok(()));
        assert_eq!(lane.load(), (0, 0));
        let broken = run(Box::new(|| std::panic::resume_unwind(Box::new(()))));
        assert_eq!(runtime.block_on(broken).unwrap(), Err(Refused::Broken));
        assert_eq!(lane.load(), (0, 0), "a panic gives its place back");
    }
}
