//! Freeing what nothing in the store uses: one process at a time, beside others that index.

use std::time::Duration;

use limpid_store::{Freed, Store};

use crate::lease::Leases;
use crate::{Clock, Error, Process};

/// The task of a collection, for its lease: two would only look at the same rows.
const TASK: &str = "collect";
/// Between two transactions, so that writers who wait get their turn: SQLite has no queue.
const PAUSE: Duration = Duration::from_millis(1);

/// Frees what nothing has used for `grace_seconds`.
pub fn collect(
    store: &dyn Store,
    clock: &dyn Clock,
    process: &dyn Process,
    grace_seconds: u32,
) -> Result<Freed, Error> {
    let leases = Leases { store, clock, process };
    leases.once(TASK, &|_| Ok(None), || {
        let now = clock.now();
        let mut collection = store.begin_collection(now - i64::from(grace_seconds), now)?;
        while collection.step()? {
            clock.wait(PAUSE);
        }
        let freed = collection.freed();
        drop(collection);
        // What was forgotten may have left segments with little in them.
        crate::tend::tend(store, clock, process)?;
        Ok(freed)
    })
}
