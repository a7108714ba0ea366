//! Until when releases are supported, as data.
//!
//! Sources, read in 2026: Debian <https://wiki.debian.org/DebianReleases>, <https://wiki.debian.org/LTS> and
//! <https://wiki.debian.org/LTS/Extended>, Ubuntu <https://ubuntu.com/about/release-cycle>, both as Debian's package
//! `distro-info-data` has them; Ubuntu's Legacy add-on, which Canonical extended to fifteen years after the release
//! in November 2025 and announces by the month, <https://ubuntu.com/blog>; Alpine <https://alpinelinux.org/releases/>.

mod enterprise;
mod suse;

use limpid_model::Support;

use crate::distributions::{Granularity, known_distribution};

/// A release, the last day of its regular support, and the programmes that go on one after the other, each
/// with its last day.
struct Lifetime {
    release: &'static str,
    regular: &'static str,
    programmes: &'static [(&'static str, &'static str)],
}

const fn lifetime(
    release: &'static str,
    regular: &'static str,
    programmes: &'static [(&'static str, &'static str)],
) -> Lifetime {
    Lifetime { release, regular, programmes }
}

const LTS: &str = "Debian LTS";
const ELTS: &str = "Freexian's Extended LTS";
const PRO: &str = "Ubuntu Pro (ESM)";
const LEGACY: &str = "Ubuntu Pro with the Legacy add-on";

const LIFETIMES: &[Lifetime] = &[
    lifetime("debian:4", "2010-02-15", &[]),
    lifetime("debian:5", "2012-02-06", &[]),
    lifetime("debian:6", "2014-05-31", &[(LTS, "2016-02-29")]),
    lifetime("debian:7", "2016-04-25", &[(LTS, "2018-05-31"), (ELTS, "2020-06-30")]),
    lifetime("debian:8", "2018-06-17", &[(LTS, "2020-06-30"), (ELTS, "2025-06-30")]),
    lifetime("debian:9", "2020-07-18", &[(LTS, "2022-06-30"), (ELTS, "2027-06-30")]),
    lifetime("debian:10", "2022-09-10", &[(LTS, "2024-06-30"), (ELTS, "2029-06-30")]),
    lifetime("debian:11", "2024-08-14", &[(LTS, "2026-08-31"), (ELTS, "2031-06-30")]),
    lifetime("debian:12", "2026-07-11", &[(LTS, "2028-06-30"), (ELTS, "2033-06-30")]),
    lifetime("debian:13", "2028-08-09", &[(LTS, "2030-06-30"), (ELTS, "2035-06-30")]),
    lifetime("ubuntu:4.10", "2006-04-30", &[]),
    lifetime("ubuntu:5.04", "2006-10-31", &[]),
    lifetime("ubuntu:5.10", "2007-04-13", &[]),
    lifetime("ubuntu:6.06", "2011-06-01", &[]),
    lifetime("ubuntu:6.10", "2008-04-25", &[]),
    lifetime("ubuntu:7.04", "2008-10-19", &[]),
    lifetime("ubuntu:7.10", "2009-04-18", &[]),
    lifetime("ubuntu:8.04", "2013-05-09", &[]),
    lifetime("ubuntu:8.10", "2010-04-30", &[]),
    lifetime("ubuntu:9.04", "2010-10-23", &[]),
    lifetime("ubuntu:9.10", "2011-04-30", &[]),
    lifetime("ubuntu:10.04", "2015-04-30", &[]),
    lifetime("ubuntu:10.10", "2012-04-10", &[]),
    lifetime("ubuntu:11.04", "2012-10-28", &[]),
    lifetime("ubuntu:11.10", "2013-05-09", &[]),
    lifetime("ubuntu:12.04", "2017-04-28", &[(PRO, "2019-04-26")]),
    lifetime("ubuntu:12.10", "2014-05-16", &[]),
    lifetime("ubuntu:13.04", "2014-01-27", &[]),
    lifetime("ubuntu:13.10", "2014-07-17", &[]),
    lifetime("ubuntu:14.04", "2019-04-25", &[(PRO, "2024-04-25"), (LEGACY, "2029-04-30")]),
    lifetime("ubuntu:14.10", "2015-07-23", &[]),
    lifetime("ubuntu:15.04", "2016-02-04", &[]),
    lifetime("ubuntu:15.10", "2016-07-28", &[]),
    lifetime("ubuntu:16.04", "2021-04-30", &[(PRO, "2026-04-23"), (LEGACY, "2031-04-30")]),
    lifetime("ubuntu:16.10", "2017-07-20", &[]),
    lifetime("ubuntu:17.04", "2018-01-13", &[]),
    lifetime("ubuntu:17.10", "2018-07-19", &[]),
    lifetime("ubuntu:18.04", "2023-05-31", &[(PRO, "2028-04-26"), (LEGACY, "2033-04-30")]),
    lifetime("ubuntu:18.10", "2019-07-18", &[]),
    lifetime("ubuntu:19.04", "2020-01-23", &[]),
    lifetime("ubuntu:19.10", "2020-07-17", &[]),
    lifetime("ubuntu:20.04", "2025-05-29", &[(PRO, "2030-04-23"), (LEGACY, "2035-04-30")]),
    lifetime("ubuntu:20.10", "2021-07-22", &[]),
    lifetime("ubuntu:21.04", "2022-01-20", &[]),
    lifetime("ubuntu:21.10", "2022-07-14", &[]),
    lifetime("ubuntu:22.04", "2027-06-01", &[(PRO, "2032-04-21"), (LEGACY, "2037-04-30")]),
    lifetime("ubuntu:22.10", "2023-07-20", &[]),
    lifetime("ubuntu:23.04", "2024-01-25", &[]),
    lifetime("ubuntu:23.10", "2024-07-11", &[]),
    lifetime("ubuntu:24.04", "2029-05-31", &[(PRO, "2034-04-25"), (LEGACY, "2039-04-30")]),
    lifetime("ubuntu:24.10", "2025-07-10", &[]),
    lifetime("ubuntu:25.04", "2026-01-15", &[]),
    lifetime("ubuntu:25.10", "2026-07-09", &[]),
    lifetime("ubuntu:26.04", "2031-05-29", &[(PRO, "2036-04-23"), (LEGACY, "2041-04-30")]),
    lifetime("alpine:2.1", "2012-11-01", &[]),
    lifetime("alpine:2.2", "2013-05-01", &[]),
    lifetime("alpine:2.3", "2013-11-01", &[]),
    lifetime("alpine:2.4", "2014-05-01", &[]),
    lifetime("alpine:2.5", "2014-11-01", &[]),
    lifetime("alpine:2.6", "2015-05-01", &[]),
    lifetime("alpine:2.7", "2015-11-01", &[]),
    lifetime("alpine:3.0", "2016-05-01", &[]),
    lifetime("alpine:3.1", "2016-11-01", &[]),
    lifetime("alpine:3.2", "2017-05-01", &[]),
    lifetime("alpine:3.3", "2017-11-01", &[]),
    lifetime("alpine:3.4", "2018-05-01", &[]),
    lifetime("alpine:3.5", "2018-11-01", &[]),
    lifetime("alpine:3.6", "2019-05-01", &[]),
    lifetime("alpine:3.7", "2019-11-01", &[]),
    lifetime("alpine:3.8", "2020-05-01", &[]),
    lifetime("alpine:3.9", "2020-11-01", &[]),
    lifetime("alpine:3.10", "2021-05-01", &[]),
    lifetime("alpine:3.11", "2021-11-01", &[]),
    lifetime("alpine:3.12", "2022-05-01", &[]),
    lifetime("alpine:3.13", "2022-11-01", &[]),
    lifetime("alpine:3.14", "2023-05-01", &[]),
    lifetime("alpine:3.15", "2023-11-01", &[]),
    lifetime("alpine:3.16", "2024-05-23", &[]),
    lifetime("alpine:3.17", "2024-11-22", &[]),
    lifetime("alpine:3.18", "2025-05-09", &[]),
    lifetime("alpine:3.19", "2025-11-01", &[]),
    lifetime("alpine:3.20", "2026-04-01", &[]),
    lifetime("alpine:3.21", "2026-11-01", &[]),
    lifetime("alpine:3.22", "2027-05-01", &[]),
    lifetime("alpine:3.23", "2027-11-01", &[]),
];

/// Every table: this file's, and one a family.
const TABLES: &[&[Lifetime]] = &[LIFETIMES, enterprise::LIFETIMES, suse::LIFETIMES];

fn lifetimes() -> impl Iterator<Item = &'static Lifetime> {
    TABLES.iter().copied().flatten()
}

/// Releases without an end: they roll. So do distributions that have no releases at all.
const ROLLING: &[&str] = &["debian:sid", "debian:14", "debian:15", "alpine:edge"];

/// Whether `release` is supported on `today` (`YYYY-MM-DD`).
pub fn support(release: &str, today: &str) -> Support {
    let rolls = known_distribution(release)
        .is_some_and(|known| known.granularity == Granularity::Rolling && !known.kinds.is_empty());
    if rolls || ROLLING.contains(&release) {
        return Support::Supported { until: None };
    }
    let Some(lifetime) = lifetimes().find(|lifetime| lifetime.release == release) else {
        return Support::Unknown;
    };
    // Dates of this form order as texts.
    if today <= lifetime.regular {
        return Support::Supported { until: Some(lifetime.regular.to_owned()) };
    }
    let running = lifetime.programmes.iter().find(|(_, until)| today <= *until);
    let ended = lifetime.programmes.last().map_or(lifetime.regular, |(_, until)| *until);
    running.map_or_else(
        || Support::EndOfLife { since: ended.to_owned() },
        |(programme, until)| Support::Extended {
            programme: (*programme).to_owned(),
            until: Some((*until).to_owned()),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn support_ends_after_its_last_day_and_programmes_follow() {
        assert!(matches!(support("debian:12", "2026-07-11"), Support::Supported { .. }));
        let programme = |release: &str, today: &str| match support(release, today) {
            Support::Extended { programme, .. } => programme,
            other => format!("{other:?}"),
        };
        assert_eq!(programme("debian:12", "2026-07-12"), LTS);
        assert_eq!(programme("debian:9", "2022-07-01"), ELTS);
        assert_eq!(programme("ubuntu:18.04", "2026-11-24"), PRO);
        assert_eq!(programme("ubuntu:16.04", "2026-11-24"), LEGACY);
        assert_eq!(support("debian:7", "2026-11-24"), Support::EndOfLife { since: "2020-06-30".into() });
        assert_eq!(support("ubuntu:23.10", "2026-11-24"), Support::EndOfLife { since: "2024-07-11".into() });
        assert_eq!(support("alpine:3.7", "2026-11-24"), Support::EndOfLife { since: "2019-11-01".into() });
        assert!(matches!(support("rhel:8", "2026-11-24"), Support::Supported { .. }));
        assert!(matches!(support("sles:15.5", "2026-11-24"), Support::Extended { .. }));
        assert!(matches!(support("amzn:2", "2026-11-24"), Support::EndOfLife { .. }));
        assert_eq!(support("wolfi", "2026-11-24"), Support::Supported { until: None });
        assert_eq!(support("bottlerocket", "2026-11-24"), Support::Unknown);
        assert_eq!(support("debian:sid", "2026-11-24"), Support::Supported { until: None });
        assert_eq!(support("plan9:4", "2026-11-24"), Support::Unknown);
    }

    #[test]
    fn every_date_is_a_date_and_programmes_follow_in_time() {
        let date = |text: &str| text.len() == 10 && text.bytes().filter(|b| *b == b'-').count() == 2;
        for lifetime in lifetimes() {
            assert_eq!(lifetimes().filter(|other| other.release == lifetime.release).count(), 1);
            let mut last = lifetime.regular;
            assert!(date(last), "{}", lifetime.release);
            for (_, until) in lifetime.programmes {
                assert!(date(until) && *until > last, "{}", lifetime.release);
                last = until;
            }
        }
    }

    /// Debian and Ubuntu keep these dates in a package. Columns: version, code name, series, created, release,
    /// end of life; then Debian: LTS, ELTS; Ubuntu: end for servers, ESM, Legacy.
    #[test]
    #[allow(clippy::print_stderr)]
    fn dates_agree_with_the_distributions_own_table() {
        let table = |distribution: &str| {
            std::fs::read_to_string(format!("/usr/share/distro-info/{distribution}.csv")).unwrap_or_default()
        };
        // A table without this column is older than the dates that it would be compared with.
        if !table("ubuntu").lines().next().is_some_and(|head| head.contains("eol-legacy")) {
            eprintln!("skipped: a distro-info-data of 2026 is not here");
            return;
        }
        let mut checked = 0;
        for (distribution, programmes) in [("debian", 6), ("ubuntu", 7)] {
            for line in table(distribution).lines().skip(1) {
                let fields: Vec<&str> = line.split(',').collect();
                let version = fields[0].trim_end_matches(" LTS").trim_end_matches(".0");
                let release = format!("{distribution}:{version}");
                let Some(lifetime) = LIFETIMES.iter().find(|lifetime| lifetime.release == release) else {
                    continue;
                };
                assert!(
                    fields.iter().skip(5).take(programmes - 5).any(|end| *end == lifetime.regular),
                    "{release}: {}",
                    lifetime.regular
                );
                // The Legacy add-on was extended after many copies of the table were made.
                let ends = fields.iter().skip(programmes).take(if distribution == "ubuntu" { 1 } else { 2 });
                for (end, (_, until)) in ends.zip(lifetime.programmes) {
                    assert_eq!(end, until, "{release}");
                }
                checked += 1;
            }
        }
        assert!(checked > 40, "the tables have only {checked} of our releases");
    }
}
