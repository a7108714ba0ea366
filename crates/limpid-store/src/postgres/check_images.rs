//! Whether what stands in an image's row agrees with what is said of it elsewhere: its layers and labels by their own
//! tables, its nodes by their tree, its packages by segments.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::check::Check;
use super::connection::{Connection, column};
use super::segments::Snapshot;
use crate::column::{count, digest, integer};
use crate::image_body::ImageBody;
use crate::invariants::Found;
use crate::segment_check::{self, Wrong};
use crate::segment_query::Segments as _;
use crate::{Error, Result};

/// Images that are looked at at a time.
const IMAGES_MAX: i64 = 500;

/// What was found of images so far.
#[derive(Default)]
struct Images {
    unreadable: Found,
    disorder: Found,
    layers: Listed,
    labels: Listed,
}

/// What images list, of which a table should have a row each.
#[derive(Default)]
struct Listed {
    present: u64,
    missing: Found,
}

impl Listed {
    /// Looks for rows by three numbers, the last of which is the image's.
    fn look(
        &mut self,
        connection: &mut Connection,
        sql: &str,
        wanted: &BTreeSet<(i64, i64, i64)>,
    ) -> Result<()> {
        let part = |part: fn(&(i64, i64, i64)) -> i64| wanted.iter().map(part).collect::<Vec<i64>>();
        let found: HashSet<i64> = connection
            .values(sql, &[&part(|row| row.0), &part(|row| row.1), &part(|row| row.2)])?
            .into_iter()
            .collect();
        self.present += found.len() as u64;
        for ((_, _, image), _) in wanted.iter().zip(1_i64..).filter(|(_, place)| !found.contains(place)) {
            self.missing.add(|| format!("image {image}"));
        }
        Ok(())
    }
}

impl Check<'_> {
    pub(super) fn images(&mut self) -> Result<()> {
        let mut images = Images::default();
        let mut after: i64 = 0;
        loop {
            let rows = self.connection.query(
                "SELECT image_id, manifest_digest, node_id, body FROM image WHERE image_id > $1
                 ORDER BY image_id LIMIT $2",
                &[&after, &IMAGES_MAX],
            )?;
            let Some(last) = rows.last() else { break };
            after = column(last, 0)?;
            images.look(self.connection, &rows)?;
        }
        let Images { unreadable, disorder, layers, labels } = images;
        unreadable.note(&mut self.report, "image", "that cannot be read");
        disorder.note(&mut self.report, "image", "whose nodes do not follow each other to its own");
        for (table, listed) in [("image_layer", layers), ("image_label", labels)] {
            let rows = count(self.connection.value(&format!("SELECT count(*) FROM {table}"), &[])?);
            let surplus = rows.saturating_sub(listed.present);
            let example = (surplus > 0).then(|| format!("{rows} rows for {}", listed.present));
            listed.missing.note(&mut self.report, table, "that are missing though an image has them");
            Found { count: surplus, example }.note(&mut self.report, table, "that no image has");
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
        unreadable.note(&mut self.report, "segment", "that cannot be read");
        images.note(&mut self.report, "segment", "that have other images than are there");
        releases.note(&mut self.report, "segment", "that have other releases than their images");
        postings.note(&mut self.report, "segment", "whose images hold other occurrences");
        Ok(())
    }
}

impl Images {
    fn look(&mut self, connection: &mut Connection, rows: &[postgres::Row]) -> Result<()> {
        let (mut layers, mut labels, mut nodes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut chains: Vec<(i64, Vec<i64>, i64)> = Vec::new();
        for row in rows {
            let id: i64 = column(row, 0)?;
            let is_digest = digest(&column::<Vec<u8>>(row, 1)?).is_ok();
            let body = ImageBody::decode(&column::<Vec<u8>>(row, 3)?).ok().filter(|_| is_digest);
            let Some(body) = body else {
                self.unreadable.add(|| format!("image {id}"));
                continue;
            };
            layers.extend(body.layers().map(|(layer, number)| (layer, number, id)));
            labels.extend(body.labels.iter().map(|label| (integer(*label), 0, id)));
            nodes.extend(body.nodes());
            chains.push((id, body.nodes(), column(row, 2)?));
        }
        self.layers.look(
            connection,
            "SELECT w.n FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY
                AS w (layer_id, number, image_id, n) JOIN image_layer i
                ON i.layer_id = w.layer_id AND i.number = w.number AND i.image_id = w.image_id",
            &layers,
        )?;
        self.labels.look(
            connection,
            "SELECT w.n FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY
                AS w (label_id, number, image_id, n) JOIN image_label i
                ON i.label_id = w.label_id AND i.image_id = w.image_id",
            &labels,
        )?;
        let nodes: Vec<i64> = nodes.into_iter().collect();
        let mut parents: BTreeMap<i64, i64> = BTreeMap::new();
        let sql = "SELECT node_id, coalesce(parent_id, 0) FROM node WHERE node_id = ANY($1)";
        connection.each(sql, &[&nodes], &mut |row| {
            parents.insert(column(row, 0)?, column(row, 1)?);
            Ok(())
        })?;
        for (id, nodes, own) in chains {
            if !is_chain(&nodes, own, &parents) {
                self.disorder.add(|| format!("image {id}"));
            }
        }
        Ok(())
    }
}

/// Whether each node is that of the layer below or its child, and the last is the image's own.
fn is_chain(nodes: &[i64], own: i64, parents: &BTreeMap<i64, i64>) -> bool {
    let mut last = 0;
    for node in nodes {
        if *node != last && parents.get(node) != Some(&last) {
            return false;
        }
        last = *node;
    }
    last == own
}
