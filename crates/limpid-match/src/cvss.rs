//! CVSS base scores, and what they mean as a severity.
//!
//! Sources of truth: FIRST's specifications of CVSS 2.0, 3.0, 3.1 and 4.0, <https://www.first.org/cvss/>.
//! The formulas are the `cvss` crate's. It gives a score to a vector that lacks a base metric, as if that
//! metric did no harm; here such a vector has no score. Temporal, threat and environmental metrics are
//! passed over: a base score is what sources state, and what compares between them.

use limpid_model::{BaseScore, Severity};

/// A vector of version 4 with every metric has some 200 bytes.
const VECTOR_BYTES_MAX: usize = 512;

const METRICS_2_0: &[&str] = &["AV", "AC", "Au", "C", "I", "A"];
const METRICS_3: &[&str] = &["AV", "AC", "PR", "UI", "S", "C", "I", "A"];
const METRICS_4_0: &[&str] = &["AV", "AC", "AT", "PR", "UI", "VC", "VI", "VA", "SC", "SI", "SA"];

/// The version of a CVSS vector; a newer one says more exactly what is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CvssVersion {
    /// 2.0
    V2_0,
    /// 3.0
    V3_0,
    /// 3.1
    V3_1,
    /// 4.0
    V4_0,
}

impl CvssVersion {
    /// The severity that a base score is called.
    ///
    /// Versions 3 and 4 define the words; `None` (0.0) is [`Severity::Negligible`] here, since somebody
    /// looked and found no impact, which is not "unknown". Version 2 defines none; NVD's are taken, which
    /// end at high.
    pub const fn severity(self, score: BaseScore) -> Severity {
        match (self, score.tenths()) {
            (_, 0) => Severity::Negligible,
            (_, 1..=39) => Severity::Low,
            (_, 40..=69) => Severity::Medium,
            (Self::V2_0, 70..) | (_, 70..=89) => Severity::High,
            (_, 90..) => Severity::Critical,
        }
    }
}

/// Version and base score of a vector; `None` if it is not well-formed or lacks a base metric.
pub fn base_score(vector: &str) -> Option<(CvssVersion, BaseScore)> {
    if vector.len() > VECTOR_BYTES_MAX {
        return None;
    }
    let (version, metrics) = match vector.split_once('/')? {
        ("CVSS:4.0", metrics) => (CvssVersion::V4_0, metrics),
        ("CVSS:3.1", metrics) => (CvssVersion::V3_1, metrics),
        ("CVSS:3.0", metrics) => (CvssVersion::V3_0, metrics),
        ("CVSS:2.0", metrics) => (CvssVersion::V2_0, metrics),
        // Version 2 has no prefix; its guide writes some vectors in brackets.
        _ => (CvssVersion::V2_0, vector.trim_start_matches('(').trim_end_matches(')')),
    };
    let base = |names: &[&str], prefix: &str| {
        base_metrics(metrics, names).map(|metrics| format!("{prefix}{metrics}"))
    };
    let score = match version {
        CvssVersion::V4_0 => {
            let vector: cvss::v4::Vector = base(METRICS_4_0, "CVSS:4.0/")?.parse().ok()?;
            vector.score().value()
        }
        CvssVersion::V3_1 | CvssVersion::V3_0 => {
            let prefix = if version == CvssVersion::V3_1 { "CVSS:3.1/" } else { "CVSS:3.0/" };
            let vector: cvss::v3::Vector = base(METRICS_3, prefix)?.parse().ok()?;
            vector.base_score().value()
        }
        CvssVersion::V2_0 => {
            let vector: cvss::v2::Vector = base(METRICS_2_0, "")?.parse().ok()?;
            vector.score().value()
        }
    };
    // The crate's scores have one decimal and lie between 0 and 10; a cast to an integer saturates.
    Some((version, BaseScore::from_tenths((score * 10.0).round() as u8)?))
}

/// The base metrics in the order of the specification, each there exactly once.
fn base_metrics(metrics: &str, names: &[&str]) -> Option<String> {
    let mut values: Vec<Option<&str>> = vec![None; names.len()];
    for metric in metrics.trim_end_matches('/').split('/') {
        let (name, value) = metric.split_once(':')?;
        let at = names.iter().position(|known| *known == name);
        if at.is_some_and(|at| values[at].replace(value).is_some()) {
            return None;
        }
    }
    let mut base = Vec::with_capacity(names.len());
    for (name, value) in names.iter().zip(values) {
        base.push(format!("{name}:{}", value?));
    }
    Some(base.join("/"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn score(vector: &str) -> Option<String> {
        base_score(vector).map(|(_, score)| score.to_string())
    }

    /// Vectors and base scores of the specifications' own examples.
    #[test]
    fn the_specifications_examples_have_the_scores_that_they_give() {
        for (vector, expected) in [
            // CVSS 2.0, A Complete Guide, section 3.3: CVE-2002-0392, CVE-2003-0818, CVE-2003-0062.
            ("AV:N/AC:L/Au:N/C:N/I:N/A:C", "7.8"),
            ("(AV:N/AC:L/Au:N/C:C/I:C/A:C)", "10.0"),
            ("AV:L/AC:H/Au:N/C:C/I:C/A:C", "6.2"),
            // CVSS 3.1, Examples: CVE-2013-1937, CVE-2013-0375, CVE-2014-3566, CVE-2012-1516, CVE-2009-0783, CVE-2014-0160,
            // CVE-2014-6271, CVE-2008-1447, CVE-2014-2005.
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", "6.1"),
            ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", "6.4"),
            ("CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", "3.1"),
            ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", "9.9"),
            ("CVSS:3.1/AV:L/AC:L/PR:H/UI:N/S:U/C:L/I:L/A:L", "4.2"),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", "7.5"),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "9.8"),
            ("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:C/C:N/I:H/A:N", "6.8"),
            ("CVSS:3.1/AV:P/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "6.8"),
            // CVSS 4.0, Examples: CVE-2022-41741, CVE-2020-3549, CVE-2021-44228, CVE-2014-0160.
            ("CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", "7.3"),
            ("CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:P/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", "7.7"),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H", "10.0"),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N", "8.7"),
            ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N", "0.0"),
        ] {
            assert_eq!(score(vector).as_deref(), Some(expected), "{vector}");
        }
    }

    #[test]
    fn what_is_beside_the_base_metrics_changes_nothing() {
        let base = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
        assert_eq!(score(&format!("{base}/E:P/RL:O/RC:C/MAV:L/CR:L")), score(base));
        let base = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";
        assert_eq!(score(&format!("{base}/E:U/AU:Y/U:Red")), score(base));
        assert_eq!(score("AV:N/AC:L/Au:N/C:C/I:C/A:C/E:H/RL:OF"), Some("10.0".into()));
    }

    #[test]
    fn a_vector_that_lacks_repeats_or_garbles_a_metric_has_no_score() {
        for vector in [
            "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
            "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
            "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
            "AV:N/AC:L/Au:N/C:C/I:C/A:C",
        ] {
            assert!(score(vector).is_some(), "{vector}");
            let metrics: Vec<&str> = vector.split('/').filter(|metric| !metric.starts_with("CVSS")).collect();
            for metric in metrics {
                assert_eq!(
                    score(&vector.replace(&format!("/{metric}"), "").replace(&format!("{metric}/"), "")),
                    None
                );
                assert_eq!(score(&format!("{vector}/{metric}")), None, "{metric} twice");
                assert_eq!(score(&vector.replacen(metric, &format!("{metric}x"), 1)), None, "{metric}x");
            }
        }
        for text in ["", "/", "CVSS:3.1", "CVSS:5.0/AV:N", "High", "9.8", &"A:N/".repeat(1000)] {
            assert_eq!(score(text), None, "{text}");
        }
    }

    #[test]
    fn words_begin_where_the_specification_says() {
        use CvssVersion::{V2_0, V3_1};
        for (version, tenths, severity) in [
            (V3_1, 0, Severity::Negligible),
            (V3_1, 1, Severity::Low),
            (V3_1, 39, Severity::Low),
            (V3_1, 40, Severity::Medium),
            (V3_1, 69, Severity::Medium),
            (V3_1, 70, Severity::High),
            (V3_1, 89, Severity::High),
            (V3_1, 90, Severity::Critical),
            (V2_0, 100, Severity::High),
        ] {
            assert_eq!(version.severity(BaseScore::from_tenths(tenths).unwrap()), severity);
        }
    }
}
