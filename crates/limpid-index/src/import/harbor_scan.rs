//! Scan requests as Harbor sends them to scanners: `POST /scan` of its pluggable scanner API, version 1.
//!
//! Source: goharbor/pluggable-scanner-spec, `ScanRequest`. What is asked for (`enabled_capabilities`) does not matter here:
//! the image is indexed.

use limpid_image::RegistryOptions;
use limpid_model::Digest;
use serde::Deserialize;

use super::{Entry, Format, ListOptions, references};
use crate::Work;

pub(super) const FORMAT: Format = Format { is_it: |keys| keys.registry && keys.artifact, read };

#[derive(Deserialize)]
struct ScanRequest {
    registry: Registry,
    artifact: Artifact,
}

#[derive(Deserialize)]
struct Registry {
    url: String,
    #[serde(default)]
    authorization: Option<String>,
    #[serde(default)]
    insecure: Option<bool>,
}

#[derive(Deserialize)]
struct Artifact {
    repository: String,
    digest: Digest,
    #[serde(default)]
    tag: Option<String>,
}

fn read(json: &str, options: &ListOptions) -> Result<Entry, String> {
    let ScanRequest { registry, artifact } =
        serde_json::from_str(json).map_err(|error| super::without_place(&error))?;
    let (scheme, host) =
        registry.url.split_once("://").ok_or_else(|| "its registry's address is not absolute".to_owned())?;
    let host = host.trim_end_matches('/');
    if !matches!(scheme, "https" | "http") || host.is_empty() || host.contains(['/', '?', '#', '@']) {
        return Err("its registry's address is not http(s)://HOST[:PORT]".to_owned());
    }
    let tag = artifact.tag.filter(|tag| !tag.is_empty()).map(|tag| format!(":{tag}")).unwrap_or_default();
    let reference = format!("{host}/{}{tag}@{}", artifact.repository, artifact.digest);
    let mut work = references::work(&reference, options)?;
    if let Work::Image(image) = &mut work {
        image.authorization = registry.authorization.unwrap_or_default();
        image.insecure = registry.insecure.unwrap_or_default() || scheme == "http";
        if !image.authorization.is_empty() {
            let authorized = RegistryOptions::default().authorized(&image.authorization);
            authorized.map_err(|error| error.to_string())?;
        }
    }
    Ok(Entry::Work(vec![work]))
}
