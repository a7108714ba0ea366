//! Which package brought which file, as dpkg keeps it: `var/lib/dpkg/info/NAME[:ARCH].list`, one path a line, and
//! in distroless images `status.d/NAME.md5sums`, a digest and a path a line.
//!
//! Sources of truth: dpkg's `lib/dpkg/db-fsys-files.c`, dpkg-query(1) (`--listfiles`), md5sum(1). Left out:
//! diversions (dpkg-divert(1)): a diverted file counts as its package's under its first name, as `dpkg -S` says it
//! too, beside the diversion.

use limpid_model::{PackageType, Record};

use crate::extractor::{Anchor, ExtractError, Extracted, Extractor, ListedFor};
use crate::ownership::OwnedPaths;

/// The largest real list, of a kernel's headers, has some 2 MiB.
const LIST_BYTES_MAX: u64 = 16 << 20;

/// A file of `info/`.
#[derive(Debug)]
pub(crate) struct DpkgFileList;

impl Extractor for DpkgFileList {
    fn name(&self) -> &'static str {
        "dpkg-files"
    }

    fn version(&self) -> u32 {
        1
    }

    fn limit(&self) -> u64 {
        LIST_BYTES_MAX
    }

    fn reads(&self, path: &str) -> bool {
        path.ends_with(".list") && directory(path).is_some_and(|directory| ends_with(directory, "dpkg/info"))
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::Directory("var/lib/dpkg/info"), Anchor::Directory("usr/lib/sysimage/dpkg/info")]
    }

    fn sample_name(&self) -> &'static str {
        "x.list"
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        Ok(files(content, |line| Some(line)))
    }

    fn lists_files_only(&self) -> bool {
        true
    }

    /// `libc6:amd64.list`, and for packages that exist once on a system `bash.list`.
    fn lists_files_of(&self, path: &str) -> Option<ListedFor> {
        let name = path.rsplit('/').next()?.strip_suffix(".list")?;
        let (name, arch) = name.split_once(':').unwrap_or((name, ""));
        Some(ListedFor::Package { kind: PackageType::Deb, name: name.to_owned(), arch: arch.to_owned() })
    }
}

/// A list of digests beside a control file of `status.d`.
#[derive(Debug)]
pub(crate) struct DpkgStatusDirectoryFileList;

impl Extractor for DpkgStatusDirectoryFileList {
    fn name(&self) -> &'static str {
        "dpkg-status-d-files"
    }

    fn version(&self) -> u32 {
        1
    }

    fn limit(&self) -> u64 {
        LIST_BYTES_MAX
    }

    fn reads(&self, path: &str) -> bool {
        path.ends_with(".md5sums")
            && directory(path).is_some_and(|directory| ends_with(directory, "dpkg/status.d"))
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::Directory("var/lib/dpkg/status.d"), Anchor::Directory("usr/lib/sysimage/dpkg/status.d")]
    }

    fn sample_name(&self) -> &'static str {
        "x.md5sums"
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        Ok(files(content, |line| line.split_once(' ').map(|(_, path)| path.trim_start_matches([' ', '*']))))
    }

    fn lists_files_only(&self) -> bool {
        true
    }

    /// Builders name the two files alike, but not always after the package.
    fn lists_files_of(&self, path: &str) -> Option<ListedFor> {
        path.strip_suffix(".md5sums").map(|path| ListedFor::PackageIn(path.to_owned()))
    }
}

/// The owner that a list of paths, one a line, comes to.
pub(crate) fn files(content: &[u8], path: impl Fn(&str) -> Option<&str>) -> Extracted {
    let mut paths = OwnedPaths::default();
    for line in content.split(|&byte| byte == b'\n') {
        // A path that is not UTF-8 is nobody's to claim.
        if let Some(path) = std::str::from_utf8(line).ok().and_then(|line| path(line.trim_end_matches('\r')))
        {
            paths.push(path);
        }
    }
    let owners = paths.owner("").into_iter().collect();
    Extracted { record: Record::Files, owners, problems: Vec::new() }
}

pub(crate) fn directory(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(directory, _)| directory)
}

/// Whether a path ends with `end`, at a `/`.
pub(crate) fn ends_with(path: &str, end: &str) -> bool {
    path.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ownership::path_hash;

    fn hashes(extracted: &Extracted) -> Vec<u64> {
        extracted.owners.iter().flat_map(|owner| owner.paths.clone()).collect()
    }

    #[test]
    fn lists() {
        assert!(DpkgFileList.reads("var/lib/dpkg/info/libc6:amd64.list"));
        assert!(!DpkgFileList.reads("var/lib/dpkg/info/libc6:amd64.md5sums"));
        assert!(!DpkgFileList.reads("var/lib/xdpkg/info/a.list"));
        let extracted =
            DpkgFileList.extract("", b"/.\n/usr\n/usr/bin\n/usr/bin/ldd\n/usr/share/x\n").unwrap();
        assert_eq!(hashes(&extracted), [path_hash("usr/bin/ldd")]);
        let named = |name: &str, arch: &str| {
            let (name, arch) = (name.to_owned(), arch.to_owned());
            Some(ListedFor::Package { kind: PackageType::Deb, name, arch })
        };
        assert_eq!(
            DpkgFileList.lists_files_of("var/lib/dpkg/info/libc6:amd64.list"),
            named("libc6", "amd64")
        );
        assert_eq!(DpkgFileList.lists_files_of("var/lib/dpkg/info/bash.list"), named("bash", ""));
    }

    #[test]
    fn digests() {
        let path = "var/lib/dpkg/status.d/openssl.md5sums";
        assert!(DpkgStatusDirectoryFileList.reads(path));
        let text = b"0123456789abcdef0123456789abcdef  usr/bin/openssl\nodd\n";
        let extracted = DpkgStatusDirectoryFileList.extract(path, text).unwrap();
        assert_eq!(hashes(&extracted), [path_hash("usr/bin/openssl")]);
        let expected = ListedFor::PackageIn("var/lib/dpkg/status.d/openssl".to_owned());
        assert_eq!(DpkgStatusDirectoryFileList.lists_files_of(path), Some(expected));
    }
}
