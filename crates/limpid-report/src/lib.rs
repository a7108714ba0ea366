//! Output formats, one file each, as pure functions of a [`Report`](limpid_model::Report) or of an
//! answer about all images.
//!
//! Everything that comes from an image or a feed is hostile text: what goes to a terminal passes
//! [`terminal::printable`] first.
#![forbid(unsafe_code)]

mod coverage;
mod documents;
mod fleet;
mod json;
mod layers;
mod listing;
mod packages;
mod platforms;
mod summary;
mod table;
pub mod terminal;

pub use documents::Documents;
pub use fleet::*;
pub use json::json;
pub use layers::{layers_json, layers_table};
pub use listing::Listing;
pub use packages::{packages_json, packages_of_platforms_json, packages_table, packages_tsv};
pub use platforms::{platforms_json, platforms_table};
pub use table::table;
pub use terminal::Style;
