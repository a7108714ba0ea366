//! For tests: builds images, serves them as a registry that breaks on purpose, starts a database, and finds the data
//! that tests may use. Panics on failure, as tests do.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod data;
mod engine;
mod fleet;
mod image;
mod layer;
mod postgres;
mod registry;
mod rpm;

pub use data::{corpus, feeds_mirror, require_or_skip, shared, validate, validators};
pub use engine::{EngineAnswer, FakeEngine, Framing};
pub use fleet::SmallFleet;
pub use image::{Encoding, Export, ImageBuilder};
pub use layer::{Layer, dpkg_status};
pub use postgres::{Passage, Postgres};
pub use registry::{Answer, Content, CuttingProxy, Request, Server};
pub use rpm::{BerkeleyDb, RpmHeader, rpm_berkeley_db, rpm_ndb};
