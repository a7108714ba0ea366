//! The formats, and what all of them have in common: a document is written piece by piece, image by image.

use limpid_model::Report;

use crate::terminal::Style;

/// What documents are made for.
#[derive(Debug, Clone, Default)]
pub struct Edition {
    /// How text for people may look.
    pub style: Style,
    /// Whether only packages were asked for.
    pub packages_only: bool,
    /// Whether several references were, so that a document must say which is meant.
    pub several: bool,
    /// Whether all platforms of each reference were.
    pub all_platforms: bool,
    /// The job that the document is made in.
    pub job: Job,
}

/// A job of GitHub Actions, in its own words. Empty where there is none.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// The commit.
    pub sha: String,
    /// The branch or tag, in full.
    pub reference: String,
    /// Workflow and job, which stay the same from run to run.
    pub correlator: String,
    /// The run.
    pub run: String,
}

/// A document that is being written.
pub trait Document {
    /// What stands before the first image.
    fn begin(&mut self) -> String {
        String::new()
    }

    /// The reports of a reference: of one image, or of all its platforms.
    fn add(&mut self, reports: &[Report]) -> String;

    /// What stands behind the last image; `failed` are the references that have no report, each with the reason.
    fn end(&mut self, failed: &[(String, String)]) -> String {
        let _ = failed;
        String::new()
    }
}

/// An output format.
#[derive(Debug)]
pub struct Format {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Ends of file names that can mean nothing else, lower case, without a dot before them.
    pub endings: &'static [&'static str],
    /// Which commands have it.
    pub subject: Subject,
    pub(crate) write: Write,
}

/// What a format is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Vulnerabilities.
    Findings,
    /// Packages.
    Packages,
    /// Both: without vulnerabilities where only packages were asked for.
    Either,
}

/// How a format is written.
#[derive(Debug)]
pub(crate) enum Write {
    /// One image a document.
    One(fn(&Report, &Edition) -> String),
    /// Any number of images in one document.
    Many(fn(&Edition) -> Box<dyn Document>),
}

impl Format {
    /// Whether a document of it can hold several images.
    pub fn holds_several(&self) -> bool {
        matches!(self.write, Write::Many(_))
    }

    /// A document that nothing was written of yet. One of a format that holds one image takes one report.
    pub fn open(&self, edition: &Edition) -> Box<dyn Document> {
        match self.write {
            Write::One(write) => Box::new(Single { write, edition: edition.clone() }),
            Write::Many(open) => open(edition),
        }
    }

    /// The whole document of one image.
    pub fn document(&self, report: &Report, edition: &Edition) -> String {
        let mut document = self.open(edition);
        let mut text = document.begin();
        text.push_str(&document.add(std::slice::from_ref(report)));
        text.push_str(&document.end(&[]));
        text
    }
}

struct Single {
    write: fn(&Report, &Edition) -> String,
    edition: Edition,
}

impl Document for Single {
    fn add(&mut self, reports: &[Report]) -> String {
        reports.iter().map(|report| (self.write)(report, &self.edition)).collect()
    }
}

/// Every format, in the order in which help lists them.
pub const FORMATS: &[&Format] = &[
    &crate::table::FORMAT,
    &crate::json::FORMAT,
    &crate::tsv::FORMAT,
    &crate::csv::FORMAT,
    &crate::markdown::FORMAT,
    &crate::html::FORMAT,
    &crate::sarif::FORMAT,
    &crate::cyclonedx::FORMAT,
    &crate::cyclonedx::FORMAT_1_7,
    &crate::spdx::FORMAT,
    &crate::spdx3::FORMAT,
    &crate::openvex::FORMAT,
    &crate::junit::FORMAT,
    &crate::gitlab::FORMAT,
    &crate::github::FORMAT,
    &crate::cosign::FORMAT,
    &crate::trivy::FORMAT,
    &crate::grype::FORMAT,
    &crate::clair::FORMAT,
    &crate::quay::FORMAT,
];

/// The formats of `scan`, or with `packages_only` those of `packages`.
pub fn formats(packages_only: bool) -> impl Iterator<Item = &'static Format> {
    let other = if packages_only { Subject::Findings } else { Subject::Packages };
    FORMATS.iter().copied().filter(move |format| format.subject != other)
}

/// The format that a file's name means, if it can mean no other.
pub fn guess(file_name: &str, packages_only: bool) -> Option<&'static Format> {
    let name = file_name.to_lowercase();
    let fits = |ending: &str| {
        let before = name.strip_suffix(ending)?;
        (before.is_empty() || before.ends_with(['.', '-', '_'])).then_some(ending.len())
    };
    let longest = |format: &&'static Format| format.endings.iter().filter_map(|ending| fits(ending)).max();
    formats(packages_only).filter(|format| longest(format).is_some()).max_by_key(longest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_endings_are_of_one_format_each() {
        let mut seen = BTreeSet::new();
        for format in FORMATS {
            assert!(seen.insert(format.name), "{}", format.name);
            for ending in format.endings {
                assert!(seen.insert(ending) || *ending == format.name, "{ending}");
                assert_eq!(*ending, ending.to_lowercase());
            }
        }
    }

    #[test]
    fn names_of_files_mean_a_format_or_nothing() {
        let guessed = |name: &str| guess(name, false).map(|format| format.name);
        for (name, format) in [
            ("report.sarif", "sarif"),
            ("report.sarif.json", "sarif"),
            ("BOM.JSON", "cyclonedx"),
            ("a.cdx.json", "cyclonedx"),
            ("a.spdx.json", "spdx"),
            ("a.spdx3.json", "spdx-3"),
            ("a.openvex.json", "openvex"),
            ("report.html", "html"),
            ("report.csv", "csv"),
            ("README.md", "markdown"),
            ("a.junit.xml", "junit"),
            ("gl-container-scanning-report.json", "gitlab"),
            ("report.txt", "table"),
        ] {
            assert_eq!(guessed(name), Some(format), "{name}");
        }
        for name in ["report.json", "a.xml", "mybom.json", "csv", "report"] {
            assert_eq!(guessed(name).filter(|_| name != "csv"), None, "{name}");
        }
        assert_eq!(guess("a.sarif", true).map(|format| format.name), None);
    }
}
