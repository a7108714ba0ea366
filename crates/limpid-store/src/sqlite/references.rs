//! References: the names under which images were seen.
//!
//! A reference is kept as its repository, of which there are few, and what follows it: see [`divide`].

use rusqlite::{Connection, OptionalExtension, params};

use crate::reference::{divide, is_of};
use crate::store::ImageId;
use crate::{Error, ImageSet, Result};

fn repository_id(connection: &Connection, name: &str) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT repository_id FROM repository WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

/// Notes that a reference names an image; an empty one is none. To be called inside a write transaction.
pub(super) fn put(connection: &Connection, image: ImageId, reference: &str, now: i64) -> Result<()> {
    if reference.is_empty() {
        return Ok(());
    }
    let exists = connection.prepare_cached("SELECT 1 FROM image WHERE image_id = ?1")?.exists([image.0])?;
    if !exists {
        return Err(Error::Gone(format!("image {}", image.0)));
    }
    let (name, tag) = divide(reference);
    let repository = match repository_id(connection, name)? {
        Some(id) => id,
        None => {
            connection.prepare_cached("INSERT INTO repository (name) VALUES (?1)")?.execute([name])?;
            connection.last_insert_rowid()
        }
    };
    connection
        .prepare_cached(
            "INSERT INTO reference (repository_id, tag, image_id, first_seen, last_seen) VALUES (?1, ?2, ?3, ?4, ?4)
             ON CONFLICT (repository_id, tag, image_id) DO UPDATE SET last_seen = max(last_seen, ?4)",
        )?
        .execute(params![repository, tag, image.0, now])?;
    Ok(())
}

/// The image that a reference named last.
pub(super) fn image(connection: &Connection, reference: &str) -> Result<Option<i64>> {
    let (name, tag) = divide(reference);
    let mut statement = connection.prepare_cached(
        "SELECT image_id FROM repository JOIN reference USING (repository_id) WHERE name = ?1 AND tag = ?2
         ORDER BY last_seen DESC, image_id DESC LIMIT 1",
    )?;
    Ok(statement.query_row([name, tag], |row| row.get(0)).optional()?)
}

/// The references of an image, sorted.
pub(super) fn of_image(connection: &Connection, image: ImageId) -> Result<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT name || tag FROM reference JOIN repository USING (repository_id) WHERE image_id = ?1 ORDER BY 1",
    )?;
    Ok(statement.query_map([image.0], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// The images that were seen by some time under a reference of a repository, or of one below if that ends in `/`.
pub(super) fn images_of(connection: &Connection, repository: &str, by: i64) -> Result<ImageSet> {
    let mut images = ImageSet::default();
    let mut references = connection
        .prepare_cached("SELECT tag, image_id, first_seen FROM reference WHERE repository_id = ?1")?;
    let mut add = |name: &str, id: i64| -> Result<()> {
        let mut rows = references.query([id])?;
        while let Some(row) = rows.next()? {
            let tag = row.get_ref(0)?.as_str().map_err(|error| Error::Corrupt(error.to_string()))?;
            let seen = row.get::<_, i64>(2)? <= by;
            if seen && (name.len() > repository.len() || is_of(&format!("{name}{tag}"), repository)) {
                images.insert(ImageId(row.get(1)?));
            }
        }
        Ok(())
    };
    let (own, _) = divide(repository);
    if let Some(id) = repository_id(connection, own)? {
        add(own, id)?;
    }
    if repository.ends_with('/') {
        let mut below = connection
            .prepare_cached("SELECT name, repository_id FROM repository WHERE name >= ?1 ORDER BY name")?;
        let mut rows = below.query([repository])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            if !name.starts_with(repository) {
                break;
            }
            if name != own {
                add(&name, row.get(1)?)?;
            }
        }
    }
    Ok(images)
}

/// Removes the references of an image, and repositories that are left without any. To be called inside a write transaction.
pub(super) fn forget(connection: &Connection, image: ImageId) -> Result<()> {
    let mut of_image =
        connection.prepare_cached("SELECT repository_id, tag FROM reference WHERE image_id = ?1")?;
    let keys: Vec<(i64, String)> =
        of_image.query_map([image.0], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    for (repository, tag) in keys {
        connection
            .prepare_cached("DELETE FROM reference WHERE repository_id = ?1 AND tag = ?2 AND image_id = ?3")?
            .execute(params![repository, tag, image.0])?;
        connection
            .prepare_cached(
                "DELETE FROM repository WHERE repository_id = ?1
                 AND NOT EXISTS (SELECT 1 FROM reference WHERE repository_id = ?1)",
            )?
            .execute([repository])?;
    }
    Ok(())
}
