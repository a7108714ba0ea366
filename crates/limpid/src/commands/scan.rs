//! `limpid scan`

use limpid_model::Report;

use crate::arguments::{Global, ReportFormat, Scan};
use crate::error::{Error, Exit, eprint_line};
use crate::images::{self, Output, Plan};
use crate::session::{Session, style};

pub(crate) fn run(global: &Global, command: &Scan) -> Result<Exit, Error> {
    let session = Session::open(global)?;
    let for_programs = command.format == ReportFormat::Json;
    images::run(
        &session,
        &Plan {
            images: &command.images,
            for_programs,
            update: true,
            as_of: command.moment.as_of,
            kernels: command.kernel.kernels(),
        },
        command,
    )
}

impl Output for Scan {
    fn text(&self, reports: &[Report], all_platforms: bool) -> String {
        match (self.format, reports) {
            (ReportFormat::Table, [report]) if !all_platforms => limpid_report::table(report, style()),
            (ReportFormat::Json, [report]) if !all_platforms => limpid_report::json(report),
            (ReportFormat::Table, _) => limpid_report::platforms_table(reports, style()),
            (ReportFormat::Json, _) => limpid_report::platforms_json(reports),
        }
    }

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
