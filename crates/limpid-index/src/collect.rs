//! Freeing what nothing in the store uses: one process at a time, beside others that index.

use std::time::Duration;

use limpid_store::{Freed, Store};

use crate::lease::Leases;
use crate::{Clock, Error, Process};

/// The task of a collection, for its lease: two would only look at the same rows.
const TASK: &str = "collect";
/// Between two transactions, so that writers who wait get their turn: SQLite has no queue.
const PAUSE: Duration = Duration::from_millis(1);

/// Events that one transaction drops at most.
const EVENTS_MAX: usize = 1000;

/// Frees what nothing has used for `grace_seconds`, and drops events that are older than `keep_events_seconds` if no
/// channel waits for them.
pub fn collect(
    store: &dyn Store,
    clock: &dyn Clock,
    process: &dyn Process,
    grace_seconds: u32,
    keep_events_seconds: i64,
) -> Result<Freed, Error> {
    let leases = Leases { store, clock, process };
    leases.once(TASK, &|_| Ok(None), || {
        let now = clock.now();
        let mut events = 0;
        loop {
            match store.drop_events(now - keep_events_seconds, EVENTS_MAX)? {
                0 => break,
                dropped => events += dropped,
            }
            clock.wait(PAUSE);
        }
        let mut collection = store.begin_collection(now - i64::from(grace_seconds), now)?;
        while collection.step()? {
            clock.wait(PAUSE);
        }
        let freed = Freed { events, ..collection.freed() };
        drop(collection);
        // What was forgotten may have left segments with little in them.
        crate::tend::tend(store, clock, process)?;
        Ok(freed)
    })
}
