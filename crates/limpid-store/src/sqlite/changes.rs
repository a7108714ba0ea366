//! What changed between two revisions: read from the revisions that rows carry, without comparing documents.

use limpid_model::AdvisoryDetails;
use rusqlite::{Connection, OptionalExtension, params};

use super::advisories::affected_by;
use super::{integer, texts};
use crate::statement::pairs;
use crate::store::{AdvisoryChange, ChangeSink, FeedKey};
use crate::{Result, codec};

/// Advisories that a row began or ended for, in the order in which they are told.
const TOUCHED: &str = "
    WITH touched (feed_id, id_text) AS (
        SELECT feed_id, id_text FROM affected WHERE from_revision > ?1 AND from_revision <= ?2
        UNION SELECT feed_id, id_text FROM affected WHERE to_revision > ?1 AND to_revision <= ?2
        UNION SELECT feed_id, id_text FROM advisory WHERE from_revision > ?1 AND from_revision <= ?2
        UNION SELECT feed_id, id_text FROM advisory WHERE to_revision > ?1 AND to_revision <= ?2)
    SELECT t.feed_id, t.id_text, f.feed, f.document FROM touched t JOIN feed f USING (feed_id)
    JOIN text i ON i.text_id = t.id_text ORDER BY f.feed, f.document, i.value";

pub(super) fn changes(
    connection: &mut Connection,
    after: u64,
    until: u64,
    sink: &mut ChangeSink<'_>,
) -> Result<()> {
    // One snapshot for all statements.
    let transaction = connection.transaction()?;
    let mut statement = transaction.prepare(TOUCHED)?;
    let mut rows = statement.query(params![integer(after), integer(until)])?;
    while let Some(row) = rows.next()? {
        let (feed_id, id_text): (i64, i64) = (row.get(0)?, row.get(1)?);
        let before = details_at(&transaction, feed_id, id_text, after)?;
        let now = details_at(&transaction, feed_id, id_text, until)?;
        let change = AdvisoryChange {
            key: FeedKey { feed: row.get(2)?, document: row.get(3)? },
            advisory: texts::value(&transaction, id_text)?,
            details: (before != now).then_some((before, now)),
            affected: pairs(
                affected_by(&transaction, feed_id, id_text, after)?,
                affected_by(&transaction, feed_id, id_text, until)?,
            ),
        };
        // What came and went in between is no change.
        if change.details.is_some() || !change.affected.is_empty() {
            sink(change)?;
        }
    }
    Ok(())
}

fn details_at(
    connection: &Connection,
    feed_id: i64,
    id_text: i64,
    at: u64,
) -> Result<Option<AdvisoryDetails>> {
    let body: Option<Vec<u8>> = connection
        .prepare_cached(
            "SELECT body FROM advisory WHERE id_text = ?1 AND feed_id = ?2 AND from_revision <= ?3
             AND (to_revision IS NULL OR to_revision > ?3)",
        )?
        .query_row(params![id_text, feed_id, integer(at)], |row| row.get(0))
        .optional()?;
    body.map(|body| codec::decode(&body, "an advisory's details")).transpose()
}
