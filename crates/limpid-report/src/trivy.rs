//! Trivy's JSON report, schema 2, so that what reads Trivy's reads ours: copa, DefectDojo, Jenkins, Kyverno's policies.
//!
//! Packages of one release are one result of class `os-pkgs`. Kinds of package that the distribution does not have are
//! results of their own, whose type is the kind. What Limpid does not know is left out: licences, files, dependencies.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Finding, InstalledPackage, PackageType, Rated, Report, Severity, Support, Vulnerability};
use serde_json::{Map, Value, json};

use crate::bom::Bom;
use crate::format::{Format, Subject, Write};
use crate::image_name::ImageName;
use crate::json::document;
use crate::scale::{common, cvss_version, date_time, number, status};
use crate::source::{is_link, page, source};
use crate::text::clip;

pub(crate) const FORMAT: Format = Format {
    name: "trivy",
    about: "Trivy's JSON (schema 2), for what reads Trivy's reports",
    endings: &["trivy.json"],
    subject: Subject::Findings,
    write: Write::One(|report, _| document(&self::report(report))),
};

/// A title is the beginning of a description where the source has none.
const TITLE_CHARS_MAX: usize = 120;

/// The report as a value.
pub(crate) fn report(report: &Report) -> Value {
    let bom = Bom::of(report);
    let mut groups: BTreeMap<(bool, &str, PackageType), Vec<usize>> = BTreeMap::new();
    for (index, package) in report.packages.iter().enumerate() {
        let release = package.context.release.as_str();
        groups.entry((release.is_empty(), release, package.package.kind)).or_default().push(index);
    }
    let results: Vec<Value> = groups
        .into_iter()
        .map(|((foreign, _, kind), members)| result(report, &bom, foreign, kind, &members))
        .collect();
    let image = &report.image;
    json!({
        "SchemaVersion": 2,
        "ReportID": crate::identity::uuid(&[&bom.image, &report.moment, &report.revision.to_string()]),
        "CreatedAt": report.moment,
        "ArtifactID": image.config_digest.unwrap_or(image.manifest_digest),
        "ArtifactName": report.reference,
        "ArtifactType": "container_image",
        "Metadata": metadata(report),
        "Results": results,
    })
}

fn metadata(report: &Report) -> Value {
    let image = &report.image;
    let name = ImageName::of(report);
    let diff_ids: Vec<String> =
        image.layers.iter().filter_map(|layer| layer.diff_id).map(|id| id.to_string()).collect();
    let layers: Vec<Value> = image
        .layers
        .iter()
        .map(|layer| {
            let mut value = self::layer(Some(layer));
            value["Size"] = layer.size_bytes.into();
            value["CreatedBy"] = layer.command.as_str().into();
            value
        })
        .collect();
    let history: Vec<Value> = image
        .layers
        .iter()
        .map(|layer| json!({ "created": layer.created, "created_by": layer.command }))
        .collect();
    let labels: Map<String, Value> =
        image.labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let mut metadata = json!({
        "Size": image.layers.iter().map(|layer| layer.size_bytes).sum::<u64>(),
        "ImageID": image.config_digest,
        "DiffIDs": diff_ids,
        "RepoTags": name.tagged().into_iter().collect::<Vec<_>>(),
        "RepoDigests": match name.repository.is_empty() {
            true => Vec::new(),
            false => vec![format!("{}@{}", name.repository, image.manifest_digest)],
        },
        "Reference": report.reference,
        "ImageConfig": {
            "architecture": image.platform.architecture,
            "created": image.created,
            "os": image.platform.os,
            "history": history,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "config": { "Env": image.environment, "Labels": labels },
        },
        "Layers": layers,
    });
    if let Some(distribution) = &report.coverage.distribution {
        let version = match distribution.version_id.is_empty() {
            true => &distribution.code_name,
            false => &distribution.version_id,
        };
        let mut os = json!({ "Family": family(report), "Name": version });
        if matches!(report.coverage.support, Support::EndOfLife { .. }) {
            os["EOSL"] = true.into();
        }
        metadata["OS"] = os;
    }
    metadata
}

/// Trivy's name of the image's distribution.
pub(crate) fn family(report: &Report) -> String {
    let id = report.coverage.distribution.as_ref().map_or("none", |distribution| distribution.id.as_str());
    match id {
        "rhel" => "redhat",
        "almalinux" => "alma",
        "ol" => "oracle",
        "amzn" => "amazon",
        "mariner" => "cbl-mariner",
        "sle-micro" | "sl-micro" => "slem",
        "sled" | "sles_sap" => "sles",
        id => id,
    }
    .to_owned()
}

/// Epoch, version and release, as Trivy takes versions apart.
pub(crate) fn parts(kind: PackageType, version: &str) -> (u64, &str, &str) {
    if !matches!(kind, PackageType::Deb | PackageType::Rpm) {
        return (0, version, "");
    }
    let (epoch, rest) = crate::purl::epoch(version);
    let (version, release) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch.parse().unwrap_or(0), version, release)
}

fn layer(layer: Option<&limpid_model::LayerMetadata>) -> Value {
    let mut value = json!({});
    if let Some(layer) = layer {
        value["Digest"] = layer.digest.to_string().into();
        if let Some(id) = layer.diff_id {
            value["DiffID"] = id.to_string().into();
        }
    }
    value
}

fn result(report: &Report, bom: &Bom, foreign: bool, kind: PackageType, members: &[usize]) -> Value {
    let family = family(report);
    let (target, kind) = match &report.coverage.distribution {
        Some(distribution) if !foreign => {
            let version = if distribution.version_id.is_empty() {
                &distribution.code_name
            } else {
                &distribution.version_id
            };
            (format!("{} ({family} {version})", report.reference), family)
        }
        _ => (format!("{} ({kind} packages)", report.reference), kind.name().to_owned()),
    };
    let set: BTreeSet<usize> = members.iter().copied().collect();
    let vulnerabilities: Vec<Value> = report
        .findings
        .iter()
        .filter(|finding| set.contains(&finding.package))
        .map(|finding| vulnerability(report, bom, finding))
        .collect();
    json!({
        "Target": target,
        "Class": "os-pkgs",
        "Type": kind,
        "Packages": members.iter().map(|index| package(report, bom, *index)).collect::<Vec<_>>(),
        "Vulnerabilities": vulnerabilities,
    })
}

fn identifier(bom: &Bom, index: usize) -> Value {
    let uid = crate::identity::digest(&[&bom.references[index]]).short();
    json!({ "PURL": bom.purls[index], "UID": uid, "BOMRef": bom.references[index] })
}

fn id(installed: &InstalledPackage) -> String {
    let package = &installed.package;
    match (package.kind, package.arch.is_empty()) {
        // So Trivy does, since of these one version may be installed for several architectures.
        (PackageType::Rpm, false) => format!("{}@{}.{}", package.name, package.version, package.arch),
        _ => format!("{}@{}", package.name, package.version),
    }
}

fn package(report: &Report, bom: &Bom, index: usize) -> Value {
    let installed = &report.packages[index];
    let package = &installed.package;
    let (epoch, version, release) = parts(package.kind, &package.version);
    let (source_epoch, source_version, source_release) = parts(package.kind, &package.source_version);
    let mut value = json!({
        "ID": id(installed),
        "Name": package.name,
        "Identifier": identifier(bom, index),
        "Version": version,
        "Arch": package.arch,
        "SrcName": package.source_name,
        "SrcVersion": source_version,
        "Layer": layer(report.image.layers.get(installed.layer)),
        "AnalyzedBy": crate::tool::NAME,
    });
    for (name, text) in [("Release", release), ("SrcRelease", source_release)] {
        if !text.is_empty() {
            value[name] = text.into();
        }
    }
    for (name, number) in [("Epoch", epoch), ("SrcEpoch", source_epoch)] {
        if number > 0 {
            value[name] = number.into();
        }
    }
    if let Some((_, module)) =
        package.facts.iter().find(|(fact, _)| *fact == limpid_model::PackageFact::Module)
    {
        value["Modularitylabel"] = module.as_str().into();
    }
    value
}

fn vulnerability(report: &Report, bom: &Bom, finding: &Finding) -> Value {
    let installed = &report.packages[finding.package];
    let known = &report.vulnerabilities[finding.vulnerability];
    let verdict = &finding.verdict;
    let title = known.description.lines().next().unwrap_or_default().trim();
    let mut value = json!({
        "VulnerabilityID": verdict.vulnerability,
        "PkgID": id(installed),
        "PkgName": installed.package.name,
        "PkgIdentifier": identifier(bom, finding.package),
        "InstalledVersion": installed.package.version,
        "FixedVersion": verdict.fixed,
        "Status": status(verdict.state),
        "Layer": layer(report.image.layers.get(installed.layer)),
        "Severity": common(finding.rated.severity).to_uppercase(),
        "SeveritySource": source_id(&finding.rated.source),
        "Title": clip(if title.is_empty() { &verdict.vulnerability } else { title }, TITLE_CHARS_MAX),
        "Description": known.description,
        "CweIDs": known.weaknesses,
        "VendorSeverity": vendor_severity(&finding.rated, known),
        "CVSS": cvss(known),
        "References": known.links.iter().filter(|link| is_link(link)).collect::<Vec<_>>(),
        "Fingerprint": crate::identity::digest(&[&bom.image, &bom.references[finding.package], &verdict.vulnerability]),
    });
    if !verdict.notice.is_empty() {
        value["VendorIDs"] = json!([verdict.notice]);
    }
    if let Some(page) = page(&verdict.feed, &verdict.vulnerability) {
        value["PrimaryURL"] = page.into();
    }
    value["DataSource"] = match source(&verdict.feed) {
        Some(source) => json!({ "ID": source.id, "Name": source.title, "URL": source.url }),
        None => json!({ "ID": verdict.feed, "Name": verdict.feed, "URL": "" }),
    };
    for (name, date) in [("PublishedDate", &known.published), ("LastModifiedDate", &known.modified)] {
        if let Some(date) = date_time(date) {
            value[name] = date.into();
        }
    }
    value
}

fn source_id(name: &str) -> String {
    source(name).map_or_else(|| name.to_lowercase(), |source| source.id.to_owned())
}

/// Severities by source, as numbers from 0 to 4.
fn vendor_severity(counting: &Rated, known: &Vulnerability) -> Value {
    let mut severities = Map::new();
    for rated in std::iter::once(counting).chain(&known.ratings).filter(|rated| !rated.source.is_empty()) {
        let number = match rated.severity {
            Severity::Unknown => 0,
            Severity::Negligible | Severity::Low => 1,
            Severity::Medium => 2,
            Severity::High => 3,
            Severity::Critical | Severity::Defcon1 => 4,
        };
        severities.entry(source_id(&rated.source)).or_insert(number.into());
    }
    Value::Object(severities)
}

/// Vectors with scores by source, the newest of each version.
fn cvss(known: &Vulnerability) -> Value {
    let mut sources: Map<String, Value> = Map::new();
    for rated in &known.ratings {
        let Some(score) = rated.score else { continue };
        let (vector, value) = match cvss_version(&rated.vector) {
            "4.0" => ("V40Vector", "V40Score"),
            "3.0" | "3.1" => ("V3Vector", "V3Score"),
            _ => ("V2Vector", "V2Score"),
        };
        let of_source = sources.entry(source_id(&rated.source)).or_insert_with(|| json!({}));
        if of_source.get(vector).is_none() {
            of_source[vector] = rated.vector.as_str().into();
            of_source[value] = self::number(score).into();
        }
    }
    Value::Object(sources)
}
