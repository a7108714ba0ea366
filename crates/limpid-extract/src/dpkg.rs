//! dpkg's database: `var/lib/dpkg/status`, and the directory `status.d` of distroless images.
//!
//! Sources of truth: deb-control(5), dpkg-query(1), and `dpkg-query -W` itself, which the tests ask. As there,
//! package names are lower-cased, a zero epoch is left out, the source's version is the package's where the
//! `Source` field names none, and of two stanzas of the same name and architecture the last one counts.
//!
//! **What counts as installed**: a package whose files are on disk, configured or not: the states `installed`,
//! `triggers-pending`, `triggers-awaited`, `half-configured` and `unpacked`. Not counted: `not-installed`,
//! `config-files` (removed but for its settings) and `half-installed` (an installation that broke off). Files
//! in `status.d` are control files without a state: there, no state means installed.
//!
//! **Whose it is**: the maintainer is kept of packages that nobody of Debian or Ubuntu maintains, and `Vendor` or
//! `Origin` where a builder wrote it: together they tell the packages of third parties from the distribution's own.
//!
//! Left out: the journal `updates/`, which exists only while dpkg runs or when it was killed.

use std::collections::BTreeMap;

use limpid_model::{Package, PackageFact, PackageType, Record};

use crate::deb822::Stanzas;
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor, Problems, excerpt};

const NAME_BYTES_MAX: usize = 1024;
/// A name and an address; longer ones are cut.
const FACT_CHARS_MAX: usize = 120;

/// Domains of the maintainers of Debian's and Ubuntu's own packages. Their subdomains have the mailing lists.
const OWN_DOMAINS: &[&str] = &["debian.org", "debian.net", "ubuntu.com", "canonical.com"];

/// The status file.
#[derive(Debug)]
pub(crate) struct DpkgStatus;

impl Extractor for DpkgStatus {
    fn name(&self) -> &'static str {
        "dpkg"
    }

    fn version(&self) -> u32 {
        2
    }

    /// A desktop with all its packages has some 10 MiB.
    fn limit(&self) -> u64 {
        64 << 20
    }

    fn reads(&self, path: &str) -> bool {
        path.ends_with("/dpkg/status") || path == "dpkg/status"
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::File("var/lib/dpkg/status"), Anchor::File("usr/lib/sysimage/dpkg/status")]
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        read(content, &Shape { installed_by_default: false, ..DEB })
    }
}

/// A file of `status.d`, one package each by custom.
#[derive(Debug)]
pub(crate) struct DpkgStatusDirectory;

impl Extractor for DpkgStatusDirectory {
    fn name(&self) -> &'static str {
        "dpkg-status-d"
    }

    fn version(&self) -> u32 {
        2
    }

    /// One control file; some builders put all packages into one.
    fn limit(&self) -> u64 {
        16 << 20
    }

    fn reads(&self, path: &str) -> bool {
        let Some((directory, name)) = path.rsplit_once('/') else { return false };
        (directory.ends_with("/dpkg/status.d") || directory == "dpkg/status.d") && !name.ends_with(".md5sums")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::Directory("var/lib/dpkg/status.d"), Anchor::Directory("usr/lib/sysimage/dpkg/status.d")]
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        read(content, &Shape { installed_by_default: true, ..DEB })
    }
}

/// What sets one kind of status file apart from another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) kind: PackageType,
    /// Whether a stanza without a state is installed.
    pub(crate) installed_by_default: bool,
    /// The field that names the source package.
    pub(crate) source: &'static str,
}

const DEB: Shape = Shape { kind: PackageType::Deb, installed_by_default: false, source: "Source" };

/// Reads a status file.
pub(crate) fn read(content: &[u8], shape: &Shape) -> Result<Extracted, ExtractError> {
    let mut packages: BTreeMap<(String, String), Option<Package>> = BTreeMap::new();
    let mut problems = Problems::default();
    let mut recognised = content.trim_ascii().is_empty();
    let wanted =
        ["Package", "Status", "Version", "Architecture", shape.source, "Maintainer", "Vendor", "Origin"];
    for stanza in Stanzas::new(content, wanted) {
        let line = stanza.line;
        if let Some(malformed) = &stanza.malformed {
            problems.push(|| format!("line `{}` near line {line} is not a field", excerpt(malformed)));
        }
        let [name, status, version, architecture, source, maintainer, vendor, origin] = stanza.values;
        recognised |= name.is_some();
        let installed = match &status {
            Some(status) => is_installed(status),
            None => Ok(shape.installed_by_default),
        };
        let installed = installed.unwrap_or_else(|()| {
            problems.push(|| format!("the stanza at line {line} has an unknown state"));
            false
        });
        let name = name.unwrap_or_default().to_ascii_lowercase();
        if !is_package_name(&name) {
            // A stanza of nothing but unknown fields is no package; one that is installed is a lost one.
            if installed {
                problems.push(|| format!("the stanza at line {line} has no valid package name"));
            }
            continue;
        }
        let architecture = architecture.unwrap_or_default();
        let package = if installed {
            let read = package(shape.kind, &name, version, architecture.clone(), source);
            let read = read.map_err(|reason| {
                problems.push(|| format!("package `{}` at line {line} {reason}", excerpt(&name)));
            });
            read.ok().map(|package| Package { facts: facts(maintainer, vendor.or(origin)), ..package })
        } else {
            None
        };
        if let Some(earlier) = packages.insert((name, architecture), package)
            && let Some(earlier) = earlier
        {
            problems
                .push(|| format!("package `{}` is listed again at line {line}, which counts", earlier.name));
        }
    }
    if !recognised {
        return Err(ExtractError::Unrecognised(match shape.kind {
            PackageType::Opkg => "an opkg database: no stanza in it names a package",
            _ => "a dpkg database: no stanza in it names a package",
        }));
    }
    let mut packages: Vec<Package> = packages.into_values().flatten().collect();
    packages.sort_unstable();
    Ok(Extracted { record: Record::Packages(packages), owners: Vec::new(), problems: problems.into_vec() })
}

/// Who made a package, where it was not the distribution itself.
fn facts(maintainer: Option<String>, vendor: Option<String>) -> Vec<(PackageFact, String)> {
    let short = |text: &str| -> String {
        text.chars().take(FACT_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
    };
    let vendor =
        vendor.filter(|vendor| !["debian", "ubuntu"].contains(&vendor.to_ascii_lowercase().as_str()));
    let maintainer = maintainer.filter(|maintainer| !is_own_maintainer(maintainer));
    let mut facts = Vec::new();
    facts.extend(vendor.map(|vendor| (PackageFact::Vendor, short(&vendor))));
    facts.extend(maintainer.map(|maintainer| (PackageFact::Maintainer, short(&maintainer))));
    facts.retain(|(_, text)| !text.is_empty());
    facts
}

/// Whether a maintainer's address is Debian's or Ubuntu's.
fn is_own_maintainer(maintainer: &str) -> bool {
    let address = maintainer.rsplit('<').next().unwrap_or_default();
    let domain = address.rsplit('@').next().unwrap_or_default().trim_end_matches(['>', ' ']);
    OWN_DOMAINS
        .iter()
        .any(|own| domain.strip_suffix(own).is_some_and(|before| before.is_empty() || before.ends_with('.')))
}

fn package(
    kind: PackageType,
    name: &str,
    version: Option<String>,
    arch: String,
    source: Option<String>,
) -> Result<Package, &'static str> {
    let version = version.unwrap_or_default();
    if version.is_empty() {
        return Err("is installed but has no version");
    }
    let version = normalised_version(version);
    if !is_printable_word(&version) || !(arch.is_empty() || is_printable_word(&arch)) {
        return Err("has a version or architecture that is not a word");
    }
    let (source_name, source_version) = source_of(source.as_deref().unwrap_or_default());
    let source_name = source_name.unwrap_or(name).to_owned();
    let source_version = source_version
        .map(|text| normalised_version(text.to_owned()))
        .filter(|text| is_printable_word(text))
        .unwrap_or_else(|| version.clone());
    if !is_printable_word(&source_name) {
        return Err("has a source name that is not a word");
    }
    let name = name.to_owned();
    Ok(Package { kind, name, version, arch, source_name, source_version, facts: Vec::new() })
}

/// `WANT FLAG STATE`: whether the files of a package in that state are there.
fn is_installed(status: &str) -> Result<bool, ()> {
    let state = status.split_ascii_whitespace().nth(2).ok_or(())?;
    let is = |name: &str| state.eq_ignore_ascii_case(name);
    if ["installed", "triggers-pending", "triggers-awaited", "half-configured", "unpacked"]
        .into_iter()
        .any(is)
    {
        Ok(true)
    } else if ["not-installed", "config-files", "half-installed"].into_iter().any(is) {
        Ok(false)
    } else {
        Err(())
    }
}

/// `NAME` or `NAME (VERSION)`.
fn source_of(field: &str) -> (Option<&str>, Option<&str>) {
    let name = field.split_ascii_whitespace().next();
    let version = field
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .map(|(version, _)| version.trim())
        .filter(|version| !version.is_empty());
    (name, version)
}

/// As dpkg writes it: a zero epoch only where the rest has a colon of its own, no leading zeros in the epoch.
fn normalised_version(version: String) -> String {
    let Some((epoch, rest)) = version.split_once(':') else { return version };
    if epoch.is_empty() || rest.is_empty() || !epoch.bytes().all(|byte| byte.is_ascii_digit()) {
        return version;
    }
    match epoch.trim_start_matches('0') {
        "" if rest.contains(':') => format!("0:{rest}"),
        "" => rest.to_owned(),
        epoch => format!("{epoch}:{rest}"),
    }
}

/// dpkg's own rule: letters, digits and `-+._`, a letter or digit first.
fn is_package_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte))
}

/// Not empty, of bearable length, without white space and control characters.
pub(crate) fn is_printable_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert!(DpkgStatus.reads("var/lib/dpkg/status"));
        assert!(DpkgStatus.reads("usr/lib/sysimage/dpkg/status"));
        assert!(!DpkgStatus.reads("var/lib/dpkg/status-old"));
        assert!(!DpkgStatus.reads("var/lib/xdpkg/status"));
        assert!(DpkgStatusDirectory.reads("var/lib/dpkg/status.d/libc6"));
        assert!(!DpkgStatusDirectory.reads("var/lib/dpkg/status.d/libc6.md5sums"));
        assert!(!DpkgStatusDirectory.reads("var/lib/dpkg/status.d/a/b"));
    }

    #[test]
    fn versions_are_written_as_dpkg_does() {
        for (version, expected) in
            [("0:1-2", "1-2"), ("01:1", "1:1"), ("0:1:2", "0:1:2"), ("a:1", "a:1"), ("0:", "0:"), ("1", "1")]
        {
            assert_eq!(normalised_version(version.to_owned()), expected);
        }
    }

    #[test]
    fn sources() {
        assert_eq!(source_of("glibc (2.36-9)"), (Some("glibc"), Some("2.36-9")));
        assert_eq!(source_of("glibc"), (Some("glibc"), None));
        assert_eq!(source_of("foo()"), (Some("foo()"), None));
        assert_eq!(source_of(""), (None, None));
    }

    #[test]
    fn a_stanza_costs_itself_only() {
        let text = "Package: a\nStatus: install ok installed\n\nPackage: b\nStatus: install ok installed\n\
                    Version: 1\n\nStatus: install ok installed\nVersion: 1\n\nPackage: c\nStatus: odd\n";
        let extracted = DpkgStatus.extract("", text.as_bytes()).unwrap();
        let Record::Packages(packages) = extracted.record else { panic!("packages") };
        assert_eq!(packages.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(
            extracted.problems,
            [
                "package `a` at line 1 is installed but has no version",
                "the stanza at line 8 has no valid package name",
                "the stanza at line 11 has an unknown state",
            ]
        );
    }

    #[test]
    fn only_foreign_makers_are_facts() {
        for own in [
            "Debian Go Team <x@lists.alioth.debian.org>",
            "Dr. A B <a@debian.org>",
            "Ubuntu Developers <d@lists.ubuntu.com>",
        ] {
            assert_eq!(facts(Some(own.to_owned()), None), [], "{own}");
        }
        let docker = "Docker <support@docker.com>".to_owned();
        assert_eq!(facts(Some(docker.clone()), None), [(PackageFact::Maintainer, docker)]);
        let house = Some("House <h@notdebian.org>".to_owned());
        assert_eq!(facts(house, Some("ACME".to_owned())).len(), 2);
        assert_eq!(facts(None, Some("Debian".to_owned())), []);
        assert_eq!(facts(None, None), []);
    }

    #[test]
    fn what_is_no_database_is_refused() {
        assert!(DpkgStatus.extract("", b"\x00\xff\x00").is_err());
        assert_eq!(DpkgStatus.extract("", b"\n").unwrap().record, Record::Packages(Vec::new()));
    }
}
