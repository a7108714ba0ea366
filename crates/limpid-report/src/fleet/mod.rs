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
use serde_json::{Value, json};

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
