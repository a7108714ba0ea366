//! Which images have a package, in a range of versions.

use std::fmt::Write as _;

use limpid_model::{Holder, Holders, Package};
use serde_json::{Map, Value, json};

use super::{as_of, basis_fields, brought, image_with, images_end, layer, name, next, share, without_images};
use crate::listing::{Listing, fields};
use crate::summary::plural;
use crate::terminal::{Columns, Style, printable, wrapped};

/// An image for people.
pub fn holder_table(answer: &Holder) -> String {
    let mut text = format!("{}\n", printable(&name(&answer.image)));
    for (package, brought) in &answer.packages {
        let line = format!("  {} {}, brought by layer {}", package.name, package.version, layer(brought));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", printable(&line));
    }
    text
}

/// The end of the answer for people: the versions if no images were listed before, and the share.
pub fn holders_table_end(answer: &Holders, cursor: Option<&str>, has_images: bool, style: Style) -> String {
    let mut text = String::new();
    if !has_images && !answer.versions.is_empty() {
        let mut columns = Columns::new(&["IMAGES", "TYPE", "NAME", "VERSION", "ARCH", "SOURCE"], &[2, 3, 5]);
        for version in &answer.versions {
            let package = &version.package;
            columns.push(vec![
                version.images.to_string(),
                package.kind.to_string(),
                package.name.clone(),
                package.version.clone(),
                package.arch.clone(),
                format!("{} {}", package.source_name, package.source_version),
            ]);
        }
        text.push_str(&columns.render(style, |_, _, _| None));
        if answer.versions_left_out > 0 {
            let _ = writeln!(text, "{} more package versions are not listed.", answer.versions_left_out);
        }
    }
    if has_images || !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&next(cursor));
    text.push_str(&wrapped(&printable(&sentence(answer)), 0, style));
    text.push('\n');
    text
}

fn sentence(answer: &Holders) -> String {
    let basis = &answer.basis;
    let all = basis.answerable + basis.unanswerable;
    let range = if answer.range.is_empty() { String::new() } else { format!(" {}", answer.range) };
    let has = if answer.images == 1 { "has" } else { "have" };
    let mut text = format!(
        "{}{range}: {} of {} {has} it ({}).",
        answer.name,
        answer.images,
        plural(all, "image", "images"),
        share(answer.images, all)
    );
    if answer.incomparable > 0 {
        let _ = write!(
            text,
            " {} of that name cannot be compared: there is no order of versions for their kind here.",
            plural(answer.incomparable, "package version", "package versions")
        );
    }
    text.push_str(&as_of(basis));
    text
}

/// The beginning of the answer for programs.
pub fn holders_json_begin(answer: &Holders) -> (Listing, String) {
    Listing::begin(&head(answer), "images")
}

/// The next image for programs.
pub fn holder_json(listing: &mut Listing, answer: &Holder) -> String {
    let packages: Vec<Value> =
        answer.packages.iter().map(|(package, layer)| brought(package_fields(package), layer)).collect();
    listing.add(&image_with(&answer.image, packages))
}

/// The end of the answer for programs.
pub fn holders_json_end(listing: Listing, cursor: Option<&str>) -> String {
    images_end(listing, cursor)
}

/// The answer without its images, for programs.
pub fn holders_summary_json(answer: &Holders) -> String {
    without_images(head(answer))
}

fn head(answer: &Holders) -> Map<String, Value> {
    let versions: Vec<Value> = answer
        .versions
        .iter()
        .map(|version| {
            let mut fields = package_fields(&version.package);
            fields.insert("images".to_owned(), version.images.into());
            Value::Object(fields)
        })
        .collect();
    let mut head = fields(json!({
        "schema": "limpid-fleet-package/1",
        "name": answer.name,
        "range": answer.range,
        "having": answer.images,
    }));
    head.extend(basis_fields(&answer.basis).map(|(name, value)| (name.to_owned(), value)));
    head.insert("versions".to_owned(), versions.into());
    head.insert("versionsLeftOut".to_owned(), answer.versions_left_out.into());
    head.insert("incomparable".to_owned(), answer.incomparable.into());
    head
}

/// A package version's fields.
pub(crate) fn package_fields(package: &Package) -> Map<String, Value> {
    fields(json!({
        "type": package.kind.name(),
        "name": package.name,
        "version": package.version,
        "arch": package.arch,
        "source": { "name": package.source_name, "version": package.source_version },
    }))
}
