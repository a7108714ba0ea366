//! What the rules of all rpm distributions share.

use limpid_model::{Affected, Explanation, Package, PackageFact, PackageKind, VerdictState};
use limpid_version::Scheme;

use crate::{Statement, judge};

/// What a distribution leaves open that publishes errata and nothing else.
pub(crate) const ERRATA_ONLY: &str = "only errata of fixes are published, so a vulnerability that was never fixed, or not announced, is not found";

/// Both names: errata list binary packages, states of what is not fixed list source packages too.
pub(crate) fn names(package: &Package) -> Vec<(PackageKind, &str)> {
    vec![(PackageKind::Binary, &package.name), (PackageKind::Source, &package.source_name)]
}

/// The verdict of `statement` on `package` by name, architecture and module; `note` is added to the rule.
pub(crate) fn judge(
    distribution: &str,
    package: &Package,
    statement: &Statement<'_>,
    note: &str,
) -> Option<Explanation> {
    let affected = statement.affected;
    let named = names(package);
    let (kind, name) =
        *named.iter().find(|(kind, name)| *kind == affected.package_kind && *name == affected.package)?;
    if !is_for_arch(affected, package) || !is_for_module(affected, package) {
        return None;
    }
    let (installed, word) = match kind {
        PackageKind::Source => (source_version(package), "source package"),
        PackageKind::Binary => (package.version.clone(), "binary package"),
    };
    let mut rule = format!("{distribution}: {word} name and version, in {}'s order", Scheme::Rpm);
    if !affected.module.is_empty() {
        rule.push_str("; module ");
        rule.push_str(&affected.module);
    }
    if !note.is_empty() {
        rule.push_str("; ");
        rule.push_str(note);
    }
    let mut explanation = judge::explain(rule, Scheme::Rpm, &installed, name, statement);
    if explanation.verdict.state == VerdictState::Fixable && is_same_module_build(&installed, &affected.fixed)
    {
        explanation.verdict.state = VerdictState::FixedAlready;
        explanation.comparison =
            format!("{installed} is of the same build of the module as {}, which fixes it", affected.fixed);
    }
    Some(explanation)
}

/// Whether two modular builds differ in their module's context alone. A build of a module is made once for each
/// combination of what it needs (perl 5.26, 5.30, ...); the last part of the release is the hash of that, and no order.
fn is_same_module_build(a: &str, b: &str) -> bool {
    let without_context = |version: &str| {
        let at = version.find(".module+").or_else(|| version.find(".module_"))?;
        // `.module+el8.6.0+23193+83e23a7a.1`
        let (head, tail) = version.split_at_checked(at + ".module+".len())?;
        let mut parts = tail.splitn(3, '+');
        let (platform, build, context) = (parts.next()?, parts.next()?, parts.next()?);
        let (hash, rest) = context.split_at(context.find('.').unwrap_or(context.len()));
        // What goes on behind the hash otherwise (`~`, `^`) is an order.
        let is_hash = hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| format!("{head}{platform}+{build}{rest}"))
    };
    match (without_context(a), without_context(b)) {
        (Some(a), Some(b)) => Scheme::Rpm.compare(&a, &b).is_eq(),
        _ => false,
    }
}

/// rpm writes a source package's name without its epoch, which in practice is that of what was built from it.
fn source_version(package: &Package) -> String {
    let version = &package.source_version;
    let epoch = package.version.split_once(':').map(|(epoch, _)| epoch);
    match epoch {
        Some(epoch) if !version.contains(':') => format!("{epoch}:{version}"),
        _ => version.clone(),
    }
}

/// Lists name architectures of packages (Red Hat) or of machines (Oracle), and a machine's packages are of its
/// own, of none, and, on 64-bit x86, of its 32-bit kin.
fn is_for_arch(affected: &Affected, package: &Package) -> bool {
    let is_x86 = |arch: &str| matches!(arch, "i386" | "i486" | "i586" | "i686" | "x86_64");
    let arch = package.arch.as_str();
    affected.arches.is_empty()
        || arch == "noarch"
        || affected
            .arches
            .iter()
            .any(|said| said == arch || said == "noarch" || (is_x86(said) && is_x86(arch)))
}

/// A package of a module is only ever meant by what is said of that module's stream, and another package by
/// what is said of no module.
fn is_for_module(affected: &Affected, package: &Package) -> bool {
    let label = package.facts.iter().find(|(fact, _)| *fact == PackageFact::Module).map(|(_, label)| label);
    let label = label.filter(|label| !label.is_empty());
    let stream = label.map(|label| label.split(':').take(2).collect::<Vec<_>>().join(":"));
    let is_modular = stream.is_some() || is_modular_build(&package.version);
    match (affected.module.as_str(), stream) {
        ("", _) if !is_modular_build(&affected.fixed) => !is_modular,
        // Rocky does not say of which stream a modular build is, and a damaged database may not either.
        ("", _) | (_, None) => is_modular && same_major(&affected.fixed, &package.version),
        (module, Some(stream)) => module == stream,
    }
}

/// `2.module+el9.1.0+13358+56c3b6a3`, `18.module_el8.5.0+2632+14ced695`.
fn is_modular_build(version: &str) -> bool {
    version.contains(".module+") || version.contains(".module_")
}

fn same_major(a: &str, b: &str) -> bool {
    let major = |version: &str| {
        let version = version.split_once(':').map_or(version, |(_, rest)| rest);
        version.split(['.', '-']).next().unwrap_or_default().to_owned()
    };
    major(a) == major(b)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use limpid_model::{AffectedState, PackageType, Severity, VerdictState};

    pub(crate) fn package(name: &str, version: &str, arch: &str, facts: &[(PackageFact, &str)]) -> Package {
        let without_epoch = version.split_once(':').map_or(version, |(_, rest)| rest);
        Package {
            kind: PackageType::Rpm,
            name: name.to_owned(),
            version: version.to_owned(),
            arch: arch.to_owned(),
            source_name: name.split('-').next().unwrap_or_default().to_owned(),
            source_version: without_epoch.to_owned(),
            facts: facts.iter().map(|(fact, value)| (*fact, (*value).to_owned())).collect(),
        }
    }

    pub(crate) fn fixed(name: &str, version: &str) -> Affected {
        Affected {
            package: name.to_owned(),
            package_kind: PackageKind::Binary,
            state: AffectedState::Fixed,
            fixed: version.to_owned(),
            ..Affected::default()
        }
    }

    pub(crate) fn statement(affected: &Affected) -> Statement<'_> {
        Statement {
            feed: "f",
            advisory: "CVE-1",
            vulnerability: "CVE-1",
            severity: (Severity::Unknown, ""),
            affected,
        }
    }

    fn state(package: &Package, affected: &Affected) -> Option<VerdictState> {
        judge("rhel", package, &statement(affected), "").map(|explanation| explanation.verdict.state)
    }

    #[test]
    fn epochs_count_in_binary_and_in_source_versions() {
        let bind = package("bind-libs", "32:9.16.23-1.el9", "x86_64", &[]);
        assert_eq!(state(&bind, &fixed("bind-libs", "32:9.16.23-2.el9")), Some(VerdictState::Fixable));
        assert_eq!(state(&bind, &fixed("bind-libs", "9.99-1.el9")), Some(VerdictState::FixedAlready));
        let source = Affected { package_kind: PackageKind::Source, ..fixed("bind", "32:9.16.23-1.el9") };
        assert_eq!(state(&bind, &source), Some(VerdictState::FixedAlready));
        assert_eq!(state(&bind, &Affected { package: "bind-utils".into(), ..source }), None);
    }

    #[test]
    fn contexts_of_a_modules_build_are_no_order() {
        let same = is_same_module_build;
        let build = |text: &str| format!("1:0.78-{text}");
        let (one, other) = ("12.module+el8.10.0+23147+df114ff4", "12.module+el8.10.0+23147+95b68fad");
        assert!(same(&build(one), &build(other)));
        assert!(same("18-1.module_el8.5.0+2632+14ced695", "0:18-1.module_el8.5.0+2632+ffffffff"));
        assert!(!same(&build(one), &build("12.module+el8.10.0+23148+95b68fad")));
        assert!(!same(&build(one), &build("11.module+el8.10.0+23147+95b68fad")));
        assert!(!same("1-11.module+el8.6.0+23193+83e23a7a", "1-11.module+el8.6.0+23193+53aa8c2a.1"));
        assert!(!same("1-1.el8", "1-1.el8"));
        assert!(!same(&build(one), &build(&format!("{one}~"))));
        let label = [(PackageFact::Module, "perl-FCGI:0.78:8100020250602092527:df114ff4")];
        let installed = package("perl-FCGI", &build(one), "x86_64", &label);
        let said = Affected { module: "perl-FCGI:0.78".into(), ..fixed("perl-FCGI", &build(other)) };
        assert_eq!(state(&installed, &said), Some(VerdictState::FixedAlready));
    }

    #[test]
    fn a_module_is_meant_by_its_own_stream_alone() {
        let label = [(PackageFact::Module, "nodejs:18:8060020221:ad00:x86_64")];
        let modular = package("nodejs", "1:18.1.0-1.module+el8.6.0+1", "x86_64", &label);
        let plain = package("nodejs", "1:16.1.0-1.el9", "x86_64", &[]);
        let of = |module: &str, version: &str| Affected { module: module.into(), ..fixed("nodejs", version) };
        assert_eq!(
            state(&modular, &of("nodejs:18", "1:18.2.0-1.module+el8.6.0+2")),
            Some(VerdictState::Fixable)
        );
        assert_eq!(state(&modular, &of("nodejs:20", "1:20.2.0-1.module+el8.6.0+2")), None);
        assert_eq!(state(&modular, &of("", "1:20.2.0-1.el9")), None);
        assert_eq!(state(&plain, &of("nodejs:18", "1:18.2.0-1.module+el8.6.0+2")), None);
        assert_eq!(state(&plain, &of("", "1:16.2.0-1.el9")), Some(VerdictState::Fixable));
        // Rocky: modular by its version, of an unnamed stream.
        assert_eq!(state(&modular, &of("", "1:18.2.0-1.module+el8.6.0+2")), Some(VerdictState::Fixable));
        assert_eq!(state(&modular, &of("", "1:20.2.0-1.module+el8.6.0+2")), None);
        assert_eq!(state(&plain, &of("", "1:18.2.0-1.module+el8.6.0+2")), None);
    }

    #[test]
    fn architectures_are_of_packages_or_of_machines() {
        let only = |arches: &[&str]| Affected {
            arches: arches.iter().map(|arch| (*arch).to_owned()).collect(),
            ..fixed("a", "2-1")
        };
        let of = |arch: &str| package("a", "1-1", arch, &[]);
        assert!(state(&of("x86_64"), &only(&["aarch64", "x86_64"])).is_some());
        assert!(state(&of("s390x"), &only(&["aarch64", "x86_64"])).is_none());
        assert!(state(&of("noarch"), &only(&["aarch64"])).is_some());
        assert!(state(&of("i686"), &only(&["x86_64"])).is_some());
        assert!(state(&of("aarch64"), &only(&["noarch"])).is_some());
        assert!(state(&of("aarch64"), &only(&[])).is_some());
    }
}
