//! What advisories say, now or at an earlier revision.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Advisory, Affected};
use rusqlite::{Connection, params};

use super::{count, feeds, integer, texts};
use crate::statement::{AffectedBody, severity};
use crate::store::{AdvisoryRecord, FeedKey, Knowledge, StoredAffected};
use crate::{Error, Result, codec};

pub(super) fn affected(
    connection: &Connection,
    release: &str,
    names: &[&str],
    at: u64,
) -> Result<Vec<StoredAffected>> {
    let Some(release_text) = texts::find(connection, release)? else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(
        "SELECT f.feed, i.value, v.value, a.body, d.severity, d.severity_word FROM text n
         JOIN affected a ON a.package_text = n.text_id AND a.release_text = ?2
            AND a.from_revision <= ?3 AND (a.to_revision IS NULL OR a.to_revision > ?3)
         JOIN text i ON i.text_id = a.id_text JOIN feed f USING (feed_id)
         JOIN advisory d ON d.id_text = a.id_text AND d.feed_id = a.feed_id
            AND d.from_revision <= ?3 AND (d.to_revision IS NULL OR d.to_revision > ?3)
         JOIN text v ON v.text_id = d.vulnerability_text
         WHERE n.value = ?1 AND d.withdrawn = 0 ORDER BY i.value, f.feed, a.affected_id",
    )?;
    let mut found = Vec::new();
    for name in names {
        let mut rows = statement.query(params![name, release_text, integer(at)])?;
        while let Some(row) = rows.next()? {
            let body: AffectedBody = codec::decode(&row.get::<_, Vec<u8>>(3)?, "an affected range")?;
            found.push(StoredAffected {
                feed: row.get(0)?,
                advisory: row.get(1)?,
                vulnerability: row.get(2)?,
                severity: severity(row.get(4)?),
                severity_word: row.get(5)?,
                affected: body.into_affected((*name).to_owned(), release.to_owned()),
            });
        }
    }
    Ok(found)
}

pub(super) fn advisories(connection: &Connection, id: &str, at: u64) -> Result<Vec<AdvisoryRecord>> {
    let Some(text) = texts::find(connection, id)? else { return Ok(Vec::new()) };
    let mut aliases = connection.prepare_cached("SELECT id_text FROM alias WHERE alias_text = ?1")?;
    let mut ids: BTreeSet<i64> = aliases.query_map([text], |row| row.get(0))?.collect::<Result<_, _>>()?;
    ids.insert(text);
    let mut statement = connection.prepare_cached(
        "SELECT f.feed, f.document, d.body, d.from_revision, f.feed_id FROM advisory d JOIN feed f USING (feed_id)
         WHERE d.id_text = ?1 AND d.from_revision <= ?2 AND (d.to_revision IS NULL OR d.to_revision > ?2)
         ORDER BY f.feed, f.document",
    )?;
    let mut found = Vec::new();
    // In the order of their names: every engine numbers them in its own.
    let named: BTreeMap<String, i64> =
        ids.into_iter().map(|id| Ok((texts::value(connection, id)?, id))).collect::<Result<_>>()?;
    for (id, id_text) in named {
        let mut rows = statement.query(params![id_text, integer(at)])?;
        while let Some(row) = rows.next()? {
            found.push(AdvisoryRecord {
                key: FeedKey { feed: row.get(0)?, document: row.get(1)? },
                since_revision: count(row.get(3)?),
                advisory: Advisory {
                    id: id.clone(),
                    details: codec::decode(&row.get::<_, Vec<u8>>(2)?, "an advisory's details")?,
                    affected: affected_by(connection, row.get(4)?, id_text, at)?,
                },
            });
        }
    }
    Ok(found)
}

pub(super) fn affected_by(
    connection: &Connection,
    feed_id: i64,
    id_text: i64,
    at: u64,
) -> Result<Vec<Affected>> {
    let mut statement = connection.prepare_cached(
        "SELECT p.value, r.value, a.body FROM affected a
         JOIN text p ON p.text_id = a.package_text JOIN text r ON r.text_id = a.release_text
         WHERE a.id_text = ?2 AND a.feed_id = ?1 AND a.from_revision <= ?3
            AND (a.to_revision IS NULL OR a.to_revision > ?3) ORDER BY p.value, r.value, a.body",
    )?;
    let mut rows = statement.query(params![feed_id, id_text, integer(at)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let body: AffectedBody = codec::decode(&row.get::<_, Vec<u8>>(2)?, "an affected range")?;
        found.push(body.into_affected(row.get(0)?, row.get(1)?));
    }
    Ok(found)
}

pub(super) fn knowledge(
    connection: &Connection,
    vulnerabilities: &[&str],
    at: u64,
) -> Result<BTreeMap<String, Vec<Knowledge>>> {
    // A report asks of hundreds: names of feeds are read once, ids only where they are not the vulnerability's, and the few
    // rows of each are sorted here.
    let feeds = feeds::names(connection)?;
    let mut statement = connection.prepare_cached(
        "SELECT feed_id, id_text, body FROM advisory WHERE vulnerability_text = ?1 AND withdrawn = 0
            AND from_revision <= ?2 AND (to_revision IS NULL OR to_revision > ?2)",
    )?;
    let mut found: BTreeMap<String, Vec<Knowledge>> = BTreeMap::new();
    for vulnerability in vulnerabilities {
        let Some(text) = texts::find(connection, vulnerability)? else { continue };
        let mut said: Vec<(Knowledge, &str)> = Vec::new();
        let mut rows = statement.query(params![text, integer(at)])?;
        while let Some(row) = rows.next()? {
            let key =
                feeds.get(&row.get(0)?).ok_or_else(|| Error::Corrupt("a feed is missing".to_owned()))?;
            let id: i64 = row.get(1)?;
            let advisory =
                if id == text { (*vulnerability).to_owned() } else { texts::value(connection, id)? };
            let body = row.get_ref(2)?.as_blob().map_err(|error| Error::Corrupt(error.to_string()))?;
            let details = codec::decode(body, "an advisory's details")?;
            said.push((Knowledge { feed: key.feed.clone(), advisory, details }, &key.document));
        }
        if !said.is_empty() {
            said.sort_by(|(a, a_document), (b, b_document)| {
                (&a.feed, &a.advisory, a_document).cmp(&(&b.feed, &b.advisory, b_document))
            });
            found.insert((*vulnerability).to_owned(), said.into_iter().map(|(said, _)| said).collect());
        }
    }
    Ok(found)
}
