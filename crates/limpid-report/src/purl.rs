//! Package URLs (ECMA-427, purl-spec): how tools name the same package.
//!
//! The vendor of a distribution's package is the id of its os-release, with the names that other tools use for Red Hat and
//! SUSE. `distro` is `ID-VERSION_ID`, `upstream` the source package where it has another name or version (of rpm the
//! name of the source's file); both are as Syft writes them. An epoch is part of a deb's version and a
//! qualifier of an rpm's, as each type's definition says.

use limpid_model::{Distribution, InstalledPackage, Package, PackageFact, PackageType};

use crate::image_name::ImageName;

/// The purl of a package. `distribution` is that of the image.
pub fn purl(installed: &InstalledPackage, distribution: Option<&Distribution>) -> String {
    let package = &installed.package;
    // Of a package that no release of the distribution has, the distribution is not the vendor.
    let distribution = distribution.filter(|_| !installed.context.release.is_empty());
    let vendor = distribution.map(|distribution| vendor(&distribution.id)).unwrap_or_default();
    let lower = |text: &str| text.to_lowercase();
    let mut qualifiers: Vec<(&str, String)> = Vec::new();
    let (namespace, name, version) = match package.kind {
        PackageType::Deb | PackageType::Apk | PackageType::Opkg => {
            (vendor, lower(&package.name), package.version.clone())
        }
        PackageType::Rpm => {
            let (epoch, rest) = epoch(&package.version);
            qualifiers.push(("epoch", epoch.to_owned()));
            (vendor, package.name.clone(), rest.to_owned())
        }
        PackageType::Alpm => ("arch".to_owned(), lower(&package.name), package.version.clone()),
        PackageType::Ebuild => match package.name.split_once('/') {
            Some((category, name)) if !name.contains('/') => {
                (category.to_owned(), name.to_owned(), package.version.clone())
            }
            _ => (String::new(), package.name.clone(), package.version.clone()),
        },
        _ => (String::new(), package.name.clone(), package.version.clone()),
    };
    qualifiers.push(("arch", package.arch.clone()));
    if package.kind != PackageType::Generic {
        qualifiers.push(("distro", distribution.map(distro).unwrap_or_default()));
        qualifiers.push(("upstream", upstream(package)));
    }
    let module = package.facts.iter().find(|(fact, _)| *fact == PackageFact::Module);
    qualifiers.push(("rpmmod", module.map(|(_, module)| module.clone()).unwrap_or_default()));
    write(package.kind.name(), &namespace, &name, &version, qualifiers)
}

/// The purl of an image, by the digest of its manifest.
pub(crate) fn image(name: &ImageName, digest: &str, architecture: &str) -> String {
    let qualifiers = vec![
        ("arch", architecture.to_owned()),
        ("repository_url", name.repository.clone()),
        ("tag", name.tag.clone()),
    ];
    write("oci", "", &name.short.to_lowercase(), digest, qualifiers)
}

/// A version's epoch (empty for none), and the rest.
pub(crate) fn epoch(version: &str) -> (&str, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) if !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit()) => {
            (epoch, rest)
        }
        _ => ("", version),
    }
}

fn vendor(id: &str) -> String {
    match id {
        "rhel" => "redhat",
        id if id.starts_with("opensuse") => "opensuse",
        "sles" | "sled" | "sles_sap" | "sle-micro" | "sl-micro" => "suse",
        id => id,
    }
    .to_lowercase()
}

fn distro(distribution: &Distribution) -> String {
    let version = match distribution.version_id.is_empty() {
        true => &distribution.code_name,
        false => &distribution.version_id,
    };
    match version.is_empty() {
        true => distribution.id.clone(),
        false => format!("{}-{version}", distribution.id),
    }
}

fn upstream(package: &Package) -> String {
    let same = package.source_name == package.name && package.source_version == package.version;
    match package.kind {
        _ if package.source_name.is_empty() => String::new(),
        PackageType::Rpm if !package.source_version.is_empty() => {
            format!("{}-{}.src.rpm", package.source_name, epoch(&package.source_version).1)
        }
        _ if same => String::new(),
        _ if package.source_version == package.version || package.source_version.is_empty() => {
            package.source_name.clone()
        }
        _ => format!("{}@{}", package.source_name, package.source_version),
    }
}

fn write(
    kind: &str,
    namespace: &str,
    name: &str,
    version: &str,
    mut qualifiers: Vec<(&str, String)>,
) -> String {
    // A purl has a name, also of what has none.
    let name = if name.trim().trim_matches('/').is_empty() { "unnamed" } else { name };
    let mut purl = format!("pkg:{kind}/");
    for part in namespace.split('/').filter(|part| !part.is_empty()) {
        encode(part, &mut purl);
        purl.push('/');
    }
    encode(name, &mut purl);
    if !version.is_empty() {
        purl.push('@');
        encode(version, &mut purl);
    }
    qualifiers.retain(|(_, value)| !value.is_empty());
    qualifiers.sort();
    for (index, (key, value)) in qualifiers.iter().enumerate() {
        purl.push(if index == 0 { '?' } else { '&' });
        purl.push_str(key);
        purl.push('=');
        // The one place where a slash separates nothing.
        let parts = value.split('/').enumerate();
        parts.for_each(|(index, part)| {
            purl.push_str(if index == 0 { "" } else { "/" });
            encode(part, &mut purl);
        });
    }
    purl
}

/// Percent-encodes everything but what the specification lets stand: letters, digits, `.-_~` and the colon.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
                into.push(char::from(byte))
            }
            byte => into.push_str(&format!("%{byte:02X}")),
        }
    }
}
