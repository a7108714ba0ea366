//! The coverage block that every report for people ends with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use limpid_model::{Coverage, FeedUse, PackageType, Report, Support};

use crate::summary::plural;
use crate::terminal::{Style, printable, wrapped};

/// Where what is said of a name begins.
const INDENT: usize = 16;

/// What the answer rests on, as lines for a terminal.
pub(crate) fn coverage(report: &Report, style: Style) -> String {
    let mut text = format!("{}\n", style.bold("Coverage"));
    for (name, value) in lines(report) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", wrapped(&format!("  {name:<13} {}", printable(&value)), INDENT, style));
    }
    text
}

/// What the answer rests on: what each line is about, and what it says. Not yet made harmless for any format.
pub(crate) fn lines(report: &Report) -> Vec<(&'static str, String)> {
    let coverage = &report.coverage;
    let mut lines =
        vec![("distribution", distribution(coverage)), ("answer", coverage.standing.name().to_owned())];
    if coverage.feeds.is_empty() {
        lines.push(("feed", "none".to_owned()));
    }
    lines.extend(coverage.feeds.iter().map(|feed| ("feed", self::feed(feed))));
    lines.extend(databases(report).into_iter().map(|read| ("read", read)));
    for unmatched in &coverage.unmatched {
        let packages = plural(unmatched.packages, "package", "packages");
        lines.push(("not covered", format!("{packages}: {}", unmatched.reason)));
    }
    for problem in &coverage.problems {
        let mut place = match problem.layer {
            Some(layer) => format!("layer {} ", layer + 1),
            None => String::new(),
        };
        if !problem.problem.path.is_empty() {
            let _ = write!(place, "{} ", problem.problem.path);
        }
        lines.push(("unreadable", format!("{}: {}", place.trim_end(), problem.problem.reason)));
    }
    lines
}

fn feed(feed: &FeedUse) -> String {
    if feed.date.is_empty() && !feed.error.is_empty() {
        return format!("{}, never read: {}", feed.name, feed.error);
    }
    // Scores have no revisions.
    let revision = if feed.revision == 0 { String::new() } else { format!(", revision {}", feed.revision) };
    let error = if feed.error.is_empty() { String::new() } else { format!("; not updated: {}", feed.error) };
    format!("{}{revision}, data of {}{error}", feed.name, feed.date)
}

/// The package databases that have packages of the image, by kind. Which extractors ran is for programs to know.
fn databases(report: &Report) -> Vec<String> {
    let mut by_kind: BTreeMap<PackageType, (u64, BTreeSet<&str>)> = BTreeMap::new();
    for package in &report.packages {
        let (packages, paths) = by_kind.entry(package.package.kind).or_default();
        *packages += 1;
        paths.insert(&package.path);
    }
    let line = |(kind, (packages, paths)): (PackageType, (u64, BTreeSet<&str>))| {
        let mut places: Vec<String> =
            paths.iter().take(DATABASES_SHOWN).map(|path| (*path).to_owned()).collect();
        if paths.len() > DATABASES_SHOWN {
            // Some have a file for each package.
            places = vec![format!("{} files such as {}", paths.len(), places[0])];
        }
        format!("{} {} in {}", packages, kind, places.join(", "))
    };
    if by_kind.is_empty() {
        vec!["no package database".to_owned()]
    } else {
        by_kind.into_iter().map(line).collect()
    }
}

/// More databases of one kind than are named one by one.
const DATABASES_SHOWN: usize = 3;

pub(crate) fn distribution(coverage: &Coverage) -> String {
    let Some(distribution) = &coverage.distribution else {
        return "unknown: the image names none that Limpid recognises".to_owned();
    };
    // `CBL-Mariner/Linux` does not say which.
    let says_which = distribution.pretty_name.contains(|c: char| c.is_ascii_digit());
    let name = match distribution.pretty_name.as_str() {
        "" => distribution.to_string(),
        name if says_which || !distribution.code_name.is_empty() || distribution.version_id.is_empty() => {
            name.to_owned()
        }
        name => format!("{name} {}", distribution.version_id),
    };
    let until =
        |until: &Option<String>| until.as_ref().map(|day| format!(" until {day}")).unwrap_or_default();
    let support = match &coverage.support {
        Support::Supported { until: last } => format!("supported{}", until(last)),
        Support::Extended { programme, until: last } => {
            format!("regular support ended, {programme}{}", until(last))
        }
        Support::EndOfLife { since } => format!("END OF LIFE since {since}"),
        Support::Unknown => "support dates unknown".to_owned(),
    };
    format!("{name} ({support})")
}
