//! What images say of themselves and of their layers, as it is stored where many say the same.

use limpid_model::{Digest, Distribution, LayerMetadata, LayerProblem, Platform};
use serde::{Deserialize, Serialize};

use crate::store::ImageRecord;

/// What of an image other images are likely to say, too.
#[derive(Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) platform: Platform,
    pub(crate) os_version: String,
    pub(crate) environment: Vec<String>,
    pub(crate) distribution: Option<Distribution>,
    pub(crate) problems: Vec<LayerProblem>,
    pub(crate) indexer_state: String,
}

impl Config {
    pub(crate) fn of(image: &ImageRecord) -> Self {
        Self {
            platform: image.metadata.platform.clone(),
            os_version: image.metadata.os_version.clone(),
            environment: image.metadata.environment.clone(),
            distribution: image.distribution.clone(),
            problems: image.problems.clone(),
            indexer_state: image.indexer_state.clone(),
        }
    }
}

/// What an image's config says of a layer.
#[derive(Serialize, Deserialize)]
pub(crate) struct Description {
    diff_id: Option<Digest>,
    size_bytes: u64,
    command: String,
    created: String,
}

impl Description {
    pub(crate) fn of(layer: &LayerMetadata) -> Self {
        Self {
            diff_id: layer.diff_id,
            size_bytes: layer.size_bytes,
            command: layer.command.clone(),
            created: layer.created.clone(),
        }
    }

    pub(crate) fn into_layer(self, digest: Digest) -> LayerMetadata {
        LayerMetadata {
            digest,
            diff_id: self.diff_id,
            size_bytes: self.size_bytes,
            command: self.command,
            created: self.created,
        }
    }
}
