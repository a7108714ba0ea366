//! pacman's database, of Arch Linux and its kin: `var/lib/pacman/local/NAME-VERSION/desc`, and the package's files
//! in `files` beside it.
//!
//! Source of truth: libalpm's `be_local.c` and alpm-desc(5). A line `%NAME%` opens a section, its values follow one a
//! line, an empty line ends it. `%BASE%` is the package that it was built with (the source package); absent in old
//! databases. A version carries its epoch (`2:1.2.3-4`). All that has a directory is installed.
//!
//! Images that keep their databases below `/usr` have the same in `usr/lib/sysimage/lib/pacman`.

use limpid_model::{Package, PackageType, Record};

use crate::dpkg::is_printable_word;
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor, ListedFor, is_in_database};
use crate::ownership::OwnedPaths;

const DATABASES: &[&str] = &["pacman/local"];

/// A package's description.
#[derive(Debug)]
pub(crate) struct PacmanDescription;

impl Extractor for PacmanDescription {
    fn name(&self) -> &'static str {
        "pacman"
    }

    fn version(&self) -> u32 {
        1
    }

    /// Some lines; packages with hundreds of dependencies have 20 KiB.
    fn limit(&self) -> u64 {
        1 << 20
    }

    fn reads(&self, path: &str) -> bool {
        is_in_database(path, DATABASES, 1, "desc")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[
            Anchor::Below("var/lib/pacman/local", 1, "desc"),
            Anchor::Below("usr/lib/sysimage/lib/pacman/local", 1, "desc"),
            Anchor::Below("usr/lib/sysimage/pacman/local", 1, "desc"),
        ]
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        let text = String::from_utf8_lossy(content);
        let first = |section: &str| {
            values(&text, section).next().filter(|value| is_printable_word(value)).map(str::to_owned)
        };
        let (Some(name), Some(version)) = (first("%NAME%"), first("%VERSION%")) else {
            return Err(ExtractError::Unrecognised(
                "pacman's description of a package: it has no name or no version",
            ));
        };
        let package = Package {
            kind: PackageType::Alpm,
            source_name: first("%BASE%").unwrap_or_else(|| name.clone()),
            source_version: version.clone(),
            arch: first("%ARCH%").unwrap_or_default(),
            name,
            version,
            facts: Vec::new(),
        };
        Ok(Record::Packages(vec![package]).into())
    }
}

/// A package's files.
#[derive(Debug)]
pub(crate) struct PacmanFileList;

impl Extractor for PacmanFileList {
    fn name(&self) -> &'static str {
        "pacman-files"
    }

    fn version(&self) -> u32 {
        1
    }

    /// Packages of documentation or icons list some ten thousand files.
    fn limit(&self) -> u64 {
        16 << 20
    }

    fn reads(&self, path: &str) -> bool {
        is_in_database(path, DATABASES, 1, "files")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[
            Anchor::Below("var/lib/pacman/local", 1, "files"),
            Anchor::Below("usr/lib/sysimage/lib/pacman/local", 1, "files"),
            Anchor::Below("usr/lib/sysimage/pacman/local", 1, "files"),
        ]
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        let text = String::from_utf8_lossy(content);
        let mut paths = OwnedPaths::default();
        values(&text, "%FILES%").for_each(|path| paths.push(path));
        let owners = paths.owner("").into_iter().collect();
        Ok(Extracted { record: Record::Files, owners, problems: Vec::new() })
    }

    fn lists_files_only(&self) -> bool {
        true
    }

    fn lists_files_of(&self, path: &str) -> Option<ListedFor> {
        path.strip_suffix("files").map(|directory| ListedFor::PackageIn(format!("{directory}desc")))
    }
}

/// The values of a section.
fn values<'a>(text: &'a str, section: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines().map(str::trim_end).skip_while(move |line| *line != section).skip(1);
    lines.take_while(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ownership::path_hash;

    #[test]
    fn a_package_and_its_files() {
        let path = "var/lib/pacman/local/hello-2:1.2.3-4/desc";
        assert!(PacmanDescription.reads(path));
        assert!(PacmanDescription.reads("usr/lib/sysimage/lib/pacman/local/a-1-1/desc"));
        assert!(!PacmanDescription.reads("var/lib/pacman/sync/a-1-1/desc"));
        assert!(!PacmanDescription.reads("var/lib/pacman/local/desc"));
        // As pacman 6.0.2 wrote it.
        let text = "%NAME%\nhello\n\n%VERSION%\n2:1.2.3-4\n\n%BASE%\nhello-base\n\n%DESC%\nsays hello\n\n\
                    %ARCH%\nany\n\n%BUILDDATE%\n1700000000\n\n%SIZE%\n6\n\n%VALIDATION%\nnone\n\n";
        let expected = Package {
            kind: PackageType::Alpm,
            name: "hello".into(),
            version: "2:1.2.3-4".into(),
            arch: "any".into(),
            source_name: "hello-base".into(),
            source_version: "2:1.2.3-4".into(),
            facts: Vec::new(),
        };
        let extracted = PacmanDescription.extract(path, text.as_bytes()).unwrap();
        assert_eq!(extracted.record, Record::Packages(vec![expected]));
        let files = "%FILES%\nusr/\nusr/bin/\nusr/bin/hello\nusr/share/doc/h\n\n%BACKUP%\nusr/bin/no\t0\n";
        let extracted = PacmanFileList.extract("", files.as_bytes()).unwrap();
        assert_eq!(extracted.owners[0].paths, [path_hash("usr/bin/hello")]);
        let listed = PacmanFileList.lists_files_of("var/lib/pacman/local/hello-2:1.2.3-4/files");
        assert_eq!(listed, Some(ListedFor::PackageIn(path.to_owned())));
    }

    #[test]
    fn what_names_no_package_is_refused() {
        assert!(PacmanDescription.extract("", b"%NAME%\n\n%VERSION%\n1\n").is_err());
        assert!(PacmanDescription.extract("", b"").is_err());
    }
}
