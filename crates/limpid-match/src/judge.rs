//! The comparison that every distribution's rules end in.

use std::cmp::Ordering;

use limpid_model::{AffectedState, Explanation, Package, PackageKind, Verdict, VerdictState};
use limpid_version::Scheme;

use crate::Statement;

/// The verdict of `statement` on `package`; `None` if it is not about it.
pub(crate) fn judge(
    distribution: &str,
    scheme: Scheme,
    names: &[(PackageKind, &str)],
    package: &Package,
    statement: &Statement<'_>,
) -> Option<Explanation> {
    let affected = statement.affected;
    let (kind, name) =
        *names.iter().find(|(kind, name)| *kind == affected.package_kind && *name == affected.package)?;
    if !affected.arches.is_empty() && !affected.arches.contains(&package.arch) {
        return None;
    }
    let (installed, word) = match kind {
        PackageKind::Source => (&package.source_version, "source package"),
        PackageKind::Binary => (&package.version, "binary package"),
    };
    let rule = format!("{distribution}: {word} name and version, in {scheme}'s order");
    Some(explain(rule, scheme, installed, name, statement))
}

/// The explanation of `statement` on the installed version, by a rule that has found it to be about the package.
pub(crate) fn explain(
    rule: String,
    scheme: Scheme,
    installed: &str,
    name: &str,
    statement: &Statement<'_>,
) -> Explanation {
    let affected = statement.affected;
    let (state, comparison) = conclude(scheme, installed, statement);
    let (severity, severity_word) = match affected.severity {
        Some(severity) => (severity, affected.severity_word.as_str()),
        None if affected.severity_word.is_empty() => statement.severity,
        None => (statement.severity.0, affected.severity_word.as_str()),
    };
    Explanation {
        verdict: Verdict {
            vulnerability: statement.vulnerability.to_owned(),
            advisory: statement.advisory.to_owned(),
            feed: statement.feed.to_owned(),
            state,
            fixed: affected.fixed.clone(),
            channel: affected.channel.clone(),
            severity,
            severity_word: severity_word.to_owned(),
            severity_feed: statement.feed.to_owned(),
            state_word: affected.state_word.clone(),
            notice: affected.notice.clone(),
        },
        rule,
        comparison,
        matched_name: name.to_owned(),
        source_state: affected.state,
    }
}

fn conclude(scheme: Scheme, installed: &str, statement: &Statement<'_>) -> (VerdictState, String) {
    let affected = statement.affected;
    if !affected.introduced.is_empty() && scheme.compare(installed, &affected.introduced) == Ordering::Less {
        return (
            VerdictState::NeverAffected,
            format!("{installed} < {}, where the flaw came in", affected.introduced),
        );
    }
    let said =
        |state: VerdictState, what: &str| (state, format!("no version is compared: the source says {what}"));
    match affected.state {
        AffectedState::Fixed => match scheme.compare(installed, &affected.fixed) {
            Ordering::Less => {
                (VerdictState::Fixable, format!("{installed} < {}, which fixes it", affected.fixed))
            }
            Ordering::Equal => {
                (VerdictState::FixedAlready, format!("{installed} = {}, which fixes it", affected.fixed))
            }
            Ordering::Greater => {
                (VerdictState::FixedAlready, format!("{installed} > {}, which fixes it", affected.fixed))
            }
        },
        AffectedState::Open => said(VerdictState::NoFix, "that every version is affected and none fixes it"),
        AffectedState::WillNotFix => said(VerdictState::WillNotFix, "that it will not be fixed"),
        AffectedState::Deferred => said(VerdictState::Deferred, "that the fix is put off"),
        AffectedState::EndOfLife => said(VerdictState::EndOfLife, "that the package is past its support"),
        AffectedState::NotAffected => said(VerdictState::NeverAffected, "that it never was affected"),
        AffectedState::Undetermined => said(VerdictState::Unknown, "that it has not been determined"),
    }
}
