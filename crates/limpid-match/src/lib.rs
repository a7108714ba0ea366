//! What an advisory means for a package.
//!
//! [`context`] says in which world a package is to be understood, a [`Rules`] of that world judges it: which
//! names to look it up by, which of its versions to compare, and what each state that the source gives means.
//! One file a distribution; [`RULES`] is the one list. Nothing here knows images, stores or feeds' formats.
#![forbid(unsafe_code)]

mod almalinux;
mod alpine;
mod amazon;
mod centos;
mod class;
mod cvss;
mod debian;
mod distributions;
mod join;
mod judge;
mod oracle;
mod products;
mod provenance;
mod redhat;
mod release;
mod rocky;
mod rpm;
mod severity;
mod signed;
mod support;
mod ubuntu;

use std::collections::BTreeSet;

use limpid_model::{
    Affected, Context, Distribution, Explanation, Package, PackageKind, PackageType, Severity,
};
use limpid_version::Scheme;

pub use class::class;
pub use cvss::{CvssVersion, base_score};
pub use distributions::{DISTRIBUTIONS, Granularity, KnownDistribution, known_distribution, parents};
pub use join::join;
pub use products::Products;
pub use provenance::{Provenance, provenance};
pub use release::{context, release};
pub use severity::{OPERATOR_FEED, OwnWord, severity};
pub use support::support;

/// Raised whenever a verdict on the same package and advisories would change. Verdicts of another version are
/// computed again.
pub const RULES_VERSION: u32 = 7;

/// An advisory's statement on a package, with what of the advisory a verdict needs.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    /// The feed it comes from.
    pub feed: &'a str,
    /// The advisory's id.
    pub advisory: &'a str,
    /// The vulnerability that it is about.
    pub vulnerability: &'a str,
    /// The severity of the advisory as a whole, and the source's word for it.
    pub severity: (Severity, &'a str),
    /// What it says of the package.
    pub affected: &'a Affected,
}

/// A package in its context.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The package version.
    pub package: &'a Package,
    /// Its context.
    pub context: &'a Context,
    /// The products that the context's repositories serve.
    pub products: &'a Products,
}

/// How the packages of a distribution are judged.
pub trait Rules: Send + Sync {
    /// The distribution's id, as os-release has it.
    fn distribution(&self) -> &'static str;
    /// The kind of package that the rules speak of.
    fn package_type(&self) -> PackageType;
    /// The order of its versions.
    fn scheme(&self) -> Scheme;
    /// The feeds whose word counts, by name.
    fn feeds(&self) -> &'static [&'static str];
    /// The names under which advisories may speak of a package.
    fn names<'a>(&self, package: &'a Package) -> Vec<(PackageKind, &'a str)>;

    /// The source that advisories name instead of `source`, if that holds signatures of the other's code alone.
    fn signed_source(&self, source: &str) -> Option<String> {
        let _ = source;
        None
    }

    /// A signed package as one of the source that its code comes from, at that source's version.
    fn signed(&self, package: &Package) -> Option<Package> {
        signed::as_code(package, self.signed_source(&package.source_name)?)
    }

    /// The releases, as advisories write them, whose statements count for packages of `release`.
    fn releases(&self, release: &str) -> Vec<String> {
        vec![release.to_owned()]
    }

    /// What the feeds' silence leaves open for a release, if it is more than a new vulnerability's first hours.
    fn blind_spot(&self, release: &str) -> Option<&'static str> {
        let _ = release;
        None
    }

    /// Whether the verdict on one vulnerability rests on nothing that is said of others: then those that changed can be
    /// judged alone.
    fn judges_each(&self) -> bool {
        true
    }

    /// The verdict on `package`, with its reasons; `None` if the statement is not about it.
    fn judge(&self, package: &Package, statement: &Statement<'_>) -> Option<Explanation> {
        if self.feeds().contains(&statement.feed) && provenance::is_third_party(package) {
            return None;
        }
        judge::judge(self.distribution(), self.scheme(), &self.names(package), package, statement)
    }

    /// The verdicts of all that is said of a package. Where statements must be seen together, or with the context,
    /// to tell which of them are about the package, a distribution does so here.
    fn judge_all(&self, subject: &Subject<'_>, statements: &[Statement<'_>]) -> Vec<Explanation> {
        let signed = self.signed(subject.package);
        let judge = |statement| {
            let own = self.judge(subject.package, statement);
            own.or_else(|| self.judge(signed.as_ref()?, statement))
        };
        statements.iter().filter_map(judge).collect()
    }
}

/// Every distribution whose packages can be judged.
pub static RULES: &[&dyn Rules] = &[
    &alpine::Alpine,
    &debian::Debian,
    &ubuntu::Ubuntu,
    &redhat::RedHat,
    &centos::CentOs,
    &almalinux::AlmaLinux,
    &rocky::Rocky,
    &oracle::Oracle,
    &amazon::Amazon,
];

/// The verdicts of all that is said of a package, by its distribution's rules. What a distribution's feed says is
/// not about a third party's package of the same name; an advisory of the operator's own may be.
pub fn verdicts_of(
    rules: &dyn Rules,
    subject: &Subject<'_>,
    statements: &[Statement<'_>],
) -> Vec<Explanation> {
    if !provenance::is_third_party(subject.package) {
        return rules.judge_all(subject, statements);
    }
    let own = statements.iter().filter(|statement| !rules.feeds().contains(&statement.feed));
    rules.judge_all(subject, &own.copied().collect::<Vec<_>>())
}

/// The rules for a kind of package in a release (`debian:12`), if there are any.
pub fn rules_for(release: &str, kind: PackageType) -> Option<&'static dyn Rules> {
    let id = release.split(':').next().unwrap_or_default();
    RULES.iter().copied().find(|rules| rules.distribution() == id && rules.package_type() == kind)
}

/// The order of versions of a kind of package, if there is one here.
pub fn scheme(kind: PackageType) -> Option<Scheme> {
    RULES.iter().find(|rules| rules.package_type() == kind).map(|rules| rules.scheme())
}

/// The sources whose code the source `source` may hold the signatures of, in one distribution or another.
pub fn signed_sources(source: &str) -> BTreeSet<String> {
    RULES.iter().filter_map(|rules| rules.signed_source(source)).collect()
}

/// The releases whose statements count for packages of `release`; itself where there are no rules for it.
pub fn releases_for(release: &str) -> Vec<String> {
    let id = release.split(':').next().unwrap_or_default();
    let rules = RULES.iter().find(|rules| rules.distribution() == id);
    rules.map_or_else(|| vec![release.to_owned()], |rules| rules.releases(release))
}

/// The distribution's name for people (`Debian 12 (bookworm)`), for messages.
pub fn title(distribution: &Distribution) -> String {
    if distribution.pretty_name.is_empty() {
        distribution.to_string()
    } else {
        distribution.pretty_name.clone()
    }
}
