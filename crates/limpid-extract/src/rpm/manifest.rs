//! `container-manifest-2`: the list of packages of images that were built without a database (Azure Linux and Mariner,
//! distroless).
//!
//! Source of truth: the tools that build those images, which write one line a package with
//! `rpm -qa --qf "%{NAME}\t%{VERSION}-%{RELEASE}\t%{INSTALLTIME}\t%{BUILDTIME}\t%{VENDOR}\t%{EPOCH}\t%{SIZE}\t%{ARCH}\t%{EPOCHNUM}\t%{SOURCERPM}\n"`.

use limpid_model::{Package, PackageFact, PackageType, Record};

use super::package::source_of;
use crate::dpkg::is_printable_word;
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor, Problems, excerpt};

/// The list.
#[derive(Debug)]
pub(crate) struct RpmManifest;

impl Extractor for RpmManifest {
    fn name(&self) -> &'static str {
        "rpm-manifest"
    }

    fn version(&self) -> u32 {
        1
    }

    /// Some 150 bytes a package.
    fn limit(&self) -> u64 {
        16 << 20
    }

    fn reads(&self, path: &str) -> bool {
        path.ends_with("/rpmmanifest/container-manifest-2")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::File("var/lib/rpmmanifest/container-manifest-2")]
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        let text = String::from_utf8_lossy(content);
        let mut packages = Vec::new();
        let mut problems = Problems::default();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            match package(line) {
                Some(package) => packages.extend(package),
                None => problems.push(|| format!("line {} is no package: `{}`", number + 1, excerpt(line))),
            }
        }
        let problems = problems.into_vec();
        if packages.is_empty() && !problems.is_empty() {
            return Err(ExtractError::Unrecognised("a list of rpm packages: no line of it is one"));
        }
        packages.sort_unstable();
        packages.dedup();
        Ok(Extracted { record: Record::Packages(packages), owners: Vec::new(), problems })
    }
}

/// The package of a line; `Some(None)` of a key that rpm keeps as a package.
fn package(line: &str) -> Option<Option<Package>> {
    let mut fields = line.trim_end_matches('\r').split('\t');
    let mut next = || fields.next().map(|field| if field == "(none)" { "" } else { field });
    let (name, version) = (next()?, next()?);
    let (_installed, _built, vendor, epoch) = (next()?, next()?, next()?, next()?);
    let (_size, arch, epoch_number, source) = (next()?, next()?, next()?, next()?);
    // Some builders write `(none)` themselves where the epoch should be; its number, zero for none, is right.
    let epoch = if epoch.is_empty() && epoch_number != "0" { epoch_number } else { epoch };
    if !is_printable_word(name) || !is_printable_word(version) || !version.contains('-') {
        return None;
    }
    if !(arch.is_empty() || is_printable_word(arch)) || !epoch.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if name == "gpg-pubkey" {
        return Some(None);
    }
    let version = if epoch.is_empty() { version.to_owned() } else { format!("{epoch}:{version}") };
    let (source_name, source_version) = source_of(source).unwrap_or_default();
    let vendor = Some(vendor).filter(|vendor| !vendor.is_empty());
    Some(Some(Package {
        kind: PackageType::Rpm,
        name: name.to_owned(),
        version,
        arch: arch.to_owned(),
        source_name: source_name.to_owned(),
        source_version: source_version.to_owned(),
        facts: vendor.map(|vendor| (PackageFact::Vendor, vendor.to_owned())).into_iter().collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_package() {
        let text = "zlib\t1.2.13-2.cm2\t1700000000\t1690000000\tMicrosoft Corporation\t(none)\t190000\tx86_64\t0\tzlib-1.2.13-2.cm2.src.rpm\n\
                    ca\t2.0-1\t1\t2\t(none)\t1\t3\tnoarch\t1\tca-certificates-2.0-1.src.rpm\n\
                    odd\t1-1\t1\t2\t(none)\t(none)\t3\tnoarch\t4\todd-1-1.src.rpm\n\
                    gpg-pubkey\t3135ce90-5e6fda74\t1\t2\t(none)\t(none)\t0\t(none)\t0\t(none)\n\
                    odd line\n";
        let extracted = RpmManifest.extract("", text.as_bytes()).unwrap();
        let Record::Packages(packages) = extracted.record else { panic!("packages") };
        assert_eq!(packages.len(), 3);
        let ca = &packages[0];
        assert_eq!((ca.version.as_str(), ca.source_name.as_str()), ("1:2.0-1", "ca-certificates"));
        assert_eq!(packages[1].version, "4:1-1");
        assert_eq!(packages[2].facts, [(PackageFact::Vendor, "Microsoft Corporation".to_owned())]);
        assert_eq!(extracted.problems, ["line 5 is no package: `odd line`"]);
        assert!(RpmManifest.extract("", b"\x7fELF").is_err());
    }
}
