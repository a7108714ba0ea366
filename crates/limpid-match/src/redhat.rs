//! Red Hat Enterprise Linux, by Red Hat's VEX.
//!
//! A statement is about a package if it speaks of a product that the image's repositories serve (see
//! [`Products`]), of its module's stream or of none, and of its binary or source name. Updates of support streams
//! (EUS, AUS, E4S, TUS) are products of their own and count only where a repository of theirs is in use; extended
//! life-cycle support counts everywhere, since it begins where the release's own support ends.
//!
//! What was fixed in the release itself while a stream's minor release was the current one, or before, is in the stream
//! too, and is said of the release alone; so is what is not fixed. Both count for images of the stream.
//!
//! Where several products of an image have a fix, each minor release has a build of its own, and builds of two minor
//! releases do not order by whether they have the fix. Such a package is compared with the fix of its own minor
//! release, else with that of the next one up, else with the last. A product that has a fix for a package does
//! not count as open because the release as a whole is listed as affected.
//!
//! Source: <https://redhatproductsecurity.github.io/security-data-guidelines/csaf-vex/>.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{AffectedState, Explanation, Package, PackageKind, PackageType};
use limpid_version::Scheme;

use crate::{Products, Rules, Statement, Subject, rpm};

pub(crate) struct RedHat;

/// The feed that says it all.
pub(crate) const FEEDS: &[&str] = &["redhat-vex"];

impl Rules for RedHat {
    fn distribution(&self) -> &'static str {
        "rhel"
    }

    fn package_type(&self) -> PackageType {
        PackageType::Rpm
    }

    fn scheme(&self) -> Scheme {
        Scheme::Rpm
    }

    fn feeds(&self) -> &'static [&'static str] {
        FEEDS
    }

    fn names<'a>(&self, package: &'a Package) -> Vec<(PackageKind, &'a str)> {
        rpm::names(package)
    }

    fn releases(&self, release: &str) -> Vec<String> {
        releases(release.strip_prefix("rhel:").unwrap_or_default())
    }

    fn judge_all(&self, subject: &Subject<'_>, statements: &[Statement<'_>]) -> Vec<Explanation> {
        let major = subject.context.release.strip_prefix("rhel:").unwrap_or_default();
        let basis = |cpe: &str| subject.products.basis(cpe, major);
        judge_all("rhel", major, subject.package, subject.products, &basis, statements)
    }
}

/// Layered products may not say which release they are for; their CPEs tell whether they are meant.
pub(crate) fn releases(major: &str) -> Vec<String> {
    vec![format!("rhel:{major}"), "rhel".to_owned()]
}

/// What Red Hat says, for packages of a distribution that is its own or built from its sources.
pub(crate) fn judge_all(
    distribution: &str,
    major: &str,
    package: &Package,
    products: &Products,
    basis: &dyn Fn(&str) -> String,
    statements: &[Statement<'_>],
) -> Vec<Explanation> {
    let mut by_advisory: BTreeMap<(&str, &str), Vec<(&Statement<'_>, Explanation)>> = BTreeMap::new();
    for statement in statements {
        let cpe = statement.affected.cpe.as_str();
        // Advisories of the user's own name no product.
        let is_included = || products.include(cpe, major) || is_inherited(statement, products, major);
        if !cpe.is_empty() && !is_included() {
            continue;
        }
        let note = if cpe.is_empty() { String::new() } else { format!("product {cpe}, {}", basis(cpe)) };
        if let Some(explanation) = rpm::judge(distribution, package, statement, &note) {
            by_advisory
                .entry((statement.feed, statement.advisory))
                .or_default()
                .push((statement, explanation));
        }
    }
    by_advisory.into_values().flat_map(|said| choose(package, said)).collect()
}

/// Whether an image of a support stream has what is said of the release itself.
fn is_inherited(statement: &Statement<'_>, products: &Products, major: &str) -> bool {
    let affected = statement.affected;
    let Some(stream) = products.stream_minor(major) else { return false };
    let is_before = affected.state != AffectedState::Fixed || minor(&affected.fixed) <= stream;
    is_before && Products::is_main(&affected.cpe, major)
}

/// Of what products say of one vulnerability of one package, what is about its build.
fn choose(package: &Package, said: Vec<(&Statement<'_>, Explanation)>) -> Vec<Explanation> {
    let is_fix = |statement: &Statement<'_>| statement.affected.state == AffectedState::Fixed;
    if !said.iter().any(|(statement, _)| is_fix(statement)) {
        return said.into_iter().map(|(_, explanation)| explanation).collect();
    }
    let minors: BTreeSet<u32> =
        said.iter().filter(|(s, _)| is_fix(s)).map(|(s, _)| minor(&s.affected.fixed)).collect();
    let own = minor(&package.version);
    let chosen = minors.range(own..).next().or_else(|| minors.last()).copied().unwrap_or_default();
    let is_one_of_several = minors.len() > 1;
    said.into_iter()
        .filter(|(statement, _)| is_fix(statement) && minor(&statement.affected.fixed) == chosen)
        .map(|(_, mut explanation)| {
            if is_one_of_several {
                explanation
                    .rule
                    .push_str("; of several builds the one for the package's own minor release or the next");
            }
            explanation
        })
        .collect()
}

/// The minor release that a build is of: 2 for `1.1-2.el9_2.1` and `1.1-2.module+el8.2.0+99`, else 0.
fn minor(version: &str) -> u32 {
    let tag = version.rfind("el").and_then(|at| version.get(at + 2..)).unwrap_or_default();
    let tag = tag.trim_start_matches(|character: char| character.is_ascii_digit());
    let Some(rest) = tag.strip_prefix(['_', '.']) else { return 0 };
    // `1.1-2.el7.3` is the third build for el7, and only modules write their release with a dot.
    if tag.starts_with('.') && !version.contains(".module") {
        return 0;
    }
    let end = rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpm::tests::{fixed, package, statement};
    use limpid_model::{Affected, Context, VerdictState};

    const MAIN: &str = "cpe:/a:redhat:enterprise_linux:9::appstream";
    const EUS: &str = "cpe:/a:redhat:rhel_eus:9.2::appstream";

    fn states(version: &str, repositories: &[&str], said: &[Affected]) -> Vec<(VerdictState, String)> {
        let context = Context {
            release: "rhel:9".into(),
            repositories: repositories.iter().map(|name| (*name).to_owned()).collect(),
            ..Context::default()
        };
        let products = Products::of(&context, &BTreeMap::new());
        let package = package("curl", version, "x86_64", &[]);
        let subject = Subject { package: &package, context: &context, products: &products };
        let statements: Vec<Statement<'_>> = said.iter().map(statement).collect();
        let joined = crate::join(Scheme::Rpm, RedHat.judge_all(&subject, &statements));
        joined.into_iter().map(|(counting, _)| (counting.verdict.state, counting.verdict.fixed)).collect()
    }

    fn row(cpe: &str, channel: &str, version: &str) -> Affected {
        Affected { cpe: cpe.into(), channel: channel.into(), ..fixed("curl", version) }
    }

    #[test]
    fn a_support_streams_fix_counts_where_its_repository_is() {
        let said = [row(MAIN, "", "7.76.1-26.el9_3.2"), row(EUS, "eus-9.2", "7.76.1-23.el9_2.4")];
        let fixable = |version: &str| vec![(VerdictState::Fixable, version.to_owned())];
        let fixed = |version: &str| vec![(VerdictState::FixedAlready, version.to_owned())];
        assert_eq!(states("7.76.1-23.el9_2.4", &[MAIN], &said), fixable("7.76.1-26.el9_3.2"));
        assert_eq!(states("7.76.1-23.el9_2.4", &[], &said), fixable("7.76.1-26.el9_3.2"));
        assert_eq!(states("7.76.1-23.el9_2.4", &[EUS], &said), fixed("7.76.1-23.el9_2.4"));
        assert_eq!(states("7.76.1-23.el9_2.4", &[EUS, MAIN], &said), fixed("7.76.1-23.el9_2.4"));
        // Newer than the fix of 9.2, and of 9.3, without its fix.
        assert_eq!(states("7.76.1-26.el9_3.1", &[EUS, MAIN], &said), fixable("7.76.1-26.el9_3.2"));
        assert_eq!(states("7.76.1-29.el9_4", &[EUS, MAIN], &said), fixed("7.76.1-26.el9_3.2"));
        assert_eq!(states("7.76.1-14.el9", &[EUS, MAIN], &said), fixable("7.76.1-23.el9_2.4"));
    }

    #[test]
    fn a_stream_inherits_what_the_release_had_when_it_began() {
        let fix = "7.76.1-23.el9_2.4".to_owned();
        let said = [row(MAIN, "", "7.76.1-26.el9_3.2"), row(MAIN, "", &fix)];
        assert_eq!(states("7.76.1-23.el9_2.1", &[EUS], &said), [(VerdictState::Fixable, fix.clone())]);
        assert_eq!(states("7.76.1-23.el9_2.4", &[EUS], &said), [(VerdictState::FixedAlready, fix)]);
        assert!(states("7.76.1-23.el9_2.1", &[EUS], &said[..1]).is_empty());
    }

    #[test]
    fn after_the_end_of_support_the_extended_fix_tells_who_is_affected() {
        let said = [Affected {
            cpe: "cpe:/o:redhat:rhel_els:9".into(),
            channel: "els-9".into(),
            ..fixed("curl", "7.76.1-40.el9_9.1")
        }];
        let fix = "7.76.1-40.el9_9.1".to_owned();
        assert_eq!(states("7.76.1-40.el9", &[MAIN], &said), [(VerdictState::Fixable, fix.clone())]);
        assert_eq!(states("7.76.1-40.el9_9.1", &[], &said), [(VerdictState::FixedAlready, fix)]);
    }

    #[test]
    fn a_fix_in_a_product_is_stronger_than_a_state_of_the_release() {
        let open = Affected {
            package: "curl".into(),
            package_kind: PackageKind::Source,
            cpe: "cpe:/o:redhat:enterprise_linux:9".into(),
            state: AffectedState::WillNotFix,
            ..Affected::default()
        };
        assert_eq!(
            states("7.76.1-1.el9", &[], std::slice::from_ref(&open)),
            [(VerdictState::WillNotFix, String::new())]
        );
        let said = [open, row(MAIN, "", "7.76.1-0.el9")];
        assert_eq!(states("7.76.1-1.el9", &[], &said)[0].0, VerdictState::FixedAlready);
    }

    #[test]
    fn builds_name_their_minor_release() {
        for (version, expected) in [
            ("7.76.1-26.el9_3.2", 3),
            ("7.76.1-26.el9", 0),
            ("3.2.2-16.el10_0.4", 0),
            ("3.2.5-1.el10_1", 1),
            ("0.78-11.module+el8.6.0+23193+83e23a7a.1", 6),
            ("1.0.1e-60.el7.3", 0),
            ("1.0", 0),
        ] {
            assert_eq!(minor(version), expected, "{version}");
        }
    }
}
