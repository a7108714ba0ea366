//! `limpid store`

use std::io::IsTerminal as _;
use std::path::Path;

use limpid_index::Clock as _;
use limpid_model::Digest;
use limpid_report::terminal::printable;
use limpid_store::{ImageId, SqliteStore};

use super::store_status;
use crate::arguments::{Global, StoreCommand};
use crate::clock::SystemClock;
use crate::error::{Error, Exit, eprint_line};
use crate::session::{Session, credentials, print, store_path};

const SECONDS_PER_DAY: i64 = 24 * 3600;

pub(crate) fn run(global: &Global, command: &StoreCommand) -> Result<Exit, Error> {
    if let StoreCommand::Restore { file, force } = command {
        return restore(global, file, *force);
    }
    if let StoreCommand::Copy { source, target } = command {
        return copy(global, source, target);
    }
    let session = Session::open(global)?;
    match command {
        StoreCommand::Copy { source, target } => copy(global, source, target),
        StoreCommand::Status { format } => store_status::status(&session.store.status()?, *format),
        StoreCommand::Check { format } => {
            store_status::check(&session.store.check(session.clock.now())?, *format)
        }
        StoreCommand::Forget { images } => forget(&session, images),
        StoreCommand::Gc { keep_days, keep_events_days, grace } => {
            collect(&session, *keep_days, *keep_events_days, *grace)
        }
        StoreCommand::Backup { file } => {
            session.store.backup(file)?;
            Ok(Exit::Success)
        }
        StoreCommand::Restore { file, force } => restore(global, file, *force),
    }
}

fn restore(global: &Global, file: &Path, force: bool) -> Result<Exit, Error> {
    let to = store_path(global)?;
    if to.as_os_str() == ":memory:" {
        let message = "a backup cannot be restored to :memory:; use the backup itself with --store";
        return Err(Error::Usage { message: message.to_owned() });
    }
    if limpid_store::is_address(&to) {
        let message = "a database is restored by PostgreSQL's own tools (pg_restore), not by Limpid";
        return Err(Error::Usage { message: message.to_owned() });
    }
    let report = SqliteStore::restore(file, &to, force, SystemClock.now())?;
    store_status::check(&report, crate::arguments::ReportFormat::Table)
}

/// Copies one store to another, and checks what came of it.
fn copy(global: &Global, source: &Path, target: &Path) -> Result<Exit, Error> {
    if !limpid_store::is_address(source) && !source.is_file() {
        let message = format!("there is no store {}", source.display());
        return Err(Error::Usage { message });
    }
    let credentials = credentials();
    let from = limpid_store::open_with(source, &credentials)?;
    let to = limpid_store::open_with(target, &credentials)?;
    limpid_store::copy(from.as_ref(), to.as_ref(), &mut |table| {
        if !global.quiet && std::io::stderr().is_terminal() {
            eprint_line(&format!("copying {table}"));
        }
    })?;
    store_status::check(&to.check(SystemClock.now())?, crate::arguments::ReportFormat::Table)
}

fn forget(session: &Session<'_>, names: &[String]) -> Result<Exit, Error> {
    // Nothing is forgotten if one of them is a mistake.
    let images = names.iter().map(|name| image(session, name)).collect::<Result<Vec<_>, _>>()?;
    for (image, name) in images.into_iter().zip(names) {
        session.store.forget(image, session.clock.now())?;
        print(&format!("forgot {}\n", printable(name)))?;
    }
    Ok(Exit::Success)
}

fn image(session: &Session<'_>, name: &str) -> Result<ImageId, Error> {
    let found = match name.parse::<Digest>() {
        Ok(digest) => session.store.image(&digest)?,
        Err(_) => session.store.image_by_reference(name)?,
    };
    found.map(|(image, _)| image).ok_or_else(|| Error::UnknownImage(name.to_owned()))
}

fn collect(
    session: &Session<'_>,
    keep_days: Option<u32>,
    keep_events_days: u32,
    grace: u32,
) -> Result<Exit, Error> {
    let store = session.store.as_ref();
    let mut forgotten = 0_u64;
    if let Some(days) = keep_days {
        let now = session.clock.now();
        for image in store.images_unseen_since(now - i64::from(days) * SECONDS_PER_DAY)? {
            forgotten += u64::from(store.forget(image, now)?);
        }
    }
    let keep_events_seconds = i64::from(keep_events_days) * SECONDS_PER_DAY;
    let freed = limpid_index::collect(store, &session.clock, session.process(), grace, keep_events_seconds)?;
    print(&store_status::freed(keep_days.map(|_| forgotten), &freed, grace))?;
    Ok(Exit::Success)
}
