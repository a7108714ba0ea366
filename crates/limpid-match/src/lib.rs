//! What an advisory means for a package.
//!
//! [`context`] says in which world a package is to be understood, a [`Rules`] of that world judges it: which
//! names to look it up by, which of its versions to compare, and what each state that the source gives means.
//! One file a distribution; [`RULES`] is the one list. Nothing here knows images, stores or feeds' formats.
#![forbid(unsafe_code)]

mod alpine;
mod debian;
mod distributions;
mod join;
mod judge;
mod provenance;
mod release;
mod support;
mod ubuntu;

use limpid_model::{Affected, Distribution, Explanation, Package, PackageKind, PackageType, Severity};
use limpid_version::Scheme;

pub use distributions::{DISTRIBUTIONS, Granularity, KnownDistribution, known_distribution, parents};
pub use join::join;
pub use provenance::{Provenance, provenance};
pub use release::{context, release};
pub use support::support;

/// Raised whenever a verdict on the same package and advisories would change. Verdicts of another version are
/// computed again.
pub const RULES_VERSION: u32 = 2;

/// An advisory's statement on a package, with what of the advisory a verdict needs.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    /// The feed it comes from.
    pub feed: &'a str,
    /// The advisory's id.
    pub advisory: &'a str,
    /// The severity of the advisory as a whole, and the source's word for it.
    pub severity: (Severity, &'a str),
    /// What it says of the package.
    pub affected: &'a Affected,
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

    /// The verdict on `package`, with its reasons; `None` if the statement is not about it. What a distribution's
    /// feed says is not about a third party's package of the same name; an advisory of the user's own may be.
    fn judge(&self, package: &Package, statement: &Statement<'_>) -> Option<Explanation> {
        if self.feeds().contains(&statement.feed) && provenance::is_third_party(package) {
            return None;
        }
        judge::judge(self.distribution(), self.scheme(), &self.names(package), package, statement)
    }
}

/// Every distribution whose packages can be judged.
pub static RULES: &[&dyn Rules] = &[&alpine::Alpine, &debian::Debian, &ubuntu::Ubuntu];

/// The rules for a kind of package in a release (`debian:12`), if there are any.
pub fn rules_for(release: &str, kind: PackageType) -> Option<&'static dyn Rules> {
    let id = release.split(':').next().unwrap_or_default();
    RULES.iter().copied().find(|rules| rules.distribution() == id && rules.package_type() == kind)
}

/// The distribution's name for people (`Debian 12 (bookworm)`), for messages.
pub fn title(distribution: &Distribution) -> String {
    if distribution.pretty_name.is_empty() {
        distribution.to_string()
    } else {
        distribution.pretty_name.clone()
    }
}
