//! Freeing what nothing uses, in short transactions, beside processes that store images.
//!
//! What uses what, and in which order rows are freed, is said in the embedded engine's `collection.rs`. There a
//! collection and writers take turns because only one may write; here each of its transactions takes a lock alone that
//! writers share (`ids.rs`). It does not insist: whoever comes while it waits would wait for it, too, so it lets go soon
//! and tries again later.

use std::collections::BTreeSet;
use std::time::Duration;

use super::connection::{Connection, column};
use super::exposures;
use super::ids::{Lock, delete, mark, unmark};
use super::pool::Pool;
use crate::column::count;
use crate::diff::StoredDiff;
use crate::kind::Kind;
use crate::upkeep::{Collection, Freed};
use crate::{Error, Result};

/// Rows that one transaction looks at or frees: some milliseconds. A node is freed whole.
const ROWS_MAX: i64 = 1000;
/// How long a transaction waits for writers to end while others wait for it, how often it tries, and the pause between.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '200ms'";
const ATTEMPTS_MAX: u32 = 300;
const PAUSE: Duration = Duration::from_millis(500);

const SECONDS_PER_DAY: i64 = 24 * 3600;

/// A collection in progress.
pub(super) struct PostgresCollection<'a> {
    pool: &'a Pool,
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

impl<'a> PostgresCollection<'a> {
    pub(super) fn begin(pool: &'a Pool, unused_since: i64, now: i64) -> Self {
        Self { pool, unused_since, now, phase: Phase::MarkLayers { after: 0 }, freed: Freed::default() }
    }

    /// A transaction beside which no writer works.
    fn alone<T>(&self, lock: Lock, mut work: impl FnMut(&mut Connection) -> Result<T>) -> Result<T> {
        for _ in 0..ATTEMPTS_MAX {
            let done = self.pool.write(|connection| {
                connection.batch(LOCK_TIMEOUT)?;
                lock.take(connection)?;
                work(connection)
            });
            match done {
                Err(Error::Busy) => std::thread::sleep(PAUSE),
                done => return done,
            }
        }
        Err(Error::Busy)
    }

    /// Frees the marks of connections that are gone: they wrote nothing between two collections of different days.
    fn free_commit_marks(&self) -> Result<()> {
        self.pool.write(|connection| {
            connection.execute(
                "DELETE FROM commit_mark WHERE session IN (SELECT session FROM commit_mark
                    WHERE collected_number = number AND collected_at < $1 FOR UPDATE SKIP LOCKED)",
                &[&(self.now - SECONDS_PER_DAY)],
            )?;
            connection.execute(
                "UPDATE commit_mark SET collected_number = number, collected_at = $1
                 WHERE session IN (SELECT session FROM commit_mark WHERE collected_number IS DISTINCT FROM number
                    FOR UPDATE SKIP LOCKED)",
                &[&self.now],
            )?;
            Ok(())
        })
    }

    fn mark_layers(&self, after: i64) -> Result<Phase> {
        let layers = self.alone(Lock::Tree, |connection| {
            let layers = flagged(
                connection,
                "SELECT layer_id, EXISTS (SELECT 1 FROM image_layer i WHERE i.layer_id = l.layer_id)
                 FROM layer l WHERE layer_id > $1 ORDER BY layer_id LIMIT $2",
                &[&after, &ROWS_MAX],
            )?;
            unmark(
                connection,
                Kind::Layer,
                &layers.iter().filter(|row| row.1).map(|row| row.0).collect::<Vec<_>>(),
            )?;
            let unused: Vec<i64> = layers.iter().filter(|row| !row.1).map(|row| row.0).collect();
            mark(connection, Kind::Layer, &unused, self.now)?;
            Ok(layers)
        })?;
        let last = layers.last().map(|(layer, _)| *layer);
        Ok(last.map_or(Phase::MarkNodes { before: i64::MAX }, |after| Phase::MarkLayers { after }))
    }

    /// Children have greater ids than their parents, so they are seen first.
    fn mark_nodes(&self, before: i64) -> Result<Phase> {
        let nodes = self.alone(Lock::Tree, |connection| {
            let nodes: Vec<i64> = connection.values(
                "SELECT node_id FROM node WHERE node_id < $1 ORDER BY node_id DESC LIMIT $2",
                &[&before, &ROWS_MAX],
            )?;
            for node in &nodes {
                if is_node_used(connection, *node)? {
                    unmark(connection, Kind::Node, &[*node])?;
                } else {
                    mark(connection, Kind::Node, &[*node], self.now)?;
                    // A parent is unused for no longer than any of its children.
                    connection.execute(
                        "UPDATE unused SET since = greatest(since, coalesce((SELECT max(u.since) FROM node c
                            JOIN unused u ON u.kind = $2 AND u.id = c.node_id WHERE c.parent_id = $1), since))
                         WHERE kind = $2 AND id = $1",
                        &[node, &(Kind::Node as i64)],
                    )?;
                }
            }
            Ok(nodes)
        })?;
        let last = nodes.last().copied();
        Ok(last.map_or(Phase::FreeLayers { after: 0 }, |before| Phase::MarkNodes { before }))
    }

    fn free_layers(&mut self, after: i64) -> Result<Phase> {
        let (last, freed, any) = self.alone(Lock::Tree, |connection| {
            let layers = flagged(
                connection,
                "SELECT id, EXISTS (SELECT 1 FROM image_layer WHERE layer_id = id) FROM unused
                 WHERE kind = $1 AND since <= $2 AND id > $3 ORDER BY id LIMIT $4",
                &[&(Kind::Layer as i64), &self.unused_since, &after, &ROWS_MAX],
            )?;
            let unused: Vec<i64> = layers.iter().filter(|row| !row.1).map(|row| row.0).collect();
            let freed = delete(connection, Kind::Layer, &unused)?;
            let any: bool = connection.value(
                "SELECT EXISTS (SELECT 1 FROM unused WHERE kind = $1 AND since <= $2)",
                &[&(Kind::Node as i64), &self.unused_since],
            )?;
            Ok((layers.last().map(|row| row.0), freed, any))
        })?;
        self.freed.layers += freed;
        Ok(match last {
            Some(after) => Phase::FreeLayers { after },
            None if any => Phase::FreeChains { after: Vec::new() },
            None => Phase::FreeContexts,
        })
    }

    fn free_chains(&mut self, after: &[u8]) -> Result<Phase> {
        let (last, freed) = self.alone(Lock::Tree, |connection| {
            let rows = connection.query(
                "SELECT chain_key, EXISTS (SELECT 1 FROM unused WHERE kind = $1 AND id = node_id AND since <= $2)
                    AND NOT EXISTS (SELECT 1 FROM image i WHERE i.node_id = c.node_id)
                    AND NOT EXISTS (SELECT 1 FROM image_former i WHERE i.node_id = c.node_id)
                 FROM chain c WHERE chain_key > $3 ORDER BY chain_key LIMIT $4",
                &[&(Kind::Node as i64), &self.unused_since, &after, &ROWS_MAX],
            )?;
            let (mut unused, mut last): (Vec<Vec<u8>>, _) = (Vec::new(), None);
            for row in &rows {
                let chain: Vec<u8> = column(row, 0)?;
                if column(row, 1)? {
                    unused.push(chain.clone());
                }
                last = Some(chain);
            }
            let freed = connection.execute("DELETE FROM chain WHERE chain_key = ANY($1)", &[&unused])?;
            Ok((last, freed))
        })?;
        self.freed.chains += freed;
        Ok(last.map_or(Phase::FreeNodes { before: i64::MAX }, |after| Phase::FreeChains { after }))
    }

    fn free_nodes(&mut self, before: i64) -> Result<Phase> {
        let (last, freed) = self.alone(Lock::Tree, |connection| {
            let nodes: Vec<i64> = connection.values(
                "SELECT id FROM unused WHERE kind = $1 AND since <= $2 AND id < $3 ORDER BY id DESC LIMIT $4",
                &[&(Kind::Node as i64), &self.unused_since, &before, &ROWS_MAX],
            )?;
            let (mut freed, mut rows, mut last) = (Freed::default(), 0, None);
            for node in nodes {
                last = Some(node);
                // One whose image was forgotten since chains were freed still has some.
                let is_named: bool = connection.value(
                    "SELECT EXISTS (SELECT 1 FROM node WHERE parent_id = $1)
                         OR EXISTS (SELECT 1 FROM chain WHERE node_id = $1)",
                    &[&node],
                )?;
                if is_named || is_node_used(connection, node)? {
                    continue;
                }
                rows += free_node(connection, node, &mut freed)?;
                if rows >= ROWS_MAX.unsigned_abs() {
                    break;
                }
            }
            Ok((last, freed))
        })?;
        self.freed.nodes += freed.nodes;
        self.freed.occurrences += freed.occurrences;
        self.freed.packages += freed.packages;
        self.freed.verdicts += freed.verdicts;
        Ok(last.map_or(Phase::FreeContexts, |before| Phase::FreeNodes { before }))
    }

    /// Contexts are few: all at once.
    fn free_contexts(&mut self) -> Result<Phase> {
        let kind = Kind::Context as i64;
        self.freed.contexts += self.alone(Lock::Tree, |connection| {
            let freed = connection.execute(
                "DELETE FROM context c WHERE context_id IN (SELECT id FROM unused WHERE kind = $1)
                 AND NOT EXISTS (SELECT 1 FROM occurrence o WHERE o.context_id = c.context_id)",
                &[&kind],
            )?;
            connection.execute("DELETE FROM unused WHERE kind = $1", &[&kind])?;
            Ok(freed)
        })?;
        let candidates = self.pool.read(|connection| {
            connection.values("SELECT id FROM unused WHERE kind = $1", &[&(Kind::Text as i64)])
        })?;
        Ok(Phase::FindTexts { after: 0, candidates: candidates.into_iter().collect() })
    }

    /// Reads diffs until all candidates were found in use or there are no more.
    fn find_texts(&self, after: i64, mut candidates: BTreeSet<i64>) -> Result<Phase> {
        let (last, used) = self.pool.read(|connection| used_paths(connection, after, ROWS_MAX))?;
        // Marks of those that are used stay; a path that is used is found again soon.
        candidates.retain(|candidate| !used.contains(candidate));
        Ok(match last {
            Some(after) if !candidates.is_empty() => Phase::FindTexts { after, candidates },
            _ => Phase::FreeTexts { scanned: after, candidates },
        })
    }

    fn free_texts(&mut self, scanned: i64, mut candidates: BTreeSet<i64>) -> Result<Phase> {
        let rows = usize::try_from(ROWS_MAX).unwrap_or(usize::MAX);
        let chunk: BTreeSet<i64> = candidates.iter().take(rows).copied().collect();
        candidates.retain(|candidate| !chunk.contains(candidate));
        let is_last = candidates.is_empty();
        self.freed.texts += self.alone(Lock::Texts, |connection| {
            let (_, used) = used_paths(connection, scanned, i64::MAX)?;
            let chunk: Vec<i64> = chunk.difference(&used).copied().collect();
            // An alias is always also that of an advisory's row, and a release always has a row of its own.
            let unsaid: Vec<i64> = connection.values(
                "SELECT id FROM unnest($1::bigint[]) AS w (id)
                 WHERE NOT EXISTS (SELECT 1 FROM advisory WHERE id_text = id)
                 AND NOT EXISTS (SELECT 1 FROM advisory WHERE vulnerability_text = id)
                 AND NOT EXISTS (SELECT 1 FROM alias WHERE alias_text = id)
                 AND NOT EXISTS (SELECT 1 FROM affected WHERE package_text = id)
                 AND NOT EXISTS (SELECT 1 FROM affected WHERE id_text = id)
                 AND NOT EXISTS (SELECT 1 FROM feed_release WHERE release_text = id)
                 AND NOT EXISTS (SELECT 1 FROM exposure WHERE vulnerability_text = id)",
                &[&chunk],
            )?;
            let freed = delete(connection, Kind::Text, &unsaid)?;
            if is_last {
                connection.execute("DELETE FROM unused WHERE kind = $1", &[&(Kind::Text as i64)])?;
            }
            Ok(freed)
        })?;
        Ok(if is_last { Phase::Done } else { Phase::FreeTexts { scanned, candidates } })
    }
}

impl Collection for PostgresCollection<'_> {
    fn step(&mut self) -> Result<bool> {
        let phase = std::mem::replace(&mut self.phase, Phase::Done);
        self.phase = match phase {
            Phase::MarkLayers { after } => {
                if after == 0 {
                    self.free_commit_marks()?;
                }
                self.mark_layers(after)?
            }
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
            let kinds = vec![Kind::Layer as i64, Kind::Node as i64];
            self.freed.waiting = count(self.pool.read(|connection| {
                connection.value("SELECT count(*) FROM unused WHERE kind = ANY($1)", &[&kinds])
            })?);
        }
        Ok(!is_done)
    }

    fn freed(&self) -> Freed {
        self.freed
    }
}

/// Ids with what is said of each.
fn flagged(
    connection: &mut Connection,
    sql: &str,
    parameters: super::connection::Parameters<'_>,
) -> Result<Vec<(i64, bool)>> {
    let rows = connection.query(sql, parameters)?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
}

/// Whether an image ends in the node, or did before it was analysed anew, or a child of it is not marked.
fn is_node_used(connection: &mut Connection, node: i64) -> Result<bool> {
    connection.value(
        "SELECT EXISTS (SELECT 1 FROM image WHERE node_id = $1)
            OR EXISTS (SELECT 1 FROM image_former WHERE node_id = $1) OR EXISTS (SELECT 1 FROM node c
            WHERE c.parent_id = $1 AND NOT EXISTS (SELECT 1 FROM unused WHERE kind = $2 AND id = c.node_id))",
        &[&node, &(Kind::Node as i64)],
    )
}

/// Frees a node, and what of its diff nothing else names. How many rows that were.
fn free_node(connection: &mut Connection, node: i64, freed: &mut Freed) -> Result<u64> {
    let Some(row) = connection.row("SELECT diff FROM node WHERE node_id = $1", &[&node])? else {
        // A mark of a node that is gone.
        unmark(connection, Kind::Node, &[node])?;
        return Ok(1);
    };
    let diff = StoredDiff::decode(&column::<Vec<u8>>(&row, 0)?)?;
    let occurrences: Vec<i64> = diff.occurrences().into_iter().collect();
    let changes = connection.execute(
        "DELETE FROM node_change WHERE occurrence_id = ANY($1) AND node_id = $2",
        &[&occurrences, &node],
    )?;
    freed.nodes += delete(connection, Kind::Node, &[node])?;
    let rows = free_occurrences(connection, &occurrences, freed)?;
    mark(connection, Kind::Text, &diff.paths().into_iter().collect::<Vec<_>>(), 0)?;
    Ok(1 + changes + rows)
}

/// Frees the occurrences that no node names, and their packages and verdicts if no other has them.
fn free_occurrences(connection: &mut Connection, occurrences: &[i64], freed: &mut Freed) -> Result<u64> {
    let rows = connection.query(
        "SELECT occurrence_id, package_id, context_id FROM occurrence o WHERE occurrence_id = ANY($1)
         AND NOT EXISTS (SELECT 1 FROM node_change c WHERE c.occurrence_id = o.occurrence_id)",
        &[&occurrences],
    )?;
    let numbers =
        |position: usize| -> Result<Vec<i64>> { rows.iter().map(|row| column(row, position)).collect() };
    let (unused, packages, contexts) = (numbers(0)?, numbers(1)?, numbers(2)?);
    let gone: Vec<(i64, i64, i64)> = unused
        .iter()
        .zip(&packages)
        .zip(&contexts)
        .map(|((id, package), context)| (*id, *package, *context))
        .collect();
    exposures::free(connection, &gone)?;
    freed.occurrences += delete(connection, Kind::Occurrence, &unused)?;
    let verdicts = connection.execute(
        "DELETE FROM verdict v USING unnest($1::bigint[], $2::bigint[]) AS w (package_id, context_id)
         WHERE v.package_id = w.package_id AND v.context_id = w.context_id AND NOT EXISTS (
            SELECT 1 FROM occurrence o WHERE o.package_id = v.package_id AND o.context_id = v.context_id)",
        &[&packages, &contexts],
    )?;
    connection.execute(
        "DELETE FROM former_verdict v USING unnest($1::bigint[], $2::bigint[]) AS w (package_id, context_id)
         WHERE v.package_id = w.package_id AND v.context_id = w.context_id AND NOT EXISTS (
            SELECT 1 FROM occurrence o WHERE o.package_id = v.package_id AND o.context_id = v.context_id)",
        &[&packages, &contexts],
    )?;
    let gone: Vec<i64> = connection.values(
        "DELETE FROM package p WHERE package_id = ANY($1)
         AND NOT EXISTS (SELECT 1 FROM occurrence o WHERE o.package_id = p.package_id) RETURNING package_id",
        &[&packages],
    )?;
    connection.execute("DELETE FROM signed_source WHERE package_id = ANY($1)", &[&gone])?;
    mark(
        connection,
        Kind::Context,
        &contexts.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(),
        0,
    )?;
    freed.verdicts += verdicts;
    freed.packages += gone.len() as u64;
    Ok(unused.len() as u64 + verdicts + gone.len() as u64)
}

/// The paths that diffs name, of at most `nodes_max` nodes after one, and the last of these.
fn used_paths(
    connection: &mut Connection,
    after: i64,
    nodes_max: i64,
) -> Result<(Option<i64>, BTreeSet<i64>)> {
    let (mut last, mut used) = (None, BTreeSet::new());
    connection.each(
        "SELECT node_id, diff FROM node WHERE node_id > $1 ORDER BY node_id LIMIT $2",
        &[&after, &nodes_max],
        &mut |row| {
            last = Some(column(row, 0)?);
            used.extend(StoredDiff::decode(&column::<Vec<u8>>(row, 1)?)?.paths());
            Ok(())
        },
    )?;
    Ok((last, used))
}
