//! The sentences that sum a report up.

use std::collections::BTreeSet;

use limpid_model::{Report, Severity, Standing, VerdictState};

/// `N thing` or `N things`.
pub(crate) fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// What was found, in one or two sentences. Never says clean where no statement is possible.
pub(crate) fn summary(report: &Report) -> String {
    let affected: Vec<_> =
        report.findings.iter().filter(|finding| finding.verdict.state.is_affected()).collect();
    if report.coverage.standing == Standing::None {
        return format!(
            "No statement is possible about this image: {}.",
            if report.packages.is_empty() {
                "no packages of a known package manager were found in it"
            } else {
                "no feed speaks for its packages"
            }
        );
    }
    let packages: BTreeSet<usize> = affected.iter().map(|finding| finding.package).collect();
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let mut text = if affected.is_empty() {
        format!("No known vulnerability in {}.", plural(count(report.packages.len()), "package", "packages"))
    } else {
        let counts = report.count_by_severity();
        let named = Severity::ALL.into_iter().rev().filter(|severity| counts[*severity as usize] > 0);
        let named: Vec<String> = named
            .map(|severity| format!("{} {}", counts[severity as usize], severity.name().to_lowercase()))
            .collect();
        let fixable =
            affected.iter().filter(|finding| finding.verdict.state == VerdictState::Fixable).count();
        format!(
            "{} in {} of {}: {}. {}.",
            plural(count(affected.len()), "vulnerability", "vulnerabilities"),
            packages.len(),
            plural(count(report.packages.len()), "package", "packages"),
            named.join(", "),
            if fixable == 0 { "None has a fix".to_owned() } else { format!("{fixable} can be fixed") },
        )
    };
    let undetermined = report.findings.len() - affected.len();
    if undetermined > 0 {
        text.push_str(&format!(
            " {} not determined by the source yet.",
            plural(count(undetermined), "more is", "more are")
        ));
    }
    if report.coverage.standing == Standing::Partial {
        text.push_str(" The answer has holes, see coverage.");
    }
    text
}
