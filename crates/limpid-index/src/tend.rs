//! Keeping the fleet's index fast: by whoever stored images, and of many processes by one at a time.

use limpid_store::Store;

use crate::lease::exclusively;
use crate::{Clock, Error, Process};

/// The task, for its lease. Two would build the same segments, and the later one for nothing.
const TASK: &str = "tend";

/// Does what is due, unless somebody else is at it.
pub(crate) fn tend(store: &dyn Store, clock: &dyn Clock, process: &dyn Process) -> Result<(), Error> {
    if !store.needs_tending()? {
        return Ok(());
    }
    let tended: Option<Result<(), Error>> = exclusively(store, clock, process, TASK, || {
        while store.tend()? {}
        Ok(())
    })?;
    tended.unwrap_or(Ok(()))
}
