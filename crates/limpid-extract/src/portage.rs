//! portage's database, of Gentoo and its kin: a directory `var/db/pkg/CATEGORY/NAME-VERSION` a package, in it a file
//! a fact.
//!
//! Sources of truth: portage's `lib/portage/dbapi/vartree.py` and the Package Manager Specification, chapter "Names
//! and Versions". `PF` holds name, version and revision in one word; the version begins at the last hyphen behind
//! which a digit follows and all is a version. The category is the directory's, as it is for portage: composition
//! adds it to the name (`dev-libs/openssl`). `CONTENTS` has a line an object: `obj PATH MD5 TIME`,
//! `sym PATH -> TARGET TIME`, `dir PATH`.
//!
//! A directory `-MERGING-…` is an installation that broke off; it is not counted. Left out: slots and repositories,
//! which no installed pair of name and version needs to be told apart.

use limpid_model::{Package, PackageType, Record};

use crate::dpkg::is_printable_word;
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor, ListedFor, excerpt, is_in_database};
use crate::ownership::OwnedPaths;

const DATABASES: &[&str] = &["db/pkg"];

/// A package's name and version.
#[derive(Debug)]
pub(crate) struct PortagePackage;

impl Extractor for PortagePackage {
    fn name(&self) -> &'static str {
        "portage"
    }

    fn version(&self) -> u32 {
        1
    }

    /// A word.
    fn limit(&self) -> u64 {
        4 << 10
    }

    fn reads(&self, path: &str) -> bool {
        is_in_database(path, DATABASES, 2, "PF") && !path.contains("/-MERGING-")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::Below("var/db/pkg", 2, "PF")]
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        let word = String::from_utf8_lossy(content.trim_ascii()).into_owned();
        let split = name_and_version(&word).filter(|_| is_printable_word(&word));
        let Some((name, version)) = split else {
            return Err(ExtractError::Unrecognised("a name and version of portage's"));
        };
        let package = Package {
            kind: PackageType::Ebuild,
            name: name.to_owned(),
            version: version.to_owned(),
            arch: String::new(),
            source_name: name.to_owned(),
            source_version: version.to_owned(),
            facts: Vec::new(),
        };
        Ok(Record::Packages(vec![package]).into())
    }

    fn complete(&self, path: &str, package: &mut Package) {
        let category = path.rsplit('/').nth(2).unwrap_or_default();
        if is_printable_word(category) {
            package.name = format!("{category}/{}", package.name);
            package.source_name.clone_from(&package.name);
        }
    }
}

/// A package's files.
#[derive(Debug)]
pub(crate) struct PortageContents;

impl Extractor for PortageContents {
    fn name(&self) -> &'static str {
        "portage-files"
    }

    fn version(&self) -> u32 {
        1
    }

    /// Kernel sources list 80,000 files with their digests.
    fn limit(&self) -> u64 {
        32 << 20
    }

    fn reads(&self, path: &str) -> bool {
        is_in_database(path, DATABASES, 2, "CONTENTS")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::Below("var/db/pkg", 2, "CONTENTS")]
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        let mut paths = OwnedPaths::default();
        let mut problems = Vec::new();
        for line in String::from_utf8_lossy(content).lines() {
            match line.split_once(' ') {
                // Paths may have spaces; what follows them may not.
                Some(("obj", rest)) => {
                    let mut parts = rest.rsplitn(3, ' ').skip(2);
                    parts.next().into_iter().for_each(|path| paths.push(path));
                }
                Some(("sym", rest)) => {
                    let path = rest.split(" -> ").next();
                    path.into_iter().for_each(|path| paths.push(path));
                }
                Some(("dir" | "dev" | "fif", _)) | None => {}
                Some((kind, _)) if problems.is_empty() => {
                    problems.push(format!("it lists something of the unknown kind `{}`", excerpt(kind)));
                }
                Some(_) => {}
            }
        }
        let owners = paths.owner("").into_iter().collect();
        Ok(Extracted { record: Record::Files, owners, problems })
    }

    fn lists_files_only(&self) -> bool {
        true
    }

    fn lists_files_of(&self, path: &str) -> Option<ListedFor> {
        path.strip_suffix("CONTENTS").map(|directory| ListedFor::PackageIn(format!("{directory}PF")))
    }
}

/// Splits `NAME-VERSION[-rREVISION]`.
fn name_and_version(word: &str) -> Option<(&str, &str)> {
    let (front, revision) = match word.rsplit_once('-') {
        Some((front, last)) if is_revision(last) => (front, last.len() + 1),
        _ => (word, 0),
    };
    let (name, version) = front.rsplit_once('-')?;
    let begins = version.starts_with(|c: char| c.is_ascii_digit());
    let end = version.len() + revision;
    (begins && !name.is_empty()).then(|| (name, &word[word.len() - end..]))
}

fn is_revision(part: &str) -> bool {
    part.strip_prefix('r').is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ownership::path_hash;

    #[test]
    fn names_and_versions() {
        for (word, name, version) in [
            ("openssl-3.0.13-r2", "openssl", "3.0.13-r2"),
            ("gtk+-2.24.33-r3", "gtk+", "2.24.33-r3"),
            ("font-adobe-100dpi-1.0.4", "font-adobe-100dpi", "1.0.4"),
            ("glibc-2.38_p20240101", "glibc", "2.38_p20240101"),
            ("cdrtools-3.02_alpha09-r4", "cdrtools", "3.02_alpha09-r4"),
        ] {
            assert_eq!(name_and_version(word), Some((name, version)), "{word}");
        }
        for word in ["openssl", "openssl-r1", "-1", "", "a-b"] {
            assert_eq!(name_and_version(word), None, "{word}");
        }
    }

    #[test]
    fn the_directory_says_the_category() {
        let path = "var/db/pkg/dev-libs/openssl-3.0.13-r2/PF";
        assert!(PortagePackage.reads(path));
        assert!(!PortagePackage.reads("var/db/pkg/dev-libs/-MERGING-openssl-3.0.13/PF"));
        assert!(!PortagePackage.reads("var/db/pkg/openssl-3.0.13/PF"));
        let extracted = PortagePackage.extract(path, b"openssl-3.0.13-r2\n").unwrap();
        let Record::Packages(mut packages) = extracted.record else { panic!("packages") };
        PortagePackage.complete(path, &mut packages[0]);
        assert_eq!(packages[0].name, "dev-libs/openssl");
        assert_eq!(packages[0].source_name, "dev-libs/openssl");
        assert!(PortagePackage.extract(path, b"\xff\x00").is_err());
    }

    #[test]
    fn contents() {
        let text = "dir /usr/bin\nobj /usr/bin/a b 0123 1700000000\nsym /usr/bin/c -> a b 1700000000\n\
                    obj /usr/share/d 0123 1700000000\nobj short\nodd x\n";
        let extracted = PortageContents.extract("", text.as_bytes()).unwrap();
        let mut expected = vec![path_hash("usr/bin/a b"), path_hash("usr/bin/c")];
        expected.sort_unstable();
        assert_eq!(extracted.owners[0].paths, expected);
        assert_eq!(extracted.problems, ["it lists something of the unknown kind `odd`"]);
    }
}
