//! The kernel, where an image carries one: `lib/modules/VERSION/modules.builtin`, `boot/vmlinuz-VERSION`.
//!
//! Sources of truth: the kernel's `Documentation/kbuild/kbuild.rst` (`make modules_install` writes both files named
//! `modules.*`), and `Documentation/arch/x86/boot.rst`: an image begins with a header that points to the text of its
//! version. An image for another architecture, or one that does not say, goes by its name. The record is one package
//! `linux` of no package manager; composition drops it where a package owns the file.

use limpid_model::{Package, PackageType, Record};

use crate::dpkg::is_printable_word;
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor, is_in_database};

/// A list of what is built into the kernel: only that it is there matters.
#[derive(Debug)]
pub(crate) struct KernelModules;

impl Extractor for KernelModules {
    fn name(&self) -> &'static str {
        "kernel-modules"
    }

    fn version(&self) -> u32 {
        1
    }

    /// Some 30 KiB.
    fn limit(&self) -> u64 {
        4 << 20
    }

    fn reads(&self, path: &str) -> bool {
        is_in_database(path, &["lib/modules"], 1, "modules.builtin")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[
            Anchor::Below("usr/lib/modules", 1, "modules.builtin"),
            Anchor::Below("lib/modules", 1, "modules.builtin"),
        ]
    }

    fn extract(&self, _path: &str, _content: &[u8]) -> Result<Extracted, ExtractError> {
        Ok(Record::Packages(vec![linux(String::new())]).into())
    }

    fn complete(&self, path: &str, package: &mut Package) {
        set_version(package, path.rsplit('/').nth(1).unwrap_or_default());
    }
}

/// A kernel image.
#[derive(Debug)]
pub(crate) struct KernelImage;

impl Extractor for KernelImage {
    fn name(&self) -> &'static str {
        "kernel-image"
    }

    fn version(&self) -> u32 {
        1
    }

    /// Distributions' have some 15 MiB.
    fn limit(&self) -> u64 {
        64 << 20
    }

    /// `vmlinuz-6.1.0-13-amd64`; a name without a version (`vmlinuz-lts`) is a package's.
    fn reads(&self, path: &str) -> bool {
        let version = path.strip_prefix("boot/vmlinuz-");
        version.is_some_and(|version| {
            version.starts_with(|c: char| c.is_ascii_digit()) && !version.contains('/')
        })
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::Directory("boot")]
    }

    fn sample_name(&self) -> &'static str {
        "vmlinuz-1"
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        Ok(Record::Packages(vec![linux(version_in_header(content).unwrap_or_default())]).into())
    }

    fn complete(&self, path: &str, package: &mut Package) {
        if package.version.is_empty() {
            set_version(package, path.rsplit("vmlinuz-").next().unwrap_or_default());
        }
    }
}

fn linux(version: String) -> Package {
    Package {
        kind: PackageType::Generic,
        name: "linux".to_owned(),
        source_name: "linux".to_owned(),
        source_version: version.clone(),
        version,
        arch: String::new(),
        facts: Vec::new(),
    }
}

fn set_version(package: &mut Package, version: &str) {
    if is_printable_word(version) {
        version.clone_into(&mut package.version);
        version.clone_into(&mut package.source_version);
    }
}

/// The first word of the version text that the header of an image for x86 points to.
fn version_in_header(image: &[u8]) -> Option<String> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let pointer = image.get(0x20e..0x210)?;
    let at = usize::from(u16::from_le_bytes([pointer[0], pointer[1]])) + 0x200;
    let text = image.get(at..)?;
    let text = &text[..text.len().min(200)];
    let word = text.split(|byte| *byte == b' ' || *byte == 0).next()?;
    let word = String::from_utf8(word.to_vec()).ok()?;
    (is_printable_word(&word) && word.starts_with(|c: char| c.is_ascii_digit())).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(extractor: &dyn Extractor, path: &str, content: &[u8]) -> String {
        assert!(extractor.reads(path), "{path}");
        let Record::Packages(mut packages) = extractor.extract(path, content).unwrap().record else {
            panic!("packages")
        };
        extractor.complete(path, &mut packages[0]);
        packages[0].version.clone()
    }

    #[test]
    fn modules_go_by_their_directory() {
        assert_eq!(
            version(&KernelModules, "lib/modules/5.15.0-91-generic/modules.builtin", b""),
            "5.15.0-91-generic"
        );
        assert!(!KernelModules.reads("lib/modules/modules.builtin"));
        assert!(!KernelModules.reads("srv/xlib/modules/5/modules.builtin"));
    }

    #[test]
    fn images_go_by_their_header_and_else_by_their_name() {
        let mut image = vec![0; 0x1000];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x300_u16.to_le_bytes());
        image[0x500..0x520].copy_from_slice(b"6.1.0-13-amd64 (d@example) #1 SM");
        let path = "boot/vmlinuz-6.1";
        assert_eq!(version(&KernelImage, path, &image), "6.1.0-13-amd64");
        assert_eq!(version(&KernelImage, path, b"MZ"), "6.1");
        image[0x20e..0x210].copy_from_slice(&0xffff_u16.to_le_bytes());
        assert_eq!(version(&KernelImage, path, &image), "6.1");
        assert!(!KernelImage.reads("boot/vmlinuz-lts"));
    }
}
