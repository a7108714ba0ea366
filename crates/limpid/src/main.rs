//! `limpid`: which known vulnerabilities are in container images, from their static content alone.
//!
//! Everything is wired here: arguments and environment, the clock, progress, exit codes.

mod arguments;
mod as_of;
mod clock;
mod commands;
mod engines;
mod error;
mod event_arguments;
mod fleet_arguments;
mod gate;
mod images;
mod interrupt;
mod outputs;
mod process;
mod progress;
mod queue_arguments;
mod registry_options;
mod session;
mod updating;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::arguments::Arguments;
use crate::error::Exit;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // If there is nobody to tell, there is nothing to be done about it.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { Exit::Success } else { Exit::Usage }.into();
        }
    };
    if arguments.global.no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        anstream::ColorChoice::Never.write_global();
    }
    match interrupt::listen().and_then(|()| commands::run(&arguments)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            error.tell();
            error.exit().into()
        }
    }
}
