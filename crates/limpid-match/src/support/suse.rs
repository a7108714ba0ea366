//! SUSE Linux Enterprise and openSUSE.
//!
//! Sources: <https://www.suse.com/lifecycle>, <https://en.opensuse.org/Lifetime>, by way of
//! <https://endoflife.date>.

use super::{Lifetime, lifetime};

const LTSS: &str = "SUSE LTSS";

pub(super) const LIFETIMES: &[Lifetime] = &[
    lifetime("sles:11.3", "2016-01-31", &[(LTSS, "2019-01-30")]),
    lifetime("sles:11.4", "2019-03-31", &[(LTSS, "2022-03-31")]),
    lifetime("sles:12", "2016-06-30", &[(LTSS, "2019-07-01")]),
    lifetime("sles:12.1", "2017-05-31", &[(LTSS, "2020-05-31")]),
    lifetime("sles:12.2", "2018-03-31", &[(LTSS, "2021-03-31")]),
    lifetime("sles:12.3", "2019-06-30", &[(LTSS, "2022-06-30")]),
    lifetime("sles:12.4", "2020-06-30", &[(LTSS, "2023-06-30")]),
    lifetime("sles:12.5", "2024-10-31", &[(LTSS, "2027-10-31")]),
    lifetime("sles:15", "2019-12-31", &[(LTSS, "2022-12-31")]),
    lifetime("sles:15.1", "2021-01-31", &[(LTSS, "2024-01-31")]),
    lifetime("sles:15.2", "2021-12-31", &[(LTSS, "2024-12-31")]),
    lifetime("sles:15.3", "2022-12-31", &[(LTSS, "2025-12-31")]),
    lifetime("sles:15.4", "2023-12-31", &[(LTSS, "2026-12-31")]),
    lifetime("sles:15.5", "2024-12-31", &[(LTSS, "2027-12-31")]),
    lifetime("sles:15.6", "2025-12-31", &[(LTSS, "2028-12-31")]),
    lifetime("sles:15.7", "2031-07-31", &[(LTSS, "2034-07-31")]),
    lifetime("opensuse:13.1", "2016-02-03", &[]),
    lifetime("opensuse:13.2", "2017-01-17", &[]),
    lifetime("opensuse-leap:42.1", "2017-05-17", &[]),
    lifetime("opensuse-leap:42.2", "2018-01-26", &[]),
    lifetime("opensuse-leap:42.3", "2019-07-01", &[]),
    lifetime("opensuse-leap:15.0", "2019-12-03", &[]),
    lifetime("opensuse-leap:15.1", "2021-02-02", &[]),
    lifetime("opensuse-leap:15.2", "2022-01-04", &[]),
    lifetime("opensuse-leap:15.3", "2022-12-31", &[]),
    lifetime("opensuse-leap:15.4", "2023-12-07", &[]),
    lifetime("opensuse-leap:15.5", "2024-12-31", &[]),
    lifetime("opensuse-leap:15.6", "2026-04-30", &[]),
    lifetime("opensuse-leap:16.0", "2027-10-31", &[]),
];
