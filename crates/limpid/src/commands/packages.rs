//! `limpid packages`

use limpid_index::Kernels;
use limpid_model::Report;

use crate::arguments::{Global, Packages};
use crate::error::{Error, Exit};
use crate::images::{self, Output, Plan};
use crate::outputs;
use crate::session::Session;

pub(crate) fn run(global: &Global, command: &Packages) -> Result<Exit, Error> {
    let outputs = outputs::plan(command.format, &command.output, true)?;
    let session = Session::open(global)?;
    images::run(
        &session,
        &Plan {
            images: &command.images,
            outputs,
            packages_only: true,
            update: false,
            as_of: None,
            kernels: Kernels::ByImage,
        },
        command,
    )
}

impl Output for Packages {
    fn judge(&self, session: &Session<'_>, report: &Report) -> Exit {
        // Such lists have no place for what could not be read.
        let planned = outputs::plan(self.format, &self.output, true).unwrap_or_default();
        if planned.iter().any(|planned| planned.format.name == "tsv") {
            for problem in &report.coverage.problems {
                session.warn(&format!("{}: {}", problem.problem.path, problem.problem.reason));
            }
        }
        Exit::Success
    }
}
