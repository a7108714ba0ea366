//! The flow: fetch, read once, extract, compose, match, store. The only crate that knows all of it.
//!
//! [`Indexer`] turns an image into its record, [`Updater`] keeps feeds fresh, [`report`](fn@report) answers
//! for one image and [`affected`] for all of them.
#![forbid(unsafe_code)]

mod analyse;
mod compose;
mod error;
mod fleet;
mod indexer;
mod ownership;
mod places;
mod progress;
mod report;
mod tree;
mod update;
mod verdicts;

pub use analyse::indexer_state;
pub use compose::COMPOSER_VERSION;
pub use error::Error;
pub use fleet::{Affected, AffectedImage, AffectedPackage, affected};
pub use indexer::Indexer;
pub use ownership::{FilePackage, Ownership, PathOwner, ownership};
pub use places::{Place, places};
pub use progress::{Clock, Progress, Quiet};
pub use report::{Placement, placements, report};
pub use update::{Outcome, Updated, Updater};
pub use verdicts::{explain, verdicts};
