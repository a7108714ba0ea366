//! Images, in OCI's words. Source: OCI image specification v1.1, "manifest" and "config".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// What an image runs on (`linux/arm64/v8`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Platform {
    /// Operating system, in Go's words.
    pub os: String,
    /// Architecture, in Go's words (`amd64`, `arm64`).
    pub architecture: String,
    /// Variant (`v8`), empty for none.
    pub variant: String,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

/// The text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform; write os/architecture[/variant], for example linux/arm64")]
pub struct PlatformError(pub String);

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let error = || PlatformError(text.chars().take(60).collect());
        let part = |part: Option<&str>| match part {
            Some(part)
                if !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
            {
                Ok(part.to_ascii_lowercase())
            }
            _ => Err(error()),
        };
        let mut parts = text.split('/');
        let platform = Self {
            os: part(parts.next())?,
            architecture: part(parts.next())?,
            variant: parts.next().map_or(Ok(String::new()), |variant| part(Some(variant)))?,
        };
        if parts.next().is_some() { Err(error()) } else { Ok(platform) }
    }
}

/// An image as its own manifest and config describe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageMetadata {
    /// Digest of the manifest's bytes; for sources without one, of what stands in for it.
    pub manifest_digest: Digest,
    /// Digest of the config's bytes ("image id").
    pub config_digest: Option<Digest>,
    /// Its platform, from the config.
    pub platform: Platform,
    /// `os.version` of the config, which only images for Windows have (`10.0.17763.5329`); empty for none.
    pub os_version: String,
    /// `created`, as the config writes it (RFC 3339), empty for none.
    pub created: String,
    /// `config.Env`.
    pub environment: Vec<String>,
    /// `config.Labels`, sorted.
    pub labels: Vec<(String, String)>,
    /// The layers, base first.
    pub layers: Vec<LayerMetadata>,
}

/// A layer of an image, with what the image's config says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerMetadata {
    /// Digest of the blob as stored (compressed or not), verified when its bytes were read.
    pub digest: Digest,
    /// `rootfs.diff_ids` entry: what the config claims is the digest of the uncompressed archive. Unverified.
    pub diff_id: Option<Digest>,
    /// Bytes of the blob.
    pub size_bytes: u64,
    /// The history's `created_by`: the command that made the layer; empty if the history does not say.
    pub command: String,
    /// The history's `created` (RFC 3339), empty for none.
    pub created: String,
}
