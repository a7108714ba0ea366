//! Freeing what nothing uses, in short transactions, beside processes that store images.
//!
//! An image uses its layers, the node of its last layer and those that it had before it was analysed anew; a node uses its parent and the occurrences that its diff
//! names; an occurrence uses its package version and its context. A chain is kept as long as the node that it leads to,
//! verdicts as long as some occurrence has their package and context, a string as long as a diff or an advisory names
//! it. The other way round nothing is reached from an image, so rows are freed from the top: leaves of
//! the tree of nodes before their parents.
//!
//! Why that is safe beside writers:
//!
//! * Every row is freed in a write transaction that finds it unused, and no row is stored without what it uses: whoever
//!   stores a node looks for its parent, and whoever stores an image for its layers and nodes, in the same transaction
//!   (`nodes::expect`, `images::put_image`). One of the two comes first. If it is the writer, the row is used; if it is
//!   the collection, the writer is told [`Error::Gone`], and stores again what it still has in memory.
//! * Ids are never given twice (`ids.rs`), so what somebody found an hour ago names the same row or none.
//! * A layer or a node is only freed if it was unused for some time, first seen so by an earlier collection or
//!   when its image was forgotten. This is no matter of safety: it keeps an image that is being analysed from
//!   being done again, and a report that is being made from losing its nodes.
//! * A chain goes before its node, in a transaction of its own. Who stores a chain to a node that is marked
//!   removes the mark, so that no chain leads to a node that is then freed.
//! * Which nodes are freed is settled once, before any chain goes. Who forgets an image later marks its nodes anew, so that
//!   they wait for the next collection, which looks at their chains.
//! * Each step is one transaction, and between two everything fits together. The strings and contexts that may have
//!   become unused are kept as marks too, so that the next collection finds them if this one is killed.
//!
//! The paths that a diff names have no index. Those that freed nodes named are looked for in all diffs, with no
//! transaction open; only diffs that came meanwhile are read in the transaction that frees them: diffs never change.

use std::collections::BTreeSet;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::unused::{free_node, is_node_used, marked, used_paths};
use crate::Result;
use crate::kind::Kind;
use crate::upkeep::{Collection, Freed};

/// Rows that one transaction looks at or frees: some milliseconds. A node is freed whole.
const ROWS_MAX: usize = 1000;

/// A collection in progress.
pub(super) struct SqliteCollection {
    connection: Connection,
    unused_since: i64,
    now: i64,
    phase: Phase,
    freed: Freed,
}

/// What comes next, and how far it is.
enum Phase {
    MarkLayers { after: i64 },
    MarkNodes { before: i64 },
    FreeLayers { after: i64 },
    FreeChains { after: Vec<u8> },
    FreeNodes { before: i64 },
    FreeContexts,
    FindTexts { after: i64, candidates: BTreeSet<i64> },
    FreeTexts { scanned: i64, candidates: BTreeSet<i64> },
    Done,
}

impl SqliteCollection {
    pub(super) fn begin(connection: Connection, unused_since: i64, now: i64) -> Self {
        let phase = Phase::MarkLayers { after: 0 };
        Self { connection, unused_since, now, phase, freed: Freed::default() }
    }

    fn write(&mut self) -> Result<Transaction<'_>> {
        Ok(self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    fn mark_layers(&mut self, after: i64) -> Result<Phase> {
        let now = self.now;
        let transaction = self.write()?;
        let layers: Vec<(i64, bool)> = transaction
            .prepare_cached(
                "SELECT layer_id, EXISTS (SELECT 1 FROM image_layer i WHERE i.layer_id = l.layer_id)
                 FROM layer l WHERE layer_id > ?1 ORDER BY layer_id LIMIT ?2",
            )?
            .query_map(params![after, ROWS_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (layer, is_used) in &layers {
            match is_used {
                true => Kind::Layer.unmark(&transaction, *layer)?,
                false => Kind::Layer.mark(&transaction, *layer, now)?,
            }
        }
        transaction.commit()?;
        let last = layers.last().map(|(layer, _)| *layer);
        Ok(last.map_or(Phase::MarkNodes { before: i64::MAX }, |after| Phase::MarkLayers { after }))
    }

    /// Children have greater ids than their parents, so they are seen first.
    fn mark_nodes(&mut self, before: i64) -> Result<Phase> {
        let now = self.now;
        let transaction = self.write()?;
        let nodes: Vec<i64> = transaction
            .prepare_cached("SELECT node_id FROM node WHERE node_id < ?1 ORDER BY node_id DESC LIMIT ?2")?
            .query_map(params![before, ROWS_MAX], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        // A parent is unused for no longer than any of its children.
        let mut raise = transaction.prepare_cached(
            "UPDATE unused SET since = max(since, coalesce((SELECT max(u.since) FROM node c
                JOIN unused u ON u.kind = ?2 AND u.id = c.node_id WHERE c.parent_id = ?1), since))
             WHERE kind = ?2 AND id = ?1",
        )?;
        for node in &nodes {
            if is_node_used(&transaction, *node)? {
                Kind::Node.unmark(&transaction, *node)?;
            } else {
                Kind::Node.mark(&transaction, *node, now)?;
                raise.execute(params![node, Kind::Node as i64])?;
            }
        }
        drop(raise);
        transaction.commit()?;
        let last = nodes.last().copied();
        Ok(last.map_or(Phase::FreeLayers { after: 0 }, |before| Phase::MarkNodes { before }))
    }

    fn free_layers(&mut self, after: i64) -> Result<Phase> {
        let since = self.unused_since;
        let transaction = self.write()?;
        let layers: Vec<(i64, bool)> = transaction
            .prepare_cached(
                "SELECT id, EXISTS (SELECT 1 FROM image_layer WHERE layer_id = id) FROM unused
                 WHERE kind = ?1 AND since <= ?2 AND id > ?3 ORDER BY id LIMIT ?4",
            )?
            .query_map(params![Kind::Layer as i64, since, after, ROWS_MAX], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<Result<_, _>>()?;
        let mut freed = 0;
        for (layer, _) in layers.iter().filter(|(_, is_used)| !is_used) {
            freed += Kind::Layer.delete(&transaction, *layer)?;
        }
        transaction.commit()?;
        self.freed.layers += freed;
        if let Some((after, _)) = layers.last() {
            return Ok(Phase::FreeLayers { after: *after });
        }
        // What is freed is settled here: a node whose image is forgotten from now on still has its chains.
        let settled = self
            .connection
            .prepare_cached("UPDATE unused SET since = 0 WHERE kind = ?1 AND since <= ?2")?
            .execute(params![Kind::Node as i64, since])?;
        Ok(if settled > 0 { Phase::FreeChains { after: Vec::new() } } else { Phase::FreeContexts })
    }

    fn free_chains(&mut self, after: &[u8]) -> Result<Phase> {
        let transaction = self.write()?;
        let chains: Vec<(Vec<u8>, bool)> = transaction
            .prepare_cached(
                "SELECT chain_key, EXISTS (SELECT 1 FROM unused WHERE kind = ?1 AND id = node_id AND since = 0)
                    AND NOT EXISTS (SELECT 1 FROM image i WHERE i.node_id = c.node_id)
                    AND NOT EXISTS (SELECT 1 FROM image_former i WHERE i.node_id = c.node_id)
                 FROM chain c WHERE chain_key > ?2 ORDER BY chain_key LIMIT ?3",
            )?
            .query_map(params![Kind::Node as i64, after, ROWS_MAX], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<Result<_, _>>()?;
        let mut freed = 0;
        let mut delete = transaction.prepare_cached("DELETE FROM chain WHERE chain_key = ?1")?;
        for (chain, _) in chains.iter().filter(|(_, is_unused)| *is_unused) {
            freed += delete.execute([chain])?;
        }
        drop(delete);
        transaction.commit()?;
        self.freed.chains += freed as u64;
        let last = chains.into_iter().last().map(|(chain, _)| chain);
        Ok(last.map_or(Phase::FreeNodes { before: i64::MAX }, |after| Phase::FreeChains { after }))
    }

    fn free_nodes(&mut self, before: i64) -> Result<Phase> {
        let transaction = self.write()?;
        let nodes: Vec<i64> = transaction
            .prepare_cached(
                "SELECT id FROM unused WHERE kind = ?1 AND since = 0 AND id < ?2 ORDER BY id DESC LIMIT ?3",
            )?
            .query_map(params![Kind::Node as i64, before, ROWS_MAX], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let (mut freed, mut rows, mut last) = (Freed::default(), 0, None);
        for node in nodes {
            last = Some(node);
            let is_parent =
                transaction.prepare_cached("SELECT 1 FROM node WHERE parent_id = ?1")?.exists([node])?;
            if is_parent || is_node_used(&transaction, node)? {
                continue;
            }
            rows += free_node(&transaction, node, &mut freed)?;
            if rows >= ROWS_MAX {
                break;
            }
        }
        transaction.commit()?;
        self.freed.nodes += freed.nodes;
        self.freed.occurrences += freed.occurrences;
        self.freed.packages += freed.packages;
        self.freed.verdicts += freed.verdicts;
        Ok(last.map_or(Phase::FreeContexts, |before| Phase::FreeNodes { before }))
    }

    /// Contexts are few: all at once.
    fn free_contexts(&mut self) -> Result<Phase> {
        let kind = Kind::Context as i64;
        let candidates = marked(&self.connection, Kind::Context)?;
        if !candidates.is_empty() {
            let transaction = self.write()?;
            let freed = transaction.execute(
                "DELETE FROM context WHERE context_id IN (SELECT id FROM unused WHERE kind = ?1)
                 AND context_id NOT IN (SELECT context_id FROM occurrence)",
                [kind],
            )?;
            transaction.execute("DELETE FROM unused WHERE kind = ?1", [kind])?;
            transaction.commit()?;
            self.freed.contexts += freed as u64;
        }
        Ok(Phase::FindTexts { after: 0, candidates: marked(&self.connection, Kind::Text)? })
    }

    /// Reads diffs until all candidates were found in use or there are no more.
    fn find_texts(&mut self, after: i64, mut candidates: BTreeSet<i64>) -> Result<Phase> {
        let last = used_paths(&self.connection, after, ROWS_MAX, &mut |path| {
            // Its mark stays; a path that is used is found again soon.
            candidates.remove(&path);
        })?;
        Ok(match last {
            Some(after) if !candidates.is_empty() => Phase::FindTexts { after, candidates },
            _ => Phase::FreeTexts { scanned: after, candidates },
        })
    }

    fn free_texts(&mut self, scanned: i64, mut candidates: BTreeSet<i64>) -> Result<Phase> {
        let transaction = self.write()?;
        let mut chunk: BTreeSet<i64> = candidates.iter().take(ROWS_MAX).copied().collect();
        candidates.retain(|candidate| !chunk.contains(candidate));
        used_paths(&transaction, scanned, usize::MAX, &mut |path| {
            chunk.remove(&path);
        })?;
        // An alias is always also that of an advisory's row, and a release always has a row of its own.
        let mut is_said = transaction.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM advisory WHERE id_text = ?1)
                 OR EXISTS (SELECT 1 FROM advisory WHERE vulnerability_text = ?1)
                 OR EXISTS (SELECT 1 FROM alias WHERE alias_text = ?1)
                 OR EXISTS (SELECT 1 FROM affected WHERE package_text = ?1)
                 OR EXISTS (SELECT 1 FROM affected WHERE id_text = ?1)
                 OR EXISTS (SELECT 1 FROM feed_release WHERE release_text = ?1)
                 OR EXISTS (SELECT 1 FROM exposure WHERE vulnerability_text = ?1)",
        )?;
        let mut freed = 0;
        for text in chunk {
            if !is_said.query_row([text], |row| row.get::<_, bool>(0))? {
                freed += Kind::Text.delete(&transaction, text)?;
            }
        }
        drop(is_said);
        let is_last = candidates.is_empty();
        if is_last {
            transaction.execute("DELETE FROM unused WHERE kind = ?1", [Kind::Text as i64])?;
        }
        transaction.commit()?;
        self.freed.texts += freed;
        Ok(if is_last { Phase::Done } else { Phase::FreeTexts { scanned, candidates } })
    }
}

impl Collection for SqliteCollection {
    fn step(&mut self) -> Result<bool> {
        let phase = std::mem::replace(&mut self.phase, Phase::Done);
        self.phase = match phase {
            Phase::MarkLayers { after } => self.mark_layers(after)?,
            Phase::MarkNodes { before } => self.mark_nodes(before)?,
            Phase::FreeLayers { after } => self.free_layers(after)?,
            Phase::FreeChains { after } => self.free_chains(&after)?,
            Phase::FreeNodes { before } => self.free_nodes(before)?,
            Phase::FreeContexts => self.free_contexts()?,
            Phase::FindTexts { after, candidates } => self.find_texts(after, candidates)?,
            Phase::FreeTexts { scanned, candidates } => self.free_texts(scanned, candidates)?,
            Phase::Done => Phase::Done,
        };
        let is_done = matches!(self.phase, Phase::Done);
        if is_done {
            let waiting: i64 = self.connection.query_row(
                "SELECT count(*) FROM unused WHERE kind IN (?1, ?2)",
                [Kind::Layer as i64, Kind::Node as i64],
                |row| row.get(0),
            )?;
            self.freed.waiting = super::count(waiting);
        }
        Ok(!is_done)
    }

    fn freed(&self) -> Freed {
        self.freed
    }
}
