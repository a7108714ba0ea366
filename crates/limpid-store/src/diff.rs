//! A package set node's diff as engines keep it: by the ids of occurrences and texts.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Occurrence, PackageDiff};
use serde::{Deserialize, Serialize};

use crate::store::{LayerContents, OccurrenceId, PlacedId};
use crate::{Result, codec};

/// A node's diff as stored: occurrence and text ids. Installed occurrences are grouped by path, since nearly
/// all of a node's come from one database.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct StoredDiff {
    installed: Vec<(i64, Vec<i64>)>,
    upgraded: Vec<(i64, i64, i64)>,
    removed: Vec<i64>,
    reassigned: Vec<(i64, i64, i64)>,
}

impl StoredDiff {
    pub(crate) fn decode(body: &[u8]) -> Result<Self> {
        codec::decode(body, "a package set node")
    }

    /// The occurrences that it brings (1) or takes away (0), as `node_change` has them.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let installed = self.installed.iter().flat_map(|(_, occurrences)| occurrences).map(|id| (*id, 1));
        let pairs = self.upgraded.iter().chain(&self.reassigned).filter(|(from, to, _)| from != to);
        let replaced = pairs.flat_map(|(from, to, _)| [(*from, 0), (*to, 1)]);
        installed.chain(replaced).chain(self.removed.iter().map(|id| (*id, 0)))
    }

    /// Every occurrence that it names.
    pub(crate) fn occurrences(&self) -> BTreeSet<i64> {
        let pairs = self.upgraded.iter().chain(&self.reassigned).flat_map(|(from, to, _)| [*from, *to]);
        self.changes().map(|(occurrence, _)| occurrence).chain(pairs).collect()
    }

    /// Every path that it names.
    pub(crate) fn paths(&self) -> BTreeSet<i64> {
        let pairs = self.upgraded.iter().chain(&self.reassigned).map(|(_, _, path)| *path);
        self.installed.iter().map(|(path, _)| *path).chain(pairs).collect()
    }

    /// What a diff is by ids, which the two functions know or give.
    pub(crate) fn of(
        diff: &PackageDiff,
        occurrence: &mut dyn FnMut(&Occurrence) -> Result<i64>,
        path: &mut dyn FnMut(&str) -> Result<i64>,
    ) -> Result<Self> {
        let mut stored = Self::default();
        let mut groups: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for placed in &diff.installed {
            groups.entry(path(&placed.path)?).or_default().push(occurrence(&placed.occurrence)?);
        }
        stored.installed = groups.into_iter().collect();
        for (from, to) in &diff.upgraded {
            let path = path(&to.path)?;
            stored.upgraded.push((occurrence(from)?, occurrence(&to.occurrence)?, path));
        }
        for removed in &diff.removed {
            stored.removed.push(occurrence(removed)?);
        }
        for (from, to) in &diff.reassigned {
            let path = path(&to.path)?;
            stored.reassigned.push((occurrence(from)?, occurrence(&to.occurrence)?, path));
        }
        Ok(stored)
    }

    /// What it is with its paths, which the function knows.
    pub(crate) fn contents(self, value: &mut dyn FnMut(i64) -> Result<String>) -> Result<LayerContents> {
        let mut layer = LayerContents::default();
        for (path, occurrences) in self.installed {
            let path = value(path)?;
            let placed = occurrences
                .into_iter()
                .map(|occurrence| PlacedId { occurrence: OccurrenceId(occurrence), path: path.clone() });
            layer.installed.extend(placed);
        }
        let mut pair = |(from, to, path): (i64, i64, i64)| -> Result<_> {
            Ok((OccurrenceId(from), PlacedId { occurrence: OccurrenceId(to), path: value(path)? }))
        };
        layer.upgraded = self.upgraded.into_iter().map(&mut pair).collect::<Result<_>>()?;
        layer.reassigned = self.reassigned.into_iter().map(&mut pair).collect::<Result<_>>()?;
        layer.removed = self.removed.into_iter().map(OccurrenceId).collect();
        Ok(layer)
    }
}
