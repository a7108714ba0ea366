//! The sentences that sum a report up.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Hidden, PackageClass, Report, Severity, Standing, Verdict, VerdictState};

use crate::text::clip;

/// Longer than any channel's name: what an advisory calls one is anybody's word.
const CHANNEL_CHARS_MAX: usize = 100;

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
        let aside = if report.hidden.is_empty() { "" } else { ", kernels aside" };
        format!(
            "No known vulnerability in {}{aside}.",
            plural(count(report.packages.len()), "package", "packages")
        )
    } else {
        let counts = report.count_by_severity();
        let named = Severity::ALL.into_iter().rev().filter(|severity| counts[*severity as usize] > 0);
        let named: Vec<String> = named
            .map(|severity| format!("{} {}", counts[severity as usize], severity.name().to_lowercase()))
            .collect();
        let ids: BTreeSet<&str> =
            affected.iter().map(|finding| finding.verdict.vulnerability.as_str()).collect();
        format!(
            "{} ({}) in {} of {}: {}. {}.",
            plural(count(affected.len()), "finding", "findings"),
            plural(count(ids.len()), "vulnerability", "vulnerabilities"),
            packages.len(),
            plural(count(report.packages.len()), "package", "packages"),
            named.join(", "),
            fixable(affected.iter().map(|finding| &finding.verdict)),
        )
    };
    let undetermined = report.findings.len() - affected.len();
    if undetermined > 0 {
        text.push_str(&format!(
            " {} not determined by the source yet.",
            plural(count(undetermined), "more is", "more are")
        ));
    }
    text.push_str(&hidden(report));
    if report.coverage.standing == Standing::Partial {
        text.push_str(" The answer has holes, see coverage.");
    }
    text
}

/// What is only counted and why, as sentences that follow others; nothing if nothing was left out.
pub(crate) fn hidden(report: &Report) -> String {
    let sentence = |hidden: &Hidden| {
        let what = match hidden.class {
            PackageClass::Kernel => "of kernels",
            PackageClass::KernelHeaders => "of kernel headers",
            PackageClass::Ordinary => "of other packages",
        };
        let mut counts = Vec::new();
        if hidden.vulnerabilities > 0 {
            counts.push(plural(hidden.vulnerabilities, "vulnerability", "vulnerabilities"));
        }
        if hidden.undetermined > 0 {
            counts.push(format!("{} not determined", hidden.undetermined));
        }
        format!("{} {what}", counts.join(" and "))
    };
    if report.hidden.is_empty() {
        return String::new();
    }
    let sentences: Vec<String> = report.hidden.iter().map(sentence).collect();
    format!(
        " Not listed: {}, as a container runs on its host's kernel; --kernel show lists them.",
        sentences.join(", ")
    )
}

/// A channel in the characters of a name: in every format these sentences stand as they are.
fn named(channel: &str) -> String {
    let is_named = |c: char| c.is_ascii_alphanumeric() || "-_.:+~ ".contains(c);
    channel.chars().map(|c| if is_named(c) { c } else { '\u{fffd}' }).collect()
}

/// How many have a fix, those that need another channel than the release's own apart.
fn fixable<'a>(verdicts: impl Iterator<Item = &'a Verdict>) -> String {
    let mut channels: BTreeMap<&str, u64> = BTreeMap::new();
    for verdict in verdicts.filter(|verdict| verdict.state == VerdictState::Fixable) {
        *channels.entry(&verdict.channel).or_default() += 1;
    }
    let own = channels.remove("");
    let mut parts: Vec<String> = own.map(|own| format!("{own} can be fixed")).into_iter().collect();
    for (channel, number) in channels {
        let more = if parts.is_empty() { "can be fixed" } else { "more" };
        let channel = clip(&named(channel), CHANNEL_CHARS_MAX);
        parts.push(format!("{number} {more} through {channel} alone"));
    }
    if parts.is_empty() { "None has a fix".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixes_through_a_channel_are_counted_apart() {
        let said = |channels: &[&str]| {
            let verdicts: Vec<Verdict> = channels
                .iter()
                .map(|channel| Verdict {
                    vulnerability: "CVE-1".into(),
                    advisory: "CVE-1".into(),
                    feed: "ubuntu".into(),
                    state: VerdictState::Fixable,
                    fixed: "1".into(),
                    channel: (*channel).to_owned(),
                    severity: Severity::Unknown,
                    severity_word: String::new(),
                    severity_feed: String::new(),
                    state_word: String::new(),
                    notice: String::new(),
                })
                .collect();
            fixable(verdicts.iter())
        };
        assert_eq!(said(&[]), "None has a fix");
        assert_eq!(said(&["", ""]), "2 can be fixed");
        assert_eq!(said(&["esm-infra"]), "1 can be fixed through esm-infra alone");
        let all = said(&["", "esm-apps", "esm-infra", "esm-infra"]);
        assert_eq!(all, "1 can be fixed, 1 more through esm-apps alone, 2 more through esm-infra alone");
    }
}
