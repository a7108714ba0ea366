//! Answers about all images at once, one file each.

mod affected;
mod difference;
mod layers;
mod package;
mod rebase;
mod status;
mod vulnerabilities;

pub use affected::{
    affected_image_json, affected_image_table, affected_json_begin, affected_json_end, affected_summary_json,
    affected_table_end,
};
pub use difference::{difference_json, difference_table};
pub use layers::{fleet_layers_json, fleet_layers_table};
pub use package::{
    holder_json, holder_table, holders_json_begin, holders_json_end, holders_summary_json, holders_table_end,
};
pub use rebase::{rebase_json, rebase_table};
pub use status::{fleet_status_json, fleet_status_table};
pub use vulnerabilities::{widespread_json, widespread_table};

use limpid_model::{Basis, FleetImage, FleetLayer};
use serde_json::{Map, Value, json};

use crate::json::document;
use crate::listing::{Listing, fields};
use crate::terminal::printable;

/// An image by its names, else by its digest.
pub(crate) fn name(image: &FleetImage) -> String {
    match image.references.is_empty() {
        true => image.digest.to_string(),
        false => image.references.join(", "),
    }
}

/// A layer and the command that made it.
pub(crate) fn layer(layer: &FleetLayer) -> String {
    let command = if layer.command.is_empty() { "command not recorded" } else { &layer.command };
    format!("{}: {command}", layer.digest.short())
}

/// An image's fields.
pub(crate) fn image_fields(image: &FleetImage) -> Value {
    json!({ "digest": image.digest, "references": image.references, "release": image.release })
}

/// A package's fields with the layer that brought it.
pub(crate) fn brought(mut package: Map<String, Value>, layer: &FleetLayer) -> Value {
    package.insert("layer".to_owned(), json!(layer.digest));
    package.insert("command".to_owned(), json!(layer.command));
    Value::Object(package)
}

/// An image with those of its packages that a question is about.
pub(crate) fn image_with(image: &FleetImage, packages: Vec<Value>) -> Value {
    let mut image = fields(image_fields(image));
    image.insert("packages".to_owned(), packages.into());
    Value::Object(image)
}

/// The end of a list of images, with the cursor by which it goes on.
pub(crate) fn images_end(listing: Listing, cursor: Option<&str>) -> String {
    listing.end(&fields(json!({ "next": cursor })))
}

/// An answer of whose images none are listed.
pub(crate) fn without_images(mut head: Map<String, Value>) -> String {
    head.insert("images".to_owned(), Value::Null);
    head.insert("next".to_owned(), Value::Null);
    document(&Value::Object(head))
}

/// The fields that say what an answer rests on.
pub(crate) fn basis_fields(basis: &Basis) -> [(&'static str, Value); 4] {
    [
        ("revision", basis.revision.into()),
        ("asOf", if basis.as_of.is_empty() { Value::Null } else { basis.as_of.as_str().into() }),
        ("answerable", basis.answerable.into()),
        ("unanswerable", basis.unanswerable.into()),
    ]
}

/// A share in per cent.
pub(crate) fn share(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".to_owned(),
        whole => format!("{:.1} %", part as f64 * 100.0 / whole as f64),
    }
}

/// A sentence on the images that there is no answer for, after another; nothing if there are none.
pub(crate) fn unanswerable(basis: &Basis) -> String {
    match basis.unanswerable {
        0 => String::new(),
        1 => " 1 more cannot be judged: no feed in the store speaks for its distribution.".to_owned(),
        more => format!(" {more} more cannot be judged: no feed in the store speaks for their distribution."),
    }
}

/// A sentence on the moment, after another; nothing for the present.
pub(crate) fn as_of(basis: &Basis) -> String {
    match basis.as_of.as_str() {
        "" => String::new(),
        moment => format!(" As of {}, by revision {} of the advisories.", printable(moment), basis.revision),
    }
}

/// How a list goes on, as a line after it; nothing at its end.
pub(crate) fn next(cursor: Option<&str>) -> String {
    cursor.map(|cursor| format!("More images follow: --after {}\n", printable(cursor))).unwrap_or_default()
}
