//! Grype's JSON report, so that what reads Grype's reads ours: DefectDojo, Jenkins, scan actions.
//!
//! Grype has no place for what a source has not determined, so that is left out.

use limpid_model::{Finding, PackageFact, PackageType, Report, VerdictState, Vulnerability};
use serde_json::{Value, json};

use crate::bom::Bom;
use crate::format::{Format, Subject, Write};
use crate::image_name::ImageName;
use crate::json::document;
use crate::scale::{affected, cvss_version, number, share, with_negligible};
use crate::source::{is_link, notice_page, page};

pub(crate) const FORMAT: Format = Format {
    name: "grype",
    about: "Grype's JSON, for what reads Grype's reports",
    endings: &["grype.json"],
    subject: Subject::Findings,
    write: Write::One(|report, _| document(&self::report(report))),
};

fn report(report: &Report) -> Value {
    let bom = Bom::of(report);
    let image = &report.image;
    let name = ImageName::of(report);
    let layers: Vec<Value> = image
        .layers
        .iter()
        .map(|layer| json!({ "mediaType": "", "digest": layer.digest, "size": layer.size_bytes }))
        .collect();
    let distribution = report.coverage.distribution.as_ref();
    let newest = report.coverage.feeds.iter().map(|feed| feed.date.as_str()).max().unwrap_or_default();
    let providers: serde_json::Map<String, Value> = report
        .coverage
        .feeds
        .iter()
        .map(|feed| (feed.name.clone(), json!({ "captured": feed.date, "input": "" })))
        .collect();
    json!({
        "matches": affected(report).map(|finding| found(report, &bom, finding)).collect::<Vec<_>>(),
        "ignoredMatches": [],
        "source": {
            "type": "image",
            "target": {
                "userInput": report.reference,
                "imageID": image.config_digest.unwrap_or(image.manifest_digest),
                "manifestDigest": image.manifest_digest,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "tags": name.tagged().into_iter().collect::<Vec<_>>(),
                "imageSize": image.layers.iter().map(|layer| layer.size_bytes).sum::<u64>(),
                "layers": layers,
                "manifest": "",
                "config": "",
                "repoDigests": match name.repository.is_empty() {
                    true => Vec::new(),
                    false => vec![format!("{}@{}", name.repository, image.manifest_digest)],
                },
                "architecture": image.platform.architecture,
                "os": image.platform.os,
            },
        },
        "distro": {
            "name": distribution.map_or("", |distribution| distribution.id.as_str()),
            "version": distribution.map_or("", |distribution| distribution.version_id.as_str()),
            "idLike": distribution.map(|d| d.id_like.split_whitespace().collect::<Vec<_>>()).unwrap_or_default(),
        },
        "descriptor": {
            "name": crate::tool::NAME,
            "version": crate::tool::VERSION,
            "configuration": {},
            "db": {
                "status": { "schemaVersion": "", "from": "", "built": newest, "path": "", "valid": true },
                "providers": providers,
            },
            "timestamp": report.moment,
        },
    })
}

fn found(report: &Report, bom: &Bom, finding: &Finding) -> Value {
    let installed = &report.packages[finding.package];
    let package = &installed.package;
    let verdict = &finding.verdict;
    let known = &report.vulnerabilities[finding.vulnerability];
    let is_indirect = package.source_name != package.name && !package.source_name.is_empty();
    let state = match verdict.state {
        VerdictState::Fixable => "fixed",
        VerdictState::NoFix | VerdictState::Deferred => "not-fixed",
        VerdictState::WillNotFix | VerdictState::EndOfLife => "wont-fix",
        _ => "unknown",
    };
    let versions: Vec<&str> =
        Some(verdict.fixed.as_str()).filter(|fixed| !fixed.is_empty()).into_iter().collect();
    let namespace = namespace(&installed.context.release);
    let mut vulnerability = described(report, &verdict.vulnerability, known);
    vulnerability["dataSource"] = page(&verdict.feed, &verdict.vulnerability).unwrap_or_default().into();
    vulnerability["namespace"] = namespace.as_str().into();
    vulnerability["severity"] = with_negligible(finding.rated.severity).into();
    vulnerability["fix"] = json!({ "versions": versions, "state": state });
    let notice = Some(verdict.notice.as_str()).filter(|notice| !notice.is_empty());
    let advisories =
        notice.map(|notice| json!({ "id": notice, "link": notice_page(notice).unwrap_or_default() }));
    vulnerability["advisories"] = advisories.into_iter().collect::<Vec<_>>().into();
    let mut detail = json!({
        "type": if is_indirect { "exact-indirect-match" } else { "exact-direct-match" },
        "matcher": matcher(package.kind),
        "searchedBy": {
            "namespace": namespace,
            "package": {
                "name": if is_indirect { &package.source_name } else { &package.name },
                "version": if is_indirect { &package.source_version } else { &package.version },
            },
        },
        "found": {
            "vulnerabilityID": verdict.vulnerability,
            "versionConstraint": if verdict.fixed.is_empty() { "none".to_owned() } else { format!("< {}", verdict.fixed) },
        },
    });
    if verdict.state == VerdictState::Fixable {
        detail["fix"] = json!({ "suggestedVersion": verdict.fixed });
    }
    let related: Vec<Value> = known
        .aliases
        .iter()
        .filter(|alias| alias.starts_with("CVE-") || alias.starts_with("GHSA-"))
        .map(|alias| {
            let mut related = described(report, alias, known);
            related["dataSource"] = page("", alias).unwrap_or_default().into();
            related["namespace"] = "nvd:cpe".into();
            related["severity"] = with_negligible(finding.rated.severity).into();
            related
        })
        .collect();
    json!({
        "vulnerability": vulnerability,
        "relatedVulnerabilities": related,
        "matchDetails": [detail],
        "artifact": artifact(report, bom, finding.package, is_indirect),
    })
}

/// What is known of a vulnerability, but for what a source or a package decides.
fn described(report: &Report, id: &str, known: &Vulnerability) -> Value {
    let cvss: Vec<Value> = known
        .ratings
        .iter()
        .filter_map(|rated| {
            let score = rated.score?;
            Some(json!({
                "source": rated.source,
                "type": "Primary",
                "version": cvss_version(&rated.vector),
                "vector": rated.vector,
                "metrics": { "baseScore": number(score) },
                "vendorMetadata": {},
            }))
        })
        .collect();
    let urls: Vec<&String> = known.links.iter().filter(|link| is_link(link)).collect();
    let mut value = json!({ "id": id, "urls": urls, "description": known.description, "cvss": cvss });
    if let Some(exploited) = &known.exploited {
        value["knownExploited"] = json!([{
            "cve": id,
            "dateAdded": exploited.added,
            "dueDate": exploited.due,
            "requiredAction": exploited.action,
            "knownRansomwareCampaignUse": if exploited.by_ransomware { "Known" } else { "Unknown" },
        }]);
    }
    if let Some(epss) = &known.epss {
        let feed = report.coverage.feeds.iter().find(|feed| feed.name == "epss");
        let day: String = feed.map(|feed| feed.date.chars().take(10).collect()).unwrap_or_default();
        value["epss"] = json!([{ "cve": id, "epss": share(epss.score), "percentile": share(epss.percentile), "date": day }]);
    }
    let cwes: Vec<Value> = known
        .weaknesses
        .iter()
        .map(|cwe| json!({ "cve": id, "cwe": cwe, "source": "", "type": "Primary" }))
        .collect();
    if !cwes.is_empty() {
        value["cwes"] = cwes.into();
    }
    value
}

fn artifact(report: &Report, bom: &Bom, index: usize, is_indirect: bool) -> Value {
    let installed = &report.packages[index];
    let package = &installed.package;
    let layer = report.image.layers.get(installed.layer);
    let layer = layer.map(|layer| layer.diff_id.unwrap_or(layer.digest).to_string()).unwrap_or_default();
    let path = format!("/{}", installed.path);
    let upstreams: Vec<Value> = match (is_indirect, package.source_version == package.version) {
        (false, _) => Vec::new(),
        (true, true) => vec![json!({ "name": package.source_name })],
        (true, false) => vec![json!({ "name": package.source_name, "version": package.source_version })],
    };
    let kind = match package.kind {
        PackageType::Ebuild => "portage",
        kind => kind.name(),
    };
    let mut artifact = json!({
        "id": crate::identity::digest(&[&bom.references[index]]).short(),
        "name": package.name,
        "version": package.version,
        "type": kind,
        "locations": [{ "path": path, "layerID": layer, "accessPath": path, "annotations": { "evidence": "primary" } }],
        "language": "",
        "licenses": [],
        "cpes": [],
        "purl": bom.purls[index],
        "upstreams": upstreams,
    });
    if package.kind == PackageType::Rpm {
        let module = package.facts.iter().find(|(fact, _)| *fact == PackageFact::Module);
        artifact["metadataType"] = "RpmMetadata".into();
        artifact["metadata"] = json!({
            "epoch": crate::purl::epoch(&package.version).0.parse::<u64>().ok(),
            "modularityLabel": module.map(|(_, module)| module.as_str()).unwrap_or_default(),
        });
    }
    artifact
}

fn matcher(kind: PackageType) -> &'static str {
    match kind {
        PackageType::Deb => "dpkg-matcher",
        PackageType::Apk => "apk-matcher",
        PackageType::Rpm => "rpm-matcher",
        PackageType::Alpm => "pacman-matcher",
        PackageType::Ebuild => "portage-matcher",
        _ => "stock-matcher",
    }
}

/// Grype's name of a release: `debian:distro:debian:12`.
fn namespace(release: &str) -> String {
    let (id, version) = release.split_once(':').unwrap_or((release, "rolling"));
    let id = match id {
        "rhel" => "redhat",
        "ol" => "oracle",
        "amzn" => "amazon",
        "" => "unknown",
        id => id,
    };
    format!("{id}:distro:{id}:{version}")
}
