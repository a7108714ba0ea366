//! What a layer holds: one extractor a file, and the distribution it belongs to.
//!
//! An [`Extractor`] says which paths it wants and turns the bytes of one file into a record; it sees one file
//! at a time and knows nothing of layers. A [`LayerCollector`] is driven by whoever walks a layer: it asks for
//! the bytes of the files that extractors want, and keeps the links, whiteouts and shadowing files that
//! composition needs to say what is still there when all layers lie above each other. [`distribution`] weighs
//! what the release files of a whole image say and names its distribution.
//!
//! Bytes in, records out: no I/O, no clock, no panic on any input. To add an ecosystem: one new file that
//! implements [`Extractor`], one line in [`EXTRACTORS`], fixtures beside its tests.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod apk;
mod apt_sources;
mod assignments;
mod chisel;
mod collector;
mod content_manifests;
mod damage;
mod deb822;
pub mod distribution;
mod dnf;
mod dpkg;
mod dpkg_files;
mod extractor;
mod kernel;
mod opkg;
mod os_release;
pub mod ownership;
mod pacman;
mod portage;
mod read_at;
mod release_files;
mod releases;
mod rpm;
mod sqlite;

pub use collector::{EntryKind, LayerCollector, Target, WINDOWS_DIRECTORIES, Wanted};
pub use extractor::{Anchor, ExtractError, Extracted, Extractor, ListedFor};
pub use read_at::ReadAt;

/// Every extractor. This is the one list. Where two list the same package, the first counts: `chisel`, which knows
/// less of a package than dpkg's own database, stands behind it.
pub static EXTRACTORS: &[&dyn Extractor] = &[
    &dpkg::DpkgStatus,
    &dpkg::DpkgStatusDirectory,
    &dpkg_files::DpkgFileList,
    &dpkg_files::DpkgStatusDirectoryFileList,
    &chisel::ChiselManifest,
    &apk::ApkInstalled,
    &rpm::RpmSqlite,
    &rpm::RpmNdb,
    &rpm::RpmBerkeleyDb,
    &rpm::RpmSqliteLog,
    &rpm::RpmManifest,
    &dnf::DnfHistory,
    &dnf::DnfState,
    &pacman::PacmanDescription,
    &pacman::PacmanFileList,
    &portage::PortagePackage,
    &portage::PortageContents,
    &opkg::OpkgStatus,
    &opkg::OpkgFileList,
    &kernel::KernelModules,
    &kernel::KernelImage,
    &content_manifests::ContentManifest,
    &content_manifests::BuildLabels,
    &os_release::OsRelease,
    &release_files::AlpineRelease,
    &release_files::DebianVersion,
    &release_files::LsbRelease,
    &release_files::RedhatRelease,
    &release_files::SuseRelease,
    &release_files::ArchRelease,
    &apt_sources::AptSources,
];

#[cfg(test)]
mod hostile_tests;
