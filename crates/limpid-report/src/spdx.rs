//! SPDX 2.3 (ISO/IEC 5962), as JSON: the image, its distribution and its packages.
//!
//! Licences are not known and said to be so. Where an image's packages were read from stands in `sourceInfo`, with the
//! source package in the words that Trivy and Syft look for.

use limpid_model::{InstalledPackage, Report};
use serde_json::{Value, json};

use crate::bom::Bom;
use crate::format::{Format, Subject, Write};
use crate::identity::digest;
use crate::json::document;

pub(crate) const FORMAT: Format = Format {
    name: "spdx",
    about: "SPDX 2.3: packages",
    endings: &["spdx.json"],
    subject: Subject::Either,
    write: Write::One(|report, _| bill(report)),
};

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
const DISTRIBUTION: &str = "SPDXRef-Distribution";

fn bill(report: &Report) -> String {
    let bom = Bom::of(report);
    let image = &report.image;
    let mut root = package(IMAGE, &report.reference, &image.manifest_digest.to_string(), "CONTAINER");
    root["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": image.manifest_digest.hex() }]);
    root["externalRefs"] = purl(&bom.image);
    let mut packages = vec![root];
    let mut relationships = vec![relationship(DOCUMENT, "DESCRIBES", IMAGE)];
    let mut above = IMAGE;
    if let Some(distribution) = &report.coverage.distribution {
        let version = match distribution.version_id.is_empty() {
            true => &distribution.code_name,
            false => &distribution.version_id,
        };
        packages.push(package(DISTRIBUTION, &distribution.id, version, "OPERATING-SYSTEM"));
        relationships.push(relationship(IMAGE, "CONTAINS", DISTRIBUTION));
        above = DISTRIBUTION;
    }
    for (index, installed) in report.packages.iter().enumerate() {
        let id = id(installed, &bom.references[index]);
        let facts = &installed.package;
        let mut value = package(&id, &facts.name, &facts.version, "LIBRARY");
        value["sourceInfo"] = source_info(report, installed).into();
        value["externalRefs"] = purl(&bom.purls[index]);
        packages.push(value);
        relationships.push(relationship(above, "CONTAINS", &id));
    }
    let content = json!({ "packages": packages, "relationships": relationships });
    let namespace = crate::identity::uuid(&["spdx-2.3", &report.moment, &content.to_string()]);
    let mut bill = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": if report.reference.is_empty() { "image" } else { &report.reference },
        "documentNamespace": format!("{}/spdx/{namespace}", crate::tool::URL),
        "creationInfo": {
            "created": created(&report.moment),
            "creators": [format!("Tool: {}-{}", crate::tool::NAME, crate::tool::VERSION)],
        },
    });
    if let (Value::Object(bill), Value::Object(content)) = (&mut bill, content) {
        bill.extend(content);
    }
    document(&bill)
}

/// SPDX dates have no fractions of a second.
pub(crate) fn created(moment: &str) -> String {
    match moment.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => moment.to_owned(),
    }
}

fn package(id: &str, name: &str, version: &str, purpose: &str) -> Value {
    json!({
        "SPDXID": id,
        "name": if name.is_empty() { "unnamed" } else { name },
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "supplier": "NOASSERTION",
        "primaryPackagePurpose": purpose,
    })
}

fn purl(purl: &str) -> Value {
    json!([{
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": purl,
    }])
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

/// An id of the characters that SPDX allows, which people can read too.
pub(crate) fn id(installed: &InstalledPackage, reference: &str) -> String {
    /// Enough to know the package by.
    const NAME_CHARS_MAX: usize = 60;
    let name: String = installed
        .package
        .name
        .chars()
        .take(NAME_CHARS_MAX)
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    format!("SPDXRef-Package-{}-{name}-{}", installed.package.kind, digest(&[reference]).short())
}

fn source_info(report: &Report, installed: &InstalledPackage) -> String {
    let package = &installed.package;
    let layer = report.layer_digest(installed.layer).map(|digest| digest.to_string()).unwrap_or_default();
    format!(
        "built package from: {} {}; listed by {} of layer {layer}",
        package.source_name, package.source_version, installed.path
    )
}
