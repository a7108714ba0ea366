//! Output formats, one file each, as pure functions of a [`Report`](limpid_model::Report), which [`FORMATS`] lists, or of
//! an answer about all images.
//!
//! Everything that comes from an image or a feed is hostile text: what goes to a terminal passes
//! [`terminal::printable`] first, what goes into markup or a table its escape in `text.rs`, and JSON escapes what a
//! terminal or a runner would act on. Documents have no clock and no random ids: the same report gives the same bytes.
#![forbid(unsafe_code)]

mod bom;
mod clair;
mod cosign;
mod coverage;
mod csv;
mod cyclonedx;
mod documents;
mod fleet;
mod format;
mod github;
mod gitlab;
mod grype;
mod html;
mod identity;
mod image_name;
mod json;
mod junit;
mod layers;
mod listing;
mod markdown;
mod openvex;
mod packages;
mod platforms;
mod purl;
mod quay;
mod sarif;
mod scale;
mod source;
mod spdx;
mod spdx3;
mod summary;
mod table;
pub mod terminal;
mod text;
mod tool;
mod trivy;
mod tsv;

pub use documents::Documents;
pub use fleet::*;
pub use format::{Document, Edition, FORMATS, Format, Job, Subject, formats, guess};
pub use json::json;
pub use layers::{layers_json, layers_table};
pub use listing::Listing;
pub use packages::{packages_json, packages_of_platforms_json, packages_table};
pub use platforms::{platforms_json, platforms_table};
pub use purl::purl;
pub use table::table;
pub use terminal::Style;
pub use tsv::packages_tsv;
