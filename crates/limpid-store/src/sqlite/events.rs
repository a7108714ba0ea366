//! Events: a row each, in the order of commits.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::{SqliteStore, count, digest, feeds, fleet, integer, repositories, said, verdicts};
use crate::diff::StoredDiff;
use crate::events::{
    Event, EventId, EventKind, EventSubject, Events, Processed, Revision, Step, StoredChange, Touched,
    VulnerabilityChange,
};
use crate::store::{ImageId, OccurrenceId};
use crate::{Error, ImageSet, Result, codec};
use limpid_model::Verdict;

impl Events for SqliteStore {
    fn processed(&self) -> Result<Processed> {
        self.reading(processed)
    }

    fn put_events(
        &self,
        from: &Processed,
        to: &Processed,
        events: &[VulnerabilityChange],
        now: i64,
    ) -> Result<bool> {
        put_events(&mut self.connection(), from, to, events, now)
    }

    fn revisions(&self, after: u64, until: u64) -> Result<Vec<Revision>> {
        self.reading(|connection| said::revisions(connection, after, until))
    }

    fn touched(&self, after: u64, until: u64) -> Result<Vec<Touched>> {
        self.reading(|connection| said::touched(connection, after, until))
    }

    fn named(
        &self,
        vulnerabilities: &[&str],
        before: u64,
        after: u64,
    ) -> Result<Vec<BTreeSet<(String, String)>>> {
        self.reading(|connection| said::named(connection, vulnerabilities, before, after))
    }

    fn sources_named(&self, names: &[&str]) -> Result<Vec<BTreeSet<String>>> {
        self.reading(|connection| said::sources_named(connection, names))
    }

    fn repositories_changed(&self, after: u64, until: u64) -> Result<BTreeSet<String>> {
        self.reading(|connection| repositories::changed(connection, after, until))
    }

    fn former_verdicts(
        &self,
        occurrences: &[OccurrenceId],
        rules_version: u32,
    ) -> Result<BTreeMap<OccurrenceId, Vec<Verdict>>> {
        self.reading(|connection| verdicts::former(connection, occurrences, rules_version))
    }

    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>> {
        self.reading(|connection| {
            let seed = seed(connection)?;
            let mut statement =
                connection.prepare_cached(&format!("{EVENTS} WHERE number > ?1 ORDER BY number LIMIT ?2"))?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![integer(after), limit])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(read_event(row, &seed)?);
            }
            Ok(events)
        })
    }

    fn event(&self, id: EventId) -> Result<Option<Event>> {
        self.reading(|connection| event(connection, id))
    }

    fn last_image(&self) -> Result<ImageId> {
        self.reading(|connection| {
            let mut statement = connection.prepare_cached("SELECT coalesce(max(image_id), 0) FROM image")?;
            Ok(ImageId(statement.query_row([], |row| row.get(0))?))
        })
    }

    fn last_event(&self) -> Result<u64> {
        self.reading(last_event)
    }

    fn event_images(&self, event: &Event) -> Result<ImageSet> {
        self.reading(|connection| event_images(connection, event))
    }

    fn event_packages(&self, event: &Event, images: &[ImageId]) -> Result<Vec<Vec<OccurrenceId>>> {
        self.reading(|connection| event_packages(connection, event, images))
    }

    fn drop_events(&self, before: i64, limit: usize) -> Result<u64> {
        drop_events(&mut self.connection(), before, limit)
    }
}

/// Whether the body of an event can be read.
pub(super) fn is_readable(body: &[u8]) -> bool {
    codec::unpack::<StoredChange>(body, "an event").is_ok()
}

/// Notes that an image was assessed, in the transaction that stores it.
pub(super) fn assessed(connection: &Connection, image: ImageId, now: i64) -> Result<()> {
    let revision = integer(feeds::revision(connection)?);
    connection
        .prepare_cached("INSERT INTO event (kind, created_at, revision, image_id) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![EventKind::ImageAssessed as i64, now, revision, image.0])?;
    Ok(())
}

fn processed(connection: &Connection) -> Result<Processed> {
    type State = (i64, u32, Option<i64>, Option<String>);
    let (revision, rules_version, step_revision, step_after): State = connection
        .prepare_cached("SELECT revision, rules_version, step_revision, step_after FROM event_state")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let step =
        step_revision.zip(step_after).map(|(revision, after)| Step { revision: count(revision), after });
    Ok(Processed { revision: count(revision), rules_version, step })
}

fn seed(connection: &Connection) -> Result<Vec<u8>> {
    Ok(connection.prepare_cached("SELECT seed FROM event_state")?.query_row([], |row| row.get(0))?)
}

fn put_events(
    connection: &mut Connection,
    from: &Processed,
    to: &Processed,
    events: &[VulnerabilityChange],
    now: i64,
) -> Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if processed(&transaction)? != *from {
        return Ok(false);
    }
    let seed = seed(&transaction)?;
    let part = from.step.as_ref().map_or("", |step| &step.after);
    let mut insert = transaction.prepare_cached(
        "INSERT INTO event (kind, created_at, revision, event_id, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for event in events {
        let id = EventId::of_change(&seed, event, to.rules_version, part);
        let body = codec::pack(&StoredChange::of(event))?;
        insert.execute(params![event.kind as i64, now, integer(event.revision), id.as_bytes(), body])?;
    }
    drop(insert);
    let step = to.step.as_ref();
    transaction
        .prepare_cached(
            "UPDATE event_state SET revision = ?1, rules_version = ?2, step_revision = ?3, step_after = ?4",
        )?
        .execute(params![
            integer(to.revision),
            to.rules_version,
            step.map(|step| integer(step.revision)),
            step.map(|step| &step.after),
        ])?;
    if step.is_none() && from.rules_version != to.rules_version {
        transaction.execute("DELETE FROM former_verdict", [])?;
    }
    transaction.commit()?;
    Ok(true)
}

const EVENTS: &str = "SELECT number, kind, created_at, revision, image_id, event_id, body,
    (SELECT manifest_digest FROM image i WHERE i.image_id = event.image_id) FROM event";

fn read_event(row: &Row<'_>, seed: &[u8]) -> Result<Event> {
    let number = count(row.get(0)?);
    let kind: i64 = row.get(1)?;
    let corrupt = || Error::Corrupt(format!("event {number} is of an unknown form"));
    let kind = *usize::try_from(kind).ok().and_then(|kind| EventKind::ALL.get(kind)).ok_or_else(corrupt)?;
    let created_at = row.get(2)?;
    let revision = count(row.get(3)?);
    let (id, subject) = match row.get::<_, Option<i64>>(4)? {
        Some(image) => {
            let manifest: Option<Vec<u8>> = row.get(7)?;
            let manifest_digest = manifest.as_deref().map(digest).transpose()?;
            (EventId::numbered(seed, number), EventSubject::Image { image: ImageId(image), manifest_digest })
        }
        None => {
            let id: Vec<u8> = row.get(5)?;
            let body: StoredChange = codec::unpack(&row.get::<_, Vec<u8>>(6)?, "an event")?;
            let id = EventId::from_bytes(&id).ok_or_else(corrupt)?;
            (id, EventSubject::Vulnerability(body.into_change(kind, revision)))
        }
    };
    Ok(Event { number, id, kind, created_at, revision, subject })
}

fn event(connection: &Connection, id: EventId) -> Result<Option<Event>> {
    let seed = seed(connection)?;
    let number: Option<i64> = connection
        .prepare_cached("SELECT number FROM event WHERE event_id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?;
    let Some(number) = number.or_else(|| id.number(&seed).map(integer)) else { return Ok(None) };
    let mut statement = connection.prepare_cached(&format!("{EVENTS} WHERE number = ?1"))?;
    let mut rows = statement.query([number])?;
    let found = rows.next()?.map(|row| read_event(row, &seed)).transpose()?;
    Ok(found.filter(|event| event.id == id))
}

pub(super) fn last_event(connection: &Connection) -> Result<u64> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'event'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(count(last.unwrap_or_default()))
}

fn event_images(connection: &Connection, event: &Event) -> Result<ImageSet> {
    let change = match &event.subject {
        EventSubject::Image { manifest_digest: None, .. } => return Ok(ImageSet::default()),
        EventSubject::Image { image, .. } => return Ok(std::iter::once(*image).collect()),
        EventSubject::Vulnerability(change) => change,
    };
    let occurrences = change.occurrences();
    let images = fleet::holding_at(connection, &occurrences, event.revision)?;
    Ok(images.up_to(change.last_image))
}

fn event_packages(
    connection: &Connection,
    event: &Event,
    images: &[ImageId],
) -> Result<Vec<Vec<OccurrenceId>>> {
    let EventSubject::Vulnerability(change) = &event.subject else {
        return Ok(vec![Vec::new(); images.len()]);
    };
    let mut walk = Walk {
        connection,
        wanted: change.occurrences().into_iter().map(|occurrence| occurrence.0).collect(),
        nodes: HashMap::new(),
    };
    let mut node_then = connection.prepare_cached(
        "SELECT coalesce((SELECT node_id FROM image_former WHERE image_id = ?1 AND until_revision >= ?2
            ORDER BY until_revision LIMIT 1), (SELECT node_id FROM image WHERE image_id = ?1), 0)",
    )?;
    let mut held = Vec::with_capacity(images.len());
    for image in images {
        let node: i64 = node_then.query_row(params![image.0, integer(event.revision)], |row| row.get(0))?;
        held.push(walk.held_by(node)?);
    }
    Ok(held)
}

/// A node's parent, and what of the wanted it brings (1) or takes away (0).
type Changes = (Option<i64>, Vec<(i64, i64)>);

/// Walks from nodes to the root, each node read once.
struct Walk<'a> {
    connection: &'a Connection,
    wanted: BTreeSet<i64>,
    nodes: HashMap<i64, Changes>,
}

impl Walk<'_> {
    fn held_by(&mut self, node: i64) -> Result<Vec<OccurrenceId>> {
        let (mut held, mut decided) = (Vec::new(), BTreeSet::new());
        let mut next = Some(node).filter(|node| *node != 0);
        while let Some(node) = next.filter(|_| decided.len() < self.wanted.len()) {
            let (parent, changes) = self.changes(node)?;
            next = *parent;
            for (occurrence, brings) in changes {
                if decided.insert(*occurrence) && *brings == 1 {
                    held.push(OccurrenceId(*occurrence));
                }
            }
        }
        held.sort();
        Ok(held)
    }

    fn changes(&mut self, node: i64) -> Result<&Changes> {
        if !self.nodes.contains_key(&node) {
            let (parent, diff): (Option<i64>, Vec<u8>) = self
                .connection
                .prepare_cached("SELECT parent_id, diff FROM node WHERE node_id = ?1")?
                .query_row([node], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let diff = StoredDiff::decode(&diff)?;
            let mut changes: Vec<(i64, i64)> =
                diff.changes().filter(|(occurrence, _)| self.wanted.contains(occurrence)).collect();
            // What one layer takes away and brings is there.
            changes.sort_by_key(|(_, brings)| std::cmp::Reverse(*brings));
            self.nodes.insert(node, (parent, changes));
        }
        self.nodes.get(&node).ok_or_else(|| Error::Corrupt(format!("node {node} is missing")))
    }
}

fn drop_events(connection: &mut Connection, before: i64, limit: usize) -> Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Times may go back where a clock was set; the order of numbers counts, so that none is dropped from between.
    let dropped: Vec<i64> = transaction
        .prepare_cached(
            "SELECT number FROM event WHERE created_at < ?1
                AND number <= coalesce((SELECT min(cursor) FROM channel), number)
                AND number < coalesce((SELECT min(number) FROM event WHERE created_at >= ?1), number + 1)
             ORDER BY number LIMIT ?2",
        )?
        .query_map(params![before, i64::try_from(limit).unwrap_or(i64::MAX)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let Some(last) = dropped.last() else { return Ok(0) };
    transaction.execute("DELETE FROM event WHERE number <= ?1", [last])?;
    transaction.execute("DELETE FROM dead_letter WHERE number <= ?1", [last])?;
    transaction.commit()?;
    Ok(dropped.len() as u64)
}
