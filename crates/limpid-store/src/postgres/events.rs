//! Events: a row each, in the order of commits. Numbers come from a counter that stays locked until the transaction ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use limpid_model::Verdict;
use postgres::Row;

use super::connection::{Connection, column, text};
use super::ids::Counter;
use super::{PostgresStore, feeds, fleet, repositories, said, verdicts};
use crate::column::{count, digest, integer};
use crate::diff::StoredDiff;
use crate::events::{
    Event, EventId, EventKind, EventSubject, Events, Processed, Revision, Step, StoredChange, Touched,
    VulnerabilityChange,
};
use crate::store::{ImageId, OccurrenceId};
use crate::{Error, ImageSet, Result, codec};

impl Events for PostgresStore {
    fn processed(&self) -> Result<Processed> {
        self.pool.read(|connection| processed(connection, ""))
    }

    fn put_events(
        &self,
        from: &Processed,
        to: &Processed,
        events: &[VulnerabilityChange],
        now: i64,
    ) -> Result<bool> {
        self.pool.write(|connection| put_events(connection, from, to, events, now))
    }

    fn revisions(&self, after: u64, until: u64) -> Result<Vec<Revision>> {
        self.pool.read(|connection| said::revisions(connection, after, until))
    }

    fn touched(&self, after: u64, until: u64) -> Result<Vec<Touched>> {
        self.pool.read(|connection| said::touched(connection, after, until))
    }

    fn named(
        &self,
        vulnerabilities: &[&str],
        before: u64,
        after: u64,
    ) -> Result<Vec<BTreeSet<(String, String)>>> {
        self.pool.read(|connection| said::named(connection, vulnerabilities, before, after))
    }

    fn sources_named(&self, names: &[&str]) -> Result<Vec<BTreeSet<String>>> {
        self.pool.read(|connection| said::sources_named(connection, names))
    }

    fn repositories_changed(&self, after: u64, until: u64) -> Result<BTreeSet<String>> {
        self.pool.read(|connection| repositories::changed(connection, after, until))
    }

    fn former_verdicts(
        &self,
        occurrences: &[OccurrenceId],
        rules_version: u32,
    ) -> Result<BTreeMap<OccurrenceId, Vec<Verdict>>> {
        self.pool.snapshot(|connection| verdicts::former(connection, occurrences, rules_version))
    }

    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>> {
        self.pool.snapshot(|connection| {
            let seed = seed(connection)?;
            let rows = connection.query(
                &format!("{EVENTS} WHERE e.number > $1 ORDER BY e.number LIMIT $2"),
                &[&integer(after), &i64::try_from(limit).unwrap_or(i64::MAX)],
            )?;
            rows.iter().map(|row| read_event(row, &seed)).collect()
        })
    }

    fn event(&self, id: EventId) -> Result<Option<Event>> {
        self.pool.snapshot(|connection| event(connection, id))
    }

    fn last_image(&self) -> Result<ImageId> {
        self.pool.read(|connection| {
            Ok(ImageId(connection.value("SELECT coalesce(max(image_id), 0) FROM image", &[])?))
        })
    }

    fn last_event(&self) -> Result<u64> {
        self.pool.read(|connection| Counter::Event.last(connection).map(count))
    }

    fn event_images(&self, event: &Event) -> Result<ImageSet> {
        let change = match &event.subject {
            EventSubject::Image { manifest_digest: None, .. } => return Ok(ImageSet::default()),
            EventSubject::Image { image, .. } => return Ok(std::iter::once(*image).collect()),
            EventSubject::Vulnerability(change) => change,
        };
        let occurrences = change.occurrences();
        let images =
            self.pool.snapshot(|connection| fleet::holding_at(connection, &occurrences, event.revision))?;
        Ok(images.up_to(change.last_image))
    }

    fn event_packages(&self, event: &Event, images: &[ImageId]) -> Result<Vec<Vec<OccurrenceId>>> {
        self.pool.snapshot(|connection| event_packages(connection, event, images))
    }

    fn drop_events(&self, before: i64, limit: usize) -> Result<u64> {
        self.pool.write(|connection| drop_events(connection, before, limit))
    }
}

/// Whether the body of an event can be read.
pub(super) fn is_readable(body: &[u8]) -> bool {
    codec::unpack::<StoredChange>(body, "an event").is_ok()
}

/// Notes that an image was assessed, in the transaction that stores it and holds the counter of images.
pub(super) fn assessed(connection: &mut Connection, image: ImageId, now: i64) -> Result<()> {
    let number = Counter::Event.next(connection)?;
    let revision = integer(feeds::revision(connection)?);
    connection.execute(
        "INSERT INTO event (number, kind, created_at, revision, image_id) VALUES ($1, $2, $3, $4, $5)",
        &[&number, &(EventKind::ImageAssessed as i64), &now, &revision, &image.0],
    )?;
    Ok(())
}

fn processed(connection: &mut Connection, locking: &str) -> Result<Processed> {
    let sql = format!("SELECT revision, rules_version, step_revision, step_after FROM event_state{locking}");
    let row = connection.row(&sql, &[])?;
    let row = row.ok_or_else(|| Error::Corrupt("how far events were derived is not known".to_owned()))?;
    let after = match column::<Option<Vec<u8>>>(&row, 3)? {
        Some(_) => Some(text(&row, 3)?),
        None => None,
    };
    let step = column::<Option<i64>>(&row, 2)?.zip(after);
    Ok(Processed {
        revision: count(column(&row, 0)?),
        rules_version: u32::try_from(column::<i64>(&row, 1)?)
            .map_err(|_| Error::Corrupt("a version of rules is out of range".to_owned()))?,
        step: step.map(|(revision, after)| Step { revision: count(revision), after }),
    })
}

fn seed(connection: &mut Connection) -> Result<Vec<u8>> {
    connection.value("SELECT seed FROM event_state", &[])
}

fn put_events(
    connection: &mut Connection,
    from: &Processed,
    to: &Processed,
    events: &[VulnerabilityChange],
    now: i64,
) -> Result<bool> {
    if processed(connection, " FOR UPDATE")? != *from {
        return Ok(false);
    }
    let seed = seed(connection)?;
    let part = from.step.as_ref().map_or("", |step| &step.after);
    for event in events {
        let number = Counter::Event.next(connection)?;
        let id = EventId::of_change(&seed, event, to.rules_version, part);
        connection.execute(
            "INSERT INTO event (number, kind, created_at, revision, event_id, body) VALUES ($1, $2, $3, $4, $5, $6)",
            &[
                &number,
                &(event.kind as i64),
                &now,
                &integer(event.revision),
                &id.as_bytes(),
                &codec::pack(&StoredChange::of(event))?,
            ],
        )?;
    }
    let step = to.step.as_ref();
    connection.execute(
        "UPDATE event_state SET revision = $1, rules_version = $2, step_revision = $3, step_after = $4",
        &[
            &integer(to.revision),
            &i64::from(to.rules_version),
            &step.map(|step| integer(step.revision)),
            &step.map(|step| step.after.as_bytes()),
        ],
    )?;
    if step.is_none() && from.rules_version != to.rules_version {
        connection.execute("DELETE FROM former_verdict", &[])?;
    }
    Ok(true)
}

const EVENTS: &str = "SELECT e.number, e.kind, e.created_at, e.revision, e.image_id, e.event_id, e.body,
    (SELECT manifest_digest FROM image i WHERE i.image_id = e.image_id) FROM event e";

fn read_event(row: &Row, seed: &[u8]) -> Result<Event> {
    let number = count(column(row, 0)?);
    let corrupt = || Error::Corrupt(format!("event {number} is of an unknown form"));
    let kind = usize::try_from(column::<i64>(row, 1)?).ok();
    let kind = *kind.and_then(|kind| EventKind::ALL.get(kind)).ok_or_else(corrupt)?;
    let revision = count(column(row, 3)?);
    let (id, subject) = match column::<Option<i64>>(row, 4)? {
        Some(image) => {
            let manifest = column::<Option<Vec<u8>>>(row, 7)?;
            let manifest_digest = manifest.as_deref().map(digest).transpose()?;
            (EventId::numbered(seed, number), EventSubject::Image { image: ImageId(image), manifest_digest })
        }
        None => {
            let body: StoredChange = codec::unpack(&column::<Vec<u8>>(row, 6)?, "an event")?;
            let id = EventId::from_bytes(&column::<Vec<u8>>(row, 5)?);
            (id.ok_or_else(corrupt)?, EventSubject::Vulnerability(body.into_change(kind, revision)))
        }
    };
    Ok(Event { number, id, kind, created_at: column(row, 2)?, revision, subject })
}

fn event(connection: &mut Connection, id: EventId) -> Result<Option<Event>> {
    let seed = seed(connection)?;
    let row = connection.row("SELECT number FROM event WHERE event_id = $1", &[&id.as_bytes()])?;
    let number = row.map(|row| column::<i64>(&row, 0)).transpose()?;
    let Some(number) = number.or_else(|| id.number(&seed).map(integer)) else { return Ok(None) };
    let row = connection.row(&format!("{EVENTS} WHERE e.number = $1"), &[&number])?;
    let found = row.map(|row| read_event(&row, &seed)).transpose()?;
    Ok(found.filter(|event| event.id == id))
}

fn event_packages(
    connection: &mut Connection,
    event: &Event,
    images: &[ImageId],
) -> Result<Vec<Vec<OccurrenceId>>> {
    let EventSubject::Vulnerability(change) = &event.subject else {
        return Ok(vec![Vec::new(); images.len()]);
    };
    let ids: Vec<i64> = images.iter().map(|image| image.0).collect();
    let ends: Vec<i64> = connection.values(
        "SELECT coalesce((SELECT f.node_id FROM image_former f WHERE f.image_id = w.image_id AND f.until_revision >= $2
            ORDER BY f.until_revision LIMIT 1), (SELECT i.node_id FROM image i WHERE i.image_id = w.image_id), 0)
         FROM unnest($1::bigint[]) WITH ORDINALITY AS w (image_id, n) ORDER BY w.n",
        &[&ids, &integer(event.revision)],
    )?;
    let mut walk = Walk {
        wanted: change.occurrences().into_iter().map(|occurrence| occurrence.0).collect(),
        nodes: HashMap::new(),
    };
    walk.read(connection, &ends)?;
    Ok(ends.into_iter().map(|node| walk.held_by(node)).collect())
}

/// A node's parent, and what of the wanted it brings (1) or takes away (0).
type Changes = (Option<i64>, Vec<(i64, i64)>);

/// Walks from nodes to the root, each node read once, with all others of its distance.
struct Walk {
    wanted: BTreeSet<i64>,
    nodes: HashMap<i64, Changes>,
}

impl Walk {
    fn read(&mut self, connection: &mut Connection, ends: &[i64]) -> Result<()> {
        let mut next: BTreeSet<i64> = ends.iter().copied().filter(|node| *node != 0).collect();
        while !next.is_empty() {
            let wanted: Vec<i64> = std::mem::take(&mut next).into_iter().collect();
            let (nodes, changes) = (&mut self.nodes, &self.wanted);
            connection.each(
                "SELECT node_id, parent_id, diff FROM node WHERE node_id = ANY($1)",
                &[&wanted],
                &mut |row| {
                    let parent: Option<i64> = column(row, 1)?;
                    let diff = StoredDiff::decode(&column::<Vec<u8>>(row, 2)?)?;
                    let mut of_node: Vec<(i64, i64)> =
                        diff.changes().filter(|(occurrence, _)| changes.contains(occurrence)).collect();
                    // What one layer takes away and brings is there.
                    of_node.sort_by_key(|(_, brings)| std::cmp::Reverse(*brings));
                    nodes.insert(column(row, 0)?, (parent, of_node));
                    next.extend(parent);
                    Ok(())
                },
            )?;
            if let Some(missing) = wanted.iter().find(|node| !self.nodes.contains_key(node)) {
                return Err(Error::Corrupt(format!("node {missing} is missing")));
            }
            next.retain(|node| !self.nodes.contains_key(node));
        }
        Ok(())
    }

    fn held_by(&self, node: i64) -> Vec<OccurrenceId> {
        let (mut held, mut decided) = (Vec::new(), BTreeSet::new());
        let mut next = self.nodes.get(&node);
        while let Some((parent, changes)) = next {
            for (occurrence, brings) in changes {
                if decided.insert(*occurrence) && *brings == 1 {
                    held.push(OccurrenceId(*occurrence));
                }
            }
            next = parent.and_then(|parent| self.nodes.get(&parent));
        }
        held.sort();
        held
    }
}

fn drop_events(connection: &mut Connection, before: i64, limit: usize) -> Result<u64> {
    // Times may go back where a clock was set; the order of numbers counts, so that none is dropped from between.
    let dropped: Vec<i64> = connection.values(
        "SELECT number FROM event WHERE created_at < $1
            AND number <= coalesce((SELECT min(cursor) FROM channel), number)
            AND number < coalesce((SELECT min(number) FROM event WHERE created_at >= $1), number + 1)
         ORDER BY number LIMIT $2",
        &[&before, &i64::try_from(limit).unwrap_or(i64::MAX)],
    )?;
    let Some(last) = dropped.last() else { return Ok(0) };
    connection.execute("DELETE FROM event WHERE number <= $1", &[last])?;
    connection.execute("DELETE FROM dead_letter WHERE number <= $1", &[last])?;
    Ok(dropped.len() as u64)
}
