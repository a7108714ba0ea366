//! Segments of the index over occurrences, as rows: what `segment*.rs` asks for, and building them.
//!
//! A segment is built from one snapshot, which keeps no writer waiting, and stored in one short transaction that finds
//! what it replaces as it was. Whoever is killed in between leaves nothing; of two who build the same the second is late and
//! drops its work. What happened to images meanwhile is in `displaced`: a mark is removed only if the image's node and release
//! are those that were built in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, Statement, TransactionBehavior, params};

use super::SqliteStore;
use crate::diff::StoredDiff;
use crate::segment::{Member, Piece, Segment};
use crate::segment_build::{NodeChange, Tree, build};
use crate::segment_plan::{Plan, Sizes, plan};
use crate::segment_query::{PieceSink, SegmentRow, Segments};
use crate::{Error, Result};

/// Reads in one transaction.
pub(super) struct Snapshot<'a>(pub(super) &'a Connection);

impl Tree for Snapshot<'_> {
    fn parents(&mut self, nodes: &[i64], tell: &mut dyn FnMut(i64, i64)) -> Result<()> {
        let mut statement =
            self.0.prepare_cached("SELECT coalesce(parent_id, 0) FROM node WHERE node_id = ?1")?;
        for node in nodes {
            if let Some(parent) = statement.query_row([node], |row| row.get(0)).optional()? {
                tell(*node, parent);
            }
        }
        Ok(())
    }

    fn changes(&mut self, nodes: &[i64], tell: &mut dyn FnMut(i64, NodeChange)) -> Result<()> {
        let mut statement = self.0.prepare_cached("SELECT diff FROM node WHERE node_id = ?1")?;
        for node in nodes {
            let mut rows = statement.query([node])?;
            let Some(row) = rows.next()? else { continue };
            let diff = StoredDiff::decode(blob(row, 0)?)?;
            let mut change = NodeChange::default();
            for (occurrence, brings) in diff.changes() {
                if brings == 1 { &mut change.brings } else { &mut change.takes }.push(occurrence);
            }
            tell(*node, change);
        }
        Ok(())
    }
}

impl Segments for Snapshot<'_> {
    fn rows(&mut self) -> Result<Vec<SegmentRow>> {
        let mut statement = self.0.prepare_cached(
            "SELECT segment_id, first_image, last_image, images, body FROM segment ORDER BY first_image",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(SegmentRow {
                id: row.get(0)?,
                first_image: row.get(1)?,
                last_image: row.get(2)?,
                images: row.get(3)?,
                body: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn displaced(&mut self) -> Result<Vec<i64>> {
        let mut statement = self.0.prepare_cached("SELECT image_id FROM displaced ORDER BY image_id")?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    fn tail(&mut self, after: i64) -> Result<Vec<Member>> {
        let mut statement = self.0.prepare_cached(
            "SELECT image_id, node_id, release FROM image WHERE image_id > ?1
             UNION ALL SELECT image_id, node_id, release FROM displaced JOIN image USING (image_id) WHERE image_id <= ?1",
        )?;
        read_members(&mut statement, &[after])
    }

    fn image_pieces(&mut self, segment: i64, firsts: Option<&[u32]>, tell: &mut PieceSink<'_>) -> Result<()> {
        let Some(firsts) = firsts else { return self.all_pieces(segment, Piece::Images, tell) };
        let mut statement = self.0.prepare_cached(
            "SELECT first, body FROM segment_part WHERE segment_id = ?1 AND kind = ?2 AND first = ?3",
        )?;
        for first in firsts {
            let mut rows = statement.query(params![segment, Piece::Images as i64, first])?;
            if let Some(row) = rows.next()? {
                tell(row.get(0)?, blob(row, 1)?)?;
            }
        }
        Ok(())
    }

    fn posting_pieces(
        &mut self,
        segment: i64,
        occurrences: Option<&[i64]>,
        tell: &mut PieceSink<'_>,
    ) -> Result<()> {
        let Some(occurrences) = occurrences else { return self.all_pieces(segment, Piece::Postings, tell) };
        let mut statement = self.0.prepare_cached(
            "SELECT first, body FROM segment_part WHERE segment_id = ?1 AND kind = ?2 AND first <= ?3
             ORDER BY first DESC LIMIT 1",
        )?;
        let mut last = None;
        for occurrence in occurrences {
            let mut rows = statement.query(params![segment, Piece::Postings as i64, occurrence])?;
            let Some(row) = rows.next()? else { continue };
            let first = row.get(0)?;
            if last != Some(first) {
                last = Some(first);
                tell(first, blob(row, 1)?)?;
            }
        }
        Ok(())
    }
}

impl Snapshot<'_> {
    fn all_pieces(&self, segment: i64, kind: Piece, tell: &mut PieceSink<'_>) -> Result<()> {
        let mut statement = self.0.prepare_cached(
            "SELECT first, body FROM segment_part WHERE segment_id = ?1 AND kind = ?2 ORDER BY first",
        )?;
        let mut rows = statement.query(params![segment, kind as i64])?;
        while let Some(row) = rows.next()? {
            tell(row.get(0)?, blob(row, 1)?)?;
        }
        Ok(())
    }

    /// The images from one id to another.
    pub(super) fn members(&self, first: i64, last: i64) -> Result<Vec<Member>> {
        let mut statement = self.0.prepare_cached(
            "SELECT image_id, node_id, release FROM image WHERE image_id BETWEEN ?1 AND ?2",
        )?;
        read_members(&mut statement, &[first, last])
    }

    /// The images that had another node up to a revision or a later one, with what they had at that revision.
    pub(super) fn former_members(&self, revision: i64) -> Result<Vec<Member>> {
        // SQLite takes the columns beside a minimum from its row.
        let mut statement = self.0.prepare_cached(
            "SELECT image_id, node_id, '', min(until_revision) FROM image_former WHERE until_revision >= ?1
             GROUP BY image_id",
        )?;
        read_members(&mut statement, &[revision])
    }

    fn plan(&mut self, sizes: &Sizes) -> Result<Option<Plan>> {
        let rows = self.rows()?;
        let mut count =
            self.0.prepare_cached("SELECT count(*) FROM displaced WHERE image_id BETWEEN ?1 AND ?2")?;
        let displaced = rows
            .iter()
            .map(|row| count.query_row([row.first_image, row.last_image], |row| row.get(0)))
            .collect::<Result<Vec<i64>, _>>()?;
        let newest = self
            .0
            .prepare_cached("SELECT coalesce(max(image_id), 0) FROM image")?
            .query_row([], |row| row.get(0))?;
        Ok(plan(&rows, &displaced, newest, sizes))
    }
}

fn blob<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8]> {
    row.get_ref(column)?.as_blob().map_err(|error| Error::Corrupt(error.to_string()))
}

/// Members from columns image, node and release.
fn read_members(statement: &mut Statement<'_>, values: &[i64]) -> Result<Vec<Member>> {
    let mut releases: BTreeMap<String, Arc<str>> = BTreeMap::new();
    let mut members = Vec::new();
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        let release = row.get_ref(2)?.as_str().map_err(|error| Error::Corrupt(error.to_string()))?;
        let release = match releases.get(release) {
            Some(known) => Arc::clone(known),
            None => {
                let new: Arc<str> = Arc::from(release);
                releases.insert(release.to_owned(), Arc::clone(&new));
                new
            }
        };
        members.push(Member { image: row.get(0)?, node: row.get(1)?, release });
    }
    Ok(members)
}

/// Whether a segment is to be built. A store that may only be read is left as it is.
pub(super) fn is_due(store: &SqliteStore) -> Result<bool> {
    Ok(!store.place.is_read_only() && store.reading(|reader| Snapshot(reader).plan(&store.sizes))?.is_some())
}

/// Builds the segment that is due, if any; whether it was.
pub(super) fn tend(store: &SqliteStore) -> Result<bool> {
    if !is_due(store)? {
        return Ok(false);
    }
    // A connection of its own: others go on while the segment is built.
    let mut connection = store.place.connect()?;
    let Some(built) = Built::due(&mut connection, &store.sizes)? else { return Ok(false) };
    built.keep(&mut connection)?;
    Ok(true)
}

/// A segment that is not stored yet.
pub(super) struct Built {
    plan: Plan,
    members: Vec<Member>,
    segment: Segment,
}

impl Built {
    /// What is due, from one snapshot.
    pub(super) fn due(connection: &mut Connection, sizes: &Sizes) -> Result<Option<Self>> {
        let transaction = connection.transaction()?;
        let mut snapshot = Snapshot(&transaction);
        let Some(plan) = snapshot.plan(sizes)? else { return Ok(None) };
        let mut members = snapshot.members(plan.first_image, plan.last_image)?;
        let segment = build(&mut members, &mut snapshot, None)?;
        transaction.commit()?;
        Ok(Some(Self { plan, members, segment }))
    }

    /// Stores it, unless what it replaces is no longer as it was.
    pub(super) fn keep(self, connection: &mut Connection) -> Result<()> {
        let (head, pieces) = (self.segment.head().encode()?, self.segment.pieces());
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if is_still_due(&transaction, &self.plan)? {
            put(&transaction, &self.plan, &self.segment, &head, &pieces)?;
            settle(&transaction, &self.plan, &self.members)?;
            transaction.commit()?;
        }
        Ok(())
    }
}

/// Whether what the plan replaces is still there, and nothing stands in its place.
fn is_still_due(connection: &Connection, plan: &Plan) -> Result<bool> {
    let mut exists = connection.prepare_cached("SELECT 1 FROM segment WHERE segment_id = ?1")?;
    for segment in &plan.replaces {
        if !exists.exists([segment])? {
            return Ok(false);
        }
    }
    let sealed: i64 =
        connection.query_row("SELECT coalesce(max(last_image), 0) FROM segment", [], |row| row.get(0))?;
    Ok(!plan.replaces.is_empty() || sealed + 1 == plan.first_image)
}

fn put(
    connection: &Connection,
    plan: &Plan,
    segment: &Segment,
    head: &[u8],
    pieces: &[(Piece, i64, Vec<u8>)],
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO segment (first_image, last_image, images, body) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![plan.first_image, plan.last_image, segment.images.len(), head])?;
    let id = connection.last_insert_rowid();
    let mut insert = connection
        .prepare_cached("INSERT INTO segment_part (segment_id, kind, first, body) VALUES (?1, ?2, ?3, ?4)")?;
    for (kind, first, body) in pieces {
        insert.execute(params![id, *kind as i64, first, body])?;
    }
    for replaced in &plan.replaces {
        connection.prepare_cached("DELETE FROM segment WHERE segment_id = ?1")?.execute([replaced])?;
        connection.prepare_cached("DELETE FROM segment_part WHERE segment_id = ?1")?.execute([replaced])?;
    }
    Ok(())
}

/// Removes the marks of images that are in the segment as they are now, or are gone and not in it.
fn settle(connection: &Connection, plan: &Plan, members: &[Member]) -> Result<()> {
    let marked: HashSet<i64> = connection
        .prepare_cached("SELECT image_id FROM displaced WHERE image_id BETWEEN ?1 AND ?2")?
        .query_map([plan.first_image, plan.last_image], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let built = members.iter().filter(|member| marked.contains(&member.image));
    let mut built: HashMap<i64, (i64, String)> =
        built.map(|member| (member.image, (member.node, member.release.to_string()))).collect();
    let mut now = connection.prepare_cached("SELECT node_id, release FROM image WHERE image_id = ?1")?;
    let mut remove = connection.prepare_cached("DELETE FROM displaced WHERE image_id = ?1")?;
    for image in marked {
        let now = now.query_row([image], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        if now == built.remove(&image) {
            remove.execute([image])?;
        }
    }
    Ok(())
}
