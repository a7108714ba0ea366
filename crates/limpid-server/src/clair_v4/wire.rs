//! What is sent, field by field. Nothing is ever `null`: Quay's schema has no place for it.

use std::collections::BTreeMap;

use serde::Serialize;

pub(super) const MANIFEST_TYPE: &str = "application/vnd.clair.manifest.v1+json";
pub(super) const INDEX_REPORT_TYPE: &str = "application/vnd.clair.index_report.v1+json";
pub(super) const INDEX_STATE_TYPE: &str = "application/vnd.clair.index_state.v1+json";
pub(super) const VULNERABILITY_REPORT_TYPE: &str = "application/vnd.clair.vulnerability_report.v1+json";
pub(super) const BULK_DELETE_TYPE: &str = "application/vnd.clair.bulk_delete.v1+json";

/// The state of the indexer.
#[derive(Serialize)]
pub(super) struct State {
    pub(super) state: String,
}

/// What is in an image.
#[derive(Serialize)]
pub(super) struct IndexReport {
    pub(super) manifest_hash: String,
    pub(super) state: &'static str,
    #[serde(flatten)]
    pub(super) contents: Contents,
    pub(super) success: bool,
    pub(super) err: String,
}

/// What is in an image, and what is known against it.
#[derive(Serialize)]
pub(super) struct VulnerabilityReport {
    pub(super) manifest_hash: String,
    #[serde(flatten)]
    pub(super) contents: Contents,
    pub(super) vulnerabilities: BTreeMap<String, Vulnerability>,
    /// Package to vulnerabilities.
    pub(super) package_vulnerabilities: BTreeMap<String, Vec<String>>,
    /// What enrichers say. The first is the one with CVSS: Quay looks at no other.
    pub(super) enrichments: BTreeMap<&'static str, Vec<BTreeMap<String, Vec<super::cvss::Score>>>>,
}

/// What both reports share.
#[derive(Serialize, Default)]
pub(super) struct Contents {
    pub(super) packages: BTreeMap<String, Package>,
    pub(super) distributions: BTreeMap<String, Distribution>,
    pub(super) repository: BTreeMap<String, Repository>,
    /// Package to where it was found; at least one each, for Quay looks at the first.
    pub(super) environments: BTreeMap<String, Vec<Environment>>,
}

#[derive(Serialize, Clone, Default)]
pub(super) struct Package {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<Box<Package>>,
    pub(super) normalized_version: String,
    pub(super) module: String,
    pub(super) arch: String,
    pub(super) cpe: String,
}

#[derive(Serialize, Clone, Default)]
pub(super) struct Distribution {
    pub(super) id: String,
    pub(super) did: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) version_code_name: String,
    pub(super) version_id: String,
    pub(super) arch: String,
    pub(super) cpe: String,
    pub(super) pretty_name: String,
}

#[derive(Serialize, Clone, Default)]
pub(super) struct Repository {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) key: String,
    pub(super) uri: String,
    pub(super) cpe: String,
}

#[derive(Serialize, Clone)]
pub(super) struct Environment {
    pub(super) package_db: String,
    pub(super) introduced_in: String,
    pub(super) distribution_id: String,
    pub(super) repository_ids: Vec<String>,
}

#[derive(Serialize, Clone, Default)]
pub(super) struct Vulnerability {
    pub(super) id: String,
    pub(super) updater: String,
    pub(super) name: String,
    pub(super) description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) issued: String,
    /// Addresses, separated by spaces. Quay finds the CVE's id in them.
    pub(super) links: String,
    pub(super) severity: String,
    pub(super) normalized_severity: &'static str,
    pub(super) package: Package,
    pub(super) distribution: Distribution,
    pub(super) repository: Repository,
    pub(super) fixed_in_version: String,
}
