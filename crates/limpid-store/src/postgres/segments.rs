//! Segments of the index over occurrences, as rows: what `segment*.rs` asks for, and building them.
//!
//! A segment is built from one snapshot, which keeps no writer waiting, and stored in one short transaction that finds
//! what it replaces as it was. Whoever is killed in between leaves nothing; of two who build the same the second is late and
//! drops its work. What happened to images meanwhile is in `displaced`: a mark is removed only if the image's node and release
//! are those that were built in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::connection::{Connection, Parameters, column, text};
use super::pool::Pool;
use crate::diff::StoredDiff;
use crate::segment::{Member, Piece, Segment};
use crate::segment_build::{NodeChange, Tree, build};
use crate::segment_plan::{Plan, Sizes, plan};
use crate::segment_query::{PieceSink, SegmentRow, Segments};
use crate::{Error, Result};

/// The key of the lock under which segments are exchanged: "Lmpd" and "segm".
const LOCK: i64 = 0x4c6d_7064_7365_676d;

/// Reads in one transaction.
pub(super) struct Snapshot<'a>(pub(super) &'a mut Connection);

impl Tree for Snapshot<'_> {
    fn parents(&mut self, nodes: &[i64], tell: &mut dyn FnMut(i64, i64)) -> Result<()> {
        let sql = "SELECT node_id, coalesce(parent_id, 0) FROM node WHERE node_id = ANY($1)";
        self.0.each(sql, &[&nodes], &mut |row| {
            tell(column(row, 0)?, column(row, 1)?);
            Ok(())
        })
    }

    fn changes(&mut self, nodes: &[i64], tell: &mut dyn FnMut(i64, NodeChange)) -> Result<()> {
        self.0.each("SELECT node_id, diff FROM node WHERE node_id = ANY($1)", &[&nodes], &mut |row| {
            let diff = StoredDiff::decode(&column::<Vec<u8>>(row, 1)?)?;
            let mut change = NodeChange::default();
            for (occurrence, brings) in diff.changes() {
                if brings == 1 { &mut change.brings } else { &mut change.takes }.push(occurrence);
            }
            tell(column(row, 0)?, change);
            Ok(())
        })
    }
}

impl Segments for Snapshot<'_> {
    fn rows(&mut self) -> Result<Vec<SegmentRow>> {
        let rows = self.0.query(
            "SELECT segment_id, first_image, last_image, images, body FROM segment ORDER BY first_image",
            &[],
        )?;
        let read = |row: &postgres::Row| {
            Ok(SegmentRow {
                id: column(row, 0)?,
                first_image: column(row, 1)?,
                last_image: column(row, 2)?,
                images: u32::try_from(column::<i64>(row, 3)?)
                    .map_err(|_| Error::Corrupt("a segment's size is out of range".to_owned()))?,
                body: column(row, 4)?,
            })
        };
        rows.iter().map(read).collect()
    }

    fn displaced(&mut self) -> Result<Vec<i64>> {
        self.0.values("SELECT image_id FROM displaced ORDER BY image_id", &[])
    }

    fn tail(&mut self, after: i64) -> Result<Vec<Member>> {
        self.read_members(
            "SELECT image_id, node_id, release FROM image WHERE image_id > $1
             UNION ALL SELECT i.image_id, i.node_id, i.release FROM displaced d JOIN image i ON i.image_id = d.image_id
                WHERE i.image_id <= $1",
            &[&after],
        )
    }

    fn image_pieces(&mut self, segment: i64, firsts: Option<&[u32]>, tell: &mut PieceSink<'_>) -> Result<()> {
        let Some(firsts) = firsts else { return self.all_pieces(segment, Piece::Images, tell) };
        let firsts: Vec<i64> = firsts.iter().map(|first| i64::from(*first)).collect();
        self.pieces(
            "SELECT first, body FROM segment_part WHERE segment_id = $1 AND kind = $2 AND first = ANY($3)
             ORDER BY first",
            &[&segment, &(Piece::Images as i64), &firsts],
            tell,
        )
    }

    fn posting_pieces(
        &mut self,
        segment: i64,
        occurrences: Option<&[i64]>,
        tell: &mut PieceSink<'_>,
    ) -> Result<()> {
        let Some(occurrences) = occurrences else { return self.all_pieces(segment, Piece::Postings, tell) };
        self.pieces(
            "SELECT first, body FROM segment_part WHERE segment_id = $1 AND kind = $2 AND first IN (
                SELECT (SELECT max(p.first) FROM segment_part p WHERE p.segment_id = $1 AND p.kind = $2
                    AND p.first <= w.occurrence) FROM unnest($3::bigint[]) AS w (occurrence))
             ORDER BY first",
            &[&segment, &(Piece::Postings as i64), &occurrences],
            tell,
        )
    }
}

impl Snapshot<'_> {
    fn pieces(&mut self, sql: &str, parameters: Parameters<'_>, tell: &mut PieceSink<'_>) -> Result<()> {
        self.0.each(sql, parameters, &mut |row| tell(column(row, 0)?, &column::<Vec<u8>>(row, 1)?))
    }

    fn all_pieces(&mut self, segment: i64, kind: Piece, tell: &mut PieceSink<'_>) -> Result<()> {
        self.pieces(
            "SELECT first, body FROM segment_part WHERE segment_id = $1 AND kind = $2 ORDER BY first",
            &[&segment, &(kind as i64)],
            tell,
        )
    }

    /// The images from one id to another.
    pub(super) fn members(&mut self, first: i64, last: i64) -> Result<Vec<Member>> {
        self.read_members(
            "SELECT image_id, node_id, release FROM image WHERE image_id BETWEEN $1 AND $2",
            &[&first, &last],
        )
    }

    /// The images that had another node up to a revision or a later one, with what they had at that revision.
    pub(super) fn former_members(&mut self, revision: i64) -> Result<Vec<Member>> {
        self.read_members(
            "SELECT DISTINCT ON (image_id) image_id, node_id, ''::bytea FROM image_former WHERE until_revision >= $1
             ORDER BY image_id, until_revision",
            &[&revision],
        )
    }

    /// Members from columns image, node and release.
    fn read_members(&mut self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Member>> {
        let mut releases: BTreeMap<String, Arc<str>> = BTreeMap::new();
        let mut members = Vec::new();
        self.0.each(sql, parameters, &mut |row| {
            let release = text(row, 2)?;
            let release =
                Arc::clone(releases.entry(release).or_insert_with_key(|release| Arc::from(release.as_str())));
            members.push(Member { image: column(row, 0)?, node: column(row, 1)?, release });
            Ok(())
        })?;
        Ok(members)
    }

    fn plan(&mut self, sizes: &Sizes) -> Result<Option<Plan>> {
        let rows = self.rows()?;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let displaced = self.0.values(
            "SELECT (SELECT count(*) FROM displaced d WHERE d.image_id BETWEEN s.first_image AND s.last_image)
             FROM unnest($1::bigint[]) WITH ORDINALITY AS w (segment_id, n)
             JOIN segment s ON s.segment_id = w.segment_id ORDER BY w.n",
            &[&ids],
        )?;
        let newest = self.0.value("SELECT coalesce(max(image_id), 0) FROM image", &[])?;
        Ok(plan(&rows, &displaced, newest, sizes))
    }
}

/// Whether a segment is to be built.
pub(super) fn is_due(pool: &Pool, sizes: &Sizes) -> Result<bool> {
    pool.snapshot(|connection| Ok(Snapshot(connection).plan(sizes)?.is_some()))
}

/// Builds the segment that is due, if any; whether it was.
pub(super) fn tend(pool: &Pool, sizes: &Sizes) -> Result<bool> {
    let built = pool.snapshot(|connection| {
        let mut snapshot = Snapshot(connection);
        let Some(plan) = snapshot.plan(sizes)? else { return Ok(None) };
        let mut members = snapshot.members(plan.first_image, plan.last_image)?;
        let segment = build(&mut members, &mut snapshot, None)?;
        Ok(Some((plan, members, segment)))
    })?;
    let Some((plan, members, segment)) = built else { return Ok(false) };
    let (head, pieces) = (segment.head().encode()?, segment.pieces());
    let kept = pool.derive(|connection| {
        connection.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])?;
        // Unless what it replaces is no longer as it was.
        if is_still_due(connection, &plan)? {
            put(connection, &plan, &segment, &head, &pieces)?;
            settle(connection, &plan, &members)?;
        }
        Ok(())
    });
    match kept {
        // A store that may only be read is left as it is.
        Err(Error::ReadOnly) => Ok(false),
        kept => kept.map(|()| true),
    }
}

/// Whether what the plan replaces is still there, and nothing stands in its place.
fn is_still_due(connection: &mut Connection, plan: &Plan) -> Result<bool> {
    let there: i64 =
        connection.value("SELECT count(*) FROM segment WHERE segment_id = ANY($1)", &[&plan.replaces])?;
    if usize::try_from(there).is_ok_and(|there| there != plan.replaces.len()) {
        return Ok(false);
    }
    let sealed: i64 = connection.value("SELECT coalesce(max(last_image), 0) FROM segment", &[])?;
    Ok(!plan.replaces.is_empty() || sealed + 1 == plan.first_image)
}

fn put(
    connection: &mut Connection,
    plan: &Plan,
    segment: &Segment,
    head: &[u8],
    pieces: &[(Piece, i64, Vec<u8>)],
) -> Result<()> {
    use postgres::types::Type;
    let images = i64::try_from(segment.images.len()).unwrap_or(i64::MAX);
    let id: i64 = connection.value(
        "INSERT INTO segment (first_image, last_image, images, body) VALUES ($1, $2, $3, $4) RETURNING segment_id",
        &[&plan.first_image, &plan.last_image, &images, &head],
    )?;
    connection.copy(
        "COPY segment_part (segment_id, kind, first, body) FROM STDIN BINARY",
        &[Type::INT8, Type::INT8, Type::INT8, Type::BYTEA],
        &mut |copy| {
            let mut pieces = pieces.iter();
            pieces.try_for_each(|(kind, first, body)| copy.write(&[&id, &(*kind as i64), first, body]))
        },
    )?;
    for table in ["segment", "segment_part"] {
        connection.execute(&format!("DELETE FROM {table} WHERE segment_id = ANY($1)"), &[&plan.replaces])?;
    }
    Ok(())
}

/// Removes the marks of images that are in the segment as they are now, or are gone and not in it.
fn settle(connection: &mut Connection, plan: &Plan, members: &[Member]) -> Result<()> {
    let marked: HashSet<i64> = connection
        .values(
            "SELECT image_id FROM displaced WHERE image_id BETWEEN $1 AND $2 ORDER BY image_id FOR UPDATE",
            &[&plan.first_image, &plan.last_image],
        )?
        .into_iter()
        .collect();
    let ids: Vec<i64> = marked.iter().copied().collect();
    let built = members.iter().filter(|member| marked.contains(&member.image));
    let mut built: HashMap<i64, (i64, String)> =
        built.map(|member| (member.image, (member.node, member.release.to_string()))).collect();
    // Nobody changes them until the marks are gone.
    let rows = connection.query(
        "SELECT image_id, node_id, release FROM image WHERE image_id = ANY($1) ORDER BY image_id FOR SHARE",
        &[&ids],
    )?;
    let mut now: HashMap<i64, (i64, String)> = HashMap::new();
    for row in &rows {
        now.insert(column(row, 0)?, (column(row, 1)?, text(row, 2)?));
    }
    let settled: Vec<i64> =
        marked.into_iter().filter(|image| now.remove(image) == built.remove(image)).collect();
    connection.execute("DELETE FROM displaced WHERE image_id = ANY($1)", &[&settled])?;
    Ok(())
}
