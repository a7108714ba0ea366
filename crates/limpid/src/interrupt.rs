//! Ctrl-C, and a request to end: at once, with the exit code that shells expect, and nothing left behind.
//!
//! Nothing needs to be finished. A layer's findings are stored in one transaction when it was read to its end, and a
//! lease of a process that is gone counts no longer. What layers were complete the next run finds in the store.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::{Error, eprint_line};

/// Folders that go when the program ends early.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Listens for signals from now on.
pub(crate) fn listen() -> Result<(), Error> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Error::io("signals cannot be received"))?;
    std::thread::spawn(move || {
        let Some(signal) = signals.forever().next() else { return };
        for folder in FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // There is nobody left to tell.
            let _ = std::fs::remove_dir_all(folder);
        }
        eprint_line("limpid: interrupted");
        std::process::exit(128 + signal);
    });
    Ok(())
}

/// Has `folder` removed if the program is interrupted.
pub(crate) fn remove_if_interrupted(folder: &Path) {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).push(folder.to_owned());
}
