//! What changed between two revisions: read from the revisions that rows carry, without comparing documents.
//!
//! What was said at a revision never changes, so it is read a few advisories at a time, and what broke with a connection
//! is read again without telling anything twice.

use std::collections::BTreeMap;

use limpid_model::AdvisoryDetails;

use super::advisories::affected_by;
use super::connection::{Connection, column, text};
use super::feeds;
use super::pool::Pool;
use crate::column::integer;
use crate::statement::pairs;
use crate::store::{AdvisoryChange, ChangeSink, FeedKey};
use crate::{Result, codec};

/// Advisories that are read at a time.
const ADVISORIES_MAX: usize = 200;

/// Advisories that a row began or ended for, in the order in which they are told.
const TOUCHED: &str = "
    WITH touched (feed_id, id_text) AS (
        SELECT feed_id, id_text FROM affected WHERE from_revision > $1 AND from_revision <= $2
        UNION SELECT feed_id, id_text FROM affected WHERE to_revision > $1 AND to_revision <= $2
        UNION SELECT feed_id, id_text FROM advisory WHERE from_revision > $1 AND from_revision <= $2
        UNION SELECT feed_id, id_text FROM advisory WHERE to_revision > $1 AND to_revision <= $2)
    SELECT t.feed_id, t.id_text FROM touched t JOIN feed f ON f.feed_id = t.feed_id
    JOIN text i ON i.text_id = t.id_text ORDER BY f.feed, f.document, i.value";

pub(super) fn changes(pool: &Pool, after: u64, until: u64, sink: &mut ChangeSink<'_>) -> Result<()> {
    let (touched, until) = pool.snapshot(|connection| {
        // Later revisions may come while this one is told.
        let until = until.min(feeds::revision(connection)?);
        let mut touched: Vec<(i64, i64)> = Vec::new();
        connection.each(TOUCHED, &[&integer(after), &integer(until)], &mut |row| {
            touched.push((column(row, 0)?, column(row, 1)?));
            Ok(())
        })?;
        Ok((touched, until))
    })?;
    for about in touched.chunks(ADVISORIES_MAX) {
        let changes = pool.snapshot(|connection| changes_of(connection, about, after, until))?;
        for change in changes {
            // What came and went in between is no change.
            if change.details.is_some() || !change.affected.is_empty() {
                sink(change)?;
            }
        }
    }
    Ok(())
}

fn changes_of(
    connection: &mut Connection,
    about: &[(i64, i64)],
    after: u64,
    until: u64,
) -> Result<Vec<AdvisoryChange>> {
    let feeds: Vec<i64> = about.iter().map(|(feed, _)| *feed).collect();
    let ids: Vec<i64> = about.iter().map(|(_, id)| *id).collect();
    let mut names = BTreeMap::new();
    let named = connection.query(
        "SELECT f.feed_id, i.text_id, f.feed, f.document, i.value
         FROM unnest($1::bigint[], $2::bigint[]) AS w (feed_id, id_text)
         JOIN feed f ON f.feed_id = w.feed_id JOIN text i ON i.text_id = w.id_text",
        &[&feeds, &ids],
    )?;
    for row in &named {
        let key = FeedKey { feed: text(row, 2)?, document: text(row, 3)? };
        names.insert((column(row, 0)?, column(row, 1)?), (key, text(row, 4)?));
    }
    let (mut details_before, mut details_now) =
        (details_at(connection, &feeds, &ids, after)?, details_at(connection, &feeds, &ids, until)?);
    let (mut said_before, mut said_now) =
        (affected_by(connection, about, after)?, affected_by(connection, about, until)?);
    let mut changes = Vec::with_capacity(about.len());
    for of in about {
        let Some((key, advisory)) = names.remove(of) else { continue };
        let (before, now) = (details_before.remove(of), details_now.remove(of));
        changes.push(AdvisoryChange {
            key,
            advisory,
            details: (before != now).then_some((before, now)),
            affected: pairs(
                said_before.remove(of).unwrap_or_default(),
                said_now.remove(of).unwrap_or_default(),
            ),
        });
    }
    Ok(changes)
}

fn details_at(
    connection: &mut Connection,
    feeds: &[i64],
    ids: &[i64],
    at: u64,
) -> Result<BTreeMap<(i64, i64), AdvisoryDetails>> {
    let rows = connection.query(
        "SELECT d.feed_id, d.id_text, d.body FROM unnest($1::bigint[], $2::bigint[]) AS w (feed_id, id_text)
         JOIN advisory d ON d.id_text = w.id_text AND d.feed_id = w.feed_id
         WHERE d.from_revision <= $3 AND (d.to_revision IS NULL OR d.to_revision > $3)",
        &[&feeds, &ids, &integer(at)],
    )?;
    rows.iter()
        .map(|row| {
            let details = codec::decode(&column::<Vec<u8>>(row, 2)?, "an advisory's details")?;
            Ok(((column(row, 0)?, column(row, 1)?), details))
        })
        .collect()
}
