//! `limpid coverage`: what this Limpid knows, from its own lists.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use limpid_match::{DISTRIBUTIONS, Granularity, KnownDistribution, RULES};

use crate::error::{Error, Exit};
use crate::session::print;

/// What the tests hold against Limpid's answers: release, what is compared, and with what. The tests check the list.
const SAMPLES: &str = include_str!("../../tests/samples.tsv");

pub(crate) fn run() -> Result<Exit, Error> {
    print(&markdown())?;
    Ok(Exit::Success)
}

fn markdown() -> String {
    let mut text = String::from(
        "# What Limpid knows\n\nThis page is what `limpid coverage` prints; `cargo xtask coverage` writes it.\n\n\
         ## Distributions\n\n\
         A release is what advisories are written for: the id alone where a distribution rolls. Of a distribution \
         without a feed the packages are listed, and the report says that nothing speaks for them. One that is not \
         in this table is named as it names itself; if it says that it is like another, the report says so and does \
         not judge it by the other's feed.\n\n\
         | distribution | release | known releases | packages | feeds | tested with |\n|---|---|---|---|---|---|\n",
    );
    let samples = samples();
    for known in DISTRIBUTIONS {
        let kinds: Vec<&str> = known.kinds.iter().map(|kind| kind.name()).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | `{}` | {} | {} | {} | {} |",
            known.name,
            release(known),
            known.releases,
            or_none(&kinds.join(", ")),
            or_none(&feeds(known)),
            samples.get(known.id).map_or("untested", String::as_str),
        );
    }
    text.push_str(
        "\n`packages` are compared in full with what the ecosystem's own tool says of a real image or database, or \
         where there is no such tool (`by hand`) with what was read off a small database; `name` means that only the \
         distribution's name and release are compared.\n\n\
         ## Package databases\n\n| database | version | looked for at |\n|---|---|---|\n",
    );
    for place in limpid_index::places() {
        let paths: Vec<String> = place.paths.iter().map(|path| format!("`{path}`")).collect();
        let _ = writeln!(text, "| {} | {} | {} |", place.extractor, place.version, paths.join(", "));
    }
    text
}

fn release(known: &KnownDistribution) -> String {
    match known.granularity {
        Granularity::Rolling => known.id.to_owned(),
        Granularity::Major => format!("{}:MAJOR", known.id),
        Granularity::Minor => format!("{}:MAJOR.MINOR", known.id),
        Granularity::Whole => format!("{}:VERSION", known.id),
    }
}

/// The feeds that exist of those whose word counts.
fn feeds(known: &KnownDistribution) -> String {
    let rules = RULES.iter().filter(|rules| rules.distribution() == known.id);
    let named = rules.flat_map(|rules| rules.feeds()).copied();
    let read = |name: &&str| limpid_feeds::FEEDS.iter().any(|feed| feed.name() == *name);
    named.filter(read).collect::<Vec<_>>().join(", ")
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// By distribution: what is compared, for which releases, and with what.
fn samples() -> BTreeMap<&'static str, String> {
    let mut samples: BTreeMap<&str, Vec<(&str, Vec<String>)>> = BTreeMap::new();
    for line in SAMPLES.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [release, compared, sample] = columns[..] else { continue };
        let (id, version) = release.split_once(':').unwrap_or((release, ""));
        let of = samples.entry(id).or_default();
        let told = if version.is_empty() { sample.to_owned() } else { format!("{version} ({sample})") };
        match of.iter_mut().find(|(known, _)| *known == compared) {
            Some((_, told_before)) => told_before.push(told),
            None => of.push((compared, vec![told])),
        }
    }
    let text = |of: Vec<(&str, Vec<String>)>| {
        let parts: Vec<String> =
            of.into_iter().map(|(compared, told)| format!("{compared}: {}", told.join(", "))).collect();
        parts.join("; ")
    };
    samples.into_iter().map(|(id, of)| (id, text(of))).collect()
}
