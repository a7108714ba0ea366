//! `limpid explain`

use std::collections::BTreeSet;
use std::fmt::Write as _;

use limpid_index::Kernels;
use limpid_model::{Explanation, Occurrence, PackageClass, Rated, Report, Severity, Vulnerability};
use limpid_report::terminal::printable;
use limpid_store::AdvisoryRecord;

use crate::arguments::{Explain, Global};
use crate::as_of::Asked;
use crate::error::{Error, Exit};
use crate::session::{Session, print};

pub(crate) fn run(global: &Global, command: &Explain) -> Result<Exit, Error> {
    let session = Session::open(global)?;
    // Who asks for one vulnerability by its name is told all of it.
    let report = session.report(&command.image, command.moment.as_of, Kernels::Show)?;
    let asked = Asked::new(session.store.as_ref(), command.moment.as_of)?;
    let at = asked.moment().revision;
    let records = session.store.advisories(&command.id, at)?;
    let mut ids: BTreeSet<String> =
        records.iter().map(|record| record.advisory.vulnerability().to_owned()).collect();
    ids.insert(command.id.clone());
    let mut text = format!("{} in {}\n", command.id, report.reference);
    if records.is_empty() {
        let _ = writeln!(text, "\nNo feed in the store knows {}.", command.id);
        coverage_note(&mut text, &report);
        print(&clean(&text))?;
        return Ok(Exit::Success);
    }
    for record in &records {
        describe(&mut text, record);
    }
    severities(&mut text, &report, &ids);
    let mut any = false;
    for (position, package) in report.packages.iter().enumerate() {
        let occurrence = Occurrence {
            package: package.package.clone(),
            context: package.context.clone(),
            owner: limpid_model::Owner::default(),
        };
        for (counting, overruled) in limpid_index::explain(session.store.as_ref(), &occurrence, &ids, at)? {
            any = true;
            let facts = &package.package;
            let _ = writeln!(text, "\n{} {} ({})", facts.name, facts.version, facts.kind);
            let layer = &report.image.layers[package.layer];
            let _ = writeln!(
                text,
                "  package     {} of {}, listed in {}",
                facts.arch, package.context, package.path
            );
            if package.class != PackageClass::Ordinary {
                let class = package.class.name();
                let _ = writeln!(
                    text,
                    "  class       {class}: no code that a container runs, so reports only count it, see --kernel"
                );
            }
            let _ = writeln!(text, "  source      {} {}", facts.source_name, facts.source_version);
            let _ = writeln!(text, "  layer       {} {}", package.layer + 1, layer.digest);
            let command = if layer.command.is_empty() { "not recorded" } else { &layer.command };
            let _ = writeln!(text, "  command     {command}");
            for (explanation, name) in
                std::iter::once((&counting, "verdict")).chain(overruled.iter().map(|e| (e, "overruled")))
            {
                let found = report
                    .findings
                    .iter()
                    .find(|finding| finding.package == position && finding.verdict == explanation.verdict);
                verdict(&mut text, explanation, name, found.map(|finding| &finding.rated));
                notices(&mut text, explanation, &package.context.release, &records);
            }
        }
    }
    if !any {
        let _ = writeln!(text, "\nNo package of the image is named by {} for its distribution.", command.id);
        coverage_note(&mut text, &report);
    }
    print(&clean(&text))?;
    Ok(Exit::Success)
}

fn describe(text: &mut String, record: &AdvisoryRecord) {
    let details = &record.advisory.details;
    let _ = writeln!(
        text,
        "\n{} from {} {}, revision {}",
        record.advisory.id, record.key.feed, record.key.document, record.since_revision
    );
    if !details.aliases.is_empty() {
        let _ = writeln!(text, "  also        {}", details.aliases.join(", "));
    }
    if !details.description.is_empty() {
        let _ = writeln!(
            text,
            "  about       {}",
            details.description.split_whitespace().collect::<Vec<_>>().join(" ")
        );
    }
    for link in &details.links {
        let _ = writeln!(text, "  link        {link}");
    }
}

/// Every severity that a source gives, whatever the package, and what else scores the vulnerability.
fn severities(text: &mut String, report: &Report, ids: &BTreeSet<String>) {
    let is_rated = |known: &&Vulnerability| {
        !known.ratings.is_empty() || known.exploited.is_some() || known.epss.is_some()
    };
    for known in report.vulnerabilities.iter().filter(|known| ids.contains(&known.id)).filter(is_rated) {
        let _ = writeln!(text, "\n{} by all who rate it", known.id);
        for rating in &known.ratings {
            let mut said = rating.severity.to_string();
            if let Some(score) = rating.score {
                let _ = write!(said, ", CVSS {score} of {}", rating.vector);
            }
            if !rating.word.is_empty() && !rating.word.eq_ignore_ascii_case(rating.severity.name()) {
                let _ = write!(said, " (\"{}\")", rating.word);
            }
            let _ = writeln!(text, "  severity    {said}, says {}", rating.source);
        }
        if let Some(exploited) = &known.exploited {
            let _ = writeln!(
                text,
                "  exploited   known since {}, to be fixed by {}",
                exploited.added, exploited.due
            );
        }
        if let Some(epss) = known.epss {
            let percent = |units: u32| format!("{}.{:03} %", units / 1000, units % 1000);
            let _ = writeln!(
                text,
                "  EPSS        {}, as much as or more than {} of all",
                percent(epss.score),
                percent(epss.percentile)
            );
        }
    }
}

/// `rated` is the severity that counts, where the report lists the verdict.
fn verdict(text: &mut String, explanation: &Explanation, name: &str, rated: Option<&Rated>) {
    let verdict = &explanation.verdict;
    let answer = if verdict.state.is_affected() {
        "AFFECTED"
    } else if verdict.state == limpid_model::VerdictState::Unknown {
        "not determined"
    } else {
        "not affected"
    };
    let severity = match rated {
        Some(rated) if rated.source.is_empty() => format!(", severity {}", rated.severity),
        Some(rated) => format!(", severity {}, says {}", rated.severity, rated.source),
        None if verdict.severity == Severity::Unknown => String::new(),
        None => format!(", severity {}", verdict.severity),
    };
    let _ = writeln!(text, "  {name:<11} {answer} ({}){severity}", verdict.state);
    let _ = writeln!(text, "    says      {}: {}", verdict.feed, verdict.state_word);
    let _ = writeln!(text, "    rule      {}, matched as {}", explanation.rule, explanation.matched_name);
    let _ = writeln!(text, "    compared  {}", explanation.comparison);
    if !verdict.channel.is_empty() {
        let _ = writeln!(text, "    channel   {}", verdict.channel);
    }
}

/// The announcements that brought the fix that the verdict names.
fn notices(text: &mut String, explanation: &Explanation, release: &str, records: &[AdvisoryRecord]) {
    let verdict = &explanation.verdict;
    let of_feed = records.iter().filter(|record| record.key.feed == verdict.feed);
    let rows = of_feed.filter(|record| record.advisory.id == verdict.advisory);
    let notices: BTreeSet<&str> = rows
        .flat_map(|record| &record.advisory.affected)
        .filter(|said| said.release == release && said.package == explanation.matched_name)
        .filter(|said| {
            said.channel == verdict.channel && said.fixed == verdict.fixed && !said.notice.is_empty()
        })
        .map(|said| said.notice.as_str())
        .collect();
    if !notices.is_empty() {
        let _ = writeln!(text, "    notice    {}", notices.into_iter().collect::<Vec<_>>().join(", "));
    }
}

fn coverage_note(text: &mut String, report: &Report) {
    if report.coverage.feeds.is_empty() {
        let _ = writeln!(text, "That says little: no feed in the store speaks for this image's packages.");
    }
}

/// Everything but our own line ends made harmless.
fn clean(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", printable(line))).collect()
}
