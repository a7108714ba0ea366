//! JUnit's XML, as Trivy's template writes it: a suite for each image, a failed test for each finding. What the source has
//! not determined is a skipped test; an image without a report is an error.
//!
//! There is no one definition of the format: Jenkins, GitLab and Azure read what is here.

use limpid_model::Report;

use crate::format::{Document, Format, Subject, Write};
use crate::scale::advice;
use crate::text::{clip, markup};

pub(crate) const FORMAT: Format = Format {
    name: "junit",
    about: "test results, which every CI system shows",
    endings: &["junit.xml", "junit-report.xml"],
    subject: Subject::Findings,
    write: Write::Many(|_| Box::new(Suites)),
};

/// Readers keep texts in attributes short.
const TITLE_CHARS_MAX: usize = 300;

struct Suites;

impl Document for Suites {
    fn begin(&mut self) -> String {
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"limpid\">\n".to_owned()
    }

    fn add(&mut self, reports: &[Report]) -> String {
        reports.iter().map(suite).collect()
    }

    fn end(&mut self, failed: &[(String, String)]) -> String {
        let suite = |(reference, reason): &(String, String)| {
            let (reference, reason) = (markup(reference), markup(reason));
            format!(
                "  <testsuite name=\"{reference}\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" time=\"0\">\n    \
                 <testcase classname=\"{reference}\" name=\"report\" time=\"0\">\n      \
                 <error message=\"{reason}\" type=\"no report\"/>\n    </testcase>\n  </testsuite>\n"
            )
        };
        let mut text: String = failed.iter().map(suite).collect();
        text.push_str("</testsuites>\n");
        text
    }
}

fn suite(report: &Report) -> String {
    let (affected, undetermined): (Vec<_>, Vec<_>) =
        report.findings.iter().partition(|finding| finding.verdict.state.is_affected());
    let kind = report.coverage.distribution.as_ref().map_or("unknown", |distribution| &distribution.id);
    let mut text = format!(
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"0\" timestamp=\"{}\">\n    \
         <properties>\n      <property name=\"type\" value=\"{}\"/>\n      <property name=\"digest\" value=\"{}\"/>\n      \
         <property name=\"platform\" value=\"{}\"/>\n      <property name=\"answer\" value=\"{}\"/>\n    </properties>\n",
        markup(&report.reference),
        report.findings.len(),
        affected.len(),
        undetermined.len(),
        markup(report.moment.trim_end_matches('Z')),
        markup(kind),
        report.image.manifest_digest,
        markup(&report.image.platform.to_string()),
        report.coverage.standing.name(),
    );
    for finding in &report.findings {
        let package = &report.packages[finding.package].package;
        let verdict = &finding.verdict;
        let description = &report.vulnerabilities[finding.vulnerability].description;
        let advice = advice(report, finding);
        text.push_str(&format!(
            "    <testcase classname=\"{}\" name=\"[{}] {}\" time=\"0\">\n",
            markup(&format!("{}-{}", package.name, package.version)),
            finding.rated.severity.name().to_uppercase(),
            markup(&verdict.vulnerability),
        ));
        match verdict.state.is_affected() {
            true => text.push_str(&format!(
                "      <failure message=\"{}\" type=\"description\">{}</failure>\n",
                markup(&clip(&advice, TITLE_CHARS_MAX)),
                markup(if description.is_empty() { &advice } else { description }),
            )),
            false => {
                let message = markup(&clip(&advice, TITLE_CHARS_MAX));
                text.push_str(&format!("      <skipped message=\"{message}\"/>\n"));
            }
        }
        text.push_str("    </testcase>\n");
    }
    text.push_str("  </testsuite>\n");
    text
}
