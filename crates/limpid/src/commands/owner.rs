//! `limpid owner`

use std::fmt::Write as _;

use limpid_index::PathOwner;
use limpid_report::terminal::printable;

use crate::arguments::{Global, Owner};
use crate::error::{Error, Exit};
use crate::session::{Session, print};

pub(crate) fn run(global: &Global, command: &Owner) -> Result<Exit, Error> {
    let session = Session::open(global)?;
    let record = session.index(&command.image)?;
    let ownership = limpid_index::ownership(session.store.as_ref(), &record)?;
    for list in ownership.unread() {
        session.warn(&format!("{list}: this list of files was not read with its layer"));
    }
    let path = printable(&command.path);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match ownership.owner(&command.path) {
        PathOwner::Packages(owners) => {
            for owner in owners {
                let package = &owner.package;
                let arch = if package.arch.is_empty() { String::new() } else { format!(" {}", package.arch) };
                let line = format!(
                    "{} {}{arch} ({}), listed in {}",
                    package.name, package.version, package.kind, owner.path
                );
                let _ = writeln!(text, "{}", printable(&line));
            }
            Ok(())
        }
        PathOwner::Nobody => writeln!(text, "No package of the image says that it brought {path}."),
        PathOwner::NotKept => writeln!(
            text,
            "Nothing can be said of {path}: owners are kept of programs, kernels and files that name a package \
             of a language."
        ),
    };
    print(&text)?;
    Ok(Exit::Success)
}
