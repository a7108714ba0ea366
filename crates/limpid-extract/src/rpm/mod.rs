//! rpm's database in its three forms, and the list that stands in for it in images without one.
//!
//! All three forms hold the same headers; each has a reader of its own that gives them one after the other. What a
//! damaged header says is lost and told, the others count. `rpm -qa` is what the tests ask.
//!
//! **What counts as installed**: every header but `gpg-pubkey`, as which rpm keeps the keys that it trusts.
//! The version has an epoch where the header has one (`0:` too), as in rpm's own answers. The source's version is
//! that of the source package's file name, which has no epoch.
//!
//! **Two forms side by side**: rpm opens one of them; where its settings name one that is not there it looks for
//! SQLite, ndb and Berkeley DB in this order (`lib/rpmdb.c`). In this order the first one with packages in it counts
//! ([`Extractor::superseded_by`]); the others are left-overs of a conversion, and the report says so.

mod bdb;
mod header;
mod manifest;
mod ndb;
mod package;
mod signature;
mod write_ahead_log;

use limpid_model::{FileOwner, Package, Record};

pub(crate) use self::manifest::RpmManifest;
pub(crate) use self::write_ahead_log::RpmSqliteLog;
use crate::damage::Damage;
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor, Problems};
use crate::read_at::ReadAt;
use crate::sqlite;

/// Bytes of one header. rpm's bound is 256 MiB; the largest that are met, with some hundred thousand files, have less
/// than 20.
const BLOB_BYTES_MAX: usize = 64 << 20;

/// Bytes of a database. Ten thousand packages have some 300 MiB; it is not held in memory.
const DATABASE_BYTES_MAX: u64 = 2 << 30;

/// Bytes of names, versions and facts of all packages. Real ones have some hundred each, and no distribution has a hundred
/// thousand of them.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// Hashes of files of all packages, eight bytes each.
const OWNED_PATHS_MAX: usize = 4 << 20;

/// Takes headers: the number that the database gives to one, and its bytes or what is wrong with it.
type BlobSink<'s> = dyn FnMut(Option<u64>, Result<&[u8], Damage>) + 's;

macro_rules! database {
    ($(#[$about:meta])* $extractor:ident, $name:literal, $file:literal, $read:path, superseded by $newer:expr) => {
        $(#[$about])*
        #[derive(Debug)]
        pub(crate) struct $extractor;

        impl Extractor for $extractor {
            fn name(&self) -> &'static str {
                $name
            }

            fn version(&self) -> u32 {
                1
            }

            fn limit(&self) -> u64 {
                DATABASE_BYTES_MAX
            }

            fn reads(&self, path: &str) -> bool {
                path.ends_with(concat!("/rpm/", $file)) || path == concat!("rpm/", $file)
            }

            fn anchors(&self) -> &'static [Anchor] {
                &[
                    Anchor::File(concat!("var/lib/rpm/", $file)),
                    Anchor::File(concat!("usr/lib/sysimage/rpm/", $file)),
                    Anchor::File(concat!("usr/share/rpm/", $file)),
                ]
            }

            fn superseded_by(&self) -> &'static [&'static str] {
                $newer
            }

            fn reads_in_pieces(&self) -> bool {
                true
            }

            fn extract(&self, path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
                self.extract_in_pieces(path, &content)
            }

            fn extract_in_pieces(
                &self,
                _path: &str,
                content: &dyn ReadAt,
            ) -> Result<Extracted, ExtractError> {
                database(content, $read)
            }
        }
    };
}

database!(
    /// `rpmdb.sqlite`.
    RpmSqlite, "rpm-sqlite", "rpmdb.sqlite", read_sqlite, superseded by &[]
);
database!(
    /// `Packages.db`.
    RpmNdb, "rpm-ndb", "Packages.db", ndb::read, superseded by &["rpm-sqlite"]
);
database!(
    /// `Packages`.
    RpmBerkeleyDb, "rpm-bdb", "Packages", bdb::read, superseded by &["rpm-sqlite", "rpm-ndb"]
);

/// The table `Packages` has a number and a header for each package.
fn read_sqlite(content: &dyn ReadAt, sink: &mut BlobSink<'_>) -> Result<(), ExtractError> {
    if content.size_bytes() == 0 {
        // SQLite makes an empty file first; it is a database without tables.
        return Ok(());
    }
    let mut database = sqlite::Database::open(content, &["packages"])?;
    let table = database.table("packages")?;
    let blob = table.column("blob")?;
    database.rows(&table, BLOB_BYTES_MAX, &mut |number, row| {
        let number = number.and_then(|number| u64::try_from(number).ok());
        let bytes = row.and_then(|row| {
            let value = row.get(blob).copied().and_then(sqlite::Value::bytes);
            value.ok_or_else(|| Damage::new("it has no bytes"))
        });
        sink(number, bytes);
    });
    Ok(())
}

fn database(
    content: &dyn ReadAt,
    read: impl FnOnce(&dyn ReadAt, &mut BlobSink<'_>) -> Result<(), ExtractError>,
) -> Result<Extracted, ExtractError> {
    let mut packages: Vec<Package> = Vec::new();
    let mut owners: Vec<FileOwner> = Vec::new();
    let mut problems = Problems::default();
    let (mut text_bytes, mut paths) = (0, 0);
    read(content, &mut |number, blob| {
        let place = || number.map_or_else(String::new, |number| format!("header {number}: "));
        let installed = match blob.and_then(package::installed) {
            Ok(Some(installed)) => installed,
            Ok(None) => return,
            Err(damage) => {
                problems.push(|| format!("{}{damage}", place()));
                return;
            }
        };
        if let Some(damage) = installed.problem {
            problems.push(|| format!("{}{damage}", place()));
        }
        text_bytes += size_of::<Package>() + text_bytes_of(&installed.package);
        if text_bytes > TEXT_BYTES_MAX {
            problems.push(|| format!("{}it is beyond {TEXT_BYTES_MAX} bytes of packages", place()));
            return;
        }
        packages.push(installed.package);
        if let Some(owner) = installed.owner {
            paths += owner.paths.len();
            if paths > OWNED_PATHS_MAX {
                problems.push(|| format!("{}its files are beyond {OWNED_PATHS_MAX}", place()));
            } else {
                owners.push(owner);
            }
        }
    })?;
    packages.sort_unstable();
    packages.dedup();
    owners.sort_unstable();
    owners.dedup();
    Ok(Extracted { record: Record::Packages(packages), owners, problems: problems.into_vec() })
}

fn text_bytes_of(package: &Package) -> usize {
    let texts =
        [&package.name, &package.version, &package.arch, &package.source_name, &package.source_version];
    let facts = package.facts.iter().map(|(_, value)| value);
    texts.into_iter().chain(facts).map(String::len).sum()
}
