//! Which layer of an image brought certain occurrences.
//!
//! Images share nodes, so what a node did to the occurrences that a question is about is read once for all of them,
//! and nothing else of the node is kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use limpid_model::FleetLayer;
use limpid_store::{ImageRecord, ImageSummary, LayerContents, NodeId, OccurrenceId, Store};

use crate::Error;
use crate::report::placements;

/// Nodes whose part is kept: those of bases stay in use, those of single images do not.
const NODES_MAX: usize = 50_000;

/// The layer that brought each occurrence.
pub(crate) type Layers = BTreeMap<OccurrenceId, FleetLayer>;

/// Finds layers of occurrences.
#[derive(Debug)]
pub(crate) struct Placed {
    /// Every occurrence that an image may have had in the place of those that are asked for.
    wanted: BTreeSet<OccurrenceId>,
    nodes: HashMap<NodeId, LayerContents>,
}

impl Placed {
    pub(crate) fn new(wanted: BTreeSet<OccurrenceId>) -> Self {
        Self { wanted, nodes: HashMap::new() }
    }

    /// Where in each of the images the wanted occurrences come from. Images that were forgotten since are missing.
    pub(crate) fn layers(
        &mut self,
        store: &dyn Store,
        images: Vec<ImageSummary>,
    ) -> Result<Vec<(ImageSummary, Layers)>, Error> {
        let mut records = Vec::with_capacity(images.len());
        for image in images {
            if let Some(record) = store.image_by_id(image.id)? {
                records.push((image, record));
            }
        }
        if self.nodes.len() > NODES_MAX {
            self.nodes.clear();
        }
        let nodes: BTreeSet<NodeId> = records.iter().flat_map(|(_, record)| &record.nodes).copied().collect();
        let missing: Vec<NodeId> = nodes.into_iter().filter(|node| !self.nodes.contains_key(node)).collect();
        match store.contents(&missing) {
            Ok((contents, _)) => self.keep(&missing, contents),
            // One of them was freed with its image: the others are read one by one.
            Err(limpid_store::Error::Gone(_)) => {
                for node in missing {
                    match store.contents(&[node]) {
                        Err(limpid_store::Error::Gone(_)) => {}
                        contents => self.keep(&[node], contents?.0),
                    }
                }
            }
            Err(error) => return Err(error.into()),
        }
        let placed = records.into_iter().filter_map(|(image, record)| Some((image, self.placed(&record)?)));
        Ok(placed.collect())
    }

    fn keep(&mut self, nodes: &[NodeId], contents: Vec<LayerContents>) {
        for (node, mut contents) in nodes.iter().zip(contents) {
            let wanted = |id: &OccurrenceId| self.wanted.contains(id);
            contents.installed.retain(|placed| wanted(&placed.occurrence));
            contents.removed.retain(wanted);
            contents.upgraded.retain(|(from, to)| wanted(from) || wanted(&to.occurrence));
            contents.reassigned.retain(|(from, to)| wanted(from) || wanted(&to.occurrence));
            self.nodes.insert(*node, contents);
        }
    }

    fn placed(&self, record: &ImageRecord) -> Option<Layers> {
        let mut layers = Vec::with_capacity(record.nodes.len());
        let mut previous = None;
        for node in &record.nodes {
            // A layer that changed nothing shares the node of the layer below it.
            let is_same = previous == Some(node);
            layers.push(if is_same { LayerContents::default() } else { self.nodes.get(node)?.clone() });
            previous = Some(node);
        }
        let placed = placements(&layers).into_iter().filter_map(|(id, placement)| {
            let layer = record.metadata.layers.get(placement.layer)?;
            Some((id, FleetLayer { digest: layer.digest, command: layer.command.clone() }))
        });
        Some(placed.collect())
    }
}
