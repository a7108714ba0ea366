//! Alpine's package database: `lib/apk/db/installed`, since Alpine 3.22 also `usr/lib/apk/db/installed`.
//!
//! Source of truth: apk-tools' `apk_pkg_write_index_entry` and the database format page of its manual. Records
//! of `X:value` lines, separated by empty lines; `P` name, `V` version, `A` architecture, `o` origin (the
//! source package; absent in databases of apk-tools 1, whose packages are their own origin). All that is
//! listed is installed. `F` opens a directory and `R` names a file in it: what could be claimed of them is kept as
//! the package's. What is said of modes and digests (`a`, `M`, `Z`) is passed over.

use limpid_model::{FileOwner, Package, PackageType, Record};

use crate::dpkg::is_printable_word;
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor, Problems, excerpt};
use crate::ownership::OwnedPaths;

/// The `installed` file.
#[derive(Debug)]
pub(crate) struct ApkInstalled;

impl Extractor for ApkInstalled {
    fn name(&self) -> &'static str {
        "apk"
    }

    fn version(&self) -> u32 {
        2
    }

    /// It lists every file of every package: some MiB for an image with compilers.
    fn limit(&self) -> u64 {
        64 << 20
    }

    fn reads(&self, path: &str) -> bool {
        path.ends_with("/apk/db/installed")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::File("lib/apk/db/installed"), Anchor::File("usr/lib/apk/db/installed")]
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        let (mut packages, mut owners) = (Vec::new(), Vec::new());
        let mut problems = Problems::default();
        let mut recognised = content.trim_ascii().is_empty();
        let mut entry = Entry::default();
        for (number, line) in content.split(|&byte| byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                recognised |= entry.fields[0].is_some();
                std::mem::take(&mut entry).finish(&mut packages, &mut owners, &mut problems);
                continue;
            }
            if entry.line == 0 {
                entry.line = number + 1;
            }
            entry.read(line);
        }
        recognised |= entry.fields[0].is_some();
        entry.finish(&mut packages, &mut owners, &mut problems);
        if !recognised {
            return Err(ExtractError::Unrecognised("an apk database: no record in it names a package"));
        }
        packages.sort_unstable();
        packages.dedup();
        owners.sort_unstable();
        Ok(Extracted { record: Record::Packages(packages), owners, problems: problems.into_vec() })
    }
}

/// The fields of a record that are kept, in the order `P V A o`; the first of each counts.
#[derive(Debug, Default)]
struct Entry<'a> {
    line: usize,
    fields: [Option<&'a [u8]>; 4],
    directory: &'a str,
    paths: OwnedPaths,
}

impl<'a> Entry<'a> {
    fn read(&mut self, line: &'a [u8]) {
        let [letter, b':', value @ ..] = line else { return };
        match letter {
            // A path that is not UTF-8 is nobody's to claim.
            b'F' => self.directory = std::str::from_utf8(value).unwrap_or_default(),
            b'R' => {
                if let Ok(name) = std::str::from_utf8(value) {
                    self.paths.push(&format!("{}/{name}", self.directory));
                }
            }
            _ => {}
        }
        if let Some(index) = b"PVAo".iter().position(|wanted| wanted == letter) {
            self.fields[index].get_or_insert(value);
        }
    }

    fn finish(self, packages: &mut Vec<Package>, owners: &mut Vec<FileOwner>, problems: &mut Problems) {
        if self.line == 0 {
            return;
        }
        let line = self.line;
        let [name, version, arch, origin] = self
            .fields
            .map(|field| field.map(|field| String::from_utf8_lossy(field.trim_ascii()).into_owned()));
        let Some(name) = name.filter(|name| is_printable_word(name)) else {
            problems.push(|| format!("the record at line {line} has no valid package name"));
            return;
        };
        let Some(version) = version.filter(|version| is_printable_word(version)) else {
            problems.push(|| format!("package `{}` at line {line} has no valid version", excerpt(&name)));
            return;
        };
        owners.extend(self.paths.owner(&name));
        let source_name = origin.filter(|origin| is_printable_word(origin)).unwrap_or_else(|| name.clone());
        packages.push(Package {
            kind: PackageType::Apk,
            source_version: version.clone(),
            arch: arch.filter(|arch| is_printable_word(arch)).unwrap_or_default(),
            name,
            version,
            source_name,
            facts: Vec::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let text = "C:Q1=\nP:musl\nV:1.1.18-r2\nA:x86_64\no:musl\nF:lib\nR:a\na:0:0:755\nZ:Q1x=\n\nP:old\nV:1\n\n\
                    P:libssl1.0\nV:1.0.2m-r0\nA:x86_64\no:openssl\n\nV:2\n\nP:noversion\nA:x\n";
        let extracted = ApkInstalled.extract("", text.as_bytes()).unwrap();
        let Record::Packages(packages) = extracted.record else { panic!("packages") };
        let shown: Vec<_> = packages
            .iter()
            .map(|p| format!("{} {} {} {}", p.name, p.version, p.arch, p.source_name))
            .collect();
        assert_eq!(extracted.owners, []);
        assert_eq!(shown, ["libssl1.0 1.0.2m-r0 x86_64 openssl", "musl 1.1.18-r2 x86_64 musl", "old 1  old"]);
        assert_eq!(
            extracted.problems,
            [
                "the record at line 19 has no valid package name",
                "package `noversion` at line 21 has no valid version"
            ]
        );
    }

    #[test]
    fn files_belong_to_the_package_they_stand_in() {
        let text = "P:busybox\nV:1\nF:bin\nR:busybox\na:0:0:755\nR:sh\nF:etc\nR:x\n\nP:a\nV:1\nF:\nR:x\n\n";
        let extracted = ApkInstalled.extract("", text.as_bytes()).unwrap();
        let mut paths = ["bin/busybox", "bin/sh"].map(crate::ownership::path_hash).to_vec();
        paths.sort_unstable();
        assert_eq!(extracted.owners, [FileOwner { package: "busybox".into(), paths }]);
    }

    #[test]
    fn what_is_no_database_is_refused() {
        assert!(ApkInstalled.extract("", b"hello\n").is_err());
        assert_eq!(ApkInstalled.extract("", b"").unwrap().record, Record::Packages(Vec::new()));
    }
}
