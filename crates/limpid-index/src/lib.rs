//! The flow: fetch, read once, extract, compose, match, store. The only crate that knows all of it.
//!
//! [`Indexer`] turns an image into its record, [`Updater`] keeps feeds fresh, [`report`](fn@report) answers
//! for one image and [`fleet`] for all of them. [`Worker`] indexes what the store's queue asks for.
#![forbid(unsafe_code)]

mod analyse;
mod batch;
mod changes;
mod collect;
mod compose;
mod error;
mod events;
pub mod fleet;
mod follow;
mod import;
mod indexer;
mod kernels;
mod lease;
mod ownership;
mod places;
mod progress;
mod reach;
mod records;
mod report;
mod stop;
mod stream;
mod tend;
mod tree;
mod update;
mod verdicts;
mod vulnerabilities;
mod work;
mod worker;

pub use analyse::indexer_state;
pub use batch::{IMAGES_OPEN_MAX, Opener};
pub use changes::{Change, ChangeKind, changes};
pub use collect::collect;
pub use compose::COMPOSER_VERSION;
pub use error::Error;
pub use events::{Assessment, Derived, EventImage, assessment, derive_events, event_images};
pub use import::{ImageList, ListOptions, ListProblem, read_list, read_reference_list, references};
pub use indexer::Indexer;
pub use kernels::Kernels;
pub use lease::{Process, ProcessState, exclusively};
pub use ownership::{FilePackage, Ownership, PathOwner, ownership};
pub use places::{Place, places};
pub use progress::{Clock, Progress, Quiet};
pub use records::{Records, unrated};
pub use report::{Moment, Placement, installed, placements, report};
pub use stop::Stop;
pub use update::{Outcome, Selection, Updated, Updater};
pub use verdicts::{explain, verdicts};
pub use work::{ImageWork, Work, WorkError};
pub use worker::{WorkOpener, Worker, WorkerEvent};
