//! CycloneDX 1.6 (ECMA-424) and 1.7, as JSON: the image, its distribution, its packages, and their vulnerabilities with
//! states as VEX has them.
//!
//! A vulnerability stands once for each state that it has: packages that have a fix apart from those that have none. What a
//! scanner knows of exploitability is that a vulnerable version is there; that is what `exploitable` says here, as in
//! OpenVEX's `affected`. Properties repeat, in Trivy's names too, which layer brought a package and from which source
//! package it was built. Licences are not known. The list of packages is not called complete: software that no package
//! manager installed is not in it.

use std::collections::BTreeMap;

use limpid_model::{Finding, InstalledPackage, Rated, Report, Severity, VerdictState, Vulnerability};
use serde_json::{Map, Value, json};

use crate::bom::Bom;
use crate::format::{Edition, Format, Subject, Write};
use crate::image_name::ImageName;
use crate::json::document;
use crate::scale::{advice, cvss_version, date_time, number, share};
use crate::source::{is_link, notice_page, page, source};

pub(crate) const FORMAT: Format = Format {
    name: "cyclonedx",
    about: "CycloneDX 1.6: packages, vulnerabilities, VEX states",
    endings: &["cdx.json", "bom.json", "cyclonedx.json"],
    subject: Subject::Either,
    write: Write::One(|report, edition| bill(report, edition, "1.6")),
};

pub(crate) const FORMAT_1_7: Format = Format {
    name: "cyclonedx-1.7",
    about: "the same as CycloneDX 1.7",
    endings: &["cdx17.json"],
    subject: Subject::Either,
    write: Write::One(|report, edition| bill(report, edition, "1.7")),
};

/// The distribution's reference in the document.
const OS_REFERENCE: &str = "distribution";

fn bill(report: &Report, edition: &Edition, version: &str) -> String {
    let bom = Bom::of(report);
    let distribution = report.coverage.distribution.as_ref();
    let mut components: Vec<Value> = distribution
        .map(|distribution| {
            let mut component = json!({
                "bom-ref": OS_REFERENCE,
                "type": "operating-system",
                "name": distribution.id,
                "version": if distribution.version_id.is_empty() { &distribution.code_name } else { &distribution.version_id },
                "description": distribution.pretty_name,
            });
            if distribution.cpe_name.starts_with("cpe:") && is_cpe(&distribution.cpe_name) {
                component["cpe"] = distribution.cpe_name.as_str().into();
            }
            component
        })
        .into_iter()
        .collect();
    components.extend(
        report.packages.iter().enumerate().map(|(index, package)| component(report, &bom, index, package)),
    );
    let above = if distribution.is_some() { OS_REFERENCE } else { &bom.image };
    let mut dependencies = Vec::new();
    if distribution.is_some() {
        dependencies.push(json!({ "ref": bom.image, "dependsOn": [OS_REFERENCE] }));
    }
    dependencies.push(json!({ "ref": above, "dependsOn": bom.references }));
    let mut content = json!({
        "metadata": metadata(report, &bom),
        "components": components,
        "dependencies": dependencies,
        "compositions": [{
            "aggregate": if report.coverage.problems.is_empty() { "unknown" } else { "incomplete" },
            "assemblies": [bom.image],
        }],
    });
    if !edition.packages_only {
        content["vulnerabilities"] = vulnerabilities(report, &bom).into();
    }
    let serial = crate::identity::uuid(&[version, &content.to_string()]);
    let mut bill = json!({
        "$schema": format!("http://cyclonedx.org/schema/bom-{version}.schema.json"),
        "bomFormat": "CycloneDX",
        "specVersion": version,
        "serialNumber": format!("urn:uuid:{serial}"),
        "version": 1,
    });
    if let (Value::Object(bill), Value::Object(content)) = (&mut bill, content) {
        bill.extend(content);
    }
    document(&bill)
}

/// The two notations of CPE, as far as the schema looks at them.
fn is_cpe(cpe: &str) -> bool {
    cpe.len() <= 500
        && cpe.bytes().all(|b| b.is_ascii_alphanumeric() || b":._-~*/+".contains(&b))
        && (cpe.starts_with("cpe:/o:") || (cpe.starts_with("cpe:2.3:o:") && cpe.matches(':').count() == 12))
}

fn property(name: &str, value: impl ToString) -> Option<Value> {
    let value = value.to_string();
    (!value.is_empty()).then(|| json!({ "name": name, "value": value }))
}

fn metadata(report: &Report, bom: &Bom) -> Value {
    let image = &report.image;
    let name = ImageName::of(report);
    let digest = image.manifest_digest;
    let mut properties: Vec<Value> = [
        property("limpid:reference", &report.reference),
        property("limpid:platform", &image.platform),
        property("limpid:answer", report.coverage.standing.name()),
        property("aquasecurity:trivy:SchemaVersion", 2),
        property(
            "aquasecurity:trivy:ImageID",
            image.config_digest.map(|id| id.to_string()).unwrap_or_default(),
        ),
        property("aquasecurity:trivy:RepoTag", name.tagged().unwrap_or_default()),
        property(
            "aquasecurity:trivy:RepoDigest",
            if name.repository.is_empty() { String::new() } else { format!("{}@{digest}", name.repository) },
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    for layer in &image.layers {
        properties.extend(property("limpid:layer", layer.digest));
        properties.extend(layer.diff_id.and_then(|id| property("aquasecurity:trivy:DiffID", id)));
    }
    let mut gitlab: Vec<Value> = property("gitlab:meta:schema_version", 1).into_iter().collect();
    let shown = if name.repository.is_empty() { &name.short } else { &name.repository };
    gitlab.extend(property("gitlab:container_scanning:image:name", shown));
    gitlab.extend(property("gitlab:container_scanning:image:tag", &name.tag));
    if let Some(distribution) = &report.coverage.distribution {
        gitlab.extend(property("gitlab:container_scanning:operating_system:name", &distribution.id));
        gitlab
            .extend(property("gitlab:container_scanning:operating_system:version", &distribution.version_id));
    }
    json!({
        "timestamp": report.moment,
        "tools": { "components": [{
            "type": "application",
            "name": crate::tool::NAME,
            "version": crate::tool::VERSION,
        }]},
        "component": {
            "bom-ref": bom.image,
            "type": "container",
            "name": report.reference,
            "version": digest,
            "purl": bom.image,
            "hashes": [{ "alg": "SHA-256", "content": digest.hex() }],
            "properties": properties,
        },
        "properties": gitlab,
    })
}

fn component(report: &Report, bom: &Bom, index: usize, installed: &InstalledPackage) -> Value {
    let package = &installed.package;
    let layer = report.image.layers.get(installed.layer);
    let layer_digest = layer.map(|layer| layer.digest.to_string()).unwrap_or_default();
    let diff_id = layer.and_then(|layer| layer.diff_id).map(|id| id.to_string()).unwrap_or_default();
    let (epoch, version, release) = crate::trivy::parts(package.kind, &package.source_version);
    let properties: Vec<Value> = [
        property("limpid:context", &installed.context),
        property("limpid:layer:digest", &layer_digest),
        property("limpid:layer:command", layer.map_or("", |layer| &layer.command)),
        property("aquasecurity:trivy:LayerDigest", &layer_digest),
        property("aquasecurity:trivy:LayerDiffID", &diff_id),
        property("aquasecurity:trivy:PkgID", format!("{}@{}", package.name, package.version)),
        property("aquasecurity:trivy:PkgType", crate::trivy::family(report)),
        property("aquasecurity:trivy:SrcName", &package.source_name),
        property("aquasecurity:trivy:SrcVersion", version),
        property("aquasecurity:trivy:SrcRelease", release),
        property("aquasecurity:trivy:SrcEpoch", epoch),
    ]
    .into_iter()
    .flatten()
    .collect();
    json!({
        "bom-ref": bom.references[index],
        "type": "library",
        "name": package.name,
        "version": package.version,
        "purl": bom.purls[index],
        "properties": properties,
        "evidence": { "occurrences": [{ "location": installed.path }] },
    })
}

/// State, justified in the format's own words, and what the distribution answers.
fn analysis(state: VerdictState) -> (&'static str, &'static [&'static str]) {
    match state {
        VerdictState::Fixable => ("exploitable", &["update"]),
        VerdictState::NoFix | VerdictState::Deferred => ("exploitable", &[]),
        VerdictState::WillNotFix | VerdictState::EndOfLife => ("exploitable", &["will_not_fix"]),
        VerdictState::Unknown => ("in_triage", &[]),
        VerdictState::FixedAlready => ("resolved", &[]),
        VerdictState::NeverAffected => ("not_affected", &[]),
    }
}

fn vulnerabilities(report: &Report, bom: &Bom) -> Vec<Value> {
    let mut groups: BTreeMap<(usize, VerdictState, &str, &str), Vec<&Finding>> = BTreeMap::new();
    for finding in &report.findings {
        let verdict = &finding.verdict;
        let key =
            (finding.vulnerability, verdict.state, verdict.feed.as_str(), finding.rated.severity.name());
        groups.entry(key).or_default().push(finding);
    }
    let groups = groups.into_iter().enumerate();
    groups
        .filter_map(|(at, (key, group))| Some(vulnerability(report, bom, at, key.0, group.first()?, &group)))
        .collect()
}

fn vulnerability(
    report: &Report,
    bom: &Bom,
    at: usize,
    index: usize,
    first: &Finding,
    group: &[&Finding],
) -> Value {
    let known = &report.vulnerabilities[index];
    let verdict = &first.verdict;
    let (state, response) = analysis(verdict.state);
    let mut advice: Vec<String> = group.iter().map(|finding| self::advice(report, finding)).collect();
    advice.sort();
    advice.dedup();
    let mut value = json!({ "bom-ref": format!("vulnerability-{}", at + 1), "id": known.id });
    value["source"] = named_source(&verdict.feed, page(&verdict.feed, &known.id));
    let references = known.aliases.iter().filter(|alias| !alias.is_empty()).map(|alias| {
        let family = alias.split('-').next().unwrap_or_default();
        json!({ "id": alias, "source": { "name": family } })
    });
    let references: Vec<Value> = references.collect();
    if !references.is_empty() {
        value["references"] = references.into();
    }
    value["ratings"] = ratings(&first.rated, known).into();
    let cwes = known.weaknesses.iter().filter_map(|cwe| cwe.strip_prefix("CWE-")?.parse::<u32>().ok());
    value["cwes"] = cwes.filter(|number| *number > 0).collect::<Vec<u32>>().into();
    value["description"] = known.description.as_str().into();
    value["recommendation"] = advice.join(" ").into();
    value["advisories"] = advisories(known, group).into();
    for (name, date) in [("published", &known.published), ("updated", &known.modified)] {
        if let Some(date) = date_time(date) {
            value[name] = date.into();
        }
    }
    let mut analysis = Map::new();
    analysis.insert("state".to_owned(), state.into());
    if !response.is_empty() {
        analysis.insert("response".to_owned(), json!(response));
    }
    if !verdict.state_word.is_empty() {
        analysis.insert("detail".to_owned(), verdict.state_word.as_str().into());
    }
    value["analysis"] = Value::Object(analysis);
    let affects = group.iter().map(|finding| {
        let status = match finding.verdict.state {
            VerdictState::Unknown => "unknown",
            state if state.is_affected() => "affected",
            _ => "unaffected",
        };
        let version = &report.packages[finding.package].package.version;
        json!({
            "ref": bom.references[finding.package],
            "versions": [{ "version": version, "status": status }],
        })
    });
    value["affects"] = affects.collect::<Vec<_>>().into();
    let properties: Vec<Value> = [
        property("limpid:state", verdict.state.name()),
        property("limpid:feed", &verdict.feed),
        property("limpid:epss", known.epss.map(|epss| share(epss.score).to_string()).unwrap_or_default()),
        property(
            "limpid:exploited",
            known.exploited.as_ref().map(|known| known.added.as_str()).unwrap_or_default(),
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    value["properties"] = properties.into();
    value
}

fn named_source(feed: &str, page: Option<String>) -> Value {
    let mut named = json!({ "name": source(feed).map_or(feed, |source| source.title) });
    if let Some(page) = page {
        named["url"] = page.into();
    }
    named
}

/// The severity that counts first, then every other that is known.
fn ratings(counting: &Rated, known: &Vulnerability) -> Vec<Value> {
    let others = known.ratings.iter().filter(|rated| *rated != counting);
    std::iter::once(counting).chain(others).map(rating).collect()
}

fn rating(rated: &Rated) -> Value {
    let mut value =
        json!({ "source": { "name": if rated.source.is_empty() { "unknown" } else { &rated.source } } });
    if let Some(score) = rated.score {
        value["score"] = number(score).into();
    }
    value["severity"] = match rated.severity {
        Severity::Unknown => "unknown",
        Severity::Negligible => "info",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical | Severity::Defcon1 => "critical",
    }
    .into();
    if !rated.vector.is_empty() {
        value["method"] = match cvss_version(&rated.vector) {
            "4.0" => "CVSSv4",
            "3.1" => "CVSSv31",
            "3.0" => "CVSSv3",
            _ => "CVSSv2",
        }
        .into();
        value["vector"] = rated.vector.as_str().into();
    }
    value
}

/// Notices with a page, then what else there is to read.
fn advisories(known: &Vulnerability, group: &[&Finding]) -> Vec<Value> {
    let mut notices: Vec<&str> = group.iter().map(|finding| finding.verdict.notice.as_str()).collect();
    notices.sort_unstable();
    notices.dedup();
    let notices = notices
        .into_iter()
        .filter_map(|notice| Some(json!({ "title": notice, "url": notice_page(notice)? })));
    let links = known.links.iter().filter(|link| is_link(link)).map(|link| json!({ "url": link }));
    notices.chain(links).collect()
}
