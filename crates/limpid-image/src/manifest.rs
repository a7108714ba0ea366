//! Indexes, manifests and configs, read with tolerance for what is met in the wild.
//!
//! Source: OCI image specification v1.1; Docker's distribution manifest v2, schema 2.

use std::collections::BTreeMap;

use limpid_model::{Digest, ImageMetadata, LayerMetadata, Platform};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Error, platform};

/// Bytes of one JSON document: what registries accept for a manifest.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// The media types of an index.
pub(crate) const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
/// The media types of a manifest.
pub(crate) const MANIFEST_TYPES: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
/// The media types of an image's config, and those that old registries wrote in their place, which Docker
/// takes for images too.
const IMAGE_CONFIG_TYPES: [&str; 5] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/octet-stream",
    "application/json",
    "text/html",
];
/// Layers of one image; runtimes stop at 128.
pub(crate) const LAYERS_MAX: usize = 1024;
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
    #[serde(default)]
    pub(crate) artifact_type: Option<String>,
    /// Where else the blob may be had: for layers that registries do not give away.
    #[serde(default)]
    pub(crate) urls: Option<Vec<String>>,
}

impl Descriptor {
    /// Whether this is a layer that registries need not have.
    pub(crate) fn is_foreign(&self) -> bool {
        self.media_type.contains(".foreign.") || self.media_type.contains(".nondistributable.")
    }

    /// Whether an index's entry is an image or an index of images, as far as the entry tells.
    pub(crate) fn may_be_image(&self) -> bool {
        let is_artifact = self.artifact_type.as_ref().is_some_and(|kind| !kind.is_empty());
        !is_artifact && !self.platform().is_some_and(|platform| platform::is_attestation(&platform))
    }

    pub(crate) fn is_index(&self) -> bool {
        INDEX_TYPES.contains(&self.media_type.as_str())
    }

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
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    #[serde(default)]
    pub(crate) schema_version: Option<u64>,
    #[serde(default)]
    pub(crate) media_type: Option<String>,
    #[serde(default)]
    pub(crate) artifact_type: Option<String>,
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

impl Document {
    /// Reads an index or a manifest, and refuses what is neither in a sentence that says what it is.
    pub(crate) fn read(bytes: &[u8], what: &str) -> Result<Self, Error> {
        let document: Self = parse(bytes, what)?;
        let is = |kind: &str| document.media_type.as_deref().is_some_and(|of| of.contains(kind));
        if document.schema_version == Some(1) || is("distribution.manifest.v1+") {
            return Err(schema_1(what));
        }
        if document.manifests.is_some() {
            // What one reader takes for an index and another for a manifest shows each another image.
            if document.layers.is_some() || document.config.is_some() {
                return Err(Error::malformed(what, "it is both a manifest and an index"));
            }
            if MANIFEST_TYPES.iter().any(|kind| is(kind)) {
                return Err(Error::malformed(what, "it is an index and says that it is a manifest"));
            }
            return Ok(document);
        }
        if INDEX_TYPES.iter().any(|kind| is(kind)) {
            return Err(Error::malformed(what, "it says that it is an index and lists no manifests"));
        }
        let Some(config) = &document.config else {
            return Err(Error::malformed(what, "it is neither a manifest nor an index"));
        };
        // An image may name an artifact type, an artifact's config is no image's.
        if !config.media_type.is_empty() && !IMAGE_CONFIG_TYPES.contains(&config.media_type.as_str()) {
            let kind = document.artifact_type.as_deref().filter(|kind| !kind.is_empty());
            let kind = kind.unwrap_or(&config.media_type);
            return Err(Error::unsupported(what, format!("it is an artifact of type {kind}, not an image")));
        }
        Ok(document)
    }

    /// Reads a document that was sent with a `Content-Type`, which must agree with what it says of itself.
    pub(crate) fn read_as(bytes: &[u8], content_type: &str, what: &str) -> Result<Self, Error> {
        let sent = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if sent.starts_with("application/vnd.docker.distribution.manifest.v1+") {
            return Err(schema_1(what));
        }
        let document = Self::read(bytes, what)?;
        // Some registries send everything as plain JSON: then the document alone has the word.
        let [of_index, of_manifest] =
            [INDEX_TYPES, MANIFEST_TYPES].map(|types| types.contains(&sent.as_str()));
        let own = document.media_type.as_deref().unwrap_or(&sent);
        let is_index = document.manifests.is_some();
        if (of_index && !is_index) || (of_manifest && is_index) || ((of_index || of_manifest) && own != sent)
        {
            return Err(Error::malformed(what, format!("it was sent as {sent} and says that it is {own}")));
        }
        Ok(document)
    }

    /// A manifest's config and layers (digest, bytes), base first.
    pub(crate) fn parts(&self, what: &str) -> Result<(Digest, Vec<(Digest, u64)>), Error> {
        let config = self.config.as_ref().ok_or_else(|| Error::malformed(what, "it has no config"))?;
        let layers = self.layers.iter().flatten().map(|layer| Ok((layer.digest(what)?, layer.size)));
        Ok((config.digest(what)?, layers.collect::<Result<Vec<_>, Error>>()?))
    }
}

fn schema_1(what: &str) -> Error {
    let reason = "it is a manifest of Docker's schema 1, which is deprecated since 2017; push the image again \
                  with a current tool";
    Error::unsupported(what, reason)
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
