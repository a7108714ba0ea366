//! Which engine a store's place calls for.

use std::path::Path;

use crate::postgres::{Credentials, PostgresStore, is_address};
use crate::{Error, Result, SqliteStore, Store};

/// Opens a store: a database at `postgres://…`, else a file.
pub fn open(place: impl AsRef<Path>) -> Result<Box<dyn Store>> {
    open_with(place, &Credentials::default())
}

/// Opens a store whose database may need more than its address says.
pub fn open_with(place: impl AsRef<Path>, credentials: &Credentials) -> Result<Box<dyn Store>> {
    let place = place.as_ref();
    if !is_address(place) {
        return Ok(Box::new(SqliteStore::open(place)?));
    }
    let address = place.to_str().ok_or_else(|| Error::Address { reason: "it is not UTF-8".to_owned() })?;
    Ok(Box::new(PostgresStore::open(address, credentials)?))
}
