//! How much the store holds, and forgetting images.

use std::path::Path;

use super::collection::PostgresCollection;
use super::connection::Connection;
use super::{PostgresStore, check, images};
use crate::column::count;
use crate::store::ImageId;
use crate::upkeep::{CheckReport, Collection, StoreStatus, Upkeep};
use crate::{Error, Result};

impl Upkeep for PostgresStore {
    fn status(&self) -> Result<StoreStatus> {
        self.pool.snapshot(status)
    }

    fn check(&self, now: i64) -> Result<CheckReport> {
        self.pool.snapshot(|connection| check::check(connection, now))
    }

    fn forget(&self, image: ImageId, now: i64) -> Result<bool> {
        self.pool.write(|connection| images::forget(connection, image, now))
    }

    fn images_unseen_since(&self, time: i64) -> Result<Vec<ImageId>> {
        self.pool.read(|connection| {
            let images = connection.values(
                "SELECT image_id FROM image i WHERE analysed_at < $1 AND NOT EXISTS (
                    SELECT 1 FROM reference r WHERE r.image_id = i.image_id AND last_seen >= $1) ORDER BY image_id",
                &[&time],
            )?;
            Ok(images.into_iter().map(ImageId).collect())
        })
    }

    fn begin_collection<'a>(&'a self, unused_since: i64, now: i64) -> Result<Box<dyn Collection + 'a>> {
        Ok(Box::new(PostgresCollection::begin(&self.pool, unused_since, now)))
    }

    fn backup(&self, _: &Path) -> Result<()> {
        Err(Error::Elsewhere("a database is backed up by its own tools, not by Limpid"))
    }
}

pub(super) fn status(connection: &mut Connection) -> Result<StoreStatus> {
    let mut rows = |table: &str| -> Result<u64> {
        Ok(count(connection.value(&format!("SELECT count(*) FROM {table}"), &[])?))
    };
    let ranges = rows("affected WHERE to_revision IS NULL")?;
    Ok(StoreStatus {
        images: rows("image")?,
        references: rows("reference")?,
        layers: rows("layer")?,
        nodes: rows("node")?,
        chains: rows("chain")?,
        packages: rows("package")?,
        contexts: rows("context")?,
        occurrences: rows("occurrence")?,
        verdicts: rows("verdict WHERE rules_version != 0")?,
        texts: rows("text")?,
        documents: rows("feed")?,
        advisories: rows("advisory WHERE to_revision IS NULL")?,
        ranges,
        earlier_ranges: rows("affected")?.saturating_sub(ranges),
        revisions: rows("revision")?,
        // Tables with their indexes and what of long values lies apart.
        file_bytes: count(connection.value(
            "SELECT coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::bigint FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'limpid' AND c.relkind = 'r'",
            &[],
        )?),
        free_bytes: 0,
        log_bytes: 0,
    })
}
