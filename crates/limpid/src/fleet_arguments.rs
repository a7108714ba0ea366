//! The command line of questions about all images.

use std::collections::BTreeSet;

use clap::Args;
use limpid_index::{Scope, VerdictFilter};
use limpid_model::{Severity, VerdictState};
use limpid_store::{ImageFilter, Store};

use crate::arguments::{MomentArguments, ReportFormat};
use crate::as_of::Asked;
use crate::error::Error;

pub(crate) const AFFECTED_EXAMPLES: &str = "\
Examples:
  limpid affected CVE-2015-0235                          every image, with the layers that brought it
  limpid affected --count CVE-2024-3094                  only how many, and through which package versions
  limpid affected --repository registry.example/team/ --state fixable CVE-2023-4911
  limpid affected --as-of 2026-03-01 CVE-2023-4911       what was known then, of the images that were there
  limpid affected --limit 100 --format json DSA-3142-1   a page; `next` has the cursor for --after";

/// Which images a question is about.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which images")]
pub(crate) struct ScopeArguments {
    #[command(flatten)]
    moment: MomentArguments,
    /// Those of a repository (`registry.example/team/app`), or of all below one if it ends in `/`
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    repository: String,
    /// Those whose config has a label with this value; may be given several times, all must hold
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Those that are judged as a release, for example debian:12
    #[arg(long, value_name = "RELEASE", default_value = "", hide_default_value = true)]
    release: String,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl ScopeArguments {
    /// The moment that is meant. A day or a time is of images and advisories, a revision of advisories alone.
    pub(crate) fn asked(&self, store: &dyn Store) -> Result<Asked, Error> {
        Asked::new(store, self.moment.as_of)
    }

    pub(crate) fn scope<'a>(&self, asked: &'a Asked) -> Scope<'a> {
        let filter = ImageFilter {
            repository: self.repository.clone(),
            labels: self.label.clone(),
            release: self.release.clone(),
            there_at: asked.there_at(),
            last: None,
        };
        Scope { moment: asked.moment(), filter }
    }
}

/// Which verdicts count.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which verdicts")]
pub(crate) struct VerdictArguments {
    /// Count a package only if the severity is this or worse
    #[arg(long, value_name = "SEVERITY", default_value = "unknown", hide_default_value = true)]
    severity: Severity,
    /// Count a package only in one of these states: fixable, no-fix, will-not-fix, deferred, end-of-life
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    state: Vec<VerdictState>,
}

fn state(text: &str) -> Result<VerdictState, String> {
    use VerdictState::{Deferred, EndOfLife, Fixable, NoFix, WillNotFix};
    let states = [Fixable, NoFix, WillNotFix, Deferred, EndOfLife];
    let found = states.into_iter().find(|state| state.name() == text);
    found.ok_or_else(|| "use one of fixable, no-fix, will-not-fix, deferred, end-of-life".to_owned())
}

impl VerdictArguments {
    pub(crate) fn filter(&self) -> VerdictFilter {
        VerdictFilter { severity: self.severity, states: self.state.iter().copied().collect::<BTreeSet<_>>() }
    }
}

/// How much of a list of images is wanted.
#[derive(Debug, Args)]
#[command(next_help_heading = "How much")]
pub(crate) struct PageArguments {
    /// List at most N images; without, all of them
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Go on after the page that ended with this cursor
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
    /// List no images: how many there are, and through which package versions
    #[arg(long, conflicts_with_all = ["limit", "after"])]
    pub(crate) count: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Affected {
    /// The vulnerability, for example CVE-2015-0235
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) format: ReportFormat,
    #[command(flatten)]
    pub(crate) scope: ScopeArguments,
    #[command(flatten)]
    pub(crate) verdicts: VerdictArguments,
    #[command(flatten)]
    pub(crate) page: PageArguments,
}
