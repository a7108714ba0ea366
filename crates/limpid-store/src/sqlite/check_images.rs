//! Whether what stands in an image's row agrees with what is said of it elsewhere: its layers and labels by their own
//! tables, its nodes by their tree, its packages by segments.

use std::collections::{BTreeSet, HashSet};

use rusqlite::{OptionalExtension, Statement, params};

use super::check::Check;
use super::segments::Snapshot;
use super::{count, digest, integer};
use crate::image_body::ImageBody as Body;
use crate::invariants::Found;
use crate::segment_check::{self, Wrong};
use crate::segment_query::Segments as _;
use crate::{Error, Result};

impl Check<'_> {
    pub(super) fn images(&mut self) -> Result<()> {
        let connection = self.connection;
        let mut layer = connection
            .prepare("SELECT 1 FROM image_layer WHERE layer_id = ?1 AND number = ?2 AND image_id = ?3")?;
        let mut label =
            connection.prepare("SELECT 1 FROM image_label WHERE label_id = ?1 AND image_id = ?2")?;
        let mut parent = connection.prepare("SELECT coalesce(parent_id, 0) FROM node WHERE node_id = ?1")?;
        let (mut unreadable, mut disorder) = (Found::default(), Found::default());
        let (mut layers, mut labels) = (Listed::default(), Listed::default());
        let mut images = connection.prepare("SELECT image_id, manifest_digest, node_id, body FROM image")?;
        let mut rows = images.query([])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let is_digest = digest(row.get_ref(1)?.as_blob().unwrap_or_default()).is_ok();
            let body = Body::decode(row.get_ref(3)?.as_blob().unwrap_or_default()).ok().filter(|_| is_digest);
            let Some(body) = body else {
                unreadable.add(|| format!("image {id}"));
                continue;
            };
            for (layer_id, number) in body.layers().collect::<BTreeSet<_>>() {
                layers.note(id, layer.exists(params![layer_id, number, id])?);
            }
            for label_id in body.labels.iter().collect::<BTreeSet<_>>() {
                labels.note(id, label.exists(params![integer(*label_id), id])?);
            }
            if !is_chain(&body.nodes(), row.get(2)?, &mut parent)? {
                disorder.add(|| format!("image {id}"));
            }
        }
        drop(rows);
        self.note("image", "that cannot be read", unreadable);
        self.note("image", "whose nodes do not follow each other to its own", disorder);
        for (table, listed) in [("image_layer", layers), ("image_label", labels)] {
            let rows: i64 =
                connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
            let surplus = count(rows).saturating_sub(listed.present);
            let example = (surplus > 0).then(|| format!("{rows} rows for {}", listed.present));
            self.note(table, "that are missing though an image has them", listed.missing);
            self.note(table, "that no image has", Found { count: surplus, example });
        }
        Ok(())
    }

    /// Segments against what their images hold.
    pub(super) fn segments(&mut self) -> Result<()> {
        let mut snapshot = Snapshot(self.connection);
        let displaced: HashSet<i64> = snapshot.displaced()?.into_iter().collect();
        let mut found: [Found; 4] = Default::default();
        for row in snapshot.rows()? {
            let members = snapshot.members(row.first_image, row.last_image)?;
            let wrong = match segment_check::compare(&mut snapshot, &row, &displaced, members) {
                // A node that it takes cannot be read: that is told of the node.
                Err(Error::Corrupt(_)) => Some(Wrong::Unreadable),
                compared => compared?,
            };
            if let Some(wrong) = wrong {
                found[wrong as usize].add(|| format!("segment {}", row.id));
            }
        }
        let [unreadable, images, releases, postings] = found;
        self.note("segment", "that cannot be read", unreadable);
        self.note("segment", "that have other images than are there", images);
        self.note("segment", "that have other releases than their images", releases);
        self.note("segment", "whose images hold other occurrences", postings);
        Ok(())
    }
}

/// What images list, of which a table should have a row each.
#[derive(Default)]
struct Listed {
    present: u64,
    missing: Found,
}

impl Listed {
    fn note(&mut self, image: i64, is_present: bool) {
        match is_present {
            true => self.present += 1,
            false => self.missing.add(|| format!("image {image}")),
        }
    }
}

/// Whether each node is that of the layer below or its child, and the last is the image's own.
fn is_chain(nodes: &[i64], own: i64, parent: &mut Statement<'_>) -> Result<bool> {
    let mut last = 0;
    for node in nodes {
        if *node != last {
            let parent: Option<i64> = parent.query_row([node], |row| row.get(0)).optional()?;
            if parent != Some(last) {
                return Ok(false);
            }
        }
        last = *node;
    }
    Ok(last == own)
}
