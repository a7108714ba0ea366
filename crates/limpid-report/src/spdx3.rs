//! SPDX 3.0.1, as JSON-LD: the image, its distribution and its packages, in the profiles `core` and `software`.

use limpid_model::Report;
use serde_json::{Value, json};

use crate::bom::Bom;
use crate::format::{Format, Subject, Write};
use crate::json::document;
use crate::spdx::{created, id};

pub(crate) const FORMAT: Format = Format {
    name: "spdx-3",
    about: "SPDX 3.0: packages",
    endings: &["spdx3.json"],
    subject: Subject::Either,
    write: Write::One(|report, _| bill(report)),
};

/// The one blank node, which all elements share.
const CREATION: &str = "_:creation";

fn bill(report: &Report) -> String {
    let bom = Bom::of(report);
    let image = &report.image;
    // Elements are known by address, so the address is that of this content.
    let content = bom.references.concat();
    let space = crate::identity::uuid(&["spdx-3.0", &report.moment, &bom.image, &report.reference, &content]);
    let address = |name: &str| format!("{}/spdx/{space}/{name}", crate::tool::URL);
    let mut root =
        package(&address("image"), &report.reference, &image.manifest_digest.to_string(), "container");
    root["software_packageUrl"] = bom.image.as_str().into();
    root["verifiedUsing"] =
        json!([{ "type": "Hash", "algorithm": "sha256", "hashValue": image.manifest_digest.hex() }]);
    let mut elements = vec![root];
    let mut contained = Vec::new();
    if let Some(distribution) = &report.coverage.distribution {
        let version = match distribution.version_id.is_empty() {
            true => &distribution.code_name,
            false => &distribution.version_id,
        };
        elements.push(package(&address("distribution"), &distribution.id, version, "operatingSystem"));
        contained.push(address("distribution"));
    }
    for (index, installed) in report.packages.iter().enumerate() {
        let address = address(&id(installed, &bom.references[index]));
        let facts = &installed.package;
        let mut value = package(&address, &facts.name, &facts.version, "library");
        value["software_packageUrl"] = bom.purls[index].as_str().into();
        value["software_sourceInfo"] =
            format!("built package from: {} {}", facts.source_name, facts.source_version).into();
        elements.push(value);
        contained.push(address);
    }
    let mut graph = vec![
        json!({
            "type": "CreationInfo",
            "@id": CREATION,
            "specVersion": "3.0.1",
            "created": created(&report.moment),
            "createdBy": [address("creator")],
            "createdUsing": [address("tool")],
        }),
        json!({ "type": "SoftwareAgent", "spdxId": address("creator"), "creationInfo": CREATION, "name": crate::tool::NAME }),
        json!({
            "type": "Tool",
            "spdxId": address("tool"),
            "creationInfo": CREATION,
            "name": format!("{}-{}", crate::tool::NAME, crate::tool::VERSION),
        }),
    ];
    let mut all: Vec<Value> = elements.iter().map(|element| element["spdxId"].clone()).collect();
    let relationship = (!contained.is_empty()).then(|| {
        json!({
            "type": "Relationship",
            "spdxId": address("contains"),
            "creationInfo": CREATION,
            "from": address("image"),
            "relationshipType": "contains",
            // Software that no package manager installed is not among them.
            "completeness": "noAssertion",
            "to": contained,
        })
    });
    all.extend(relationship.iter().map(|relationship| relationship["spdxId"].clone()));
    elements.extend(relationship);
    elements.push(json!({
        "type": "software_Sbom",
        "spdxId": address("sbom"),
        "creationInfo": CREATION,
        "rootElement": [address("image")],
        "element": all,
        "software_sbomType": ["analyzed"],
    }));
    graph.push(json!({
        "type": "SpdxDocument",
        "spdxId": address("document"),
        "creationInfo": CREATION,
        "name": report.reference,
        "profileConformance": ["core", "software"],
        "rootElement": [address("sbom")],
        "element": elements.iter().map(|element| element["spdxId"].clone()).collect::<Vec<_>>(),
    }));
    graph.extend(elements);
    document(&json!({ "@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": graph }))
}

fn package(address: &str, name: &str, version: &str, purpose: &str) -> Value {
    json!({
        "type": "software_Package",
        "spdxId": address,
        "creationInfo": CREATION,
        "name": name,
        "software_packageVersion": version,
        "software_primaryPurpose": purpose,
    })
}
