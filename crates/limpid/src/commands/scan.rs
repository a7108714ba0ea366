//! `limpid scan`

use crate::arguments::{Global, ReportFormat, Scan};
use crate::error::{Error, Exit, eprint_line};
use crate::session::{Session, print, style};

pub(crate) fn run(global: &Global, command: &Scan) -> Result<Exit, Error> {
    let session = Session::open(global)?;
    let report = session.report(&command.image, command.moment.as_of)?;
    print(&match command.format {
        ReportFormat::Table => limpid_report::table(&report, style()),
        ReportFormat::Json => limpid_report::json(&report),
    })?;
    match command.fail_on.as_ref().and_then(|gate| gate.closed(&report)) {
        Some(reason) => {
            eprint_line(&format!("limpid: the gate is closed: {reason}"));
            Ok(Exit::GateClosed)
        }
        None => Ok(Exit::Success),
    }
}
