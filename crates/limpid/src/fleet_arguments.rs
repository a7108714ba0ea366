//! The command line of questions about all images.

use std::collections::BTreeSet;

use clap::{Args, Subcommand, ValueEnum};
use limpid_index::fleet::{Scope, VerdictFilter, VersionRange};
use limpid_model::{PackageType, Severity, VerdictState};
use limpid_store::{ImageFilter, Store};

use crate::arguments::{KernelArguments, MomentArguments, ReportFormat};
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

pub(crate) const FLEET_EXAMPLES: &str = "\
Examples:
  limpid fleet status                                      images by release and worst severity
  limpid fleet vulnerabilities --kev                       the most widespread that are known to be exploited
  limpid fleet vulnerabilities --severity high --state fixable --repository registry.example/team/
  limpid fleet package openssl --version '>=3.0.0,<3.0.7'  who has it, in the ecosystem's own order of versions
  limpid fleet layers --limit 20                           the layers and commands that introduce most
  limpid fleet rebase registry.example/team/app:1.4        what a newer build of its base would fix
  limpid fleet diff app:1.4 app:1.5                        what changed between two images

Images are those in the store: name them as they were scanned, or by the digests of their manifests.";

#[derive(Debug, Subcommand)]
pub(crate) enum Fleet {
    /// Show how many images have which release and which worst severity
    Status(FleetStatus),
    /// Show the most widespread vulnerabilities
    Vulnerabilities(FleetVulnerabilities),
    /// Show which images have a package
    ///
    /// NAME is that of a package or of the source that it was built from. Versions compare as the ecosystem's own tool
    /// compares them: a source's where only the source has the name.
    Package(FleetPackage),
    /// Show which layers introduce most, in all images that share them
    ///
    /// Layers that do the same to the same packages are one, whatever their bytes; the layer and the command that are
    /// shown are those of the first image that has it.
    Layers(FleetLayers),
    /// Show what moving an image to a newer known build of its base would fix
    Rebase(FleetRebase),
    /// Show what is different in a second image: packages and findings
    Diff(FleetDiff),
}

/// Whether kernels count.
#[derive(Debug, Args)]
pub(crate) struct FleetKernelArguments {
    /// Count what is found in kernels and their headers too, which a container does not run
    #[arg(long)]
    pub(crate) kernels: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FleetStatus {
    #[command(flatten)]
    pub(crate) kernels: FleetKernelArguments,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) format: ReportFormat,
    #[command(flatten)]
    pub(crate) scope: ScopeArguments,
}

#[derive(Debug, Args)]
pub(crate) struct FleetVulnerabilities {
    /// List at most N
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit(limpid_index::fleet::VULNERABILITIES_MAX))]
    pub(crate) limit: u64,
    /// Only those that are known to be exploited
    #[arg(long)]
    pub(crate) kev: bool,
    /// Only those whose probability to be exploited within 30 days is at least this, of 1
    #[arg(long, value_name = "P", value_parser = probability)]
    pub(crate) epss: Option<u32>,
    #[command(flatten)]
    pub(crate) kernels: FleetKernelArguments,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) format: ReportFormat,
    #[command(flatten)]
    pub(crate) scope: ScopeArguments,
    #[command(flatten)]
    pub(crate) verdicts: VerdictArguments,
}

fn limit(max: usize) -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(1..=max as u64)
}

/// A probability in hundred-thousandths.
fn probability(text: &str) -> Result<u32, String> {
    let value: f64 = text.parse().map_err(|_| "write a number from 0 to 1".to_owned())?;
    if !(0.0..=1.0).contains(&value) {
        return Err("write a number from 0 to 1".to_owned());
    }
    Ok((value * 100_000.0).round() as u32)
}

#[derive(Debug, Args)]
pub(crate) struct FleetPackage {
    /// The package's name, or its source's
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Only these versions: terms with <, <=, =, >= or >, separated by commas
    #[arg(long, value_name = "RANGE")]
    pub(crate) version: Option<VersionRange>,
    /// Only packages of this kind, by purl's name: deb, rpm, apk …
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<PackageType>,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) format: ReportFormat,
    #[command(flatten)]
    pub(crate) scope: ScopeArguments,
    #[command(flatten)]
    pub(crate) page: PageArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RankChoice {
    /// Vulnerabilities of packages that they introduced
    Vulnerabilities,
    /// Packages that they brought or changed
    Packages,
}

#[derive(Debug, Args)]
pub(crate) struct FleetLayers {
    /// What they are ranked by, counted once for each image
    #[arg(long, value_enum, default_value_t = RankChoice::Vulnerabilities)]
    pub(crate) by: RankChoice,
    /// List at most N
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = limit(limpid_index::fleet::LAYERS_MAX))]
    pub(crate) limit: u64,
    #[command(flatten)]
    pub(crate) kernels: FleetKernelArguments,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) format: ReportFormat,
    #[command(flatten)]
    pub(crate) scope: ScopeArguments,
    #[command(flatten)]
    pub(crate) verdicts: VerdictArguments,
}

#[derive(Debug, Args)]
pub(crate) struct FleetRebase {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) moment: MomentArguments,
    #[command(flatten)]
    pub(crate) kernel: KernelArguments,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Args)]
pub(crate) struct FleetDiff {
    /// The first image
    #[arg(value_name = "IMAGE")]
    pub(crate) before: String,
    /// The second image
    #[arg(value_name = "IMAGE")]
    pub(crate) after: String,
    #[command(flatten)]
    pub(crate) moment: MomentArguments,
    #[command(flatten)]
    pub(crate) kernel: KernelArguments,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) format: ReportFormat,
}
