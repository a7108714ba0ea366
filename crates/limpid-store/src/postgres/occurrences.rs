//! Occurrences, the packages and contexts that they are of, and the texts of paths: interned by set.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use limpid_model::{Context, Digest, Hasher, Occurrence, Owner, Package, PackageDiff};
use postgres::Row;

use super::connection::{Connection, column, text};
use super::texts;
use crate::diff::StoredDiff;
use crate::{Error, Result, codec};

/// Makes what diffs name, so far as it is not there, all in one order.
pub(super) fn prepare(connection: &mut Connection, diffs: &[&PackageDiff]) -> Result<()> {
    let mut paths = Vec::new();
    let mut named = Vec::new();
    for diff in diffs {
        let placed = diff.upgraded.iter().chain(&diff.reassigned).map(|(_, to)| to).chain(&diff.installed);
        paths.extend(placed.map(|placed| placed.path.as_str()));
        let mut name = |occurrence: &Occurrence| {
            named.push(occurrence.clone());
            Ok(0)
        };
        StoredDiff::of(diff, &mut name, &mut |_| Ok(0))?;
    }
    texts::intern_all(connection, paths.into_iter())?;
    intern(connection, &named)?;
    Ok(())
}

/// A diff by ids; what it names is made if need be.
pub(super) fn store_diff(connection: &mut Connection, diff: &PackageDiff) -> Result<StoredDiff> {
    let placed = diff.upgraded.iter().chain(&diff.reassigned).map(|(_, to)| to).chain(&diff.installed);
    let paths = texts::intern_all(connection, placed.map(|placed| placed.path.as_str()))?;
    // What a diff names, in the order in which it names it.
    let mut named = Vec::new();
    let mut name = |occurrence: &Occurrence| {
        named.push(occurrence.clone());
        Ok(0)
    };
    StoredDiff::of(diff, &mut name, &mut |_| Ok(0))?;
    let occurrences = intern(connection, &named)?;
    let missing = || Error::Corrupt("what was stored is missing".to_owned());
    StoredDiff::of(
        diff,
        &mut |occurrence| occurrences.get(occurrence).copied().ok_or_else(missing),
        &mut |path| paths.get(path).copied().ok_or_else(missing),
    )
}

fn intern<'a>(connection: &mut Connection, named: &'a [Occurrence]) -> Result<HashMap<&'a Occurrence, i64>> {
    let mut packages: HashMap<&Package, Digest> = HashMap::new();
    let mut contexts: HashMap<&Context, Digest> = HashMap::new();
    let (mut new_packages, mut new_contexts) = (BTreeMap::new(), BTreeMap::new());
    for occurrence in named {
        if !packages.contains_key(&occurrence.package) {
            let facts = codec::encode(&occurrence.package.facts)?;
            let hash = package_hash(&occurrence.package, &facts);
            packages.insert(&occurrence.package, hash);
            new_packages.insert(hash, (&occurrence.package, facts));
        }
        if !contexts.contains_key(&occurrence.context) {
            let body = codec::encode(&occurrence.context)?;
            let hash = Digest::of(&body);
            contexts.insert(&occurrence.context, hash);
            new_contexts.insert(hash, (&occurrence.context, body));
        }
    }
    let context_ids =
        texts::intern(connection, "context", new_contexts, |row| row.1.len(), &mut insert_contexts)?;
    let size = |(package, facts): &(&Package, Vec<u8>)| {
        let texts =
            [&package.name, &package.version, &package.arch, &package.source_name, &package.source_version];
        texts.iter().map(|text| text.len()).sum::<usize>() + facts.len()
    };
    let package_ids = texts::intern(connection, "package", new_packages, size, &mut insert_packages)?;
    let id = |ids: &BTreeMap<Digest, i64>, hash: Option<&Digest>| {
        let id = hash.and_then(|hash| ids.get(hash)).copied();
        id.ok_or_else(|| Error::Corrupt("what was stored is missing".to_owned()))
    };
    let mut keys: BTreeMap<Key<'a>, i64> = BTreeMap::new();
    let mut by_occurrence: HashMap<&'a Occurrence, Key<'a>> = HashMap::new();
    for occurrence in named {
        let package = id(&package_ids, packages.get(&occurrence.package))?;
        let context = id(&context_ids, contexts.get(&occurrence.context))?;
        let key = (package, context, occurrence.owner.0.as_str());
        keys.insert(key, 0);
        by_occurrence.insert(occurrence, key);
    }
    intern_keys(connection, &mut keys)?;
    by_occurrence
        .into_iter()
        .map(|(occurrence, key)| match keys.get(&key) {
            Some(id) if *id != 0 => Ok((occurrence, *id)),
            _ => Err(Error::Corrupt("an occurrence that was stored is missing".to_owned())),
        })
        .collect()
}

/// As the database computes it.
fn package_hash(package: &Package, facts: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(&(package.kind as i64).to_be_bytes());
    let texts =
        [&package.name, &package.version, &package.arch, &package.source_name, &package.source_version];
    for text in texts {
        hasher.update(Digest::of(text.as_bytes()).as_bytes());
    }
    hasher.update(Digest::of(facts).as_bytes());
    hasher.finish()
}

fn insert_contexts(connection: &mut Connection, rows: &[(Digest, (&Context, Vec<u8>))]) -> Result<()> {
    let releases: Vec<&[u8]> = rows.iter().map(|(_, (context, _))| context.release.as_bytes()).collect();
    let bodies: Vec<&[u8]> = rows.iter().map(|(_, (_, body))| body.as_slice()).collect();
    connection.execute(
        "INSERT INTO context (release, body)
         SELECT release, body FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS w (release, body, n) ORDER BY n
         ON CONFLICT (hash) DO NOTHING",
        &[&releases, &bodies],
    )?;
    Ok(())
}

fn insert_packages(connection: &mut Connection, rows: &[(Digest, (&Package, Vec<u8>))]) -> Result<()> {
    let texts = |text: fn(&Package) -> &str| -> Vec<&[u8]> {
        rows.iter().map(|(_, (package, _))| text(package).as_bytes()).collect()
    };
    let kinds: Vec<i64> = rows.iter().map(|(_, (package, _))| package.kind as i64).collect();
    let facts: Vec<&[u8]> = rows.iter().map(|(_, (_, facts))| facts.as_slice()).collect();
    connection.execute(
        "INSERT INTO package (kind, name, version, arch, source_name, source_version, facts)
         SELECT kind, name, version, arch, source_name, source_version, facts
         FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])
            WITH ORDINALITY AS w (kind, name, version, arch, source_name, source_version, facts, n) ORDER BY n
         ON CONFLICT (hash) DO NOTHING",
        &[
            &kinds,
            &texts(|package| &package.name),
            &texts(|package| &package.version),
            &texts(|package| &package.arch),
            &texts(|package| &package.source_name),
            &texts(|package| &package.source_version),
            &facts,
        ],
    )?;
    Ok(())
}

/// Package, context and owner.
type Key<'a> = (i64, i64, &'a str);

fn owner_hash(owner: &str) -> Vec<u8> {
    if owner.is_empty() { Vec::new() } else { Digest::of(owner.as_bytes()).as_bytes().to_vec() }
}

/// Finds the ids of keys, and makes those that are missing.
fn intern_keys<'a>(connection: &mut Connection, keys: &mut BTreeMap<Key<'a>, i64>) -> Result<()> {
    let wanted: Vec<Key<'a>> = keys.keys().copied().collect();
    for piece in texts::pieces(wanted, |key| key.2.len()) {
        find_keys(connection, &piece, keys)?;
        let mut missing: Vec<(i64, i64, Vec<u8>, &'a str)> = piece
            .iter()
            .filter(|key| keys.get(*key) == Some(&0))
            .map(|(package, context, owner)| (*package, *context, owner_hash(owner), *owner))
            .collect();
        if missing.is_empty() {
            continue;
        }
        missing.sort();
        let packages: Vec<i64> = missing.iter().map(|key| key.0).collect();
        let contexts: Vec<i64> = missing.iter().map(|key| key.1).collect();
        let owners: Vec<&[u8]> = missing.iter().map(|key| key.3.as_bytes()).collect();
        let made: Vec<i64> = connection.values(
            "INSERT INTO occurrence (package_id, context_id, owner) SELECT package_id, context_id, owner
             FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) WITH ORDINALITY AS w (package_id, context_id, owner, n)
             ORDER BY n ON CONFLICT (package_id, context_id, owner_hash) DO NOTHING RETURNING occurrence_id",
            &[&packages, &contexts, &owners],
        )?;
        connection.execute(
            "INSERT INTO unlisted (occurrence_id) SELECT id FROM unnest($1::bigint[]) AS w (id)
             ON CONFLICT (occurrence_id) DO NOTHING",
            &[&made],
        )?;
        let missing: Vec<Key<'a>> = missing.iter().map(|key| (key.0, key.1, key.3)).collect();
        find_keys(connection, &missing, keys)?;
    }
    Ok(())
}

fn find_keys<'a>(
    connection: &mut Connection,
    wanted: &[Key<'a>],
    keys: &mut BTreeMap<Key<'a>, i64>,
) -> Result<()> {
    let packages: Vec<i64> = wanted.iter().map(|key| key.0).collect();
    let contexts: Vec<i64> = wanted.iter().map(|key| key.1).collect();
    let owners: Vec<Vec<u8>> = wanted.iter().map(|key| owner_hash(key.2)).collect();
    let rows = connection.query(
        "SELECT w.n, o.occurrence_id FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])
            WITH ORDINALITY AS w (package_id, context_id, owner_hash, n)
         JOIN occurrence o ON o.package_id = w.package_id AND o.context_id = w.context_id
            AND o.owner_hash = w.owner_hash",
        &[&packages, &contexts, &owners],
    )?;
    for row in rows {
        let position = usize::try_from(column::<i64>(&row, 0)?).unwrap_or_default().wrapping_sub(1);
        if let Some(id) = wanted.get(position).and_then(|key| keys.get_mut(key)) {
            *id = column(&row, 1)?;
        }
    }
    Ok(())
}

/// The columns that [`read`] reads, in its order, and where they are from.
pub(super) const COLUMNS: &str = "o.occurrence_id, p.kind, p.name, p.version, p.arch, p.source_name,
     p.source_version, p.facts, c.body, o.owner
     FROM occurrence o JOIN package p ON p.package_id = o.package_id JOIN context c ON c.context_id = o.context_id";

/// An occurrence with its id, from [`COLUMNS`].
pub(super) fn read(row: &Row) -> Result<(i64, Occurrence)> {
    let kind = usize::try_from(column::<i64>(row, 1)?).ok();
    let kind = kind.and_then(|kind| limpid_model::PackageType::ALL.get(kind));
    let package = Package {
        kind: *kind.ok_or_else(|| Error::Corrupt("an unknown kind of package".to_owned()))?,
        name: text(row, 2)?,
        version: text(row, 3)?,
        arch: text(row, 4)?,
        source_name: text(row, 5)?,
        source_version: text(row, 6)?,
        facts: codec::decode(&column::<Vec<u8>>(row, 7)?, "a package's facts")?,
    };
    let context = codec::decode(&column::<Vec<u8>>(row, 8)?, "a context")?;
    Ok((column(row, 0)?, Occurrence { package, context, owner: Owner(text(row, 9)?) }))
}

/// Occurrences by their ids, those that are there.
pub(super) fn by_ids(connection: &mut Connection, ids: &BTreeSet<i64>) -> Result<BTreeMap<i64, Occurrence>> {
    let wanted: Vec<i64> = ids.iter().copied().collect();
    let sql = format!("SELECT {COLUMNS} WHERE o.occurrence_id = ANY($1)");
    connection.query(&sql, &[&wanted])?.iter().map(read).collect()
}
