//! `limpid packages`

use crate::arguments::{Global, PackageFormat, Packages};
use crate::error::{Error, Exit};
use crate::session::{Session, print, style};

pub(crate) fn run(global: &Global, command: &Packages) -> Result<Exit, Error> {
    let session = Session::open(global)?;
    let report = session.report_as_is(&command.image)?;
    print(&match command.format {
        PackageFormat::Table => limpid_report::packages_table(&report, style()),
        PackageFormat::Tsv => limpid_report::packages_tsv(&report),
        PackageFormat::Json => limpid_report::packages_json(&report),
    })?;
    if command.format == PackageFormat::Tsv {
        for problem in &report.coverage.problems {
            session.warn(&format!("{}: {}", problem.problem.path, problem.problem.reason));
        }
    }
    Ok(Exit::Success)
}
