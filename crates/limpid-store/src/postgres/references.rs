//! References: the names under which images were seen. A reference is kept as its repository, of which there are few, and
//! what follows it: see [`divide`].

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::Digest;

use super::connection::{Connection, column, text};
use super::ids::Lock;
use super::texts;
use crate::reference::{divide, is_of};
use crate::store::ImageId;
use crate::{Error, ImageSet, Result};

/// Bytes of a repository's name that are in the index of beginnings.
const BEGINNING_BYTES: usize = 200;

/// The ids of the repositories of references, made if need be, in one order.
pub(super) fn put_repositories(
    connection: &mut Connection,
    references: &BTreeSet<&str>,
) -> Result<BTreeMap<Digest, i64>> {
    let names =
        references.iter().filter(|reference| !reference.is_empty()).map(|reference| divide(reference).0);
    let rows: BTreeMap<Digest, &str> = names.map(|name| (Digest::of(name.as_bytes()), name)).collect();
    texts::intern(connection, "repository", rows, |name| name.len(), &mut |connection, missing| {
        let names: Vec<&[u8]> = missing.iter().map(|(_, name)| name.as_bytes()).collect();
        connection.execute(
            "INSERT INTO repository (name) SELECT name FROM unnest($1::bytea[]) WITH ORDINALITY AS w (name, n) ORDER BY n
             ON CONFLICT (hash) DO NOTHING",
            &[&names],
        )?;
        Ok(())
    })
}

/// Notes that a reference, whose repository is among these, names an image that is there; an empty one is none.
pub(super) fn put_in(
    connection: &mut Connection,
    image: ImageId,
    reference: &str,
    repositories: &BTreeMap<Digest, i64>,
    now: i64,
) -> Result<()> {
    if reference.is_empty() {
        return Ok(());
    }
    let (name, tag) = divide(reference);
    let repository = repositories.get(&Digest::of(name.as_bytes()));
    let repository =
        repository.ok_or_else(|| Error::Corrupt("a repository that was stored is missing".to_owned()))?;
    connection.execute(
        "INSERT INTO reference AS r (repository_id, tag, image_id, first_seen, last_seen) VALUES ($1, $2, $3, $4, $4)
         ON CONFLICT (repository_id, tag_hash, image_id) DO UPDATE SET last_seen = greatest(r.last_seen, $4)",
        &[repository, &tag.as_bytes(), &image.0, &now],
    )?;
    Ok(())
}

/// Notes that a reference names an image.
pub(super) fn put(connection: &mut Connection, image: ImageId, reference: &str, now: i64) -> Result<()> {
    if reference.is_empty() {
        return Ok(());
    }
    Lock::Said.share(connection)?;
    let there = connection.row("SELECT 1 FROM image WHERE image_id = $1 FOR SHARE", &[&image.0])?;
    if there.is_none() {
        return Err(Error::Gone(format!("image {}", image.0)));
    }
    let repositories = put_repositories(connection, &BTreeSet::from([reference]))?;
    put_in(connection, image, reference, &repositories, now)
}

/// The image that a reference named last.
pub(super) fn image(connection: &mut Connection, reference: &str) -> Result<Option<i64>> {
    let (name, tag) = divide(reference);
    let row = connection.row(
        "SELECT r.image_id FROM repository p JOIN reference r ON r.repository_id = p.repository_id
         WHERE p.hash = sha256($1) AND r.tag_hash = sha256($2) ORDER BY r.last_seen DESC, r.image_id DESC LIMIT 1",
        &[&name.as_bytes(), &tag.as_bytes()],
    )?;
    row.map(|row| column(&row, 0)).transpose()
}

/// The references of images, sorted.
pub(super) fn of_images(connection: &mut Connection, images: &[i64]) -> Result<BTreeMap<i64, Vec<String>>> {
    let mut found: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    connection.each(
        "SELECT r.image_id, p.name || r.tag FROM reference r JOIN repository p ON p.repository_id = r.repository_id
         WHERE r.image_id = ANY($1) ORDER BY 2",
        &[&images],
        &mut |row| {
            found.entry(column(row, 0)?).or_default().push(text(row, 1)?);
            Ok(())
        },
    )?;
    Ok(found)
}

/// The images that were seen by some time under a reference of a repository, or of one below if that ends in `/`.
pub(super) fn images_of(connection: &mut Connection, repository: &str, by: i64) -> Result<ImageSet> {
    let (own, _) = divide(repository);
    let is_below = repository.ends_with('/');
    // Of a long name its beginning finds the rows that may begin alike.
    let beginning = repository.as_bytes().get(..BEGINNING_BYTES).unwrap_or(repository.as_bytes());
    let mut beyond = beginning.to_vec();
    // UTF-8 has no byte 0xff.
    beyond.push(0xff);
    let mut images = ImageSet::default();
    connection.each(
        "SELECT p.name, r.tag, r.image_id FROM repository p JOIN reference r ON r.repository_id = p.repository_id
         WHERE (p.hash = sha256($1) OR ($2 AND substring(p.name from 1 for 200) >= $3
            AND substring(p.name from 1 for 200) < $4)) AND r.first_seen <= $5",
        &[&own.as_bytes(), &is_below, &beginning, &beyond, &by],
        &mut |row| {
            let (name, tag) = (text(row, 0)?, text(row, 1)?);
            if (name.len() > repository.len() && name.starts_with(repository))
                || is_of(&format!("{name}{tag}"), repository)
            {
                images.insert(ImageId(column(row, 2)?));
            }
            Ok(())
        },
    )?;
    Ok(images)
}

/// Removes the references of an image, and repositories that are left without any. `Lock::Said` is taken.
pub(super) fn forget(connection: &mut Connection, image: ImageId) -> Result<()> {
    let repositories: Vec<i64> = connection
        .values("DELETE FROM reference WHERE image_id = $1 RETURNING repository_id", &[&image.0])?;
    connection.execute(
        "DELETE FROM repository p WHERE repository_id = ANY($1)
         AND NOT EXISTS (SELECT 1 FROM reference r WHERE r.repository_id = p.repository_id)",
        &[&repositories],
    )?;
    Ok(())
}
