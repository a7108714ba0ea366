//! The table of findings, for people.

use limpid_model::{Report, Verdict, VerdictState};

use crate::coverage::coverage;
use crate::format::{Document, Edition, Format, Subject, Write};
use crate::summary::summary;
use crate::terminal::{Columns, Style, printable, wrapped};

pub(crate) const FORMAT: Format = Format {
    name: "table",
    about: "for people",
    endings: &["txt"],
    subject: Subject::Either,
    write: Write::Many(|edition| Box::new(TableDocument { edition: edition.clone(), any: false })),
};

/// Tables, with an empty line between those of two references.
struct TableDocument {
    edition: Edition,
    any: bool,
}

impl Document for TableDocument {
    fn add(&mut self, reports: &[Report]) -> String {
        let Edition { style, packages_only, all_platforms, .. } = self.edition;
        let text = match (reports, packages_only) {
            (_, true) => packages(reports, all_platforms, style),
            ([report], false) if !all_platforms => table(report, style),
            (_, false) => crate::platforms_table(reports, style),
        };
        let between = if self.any { "\n" } else { "" };
        self.any = true;
        format!("{between}{text}")
    }
}

fn packages(reports: &[Report], all_platforms: bool, style: Style) -> String {
    let tables = reports.iter().map(|report| {
        let mut report = report.clone();
        if all_platforms {
            report.reference = format!("{} {}", report.reference, report.image.platform);
        }
        crate::packages_table(&report, style)
    });
    tables.collect::<Vec<_>>().join("\n")
}

/// The report of a scan: head, findings, summary, coverage.
pub fn table(report: &Report, style: Style) -> String {
    let digest = report.image.manifest_digest.short();
    let mut text = format!("{} ({digest})\n\n", style.bold(&printable(&report.reference)));
    if !report.as_of.is_empty() {
        text.push_str(&format!("As of {}, revision {}.\n\n", report.as_of, report.revision));
    }
    if !report.findings.is_empty() {
        let head = ["SEVERITY", "ID", "PACKAGE", "INSTALLED", "FIXED IN", "LAYER"];
        let mut columns = Columns::new(&head, &[2, 3, 4]);
        for finding in &report.findings {
            let package = &report.packages[finding.package];
            columns.push(vec![
                finding.rated.severity.to_string(),
                finding.verdict.vulnerability.clone(),
                package.package.name.clone(),
                package.package.version.clone(),
                fixed_in(&finding.verdict),
                layer(report, package.layer),
            ]);
        }
        columns.shorten(5, style);
        text.push_str(&columns.render(style, |row, column, cell| {
            (column == 0).then(|| style.severity(report.findings[row].rated.severity, cell))
        }));
        text.push('\n');
    }
    text.push_str(&wrapped(&summary(report), 0, style));
    text.push_str("\n\n");
    text.push_str(&coverage(report, style));
    text
}

/// The fixed version, or why there is none.
pub(crate) fn fixed_in(verdict: &Verdict) -> String {
    let channel = if verdict.channel.is_empty() { String::new() } else { format!(" ({})", verdict.channel) };
    match verdict.state {
        VerdictState::Fixable => format!("{}{channel}", verdict.fixed),
        VerdictState::NoFix => "no fix yet".to_owned(),
        VerdictState::WillNotFix => "won't be fixed".to_owned(),
        VerdictState::Deferred => "put off".to_owned(),
        VerdictState::EndOfLife => "end of life".to_owned(),
        VerdictState::Unknown => "not determined".to_owned(),
        VerdictState::FixedAlready | VerdictState::NeverAffected => "not affected".to_owned(),
    }
}

/// A layer by its number, base first from 1, and the beginning of its digest.
pub(crate) fn layer(report: &Report, index: usize) -> String {
    let digest = report.layer_digest(index).map(|digest| digest.short()).unwrap_or_default();
    format!("{} {digest}", index + 1)
}
