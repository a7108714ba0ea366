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
mod damage;
mod header;
mod manifest;
mod ndb;
mod package;
mod signature;
pub(crate) mod sqlite;

use limpid_model::{FileOwner, Package, Record};

use self::damage::Damage;
pub(crate) use self::manifest::RpmManifest;
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor, Problems};
use crate::read_at::ReadAt;

/// Bytes of one header. rpm's bound is 256 MiB; the largest that are met, with some hundred thousand files, have less
/// than 20.
const BLOB_BYTES_MAX: usize = 64 << 20;

/// Bytes of a database. Ten thousand packages have some 300 MiB; it is not held in memory.
const DATABASE_BYTES_MAX: u64 = 2 << 30;

/// Packages of a database. No distribution has half as many.
const PACKAGES_MAX: usize = 500_000;

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

/// `rpmdb.sqlite-wal`: changes that SQLite has not written to the database yet. It is empty once rpm has ended; in an
/// image that was made while rpm ran, or after it was killed, it may not be, and then the database alone is not the truth.
#[derive(Debug)]
pub(crate) struct RpmSqliteLog;

impl Extractor for RpmSqliteLog {
    fn name(&self) -> &'static str {
        "rpm-sqlite-wal"
    }

    fn version(&self) -> u32 {
        1
    }

    fn limit(&self) -> u64 {
        DATABASE_BYTES_MAX
    }

    fn reads(&self, path: &str) -> bool {
        path.ends_with("/rpm/rpmdb.sqlite-wal")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[
            Anchor::File("var/lib/rpm/rpmdb.sqlite-wal"),
            Anchor::File("usr/lib/sysimage/rpm/rpmdb.sqlite-wal"),
            Anchor::File("usr/share/rpm/rpmdb.sqlite-wal"),
        ]
    }

    fn reads_in_pieces(&self) -> bool {
        true
    }

    fn extract(&self, path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        self.extract_in_pieces(path, &content)
    }

    fn extract_in_pieces(&self, _path: &str, content: &dyn ReadAt) -> Result<Extracted, ExtractError> {
        // A log without a whole frame changes nothing.
        if content.size_bytes() <= WAL_HEADER_BYTES + WAL_FRAME_HEADER_BYTES {
            return Ok(Record::Packages(Vec::new()).into());
        }
        Err(ExtractError::NotRead(
            "it holds changes to rpm's database that were never written there and are not read; the list of \
             packages may be out of date",
        ))
    }
}

const WAL_HEADER_BYTES: u64 = 32;
const WAL_FRAME_HEADER_BYTES: u64 = 24;

/// The table `Packages` has a number and a header for each package.
fn read_sqlite(content: &dyn ReadAt, sink: &mut BlobSink<'_>) -> Result<(), ExtractError> {
    if content.size_bytes() == 0 {
        // SQLite makes an empty file first; it is a database without tables.
        return Ok(());
    }
    let mut database = sqlite::Database::open(content)?;
    let table = database.table("packages")?;
    let blob = table.column("blob")?;
    database.rows(&table, &mut |number, row| {
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
    read(content, &mut |number, blob| {
        let place = || number.map_or_else(String::new, |number| format!("header {number}: "));
        match blob.and_then(package::installed) {
            Ok(None) => {}
            Ok(Some(_)) if packages.len() >= PACKAGES_MAX => {
                problems.push(|| format!("{}there are more than {PACKAGES_MAX} packages", place()));
            }
            Ok(Some(installed)) => {
                packages.push(installed.package);
                owners.extend(installed.owner);
                if let Some(damage) = installed.problem {
                    problems.push(|| format!("{}{damage}", place()));
                }
            }
            Err(damage) => problems.push(|| format!("{}{damage}", place())),
        }
    })?;
    packages.sort_unstable();
    packages.dedup();
    owners.sort_unstable();
    owners.dedup();
    Ok(Extracted { record: Record::Packages(packages), owners, problems: problems.into_vec() })
}
