//! The table of findings, for people.

use limpid_model::{Report, Verdict, VerdictState};

use crate::coverage::coverage;
use crate::summary::summary;
use crate::terminal::{Columns, Style, printable, wrapped};

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
