//! os-release(5): the file that names a distribution, `etc/os-release` or `usr/lib/os-release`.
//!
//! Values are kept as the file has them, except that `ID`, `ID_LIKE`, `VARIANT_ID` and the code name are
//! lower-cased. Nothing is inferred here; see [`crate::distribution`].

use limpid_model::{Distribution, Record};

use crate::assignments;
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor};

/// The os-release file.
#[derive(Debug)]
pub(crate) struct OsRelease;

impl Extractor for OsRelease {
    fn name(&self) -> &'static str {
        "os-release"
    }

    fn version(&self) -> u32 {
        1
    }

    /// Real ones stay under 2 KiB.
    fn limit(&self) -> u64 {
        64 << 10
    }

    /// Also where Fedora and openSUSE keep the variants that the file proper links to.
    fn reads(&self, path: &str) -> bool {
        matches!(path, "etc/os-release" | "usr/lib/os-release") || path.starts_with("usr/lib/os.release.d/")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::File("etc/os-release"), Anchor::File("usr/lib/os-release")]
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        let assignments = assignments::read(content);
        if assignments.is_empty() && !content.trim_ascii().is_empty() {
            return Err(ExtractError::Unrecognised("an os-release file: it assigns nothing"));
        }
        let mut distribution = Distribution::default();
        let mut ubuntu_code_name = String::new();
        for (name, value) in assignments {
            match name.as_str() {
                "ID" => distribution.id = value.to_lowercase(),
                "ID_LIKE" => distribution.id_like = value.to_lowercase(),
                "VERSION_ID" => distribution.version_id = value,
                "VERSION_CODENAME" => distribution.code_name = value.to_lowercase(),
                "UBUNTU_CODENAME" => ubuntu_code_name = value.to_lowercase(),
                "PRETTY_NAME" => distribution.pretty_name = value,
                "CPE_NAME" => distribution.cpe_name = value,
                "VARIANT_ID" => distribution.variant_id = value.to_lowercase(),
                _ => {}
            }
        }
        // Derivatives name the Ubuntu that they stand on, which is not their own code name.
        if distribution.id == "ubuntu" && distribution.code_name.is_empty() {
            distribution.code_name = ubuntu_code_name;
        }
        Ok(Record::Distribution(distribution).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let text = "NAME=\"Debian GNU/Linux\"\nID=Debian\nVERSION_ID='12'\nVERSION_CODENAME=bookworm\n\
                    PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nUBUNTU_CODENAME=jammy\n";
        let expected = Distribution {
            id: "debian".into(),
            version_id: "12".into(),
            code_name: "bookworm".into(),
            pretty_name: "Debian GNU/Linux 12 (bookworm)".into(),
            ..Distribution::default()
        };
        let extracted = OsRelease.extract("", text.as_bytes()).unwrap();
        assert_eq!(extracted.record, Record::Distribution(expected));
    }

    #[test]
    fn empty_and_nonsense() {
        let empty = Record::Distribution(Distribution::default());
        assert_eq!(OsRelease.extract("", b"\n").unwrap().record, empty);
        assert!(OsRelease.extract("", b"<html>").is_err());
    }
}
