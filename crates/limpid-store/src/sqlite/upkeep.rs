//! How much the store holds, and forgetting images.

use std::path::Path;

use rusqlite::Connection;

use super::collection::SqliteCollection;
use super::{SqliteStore, check, copies, count, images, open};
use crate::Result;
use crate::store::ImageId;
use crate::upkeep::{CheckReport, Collection, StoreStatus, Upkeep};

impl Upkeep for SqliteStore {
    fn status(&self) -> Result<StoreStatus> {
        let mut status = self.reading(status)?;
        status.log_bytes = open::log_bytes(&self.place.path());
        Ok(status)
    }

    fn check(&self, now: i64) -> Result<CheckReport> {
        // A connection of its own: it takes long.
        let mut report = check::check(&mut self.place.connect()?, now)?;
        report.status.log_bytes = open::log_bytes(&self.place.path());
        Ok(report)
    }

    fn forget(&self, image: ImageId, now: i64) -> Result<bool> {
        images::forget(&mut self.connection(), image, now)
    }

    fn images_unseen_since(&self, time: i64) -> Result<Vec<ImageId>> {
        images_unseen_since(&self.connection(), time)
    }

    fn begin_collection<'a>(&'a self, unused_since: i64, now: i64) -> Result<Box<dyn Collection + 'a>> {
        let connection = self.place.connect()?;
        Ok(Box::new(SqliteCollection::begin(connection, unused_since, now)))
    }

    fn backup(&self, path: &Path) -> Result<()> {
        copies::backup(&self.place, path)
    }
}

/// All but the log's size.
pub(super) fn status(connection: &Connection) -> Result<StoreStatus> {
    let number = |sql: &str| -> Result<u64> { Ok(count(connection.query_row(sql, [], |row| row.get(0))?)) };
    let rows = |table: &str| number(&format!("SELECT count(*) FROM {table}"));
    let page_bytes = number("PRAGMA page_size")?;
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
        file_bytes: number("PRAGMA page_count")?.saturating_mul(page_bytes),
        free_bytes: number("PRAGMA freelist_count")?.saturating_mul(page_bytes),
        log_bytes: 0,
    })
}

fn images_unseen_since(connection: &Connection, time: i64) -> Result<Vec<ImageId>> {
    let mut statement = connection.prepare_cached(
        "SELECT image_id FROM image i WHERE analysed_at < ?1 AND NOT EXISTS (
            SELECT 1 FROM reference r WHERE r.image_id = i.image_id AND last_seen >= ?1) ORDER BY image_id",
    )?;
    Ok(statement.query_map([time], |row| row.get(0).map(ImageId))?.collect::<Result<_, _>>()?)
}
