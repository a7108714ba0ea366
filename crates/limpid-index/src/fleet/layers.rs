//! Which layers introduce most, in all images that share them.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{FleetLayer, FleetLayers, LayerRank, LayerShare, PackageClass, Verdict};
use limpid_store::{LayerContents, OccurrenceId, SharedNode, Store};

use super::scope::{Population, Scope, VerdictFilter, fleet_image};
use crate::Error;
use crate::verdicts::verdicts;
use crate::vulnerabilities::Vulnerabilities;

/// Layers that are looked at, the most shared first. What a layer introduces counts once for each image, so those of
/// few images are seldom among the first; how many were not looked at is said.
const EXAMINED_MAX: usize = 20_000;
/// Layers whose contents are in memory at a time.
const BATCH: usize = 200;
/// Layers that one answer has at most.
pub const LAYERS_MAX: usize = 10_000;

/// What is asked of layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayersQuestion {
    /// What they are ranked by.
    pub rank: LayerRank,
    /// Which verdicts count.
    pub verdicts: VerdictFilter,
    /// Count what is found in kernels and their headers too.
    pub kernels: bool,
    /// How many are wanted, at most [`LAYERS_MAX`].
    pub limit: usize,
}

/// The layers that introduce most into the images that `scope` names.
pub fn layers(store: &dyn Store, scope: &Scope<'_>, question: &LayersQuestion) -> Result<FleetLayers, Error> {
    let population = Population::new(store, scope)?;
    let (nodes, not_examined) = store.shared_nodes(&population.images, EXAMINED_MAX)?;
    let mut done: Vec<(SharedNode, Did)> = Vec::with_capacity(nodes.len());
    for batch in nodes.chunks(BATCH) {
        let ids: Vec<_> = batch.iter().map(|shared| shared.node).collect();
        let (contents, occurrences) = store.contents(&ids)?;
        let mut affecting =
            affecting(store, scope, question, verdicts(store, &occurrences, scope.moment.revision)?)?;
        if !question.kernels {
            affecting.retain(|id, _| {
                let class = occurrences.get(id).map(|occurrence| limpid_match::class(&occurrence.package));
                class == Some(PackageClass::Ordinary)
            });
        }
        done.extend(batch.iter().zip(contents).map(|(shared, did)| (*shared, Did::new(&did, &affecting))));
    }
    let weight = |shared: &SharedNode, did: &Did| {
        let each = match question.rank {
            LayerRank::Vulnerabilities => did.introduced,
            LayerRank::Packages => did.packages,
        };
        each.saturating_mul(shared.images)
    };
    let examined = done.len() as u64;
    done.retain(|(shared, did)| weight(shared, did) > 0);
    done.sort_by_key(|(shared, did)| (std::cmp::Reverse(weight(shared, did)), shared.node));
    done.truncate(question.limit.min(LAYERS_MAX));
    let mut layers = Vec::with_capacity(done.len());
    for (shared, did) in done {
        let record = store.image_by_id(shared.example)?;
        let summary = store.summaries(&[shared.example])?.pop();
        // Forgotten since.
        let (Some(record), Some(summary)) = (record, summary) else { continue };
        let position = record.nodes.iter().position(|node| *node == shared.node);
        let Some(layer) = position.and_then(|position| record.metadata.layers.get(position)) else {
            continue;
        };
        layers.push(LayerShare {
            layer: FleetLayer { digest: layer.digest, command: layer.command.clone() },
            example: fleet_image(summary),
            images: shared.images,
            packages: did.packages,
            introduced: did.introduced,
            fixed: did.fixed,
        });
    }
    let basis = population.basis(store, &limpid_store::ImageSet::default())?;
    Ok(FleetLayers { basis, rank: question.rank, layers, examined, not_examined })
}

/// The vulnerabilities that count, of each occurrence.
fn affecting(
    store: &dyn Store,
    scope: &Scope<'_>,
    question: &LayersQuestion,
    verdicts: BTreeMap<OccurrenceId, Vec<Verdict>>,
) -> Result<BTreeMap<OccurrenceId, BTreeSet<String>>, Error> {
    let filter = &question.verdicts;
    let ids: BTreeSet<&str> = match *filter == VerdictFilter::default() {
        true => BTreeSet::new(),
        false => verdicts.values().flatten().map(|verdict| verdict.vulnerability.as_str()).collect(),
    };
    let known = Vulnerabilities::new(store, &ids, scope.moment.revision)?;
    let counts = |verdict: &Verdict| match ids.is_empty() {
        true => verdict.state.is_affected(),
        false => filter.lets_through(verdict) && filter.lets_rated_through(verdict, &known.rate(verdict)),
    };
    let counting = verdicts.iter().map(|(id, verdicts)| {
        let verdicts = verdicts.iter().filter(|verdict| counts(verdict));
        (*id, verdicts.map(|verdict| verdict.vulnerability.clone()).collect())
    });
    Ok(counting.collect())
}

/// What a layer did.
struct Did {
    packages: u64,
    introduced: u64,
    fixed: u64,
}

impl Did {
    fn new(contents: &LayerContents, affecting: &BTreeMap<OccurrenceId, BTreeSet<String>>) -> Self {
        let nothing = BTreeSet::new();
        let of = |id: &OccurrenceId| affecting.get(id).unwrap_or(&nothing);
        let packages = contents.installed.len() + contents.upgraded.len();
        let (mut introduced, mut fixed) = (0, 0);
        introduced += contents.installed.iter().map(|placed| of(&placed.occurrence).len()).sum::<usize>();
        fixed += contents.removed.iter().map(|id| of(id).len()).sum::<usize>();
        for (from, to) in contents.upgraded.iter().chain(&contents.reassigned) {
            let (before, after) = (of(from), of(&to.occurrence));
            introduced += after.difference(before).count();
            fixed += before.difference(after).count();
        }
        Self { packages: packages as u64, introduced: introduced as u64, fixed: fixed as u64 }
    }
}
