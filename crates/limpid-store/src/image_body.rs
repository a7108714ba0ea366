//! What of an image has no column of its own.

use limpid_model::{Digest, ImageMetadata, LayerMetadata};
use serde::{Deserialize, Serialize};

use crate::column::{count, integer};
use crate::description::Config;
use crate::store::{ImageRecord, NodeId};
use crate::{Result, codec};

/// What of an image no other says, and what it shares with others, by id.
#[derive(Serialize, Deserialize)]
pub(crate) struct ImageBody {
    config_digest: Option<Digest>,
    created: String,
    pub(crate) labels: Vec<u64>,
    /// Layer, number of its description, node after it; 0 for that of the layer below.
    layers: Vec<(u64, u64, u64)>,
}

impl ImageBody {
    pub(crate) fn decode(body: &[u8]) -> Result<Self> {
        codec::unpack(body, "an image")
    }

    /// Layers with the numbers of their descriptions, base first.
    pub(crate) fn layers(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.layers.iter().map(|(layer, number, _)| (integer(*layer), integer(*number)))
    }

    /// The node after each layer.
    pub(crate) fn nodes(&self) -> Vec<i64> {
        let mut last = 0;
        let node = |(_, _, node): &(u64, u64, u64)| {
            if *node != 0 {
                last = integer(*node);
            }
            last
        };
        self.layers.iter().map(node).collect()
    }

    /// The body of an image whose labels, layers and descriptions have these numbers.
    pub(crate) fn of(image: &ImageRecord, labels: Vec<u64>, layers: &[i64], numbers: &[u64]) -> Self {
        let mut last = 0;
        let placed = layers.iter().zip(numbers).zip(&image.nodes).map(|((layer, number), node)| {
            let stored = if node.0 == last { 0 } else { count(node.0) };
            last = node.0;
            (count(*layer), *number, stored)
        });
        Self {
            config_digest: image.metadata.config_digest,
            created: image.metadata.created.clone(),
            layers: placed.collect(),
            labels,
        }
    }

    /// The image, with what is said elsewhere.
    pub(crate) fn into_record(
        self,
        manifest_digest: Digest,
        release: String,
        config: Config,
        labels: Vec<(String, String)>,
        layers: Vec<LayerMetadata>,
    ) -> ImageRecord {
        let nodes = self.nodes().into_iter().map(NodeId).collect();
        ImageRecord {
            metadata: ImageMetadata {
                manifest_digest,
                config_digest: self.config_digest,
                platform: config.platform,
                os_version: config.os_version,
                created: self.created,
                environment: config.environment,
                labels,
                layers,
            },
            nodes,
            distribution: config.distribution,
            release,
            problems: config.problems,
            indexer_state: config.indexer_state,
        }
    }
}
