//! `limpid layers`

use crate::arguments::{Global, Layers, ReportFormat};
use crate::error::{Error, Exit};
use crate::session::{Session, print, style};

pub(crate) fn run(global: &Global, command: &Layers) -> Result<Exit, Error> {
    let session = Session::open(global)?;
    let report = session.report(&command.image, command.moment.as_of, command.kernel.kernels())?;
    print(&match command.format {
        ReportFormat::Table => limpid_report::layers_table(&report, style()),
        ReportFormat::Json => limpid_report::layers_json(&report),
    })?;
    Ok(Exit::Success)
}
