//! Ctrl-C, and a request to end: at once, with the exit code that shells expect, and nothing left behind.
//!
//! Nothing needs to be finished. A layer's findings are stored in one transaction when it was read to its end, and a
//! lease of a process that is gone counts no longer. What layers were complete the next run finds in the store.
//!
//! A process that stays is asked to end by the first signal, and finishes what it has begun; a second one ends it at once.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use limpid_index::Stop;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::{Error, eprint_line};

/// Folders and files that go when the program ends early.
static PATHS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Whether the first signal only asks to end.
static ASKS: AtomicBool = AtomicBool::new(false);
static STOP: Stop = Stop::new();

/// Listens for signals from now on.
pub(crate) fn listen() -> Result<(), Error> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(Error::io("signals cannot be received"))?;
    std::thread::spawn(move || {
        let mut signals = signals.forever();
        let Some(mut signal) = signals.next() else { return };
        if ASKS.load(Ordering::SeqCst) {
            STOP.ask();
            match signals.next() {
                Some(second) => signal = second,
                None => return,
            }
        }
        eprint_line("limpid: interrupted");
        end(128 + signal);
    });
    Ok(())
}

/// Has the first signal ask to end from now on, and no more.
pub(crate) fn stop_when_asked() -> &'static Stop {
    ASKS.store(true, Ordering::SeqCst);
    &STOP
}

/// Ends the process at once.
pub(crate) fn end(code: i32) -> ! {
    for path in PATHS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        // There is nobody left to tell.
        let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
    std::process::exit(code);
}

/// Has a folder or a file removed if the program is interrupted.
pub(crate) fn remove_if_interrupted(path: &Path) {
    PATHS.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
}
