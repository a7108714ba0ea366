//! Red Hat Enterprise Linux, what is built from it, Fedora, and the clouds' own.
//!
//! Sources: Red Hat <https://access.redhat.com/support/policy/updates/errata>, CentOS
//! <https://www.centos.org/cl-vs-cs/>, Rocky <https://wiki.rockylinux.org/rocky/version/>, AlmaLinux
//! <https://wiki.almalinux.org/release-notes/>, Oracle <https://www.oracle.com/a/ocom/docs/elsp-lifetime-069338.pdf>
//! (by month: its first day), Fedora <https://docs.fedoraproject.org/en-US/releases/eol/>, Amazon
//! <https://aws.amazon.com/linux/faqs/>, Microsoft <https://learn.microsoft.com/azure/azure-linux/>, Photon
//! <https://vmware.github.io/photon/>, Mageia <https://www.mageia.org/support/>; most by way of
//! <https://endoflife.date>.

use super::{Lifetime, lifetime};

const ELS: &str = "Red Hat ELS";
const ORACLE: &str = "Oracle Extended Support";

pub(super) const LIFETIMES: &[Lifetime] = &[
    lifetime("rhel:5", "2017-03-31", Some((ELS, "2020-11-30"))),
    lifetime("rhel:6", "2020-11-30", Some((ELS, "2024-06-30"))),
    lifetime("rhel:7", "2024-06-30", Some((ELS, "2028-06-30"))),
    lifetime("rhel:8", "2029-05-31", Some((ELS, "2032-05-31"))),
    lifetime("rhel:9", "2032-05-31", Some((ELS, "2035-05-31"))),
    lifetime("rhel:10", "2035-05-31", None),
    lifetime("centos:5", "2017-03-31", None),
    lifetime("centos:6", "2020-11-30", None),
    lifetime("centos:7", "2024-06-30", None),
    lifetime("centos:8", "2021-12-31", None),
    lifetime("centos-stream:8", "2024-05-31", None),
    lifetime("centos-stream:9", "2027-05-31", None),
    lifetime("centos-stream:10", "2030-01-01", None),
    lifetime("rocky:8", "2029-05-31", None),
    lifetime("rocky:9", "2032-05-31", None),
    lifetime("rocky:10", "2035-05-31", None),
    lifetime("almalinux:8", "2029-03-01", None),
    lifetime("almalinux:9", "2032-05-31", None),
    lifetime("almalinux:10", "2035-05-31", None),
    lifetime("ol:5", "2017-06-01", Some((ORACLE, "2020-11-01"))),
    lifetime("ol:6", "2021-03-01", Some((ORACLE, "2024-12-01"))),
    lifetime("ol:7", "2024-12-01", Some((ORACLE, "2026-06-01"))),
    lifetime("ol:8", "2029-07-01", Some((ORACLE, "2031-07-01"))),
    lifetime("ol:9", "2032-06-30", Some((ORACLE, "2034-06-30"))),
    lifetime("scientific:6", "2020-11-30", None),
    lifetime("scientific:7", "2024-06-30", None),
    lifetime("fedora:21", "2015-12-01", None),
    lifetime("fedora:22", "2016-07-19", None),
    lifetime("fedora:23", "2016-12-20", None),
    lifetime("fedora:24", "2017-08-08", None),
    lifetime("fedora:25", "2017-12-12", None),
    lifetime("fedora:26", "2018-05-29", None),
    lifetime("fedora:27", "2018-11-30", None),
    lifetime("fedora:28", "2019-05-28", None),
    lifetime("fedora:29", "2019-11-26", None),
    lifetime("fedora:30", "2020-05-26", None),
    lifetime("fedora:31", "2020-11-24", None),
    lifetime("fedora:32", "2021-05-25", None),
    lifetime("fedora:33", "2021-11-30", None),
    lifetime("fedora:34", "2022-06-07", None),
    lifetime("fedora:35", "2022-12-13", None),
    lifetime("fedora:36", "2023-05-16", None),
    lifetime("fedora:37", "2023-12-05", None),
    lifetime("fedora:38", "2024-05-21", None),
    lifetime("fedora:39", "2024-11-26", None),
    lifetime("fedora:40", "2025-05-13", None),
    lifetime("fedora:41", "2025-12-15", None),
    lifetime("fedora:42", "2026-05-13", None),
    lifetime("fedora:43", "2026-12-09", None),
    lifetime("amzn:2018.03", "2020-12-31", Some(("Amazon's maintenance", "2023-12-31"))),
    lifetime("amzn:2", "2026-06-30", None),
    lifetime("amzn:2023", "2027-06-30", Some(("Amazon's maintenance", "2029-06-30"))),
    lifetime("azurelinux:3.0", "2027-08-31", None),
    lifetime("mariner:1.0", "2023-08-31", None),
    lifetime("mariner:2.0", "2025-07-31", None),
    lifetime("photon:1.0", "2022-02-28", None),
    lifetime("photon:2.0", "2022-12-31", None),
    lifetime("photon:3.0", "2024-03-01", None),
    lifetime("mageia:5", "2017-12-31", None),
    lifetime("mageia:6", "2019-09-30", None),
    lifetime("mageia:7", "2021-06-30", None),
    lifetime("mageia:8", "2023-11-30", None),
];
