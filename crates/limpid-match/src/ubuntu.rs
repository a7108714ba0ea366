//! Ubuntu. Canonical's data speaks of source packages. What Ubuntu Pro fixes comes through channels of its own
//! (`esm-infra`, `esm-apps`), which [`join`](crate::join) keeps apart from the release's own.
//!
//! Channels beyond those (FIPS, real time, BlueField) hold other builds, with versions that do not order with the
//! release's own. Such a channel speaks only of packages that came from it: its word is in their version
//! (`1.1.1f-1ubuntu2.fips.22`) or in their name (`linux-realtime`). Of a FIPS build, in turn, no comparison with a
//! version of another channel says anything.
//!
//! A signed kernel (source `linux-signed`) is judged as the source that its code comes from, see
//! [`signed`](crate::signed). Metapackages (source `linux-meta`) hold no kernel, and nobody speaks of them.

use limpid_model::{Explanation, Package, PackageKind, PackageType, VerdictState};
use limpid_version::Scheme;

use crate::{Rules, Statement, judge, signed};

pub(crate) struct Ubuntu;

/// The word in the versions of FIPS builds.
const FIPS: &str = "fips";

impl Rules for Ubuntu {
    fn distribution(&self) -> &'static str {
        "ubuntu"
    }

    fn package_type(&self) -> PackageType {
        PackageType::Deb
    }

    fn scheme(&self) -> Scheme {
        Scheme::Dpkg
    }

    fn feeds(&self) -> &'static [&'static str] {
        &["ubuntu"]
    }

    fn names<'a>(&self, package: &'a Package) -> Vec<(PackageKind, &'a str)> {
        vec![(PackageKind::Source, &package.source_name)]
    }

    fn signed_source(&self, source: &str) -> Option<String> {
        signed::ubuntu(source)
    }

    fn judge(&self, package: &Package, statement: &Statement<'_>) -> Option<Explanation> {
        let channel = statement.affected.channel.as_str();
        let is_ordinary = channel.is_empty() || channel.starts_with("esm");
        if !is_ordinary && !is_from(package, channel) {
            return None;
        }
        let names = self.names(package);
        let mut explanation = judge::judge(self.distribution(), self.scheme(), &names, package, statement)?;
        let compared =
            matches!(explanation.verdict.state, VerdictState::Fixable | VerdictState::FixedAlready);
        if is_ordinary && compared && package.source_version.contains(FIPS) {
            explanation.verdict.state = VerdictState::Unknown;
            explanation.comparison = format!(
                "{} is a FIPS build: it does not order with {}, which is none",
                package.source_version, statement.affected.fixed
            );
        }
        Some(explanation)
    }
}

/// Whether the package came from that channel: one of the channel's words is in its source's name or version.
fn is_from(package: &Package, channel: &str) -> bool {
    channel.split('-').any(|word| {
        !matches!(word, "updates" | "preview" | "kernel" | "nvidia")
            && (package.source_version.contains(word) || package.source_name.contains(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use limpid_model::{Affected, AffectedState, Severity};

    fn verdicts(version: &str, said: &[(&str, AffectedState, &str)]) -> Vec<(VerdictState, String)> {
        let package = Package {
            kind: PackageType::Deb,
            name: "libssl1.1".into(),
            version: version.into(),
            source_name: "openssl".into(),
            source_version: version.into(),
            arch: "amd64".into(),
            facts: Vec::new(),
        };
        let explanations = said.iter().filter_map(|(channel, state, fixed)| {
            let affected = Affected {
                package: "openssl".into(),
                channel: (*channel).to_owned(),
                state: *state,
                fixed: (*fixed).to_owned(),
                ..Affected::default()
            };
            let severity = (Severity::Unknown, "");
            Ubuntu.judge(
                &package,
                &Statement {
                    feed: "ubuntu",
                    advisory: "CVE-1",
                    vulnerability: "CVE-1",
                    severity,
                    affected: &affected,
                },
            )
        });
        let joined = crate::join(Scheme::Dpkg, explanations.collect());
        joined.into_iter().map(|(e, _)| (e.verdict.state, e.verdict.channel)).collect()
    }

    #[test]
    fn a_fix_in_a_channel_is_never_the_releases_own() {
        use AffectedState::{Fixed, Open, WillNotFix};
        let esm = ("esm-infra", Fixed, "1.0-1ubuntu1+esm2");
        let from = |state, channel: &str| vec![(state, channel.to_owned())];
        // The release's own support ended without a fix: what fixes it comes through Pro, and is named so.
        let ended = [("", WillNotFix, ""), esm];
        assert_eq!(verdicts("1.0-1ubuntu1", &ended), from(VerdictState::Fixable, "esm-infra"));
        assert_eq!(verdicts("1.0-1ubuntu1+esm2", &ended), from(VerdictState::FixedAlready, "esm-infra"));
        // Where both have a fix, the one that needs no subscription is named.
        let both = [esm, ("", Fixed, "1.0-1ubuntu2")];
        assert_eq!(verdicts("1.0-1ubuntu1", &both), from(VerdictState::Fixable, ""));
        let neither = [("esm-infra", Open, ""), ("", Open, "")];
        assert_eq!(verdicts("1.0-1ubuntu1", &neither), from(VerdictState::NoFix, ""));
    }

    #[test]
    fn other_builds_are_judged_by_their_own_channel() {
        use AffectedState::{Fixed, Open};
        let from = |state, channel: &str| vec![(state, channel.to_owned())];
        let said = [("", Fixed, "1.1.1f-1ubuntu2.20"), ("fips-updates", Fixed, "1.1.1f-1ubuntu2.fips.21")];
        assert_eq!(verdicts("1.1.1f-1ubuntu2.20", &said), from(VerdictState::FixedAlready, ""));
        assert_eq!(verdicts("1.1.1f-1ubuntu2.19", &said), from(VerdictState::Fixable, ""));
        assert_eq!(verdicts("1.1.1f-1ubuntu2.fips.19", &said), from(VerdictState::Fixable, "fips-updates"));
        assert_eq!(
            verdicts("1.1.1f-1ubuntu2.fips.21", &said),
            from(VerdictState::FixedAlready, "fips-updates")
        );
        // Without its own channel's word nothing is known of it, whatever its version looks like.
        assert_eq!(verdicts("1.1.1f-1ubuntu2.fips.21", &said[..1]), from(VerdictState::Unknown, ""));
        assert_eq!(verdicts("1.1.1f-1ubuntu2.fips.21", &[("", Open, "")]), from(VerdictState::NoFix, ""));
        assert_eq!(verdicts("1.1.1f-1ubuntu2.19", &said[1..]), []);
    }
}
