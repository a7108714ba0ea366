//! Distributions: what an os-release file, or an older file in its place, names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A distribution as an image declares it. Empty strings where the image says nothing.
///
/// Field names are those of os-release(5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Distribution {
    /// `ID`, lower case (`debian`, `alpine`, `rhel`).
    pub id: String,
    /// `VERSION_ID` (`12`, `22.04`, `3.20.3`); empty for Debian's testing and sid, and rolling ones.
    pub version_id: String,
    /// `VERSION_CODENAME`, lower case (`bookworm`); `sid` for Debian unstable.
    pub code_name: String,
    /// `ID_LIKE`, space separated.
    pub id_like: String,
    /// `PRETTY_NAME`, for people.
    pub pretty_name: String,
    /// `CPE_NAME`, raw.
    pub cpe_name: String,
    /// `VARIANT_ID`.
    pub variant_id: String,
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = if self.version_id.is_empty() { &self.code_name } else { &self.version_id };
        if version.is_empty() { write!(f, "{}", self.id) } else { write!(f, "{} {}", self.id, version) }
    }
}

/// What else, beside the package itself, a verdict may depend on and many images share.
///
/// `release` is the distribution at the granularity at which its advisories are written, `ID:VERSION`
/// (`debian:12`, `ubuntu:22.04`, `alpine:3.20`, `debian:sid`), or just `ID`, or empty where unknown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Context {
    /// Distribution and release.
    pub release: String,
    /// Support channel beyond the release's own (`esm-infra`, `elts`, `eus`), empty for none.
    pub channel: String,
    /// Sorted repositories or CPEs that the package may come from (Red Hat content sets), empty for none.
    pub repositories: Vec<String>,
    /// Module stream (`nodejs:18`), empty for none.
    pub module: String,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.release.is_empty() { "unknown" } else { &self.release })?;
        for part in [&self.channel, &self.module] {
            if !part.is_empty() {
                write!(f, " {part}")?;
            }
        }
        if !self.repositories.is_empty() {
            write!(f, " [{}]", self.repositories.join(", "))?;
        }
        Ok(())
    }
}

/// Who put a package there, when it was not the package manager whose database lists it: for a language
/// package the distribution package that owns its files. Empty for the ordinary case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Owner(pub String);

/// A package in its context: the unit over which images are compared and the fleet is indexed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Occurrence {
    /// The package version.
    pub package: crate::Package,
    /// Its context.
    pub context: Context,
    /// Its owner.
    pub owner: Owner,
}
