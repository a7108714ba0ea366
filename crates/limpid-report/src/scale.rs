//! Our severities and states in the words of others.

use limpid_model::{BaseScore, Finding, Report, Severity, VerdictState, Vulnerability};

/// The scale that most tools share, of which Negligible is the low end and Defcon1 the high one.
pub(crate) const fn common(severity: Severity) -> &'static str {
    match severity {
        Severity::Unknown => "Unknown",
        Severity::Negligible | Severity::Low => "Low",
        Severity::Medium => "Medium",
        Severity::High => "High",
        Severity::Critical | Severity::Defcon1 => "Critical",
    }
}

/// The common scale with Clair's and Grype's Negligible.
pub(crate) const fn with_negligible(severity: Severity) -> &'static str {
    match severity {
        Severity::Negligible => "Negligible",
        severity => common(severity),
    }
}

/// What is vulnerable, as opposed to what the source has not determined.
pub(crate) fn affected(report: &Report) -> impl Iterator<Item = &Finding> {
    report.findings.iter().filter(|finding| finding.verdict.state.is_affected())
}

/// A score in tenths that says the same as the severity: the source's own, else the first CVSS score of the severity's
/// band, else one that stands for the band. Readers of nothing but a score then sort as we do.
pub(crate) fn score(finding: &Finding, known: &Vulnerability) -> Option<BaseScore> {
    let (from, to, usual) = match finding.rated.severity {
        Severity::Unknown => return None,
        Severity::Negligible | Severity::Low => (1, 39, 20),
        Severity::Medium => (40, 69, 55),
        Severity::High => (70, 89, 80),
        Severity::Critical | Severity::Defcon1 => (90, 100, 95),
    };
    let scores = finding.rated.score.into_iter().chain(known.ratings.iter().filter_map(|rated| rated.score));
    let mut scores = scores.filter(|score| (from..=to).contains(&score.tenths()));
    scores.next().or(BaseScore::from_tenths(usual))
}

/// Trivy's and Harbor's word for a state.
pub(crate) const fn status(state: VerdictState) -> &'static str {
    match state {
        VerdictState::Fixable => "fixed",
        VerdictState::NoFix => "affected",
        VerdictState::WillNotFix => "will_not_fix",
        VerdictState::Deferred => "fix_deferred",
        VerdictState::EndOfLife => "end_of_life",
        VerdictState::Unknown => "under_investigation",
        VerdictState::FixedAlready | VerdictState::NeverAffected => "not_affected",
    }
}

/// The version of CVSS that a vector is of: `4.0`, `3.1`, `3.0` or `2.0`.
pub(crate) fn cvss_version(vector: &str) -> &'static str {
    match vector.strip_prefix("CVSS:").and_then(|rest| rest.split('/').next()) {
        Some("4.0") => "4.0",
        Some("3.1") => "3.1",
        Some("3.0") => "3.0",
        _ => "2.0",
    }
}

/// A score as a number.
pub(crate) fn number(score: BaseScore) -> f64 {
    f64::from(score.tenths()) / 10.0
}

/// A probability or percentile of EPSS as a number.
pub(crate) fn share(units: u32) -> f64 {
    f64::from(units) / 100_000.0
}

/// A date as RFC 3339 has it: of a day alone its beginning, of what is no date nothing.
pub(crate) fn date_time(date: &str) -> Option<String> {
    let fits = |text: &str, form: &str| {
        let same = |(c, form): (u8, u8)| if form == b'0' { c.is_ascii_digit() } else { c == form };
        text.len() == form.len() && text.bytes().zip(form.bytes()).all(same)
    };
    if fits(date, "0000-00-00") {
        return Some(format!("{date}T00:00:00Z"));
    }
    let (time, zone) = date.split_at_checked(19)?;
    let zone = match zone.strip_prefix('.') {
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 { return None } else { &fraction[digits..] }
        }
        None => zone,
    };
    let is_zone = zone == "Z" || fits(zone, "+00:00") || fits(zone, "-00:00");
    (fits(time, "0000-00-00T00:00:00") && is_zone).then(|| date.to_owned())
}

/// What a person can do about a finding, as one sentence.
pub(crate) fn advice(report: &Report, finding: &Finding) -> String {
    let package = &report.packages[finding.package].package;
    let verdict = &finding.verdict;
    match verdict.state {
        VerdictState::Fixable if verdict.channel.is_empty() => {
            format!("Upgrade {} to {}.", package.name, verdict.fixed)
        }
        VerdictState::Fixable => {
            format!("Upgrade {} to {} from {}.", package.name, verdict.fixed, verdict.channel)
        }
        VerdictState::NoFix => format!("There is no fix of {} yet.", package.name),
        VerdictState::WillNotFix => format!("The distribution will not fix {}.", package.name),
        VerdictState::Deferred => format!("The distribution has put off the fix of {}.", package.name),
        VerdictState::EndOfLife => {
            format!("{} is past its support; move to a release that is supported.", package.name)
        }
        VerdictState::Unknown => {
            format!("The distribution has not determined whether {} is affected.", package.name)
        }
        VerdictState::FixedAlready | VerdictState::NeverAffected => {
            format!("{} is not affected.", package.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::date_time;

    #[test]
    fn dates_are_whole_or_none() {
        assert_eq!(date_time("2026-01-02").as_deref(), Some("2026-01-02T00:00:00Z"));
        for date in ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05+02:00"] {
            assert_eq!(date_time(date).as_deref(), Some(date));
        }
        for date in [
            "",
            "2026",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05.Z",
            "<2026-01-02T03:04:05Z",
            "ä026-01-02T03:04:0Z",
        ] {
            assert_eq!(date_time(date), None, "{date}");
        }
    }
}
