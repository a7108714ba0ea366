//! Markdown, for job summaries and merge requests (GitHub's and GitLab's flavour).
//!
//! Whatever comes from an image or a feed stands in code spans, where nothing is a link, a mention or HTML.

use limpid_model::{Finding, Report, Severity};

use crate::format::{Document, Format, Subject, Write};
use crate::table::fixed_in;
use crate::text::code_span;

pub(crate) const FORMAT: Format = Format {
    name: "markdown",
    about: "for job summaries and merge requests",
    endings: &["md", "markdown"],
    subject: Subject::Findings,
    write: Write::Many(|_| Box::new(Sections)),
};

/// More rows than a person reads, and a job summary of GitHub's takes no more than 1 MiB.
const ROWS_MAX: usize = 2000;

struct Sections;

impl Document for Sections {
    fn add(&mut self, reports: &[Report]) -> String {
        reports.iter().map(section).collect()
    }

    fn end(&mut self, failed: &[(String, String)]) -> String {
        let line = |(reference, reason): &(String, String)| {
            format!("## {}\n\nNo report: {}\n\n", code_span(reference), code_span(reason))
        };
        failed.iter().map(line).collect()
    }
}

fn section(report: &Report) -> String {
    let mut text = format!("## {}\n\n", code_span(&report.reference));
    let digest = report.image.manifest_digest;
    text.push_str(&format!(
        "{digest}, {}, {}\n\n",
        code_span(&report.image.platform.to_string()),
        report.moment
    ));
    text.push_str(&format!("{}\n\n", crate::summary::summary(report)));
    let counts = report.count_by_severity();
    let shown: Vec<Severity> =
        Severity::ALL.into_iter().rev().filter(|severity| counts[*severity as usize] > 0).collect();
    if !shown.is_empty() {
        let names: Vec<&str> = shown.iter().map(|severity| severity.name()).collect();
        let numbers: Vec<String> =
            shown.iter().map(|severity| counts[*severity as usize].to_string()).collect();
        text.push_str(&format!("| {} |\n|{}\n", names.join(" | "), "---|".repeat(names.len())));
        text.push_str(&format!("| {} |\n\n", numbers.join(" | ")));
    }
    if !report.findings.is_empty() {
        text.push_str("| Severity | Vulnerability | Package | Installed | Fixed in | Layer |\n|---|---|---|---|---|---|\n");
        text.extend(report.findings.iter().take(ROWS_MAX).map(|finding| row(report, finding)));
        text.push('\n');
        if report.findings.len() > ROWS_MAX {
            text.push_str(&format!(
                "Not shown: {} more. Other formats have them all.\n\n",
                report.findings.len() - ROWS_MAX
            ));
        }
    }
    text.push_str("### Coverage\n\n");
    text.extend(
        crate::coverage::lines(report)
            .iter()
            .map(|(name, value)| format!("* {name}: {}\n", code_span(value))),
    );
    text.push('\n');
    text
}

fn row(report: &Report, finding: &Finding) -> String {
    let verdict = &finding.verdict;
    let package = &report.packages[finding.package];
    let id = code_span(&verdict.vulnerability);
    let id = match crate::source::page(&verdict.feed, &verdict.vulnerability) {
        Some(page) => format!("[{id}]({page})"),
        None => id,
    };
    let fixed = fixed_in(verdict);
    format!(
        "| {} | {id} | {} | {} | {} | {} |\n",
        finding.rated.severity.name(),
        code_span(&package.package.name),
        code_span(&package.package.version),
        if verdict.fixed.is_empty() { fixed } else { code_span(&fixed) },
        crate::table::layer(report, package.layer),
    )
}
