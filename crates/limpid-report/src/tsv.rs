//! Packages as tab-separated values, for the tools of a shell.

use limpid_model::Report;

use crate::format::{Format, Subject, Write};
use crate::terminal::printable;

pub(crate) const FORMAT: Format = Format {
    name: "tsv",
    about: "tab-separated, without a header: type, name, version, arch, source name, source version, layer, path",
    endings: &["tsv"],
    subject: Subject::Packages,
    write: Write::One(|report, _| packages_tsv(report)),
};

/// Packages as tab-separated values without a header: type, name, version, architecture, source name, source
/// version, layer digest, path; `-` for none. Tabs and line ends inside a value become U+FFFD.
pub fn packages_tsv(report: &Report) -> String {
    let mut text = String::new();
    for package in &report.packages {
        let facts = &package.package;
        let layer = report.layer_digest(package.layer).map(|digest| digest.to_string()).unwrap_or_default();
        let cells = [
            facts.kind.name(),
            &facts.name,
            &facts.version,
            &facts.arch,
            &facts.source_name,
            &facts.source_version,
            &layer,
            &package.path,
        ];
        let cells: Vec<String> =
            cells.iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { printable(cell) }).collect();
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    text
}
