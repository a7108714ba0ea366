//! opkg's database, of OpenWrt, Yocto and their kin: `usr/lib/opkg/status` or `var/lib/opkg/status`, and the files
//! of each package in `info/NAME.list`.
//!
//! Source of truth: opkg-lede's and opkg's `pkg_parse.c` and `opkg_conf.c`. Stanzas as dpkg's; the last word of
//! `Status` says whether the package is there. A status file names no source packages, so a package stands for its
//! own; where a control field `SourceName` is kept, it counts. A line of a list is a path, in newer versions
//! followed by a tab and the mode.

use limpid_model::PackageType;

use crate::dpkg::{self, Shape};
use crate::dpkg_files::{directory, ends_with, files};
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor, ListedFor};

/// The status file.
#[derive(Debug)]
pub(crate) struct OpkgStatus;

impl Extractor for OpkgStatus {
    fn name(&self) -> &'static str {
        "opkg"
    }

    fn version(&self) -> u32 {
        1
    }

    /// Such systems are small: some hundred packages with a few lines each.
    fn limit(&self) -> u64 {
        16 << 20
    }

    fn reads(&self, path: &str) -> bool {
        ends_with(path, "opkg/status")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::File("usr/lib/opkg/status"), Anchor::File("var/lib/opkg/status")]
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        dpkg::read(
            content,
            &Shape { kind: PackageType::Opkg, installed_by_default: false, source: "SourceName" },
        )
    }
}

/// A file of `info/`.
#[derive(Debug)]
pub(crate) struct OpkgFileList;

impl Extractor for OpkgFileList {
    fn name(&self) -> &'static str {
        "opkg-files"
    }

    fn version(&self) -> u32 {
        1
    }

    fn limit(&self) -> u64 {
        16 << 20
    }

    fn reads(&self, path: &str) -> bool {
        path.ends_with(".list") && directory(path).is_some_and(|directory| ends_with(directory, "opkg/info"))
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::Directory("usr/lib/opkg/info"), Anchor::Directory("var/lib/opkg/info")]
    }

    fn sample_name(&self) -> &'static str {
        "x.list"
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        Ok(files(content, |line| line.split('\t').next()))
    }

    fn lists_files_only(&self) -> bool {
        true
    }

    fn lists_files_of(&self, path: &str) -> Option<ListedFor> {
        let name = path.rsplit('/').next()?.strip_suffix(".list")?;
        let (name, arch) = (name.to_owned(), String::new());
        Some(ListedFor::Package { kind: PackageType::Opkg, name, arch })
    }
}

#[cfg(test)]
mod tests {
    use limpid_model::Record;

    use super::*;
    use crate::ownership::path_hash;

    #[test]
    fn what_is_installed_is_listed() {
        let text = "Package: busybox\nVersion: 1.36.1-1\nDepends: libc\nStatus: install user installed\n\
                    Architecture: mipsel_24kc\nInstalled-Time: 1696000000\n\nPackage: gone\nVersion: 1\n\
                    Status: deinstall user not-installed\nArchitecture: all\n\n\
                    Package: libopenssl3\nVersion: 3.0.11-1\nStatus: install hold unpacked\nSourceName: openssl\n";
        let extracted = OpkgStatus.extract("usr/lib/opkg/status", text.as_bytes()).unwrap();
        let Record::Packages(packages) = extracted.record else { panic!("packages") };
        let shown: Vec<[&str; 4]> = packages
            .iter()
            .map(|p| [p.name.as_str(), p.version.as_str(), p.arch.as_str(), p.source_name.as_str()])
            .collect();
        assert_eq!(
            shown,
            [["busybox", "1.36.1-1", "mipsel_24kc", "busybox"], ["libopenssl3", "3.0.11-1", "", "openssl"]]
        );
        assert!(packages.iter().all(|package| package.kind == PackageType::Opkg));
        assert!(extracted.problems.is_empty());
    }

    #[test]
    fn lists_of_both_forms() {
        let old = OpkgFileList.extract("", b"/bin/busybox\n/etc/x\n").unwrap();
        let new = OpkgFileList.extract("", b"/bin/busybox\t0100755\n/etc/x\t0100644\n").unwrap();
        assert_eq!(old, new);
        assert_eq!(old.owners[0].paths, [path_hash("bin/busybox")]);
    }
}
