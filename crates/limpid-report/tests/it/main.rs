//! Every format, of one report.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod golden;
mod hostile;
mod purl;
mod sample;
