//! Packages: what is installed, and in which world its version is to be understood.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kind of a package, by purl's type name.
///
/// Stored results hold the position in this list: new kinds go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PackageType {
    /// A Debian binary package (dpkg).
    Deb,
    /// An Alpine package (apk-tools).
    Apk,
    /// An RPM package.
    Rpm,
    /// A package of Arch Linux and its kin (pacman).
    Alpm,
    /// A Gentoo package (portage).
    Ebuild,
    /// A package of OpenWrt, Yocto and their kin (opkg).
    Opkg,
    /// Something that no package manager put there, such as a kernel.
    Generic,
}

impl PackageType {
    /// Every kind that Limpid knows.
    pub const ALL: [Self; 7] =
        [Self::Deb, Self::Apk, Self::Rpm, Self::Alpm, Self::Ebuild, Self::Opkg, Self::Generic];

    /// purl's type name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Apk => "apk",
            Self::Rpm => "rpm",
            Self::Alpm => "alpm",
            Self::Ebuild => "ebuild",
            Self::Opkg => "opkg",
            Self::Generic => "generic",
        }
    }
}

impl fmt::Display for PackageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no package type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a package type")]
pub struct UnknownPackageType(pub String);

impl FromStr for PackageType {
    type Err = UnknownPackageType;

    fn from_str(text: &str) -> Result<Self, UnknownPackageType> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| UnknownPackageType(text.chars().take(40).collect()))
    }
}

/// A package version: everything about a package that is the same in every image that holds it.
///
/// Strings are as the package database has them, bytes that are not UTF-8 replaced. `version` carries the
/// epoch where the ecosystem has one (`1:2.3-4`). `arch` is empty where the ecosystem has none. For
/// ecosystems without source packages `source_name` and `source_version` repeat `name` and `version`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Package {
    /// The packaging world.
    pub kind: PackageType,
    /// Binary package name.
    pub name: String,
    /// Full version, with epoch and revision.
    pub version: String,
    /// Architecture in the ecosystem's own words (`amd64`, `x86_64`, `all`, `noarch`).
    pub arch: String,
    /// Source package (dpkg `Source:`, apk origin, rpm source rpm).
    pub source_name: String,
    /// The source package's own version, which may differ from `version`.
    pub source_version: String,
    /// What else the database says that a verdict may depend on, as sorted (key, value) pairs; raw facts such
    /// as rpm's vendor, module label and signing key id. Empty for most.
    pub facts: Vec<(PackageFact, String)>,
}

/// A kind of raw fact about a package. Stored results hold the position in this list: new ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PackageFact {
    /// rpm's `Vendor` tag, dpkg's `Vendor` or `Origin` field: who built the package. Of a deb only where it is not
    /// Debian or Ubuntu.
    Vendor,
    /// rpm's `Modularitylabel` tag (`name:stream:version:context`).
    Module,
    /// The id of the key that signed the package, in hex.
    SigningKey,
    /// The repository that the package came from, as the package manager's history says.
    Repository,
    /// `Maintainer` (dpkg) where nobody of Debian or Ubuntu maintains it; tells third-party packages from the
    /// distribution's own.
    Maintainer,
}

impl PackageFact {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vendor => "vendor",
            Self::Module => "module",
            Self::SigningKey => "signingKey",
            Self::Repository => "repository",
            Self::Maintainer => "maintainer",
        }
    }
}

/// What kind of thing a package is, as far as reports tell kinds apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageClass {
    /// A kernel or its modules: code that a container never runs.
    Kernel,
    /// Headers for building against a kernel.
    KernelHeaders,
    /// Everything else.
    Ordinary,
}

impl PackageClass {
    /// The word in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::KernelHeaders => "kernel-headers",
            Self::Ordinary => "ordinary",
        }
    }
}
