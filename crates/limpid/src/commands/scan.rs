//! `limpid scan`

use limpid_model::Report;

use crate::arguments::{Global, Scan};
use crate::error::{Error, Exit, eprint_line};
use crate::images::{self, Output, Plan};
use crate::outputs;
use crate::session::Session;

pub(crate) fn run(global: &Global, command: &Scan) -> Result<Exit, Error> {
    let outputs = outputs::plan(command.format, &command.output, false)?;
    let session = Session::open(global)?;
    images::run(
        &session,
        &Plan {
            images: &command.images,
            outputs,
            packages_only: false,
            update: true,
            as_of: command.moment.as_of,
            kernels: command.kernel.kernels(),
        },
        command,
    )
}

impl Output for Scan {
    fn judge(&self, _: &Session<'_>, report: &Report) -> Exit {
        match self.fail_on.as_ref().and_then(|gate| gate.closed(report)) {
            Some(reason) => {
                let about = match self.images.is_one() {
                    true => String::new(),
                    false => format!("{} {}: ", report.reference, report.image.platform),
                };
                let line = format!("limpid: {about}the gate is closed: {reason}");
                eprint_line(&limpid_report::terminal::printable(&line));
                Exit::GateClosed
            }
            None => Exit::Success,
        }
    }
}
