//! Where a store under test is.

use std::path::PathBuf;

use limpid_store::Store;
use limpid_testkit::{Postgres, require_or_skip};

/// A place for one store, empty at first. Every [`Self::open`] is a handle of its own, as another process has.
pub(crate) enum Place {
    File { folder: tempfile::TempDir },
    Database { cluster: &'static Postgres, address: String },
}

impl Place {
    pub(crate) fn file() -> Self {
        Self::File { folder: tempfile::tempdir().unwrap() }
    }

    /// `None` where there is no PostgreSQL.
    pub(crate) fn database() -> Option<Self> {
        let cluster = require_or_skip(Postgres::shared(), "PostgreSQL")?;
        Some(Self::Database { cluster, address: cluster.database() })
    }

    pub(crate) fn is_database(&self) -> bool {
        matches!(self, Self::Database { .. })
    }

    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::File { folder } => folder.path().join("store.db"),
            Self::Database { address, .. } => PathBuf::from(address),
        }
    }

    pub(crate) fn open(&self) -> Box<dyn Store> {
        limpid_store::open(self.path()).unwrap()
    }

    /// Another place of the same kind, empty.
    pub(crate) fn other(&self) -> Self {
        match self {
            Self::File { .. } => Self::file(),
            Self::Database { cluster, .. } => Self::Database { cluster, address: cluster.database() },
        }
    }

    /// Another place with the same content. Nobody may have the store open.
    pub(crate) fn copy(&self) -> Self {
        let copy = self.other();
        match (self, &copy) {
            (Self::Database { cluster, address }, Self::Database { address: to, .. }) => {
                let name = |address: &str| address.rsplit('/').next().unwrap().to_owned();
                cluster.cut(address);
                cluster.sql("postgres", &format!("DROP DATABASE {}", name(to)));
                cluster.sql("postgres", &format!("CREATE DATABASE {} TEMPLATE {}", name(to), name(address)));
            }
            _ => limpid_store::open(self.path()).unwrap().backup(&copy.path()).unwrap(),
        }
        copy
    }

    /// Removes it; nobody may have the store open.
    pub(crate) fn remove(self) {
        if let Self::Database { cluster, address } = self {
            cluster.cut(&address);
            let name = address.rsplit('/').next().unwrap();
            cluster.sql("postgres", &format!("DROP DATABASE {name}"));
        }
    }

    /// Runs SQL behind the store's back; whether the database's own constraints let it. `{00ff}` stands for bytes.
    pub(crate) fn sql(&self, sql: &str) -> bool {
        match self {
            Self::File { .. } => {
                let sql = sql.replace('{', "x'").replace('}', "'");
                rusqlite::Connection::open(self.path()).unwrap().execute_batch(&sql).unwrap();
                true
            }
            Self::Database { cluster, address } => {
                let sql = sql.replace('{', "'\\x").replace('}', "'::bytea");
                match cluster.try_sql(address, &format!("SET search_path = limpid; {sql}")) {
                    Ok(_) => true,
                    Err(error) => {
                        assert!(error.contains("violates unique constraint"), "{sql}: {error}");
                        false
                    }
                }
            }
        }
    }
}
