//! A small report with something of everything.

use limpid_model::{
    BaseScore, Context, Coverage, Digest, Distribution, Epss, Exploited, ExtractorVersion, FeedUse, Finding,
    ImageMetadata, InstalledPackage, LayerChange, LayerMetadata, LayerProblem, Package, PackageClass,
    PackageType, Platform, Problem, Rated, Report, Severity, Standing, Support, Unmatched, Verdict,
    VerdictState, Vulnerability,
};

fn installed(name: &str, version: &str, source: (&str, &str), layer: usize) -> InstalledPackage {
    InstalledPackage {
        package: Package {
            kind: PackageType::Deb,
            name: name.to_owned(),
            version: version.to_owned(),
            arch: "amd64".to_owned(),
            source_name: source.0.to_owned(),
            source_version: source.1.to_owned(),
            facts: Vec::new(),
        },
        class: PackageClass::Ordinary,
        context: Context { release: "debian:12".to_owned(), ..Context::default() },
        layer,
        path: "var/lib/dpkg/status".to_owned(),
    }
}

fn finding(package: usize, vulnerability: usize, state: VerdictState, rated: Rated) -> Finding {
    let id = ["CVE-2023-4911", "CVE-2024-6387", "CVE-2025-0001"][vulnerability];
    let fixed = if state == VerdictState::Fixable { "2.36-9+deb12u3" } else { "" };
    Finding {
        package,
        vulnerability,
        verdict: Verdict {
            vulnerability: id.to_owned(),
            advisory: id.to_owned(),
            feed: "debian-tracker".to_owned(),
            state,
            fixed: fixed.to_owned(),
            channel: String::new(),
            severity: rated.severity,
            severity_word: rated.word.clone(),
            severity_feed: "debian-tracker".to_owned(),
            state_word: "resolved".to_owned(),
            notice: if fixed.is_empty() { String::new() } else { "DSA-5514-1".to_owned() },
        },
        rated,
    }
}

/// What a source says, as a word or as a vector of CVSS 3.1.
pub(crate) fn rated(severity: Severity, source: &str, score: Option<u8>) -> Rated {
    Rated {
        severity,
        source: source.to_owned(),
        word: if score.is_none() { "high".to_owned() } else { String::new() },
        score: score.and_then(BaseScore::from_tenths),
        vector: score.map(|_| "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H".to_owned()).unwrap_or_default(),
    }
}

fn image() -> ImageMetadata {
    let layer = |name: &str, size_bytes, command: &str| LayerMetadata {
        digest: Digest::of(name.as_bytes()),
        diff_id: Some(Digest::of(command.as_bytes())),
        size_bytes,
        command: command.to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
    };
    ImageMetadata {
        manifest_digest: Digest::of(b"manifest"),
        config_digest: Some(Digest::of(b"config")),
        platform: Platform {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            variant: String::new(),
        },
        os_version: String::new(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        environment: vec!["PATH=/usr/bin".to_owned()],
        labels: vec![("org.opencontainers.image.title".to_owned(), "web".to_owned())],
        layers: vec![
            layer("base", 29_000_000, "ADD rootfs.tar.xz /"),
            layer("top", 1_500_000, "RUN apt-get install -y openssh-server"),
        ],
    }
}

fn vulnerabilities() -> Vec<Vulnerability> {
    vec![
        Vulnerability {
            id: "CVE-2023-4911".to_owned(),
            aliases: vec!["DSA-5514-1".to_owned()],
            description: "A buffer overflow in ld.so while it processes GLIBC_TUNABLES.".to_owned(),
            links: vec!["https://www.example.org/tunables".to_owned()],
            published: "2023-10-03T18:15:10Z".to_owned(),
            modified: "2025-01-27T21:00:00Z".to_owned(),
            weaknesses: vec!["CWE-122".to_owned()],
            cvss: Vec::new(),
            ratings: vec![rated(Severity::High, "nvd", Some(78))],
            exploited: Some(Exploited {
                added: "2023-11-21".to_owned(),
                due: "2023-12-12".to_owned(),
                by_ransomware: false,
                action: "Apply mitigations.".to_owned(),
            }),
            epss: Some(Epss { score: 61_234, percentile: 98_300 }),
        },
        Vulnerability {
            id: "CVE-2024-6387".to_owned(),
            description: "A race of signal handlers in sshd.".to_owned(),
            ..Vulnerability::default()
        },
        Vulnerability { id: "CVE-2025-0001".to_owned(), ..Vulnerability::default() },
    ]
}

/// The report.
pub(crate) fn report() -> Report {
    let libc = "2.36-9+deb12u1";
    Report {
        reference: "registry.example:5000/shop/web:1.2".to_owned(),
        image: image(),
        layers: vec![
            LayerChange { installed: 2, introduced: 2, ..LayerChange::default() },
            LayerChange { installed: 1, introduced: 1, ..LayerChange::default() },
        ],
        packages: vec![
            installed("libc-bin", libc, ("glibc", libc), 0),
            installed("libc6", libc, ("glibc", libc), 0),
            installed("openssh-server", "1:9.2p1-2", ("openssh", "1:9.2p1-2"), 1),
        ],
        findings: vec![
            finding(0, 0, VerdictState::Fixable, rated(Severity::High, "debian-tracker", None)),
            finding(1, 0, VerdictState::Fixable, rated(Severity::High, "debian-tracker", None)),
            finding(2, 1, VerdictState::WillNotFix, rated(Severity::Medium, "debian-tracker", None)),
            finding(2, 2, VerdictState::Unknown, Rated::default()),
        ],
        hidden: Vec::new(),
        vulnerabilities: vulnerabilities(),
        revision: 7,
        as_of: "2026-03-01T00:00:00Z".to_owned(),
        moment: "2026-03-01T00:00:00Z".to_owned(),
        coverage: Coverage {
            distribution: Some(Distribution {
                id: "debian".to_owned(),
                version_id: "12".to_owned(),
                code_name: "bookworm".to_owned(),
                pretty_name: "Debian GNU/Linux 12 (bookworm)".to_owned(),
                ..Distribution::default()
            }),
            support: Support::Supported { until: Some("2026-06-10".to_owned()) },
            standing: Standing::Partial,
            feeds: vec![FeedUse {
                name: "debian-tracker tracker".to_owned(),
                revision: 7,
                date: "2026-02-28T12:00:00Z".to_owned(),
                error: String::new(),
            }],
            extractors: vec![ExtractorVersion { name: "dpkg".to_owned(), version: 3 }],
            unmatched: vec![Unmatched { reason: "packages of third parties".to_owned(), packages: 1 }],
            problems: vec![LayerProblem {
                layer: Some(1),
                problem: Problem { path: "lib/apk/db/installed".to_owned(), reason: "is no text".to_owned() },
            }],
        },
    }
}
