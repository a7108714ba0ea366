//! Until when releases are supported, as data.
//!
//! Sources, read in 2026: Debian <https://wiki.debian.org/DebianReleases> and <https://wiki.debian.org/LTS>,
//! Ubuntu <https://ubuntu.com/about/release-cycle>, Alpine <https://alpinelinux.org/releases/>.

mod enterprise;
mod suse;

use limpid_model::Support;

use crate::distributions::{Granularity, known_distribution};

/// A release, the last day of its regular support, and the programme that goes on, with its last day.
struct Lifetime {
    release: &'static str,
    regular: &'static str,
    extended: Option<(&'static str, &'static str)>,
}

const fn lifetime(
    release: &'static str,
    regular: &'static str,
    extended: Option<(&'static str, &'static str)>,
) -> Lifetime {
    Lifetime { release, regular, extended }
}

const LIFETIMES: &[Lifetime] = &[
    lifetime("debian:6", "2014-05-31", Some(("Debian LTS", "2016-02-29"))),
    lifetime("debian:7", "2016-04-25", Some(("Debian LTS", "2018-05-31"))),
    lifetime("debian:8", "2018-06-17", Some(("Debian LTS", "2020-06-30"))),
    lifetime("debian:9", "2020-07-18", Some(("Debian LTS", "2022-06-30"))),
    lifetime("debian:10", "2022-09-10", Some(("Debian LTS", "2024-06-30"))),
    lifetime("debian:11", "2024-08-14", Some(("Debian LTS", "2026-08-31"))),
    lifetime("debian:12", "2026-06-10", Some(("Debian LTS", "2028-06-30"))),
    lifetime("debian:13", "2028-08-09", Some(("Debian LTS", "2030-06-30"))),
    lifetime("ubuntu:12.04", "2017-04-28", Some(("Ubuntu ESM", "2019-04-30"))),
    lifetime("ubuntu:14.04", "2019-04-25", Some(("Ubuntu Pro", "2024-04-25"))),
    lifetime("ubuntu:16.04", "2021-04-30", Some(("Ubuntu Pro", "2026-04-23"))),
    lifetime("ubuntu:18.04", "2023-05-31", Some(("Ubuntu Pro", "2028-04-30"))),
    lifetime("ubuntu:20.04", "2025-05-31", Some(("Ubuntu Pro", "2030-04-30"))),
    lifetime("ubuntu:22.04", "2027-06-01", Some(("Ubuntu Pro", "2032-04-30"))),
    lifetime("ubuntu:24.04", "2029-05-31", Some(("Ubuntu Pro", "2034-04-30"))),
    lifetime("ubuntu:23.10", "2024-07-11", None),
    lifetime("ubuntu:24.10", "2025-07-10", None),
    lifetime("ubuntu:25.04", "2026-01-15", None),
    lifetime("alpine:3.7", "2019-11-01", None),
    lifetime("alpine:3.8", "2020-05-01", None),
    lifetime("alpine:3.9", "2020-11-01", None),
    lifetime("alpine:3.10", "2021-05-01", None),
    lifetime("alpine:3.11", "2021-11-01", None),
    lifetime("alpine:3.12", "2022-05-01", None),
    lifetime("alpine:3.13", "2022-11-01", None),
    lifetime("alpine:3.14", "2023-05-01", None),
    lifetime("alpine:3.15", "2023-11-01", None),
    lifetime("alpine:3.16", "2024-05-23", None),
    lifetime("alpine:3.17", "2024-11-22", None),
    lifetime("alpine:3.18", "2025-05-09", None),
    lifetime("alpine:3.19", "2025-11-01", None),
    lifetime("alpine:3.20", "2026-04-01", None),
    lifetime("alpine:3.21", "2026-11-01", None),
    lifetime("alpine:3.22", "2027-05-01", None),
    lifetime("alpine:3.23", "2027-11-01", None),
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
    match lifetime.extended {
        _ if today <= lifetime.regular => Support::Supported { until: Some(lifetime.regular.to_owned()) },
        Some((programme, until)) if today <= until => {
            Support::Extended { programme: programme.to_owned(), until: Some(until.to_owned()) }
        }
        Some((_, until)) => Support::EndOfLife { since: until.to_owned() },
        None => Support::EndOfLife { since: lifetime.regular.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn support_ends_after_its_last_day_and_programmes_follow() {
        assert!(matches!(support("debian:12", "2026-06-10"), Support::Supported { .. }));
        assert!(matches!(support("debian:12", "2026-06-11"), Support::Extended { .. }));
        assert_eq!(support("debian:7", "2026-11-24"), Support::EndOfLife { since: "2018-05-31".into() });
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
    fn every_date_is_a_date_and_programmes_end_last() {
        let date = |text: &str| text.len() == 10 && text.bytes().filter(|b| *b == b'-').count() == 2;
        for lifetime in lifetimes() {
            assert_eq!(lifetimes().filter(|other| other.release == lifetime.release).count(), 1);
            assert!(date(lifetime.regular), "{}", lifetime.release);
            if let Some((_, until)) = lifetime.extended {
                assert!(date(until) && until > lifetime.regular, "{}", lifetime.release);
            }
        }
    }
}
