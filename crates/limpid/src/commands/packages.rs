//! `limpid packages`

use limpid_index::Kernels;
use limpid_model::Report;

use crate::arguments::{Global, PackageFormat, Packages};
use crate::error::{Error, Exit};
use crate::images::{self, Output, Plan};
use crate::session::{Session, style};

pub(crate) fn run(global: &Global, command: &Packages) -> Result<Exit, Error> {
    if command.format == PackageFormat::Tsv && !command.images.is_one() {
        let message =
            "tab-separated values do not say which image they are of; name one image, or use another format";
        return Err(Error::Usage { message: message.to_owned() });
    }
    let session = Session::open(global)?;
    let for_programs = command.format == PackageFormat::Json;
    images::run(
        &session,
        &Plan {
            images: &command.images,
            for_programs,
            update: false,
            as_of: None,
            kernels: Kernels::ByImage,
        },
        command,
    )
}

impl Output for Packages {
    fn text(&self, reports: &[Report], all_platforms: bool) -> String {
        match (self.format, reports) {
            (PackageFormat::Tsv, _) => reports.iter().map(limpid_report::packages_tsv).collect(),
            (PackageFormat::Json, [report]) if !all_platforms => limpid_report::packages_json(report),
            (PackageFormat::Json, _) => limpid_report::packages_of_platforms_json(reports),
            (PackageFormat::Table, _) => {
                let texts = reports.iter().map(|report| {
                    let mut report = report.clone();
                    if all_platforms {
                        report.reference = format!("{} {}", report.reference, report.image.platform);
                    }
                    limpid_report::packages_table(&report, style())
                });
                texts.collect::<Vec<_>>().join("\n")
            }
        }
    }

    fn judge(&self, session: &Session<'_>, report: &Report) -> Exit {
        if self.format == PackageFormat::Tsv {
            for problem in &report.coverage.problems {
                session.warn(&format!("{}: {}", problem.problem.path, problem.problem.reason));
            }
        }
        Exit::Success
    }
}
