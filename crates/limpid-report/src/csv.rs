//! Findings as comma-separated values (RFC 4180), for spreadsheets. The first row has the columns' names.

use limpid_model::Report;

use crate::format::{Document, Format, Subject, Write};
use crate::scale::{number, share};

pub(crate) const FORMAT: Format = Format {
    name: "csv",
    about: "findings, for spreadsheets",
    endings: &["csv"],
    subject: Subject::Findings,
    write: Write::Many(|_| Box::new(Rows)),
};

/// The columns. New ones go at the end.
const COLUMNS: [&str; 24] = [
    "Severity",
    "Vulnerability",
    "Package",
    "Installed",
    "Fixed in",
    "State",
    "Channel",
    "Type",
    "Architecture",
    "Source package",
    "Image",
    "Digest",
    "Platform",
    "Layer",
    "Layer digest",
    "Command",
    "Severity by",
    "CVSS score",
    "CVSS vector",
    "EPSS",
    "Known exploited since",
    "Advisory",
    "purl",
    "Page",
];

struct Rows;

impl Document for Rows {
    fn begin(&mut self) -> String {
        row(&COLUMNS.map(str::to_owned))
    }

    fn add(&mut self, reports: &[Report]) -> String {
        reports.iter().map(findings).collect()
    }
}

fn findings(report: &Report) -> String {
    let image = &report.image;
    let rows = report.findings.iter().map(|finding| {
        let verdict = &finding.verdict;
        let installed = &report.packages[finding.package];
        let package = &installed.package;
        let known = &report.vulnerabilities[finding.vulnerability];
        let layer = image.layers.get(installed.layer);
        let scored = known.ratings.iter().find(|rated| rated.score.is_some());
        row(&[
            finding.rated.severity.name().to_owned(),
            verdict.vulnerability.clone(),
            package.name.clone(),
            package.version.clone(),
            verdict.fixed.clone(),
            verdict.state.name().to_owned(),
            verdict.channel.clone(),
            package.kind.name().to_owned(),
            package.arch.clone(),
            package.source_name.clone(),
            report.reference.clone(),
            image.manifest_digest.to_string(),
            image.platform.to_string(),
            (installed.layer + 1).to_string(),
            layer.map(|layer| layer.digest.to_string()).unwrap_or_default(),
            layer.map(|layer| layer.command.clone()).unwrap_or_default(),
            finding.rated.source.clone(),
            scored.and_then(|rated| rated.score).map(|score| number(score).to_string()).unwrap_or_default(),
            scored.map(|rated| rated.vector.clone()).unwrap_or_default(),
            known.epss.map(|epss| share(epss.score).to_string()).unwrap_or_default(),
            known.exploited.as_ref().map(|exploited| exploited.added.clone()).unwrap_or_default(),
            if verdict.notice.is_empty() { &verdict.advisory } else { &verdict.notice }.clone(),
            crate::purl(installed, report.coverage.distribution.as_ref()),
            crate::source::page(&verdict.feed, &verdict.vulnerability).unwrap_or_default(),
        ])
    });
    rows.collect()
}

fn row(cells: &[String; 24]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| crate::text::csv(cell)).collect();
    format!("{}\r\n", cells.join(","))
}
