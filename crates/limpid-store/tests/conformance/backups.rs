//! Backups of the embedded engine, and damage of its file.

use std::path::{Path, PathBuf};

use limpid_store::{Error, SqliteStore, Upkeep as _};

use crate::fleet_of::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn store(&self, name: &str) -> SqliteStore {
        SqliteStore::open(&self.path(name)).unwrap()
    }
}

fn damage(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn a_backup_is_a_store_and_comes_back() {
    let folder = Folder::new();
    let store = folder.store("store.db");
    advisories(&store, &["CVE-1"]);
    shared_image(&store);
    let before = rows(&store);
    let backup = folder.path("backup.db");
    store.backup(&backup).unwrap();
    assert!(matches!(store.backup(&backup), Err(Error::Exists { .. })));
    own_image(&store);
    let path = folder.path("store.db");
    let restore = |force| SqliteStore::restore(&backup, &path, force, NOW);
    assert!(matches!(restore(false), Err(Error::Exists { .. })));
    assert!(matches!(restore(true), Err(Error::InUse { .. })));
    assert_ne!(rows(&store), before);
    drop(store);
    assert!(restore(true).unwrap().is_sound());
    let store = folder.store("store.db");
    assert_eq!(rows(&store), before);
    own_image(&store);
    sound(&store);
    assert!(SqliteStore::restore(&backup, &folder.path("new/store.db"), false, NOW).is_ok());
    assert!(matches!(SqliteStore::restore(&backup, &backup, true, NOW), Err(Error::InUse { .. })));
    drop(store);
    let mut names: Vec<_> = folder
        .0
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["backup.db", "new", "store.db"], "nothing is left behind");
}

#[test]
fn a_store_in_memory_is_backed_up_too() {
    let folder = Folder::new();
    let store = SqliteStore::open(Path::new(":memory:")).unwrap();
    shared_image(&store);
    store.backup(&folder.path("backup.db")).unwrap();
    let backup = folder.store("backup.db");
    assert_eq!(rows(&backup), rows(&store));
    sound(&backup);
}

#[test]
fn a_damaged_backup_is_not_restored() {
    let folder = Folder::new();
    let store = folder.store("store.db");
    shared_image(&store);
    let before = rows(&store);
    let backup = folder.path("backup.db");
    store.backup(&backup).unwrap();
    drop(store);
    damage(&backup, "DELETE FROM package");
    let restored = SqliteStore::restore(&backup, &folder.path("store.db"), true, NOW);
    assert!(matches!(restored, Err(Error::Damaged { .. })));
    std::fs::write(folder.path("text"), "no store at all").unwrap();
    let restored = SqliteStore::restore(&folder.path("text"), &folder.path("store.db"), true, NOW);
    assert!(matches!(restored, Err(Error::NotAStore { .. })), "{restored:?}");
    assert!(SqliteStore::restore(&folder.path("none"), &folder.path("store.db"), true, NOW).is_err());
    assert_eq!(rows(&folder.store("store.db")), before);
}

#[test]
fn a_damaged_file_is_found() {
    let folder = Folder::new();
    let store = folder.store("store.db");
    shared_image(&store);
    let path = folder.path("damaged.db");
    store.backup(&path).unwrap();
    damage(
        &path,
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema
         WHERE name = 'image_node') WHERE name = 'reference_image';",
    );
    let report = SqliteStore::open(&path).unwrap().check(NOW);
    match report {
        Ok(report) => assert_eq!(report.broken[0].table, "file", "{report:?}"),
        Err(error) => assert!(matches!(error, Error::Corrupt(_)), "{error}"),
    }
}
