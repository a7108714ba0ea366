//! Indexes, manifests and configs, read with tolerance for what is met in the wild.
//!
//! Source: OCI image specification v1.1; Docker's distribution manifest v2, schema 2.

use std::collections::BTreeMap;

use limpid_model::{Digest, ImageMetadata, LayerMetadata, Platform};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// Bytes of one JSON document: what registries accept for a manifest.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Layers of one image; runtimes stop at 128.
const LAYERS_MAX: usize = 1024;
/// Indexes inside indexes.
pub(crate) const NESTING_MAX: usize = 8;

/// A pointer to a blob.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: String,
    #[serde(default)]
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) platform: Option<WirePlatform>,
    #[serde(default)]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    pub(crate) fn digest(&self, what: &str) -> Result<Digest, Error> {
        self.digest.parse().map_err(|error| Error::malformed(what, format!("{error}")))
    }

    /// The names that an index gives it.
    pub(crate) fn names(&self) -> Vec<&str> {
        let annotations = self.annotations.iter().flatten();
        let keys = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];
        annotations.filter(|(key, _)| keys.contains(&key.as_str())).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn platform(&self) -> Option<Platform> {
        let platform = self.platform.as_ref()?;
        Some(Platform {
            os: platform.os.to_ascii_lowercase(),
            architecture: platform.architecture.to_ascii_lowercase(),
            variant: platform.variant.clone().unwrap_or_default().to_ascii_lowercase(),
        })
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct WirePlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

/// An index or a manifest: which one is told by what it has, since media types are often missing.
#[derive(Debug, Deserialize)]
pub(crate) struct Document {
    pub(crate) manifests: Option<Vec<Descriptor>>,
    pub(crate) config: Option<Descriptor>,
    pub(crate) layers: Option<Vec<Descriptor>>,
}

/// An image's config, as far as Limpid reads it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    architecture: Option<String>,
    #[serde(default)]
    os: Option<String>,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default, rename = "os.version")]
    os_version: Option<String>,
    #[serde(default)]
    config: Option<RunConfig>,
    #[serde(default)]
    rootfs: Option<RootFs>,
    #[serde(default)]
    history: Option<Vec<History>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RunConfig {
    #[serde(default)]
    env: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Debug, Default, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

#[derive(Debug, Default, Clone, Deserialize)]
struct History {
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    created_by: Option<String>,
    #[serde(default)]
    empty_layer: Option<bool>,
}

/// Reads a document; `what` names it in errors.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::malformed(what, error.to_string()))
}

impl Config {
    /// `rootfs.diff_ids`, those that are digests.
    pub(crate) fn diff_ids(&self) -> Vec<Option<Digest>> {
        let ids = self.rootfs.as_ref().and_then(|rootfs| rootfs.diff_ids.as_ref());
        ids.into_iter().flatten().map(|id| id.parse().ok()).collect()
    }

    /// The image's metadata; `layers` are (digest, bytes), base first.
    pub(crate) fn metadata(
        &self,
        manifest_digest: Digest,
        config_digest: Option<Digest>,
        layers: &[(Digest, u64)],
        what: &str,
    ) -> Result<ImageMetadata, Error> {
        if layers.len() > LAYERS_MAX {
            return Err(Error::limit(what, format!("{LAYERS_MAX} layers")));
        }
        let diff_ids = self.diff_ids();
        let history: Vec<&History> =
            self.history.iter().flatten().filter(|step| step.empty_layer != Some(true)).collect();
        // A history of another length says of no layer which command made it.
        let told = history.len() == layers.len();
        let layers = layers.iter().enumerate().map(|(index, (digest, size_bytes))| {
            let step = if told { history[index].clone() } else { History::default() };
            LayerMetadata {
                digest: *digest,
                diff_id: diff_ids.get(index).copied().flatten(),
                size_bytes: *size_bytes,
                command: step.created_by.unwrap_or_default(),
                created: step.created.unwrap_or_default(),
            }
        });
        let run = self.config.as_ref();
        let labels = run.and_then(|run| run.labels.as_ref()).into_iter().flatten();
        let text = |text: &Option<String>| text.clone().unwrap_or_default().to_ascii_lowercase();
        Ok(ImageMetadata {
            manifest_digest,
            config_digest,
            platform: Platform {
                os: text(&self.os),
                architecture: text(&self.architecture),
                variant: text(&self.variant),
            },
            os_version: self.os_version.clone().unwrap_or_default(),
            created: self.created.clone().unwrap_or_default(),
            environment: run.and_then(|run| run.env.clone()).unwrap_or_default(),
            labels: labels.map(|(key, value)| (key.clone(), value.clone().unwrap_or_default())).collect(),
            layers: layers.collect(),
        })
    }
}
