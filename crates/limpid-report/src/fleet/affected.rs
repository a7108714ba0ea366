//! Which images have a vulnerability, what share, and what brought it.

use std::fmt::Write as _;

use limpid_model::{AffectedFleet, AffectedImage, Package, Rated, Verdict};
use serde_json::{Map, Value, json};

use super::{
    as_of, basis_fields, brought, image_with, images_end, layer, name, next, share, unanswerable,
    without_images,
};
use crate::listing::{Listing, fields};
use crate::terminal::{Columns, Style, printable, wrapped};

/// An image for people.
pub fn affected_image_table(answer: &AffectedImage) -> String {
    let mut text = format!("{}\n", printable(&name(&answer.image)));
    for package in &answer.packages {
        let (verdict, package, brought) = (&package.verdict, &package.package, layer(&package.layer));
        let line = format!(
            "  {} {} ({}), brought by layer {brought}",
            package.name,
            package.version,
            remedy(verdict)
        );
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", printable(&line));
    }
    text
}

/// The end of the answer for people: the package versions if no images were listed before, and the share.
pub fn affected_table_end(
    answer: &AffectedFleet,
    cursor: Option<&str>,
    has_images: bool,
    style: Style,
) -> String {
    let mut text = String::new();
    if !has_images && !answer.packages.is_empty() {
        let head = ["IMAGES", "RELEASE", "PACKAGE", "VERSION", "ID", "STATE"];
        let mut columns = Columns::new(&head, &[2, 3, 5]);
        for version in &answer.packages {
            columns.push(vec![
                version.images.to_string(),
                version.release.clone(),
                version.package.name.clone(),
                version.package.version.clone(),
                version.verdict.vulnerability.clone(),
                remedy(&version.verdict),
            ]);
        }
        text.push_str(&columns.render(style, |_, _, _| None));
        if answer.packages_left_out > 0 {
            let _ = writeln!(text, "{} more package versions are not listed.", answer.packages_left_out);
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

/// The fix, or why there is none.
fn remedy(verdict: &Verdict) -> String {
    match (verdict.fixed.as_str(), verdict.channel.as_str()) {
        ("", _) => verdict.state.name().to_owned(),
        (fixed, "") => format!("fixed in {fixed}"),
        (fixed, channel) => format!("fixed in {fixed} through {channel}"),
    }
}

fn sentence(answer: &AffectedFleet) -> String {
    let basis = &answer.basis;
    if !answer.is_known {
        return format!("No feed in the store knows {}.{}", answer.id, as_of(basis));
    }
    let text = match basis.answerable {
        0 => format!("No image in the store can be judged for {}.", answer.id),
        all => format!(
            "{}: {} of {all} images {} affected ({}).",
            answer.id,
            answer.affected,
            if answer.affected == 1 { "is" } else { "are" },
            share(answer.affected, all)
        ),
    };
    format!("{text}{}{}", unanswerable(basis), as_of(basis))
}

/// The beginning of the answer for programs.
pub fn affected_json_begin(answer: &AffectedFleet) -> (Listing, String) {
    Listing::begin(&head(answer), "images")
}

/// The next image for programs.
pub fn affected_image_json(listing: &mut Listing, answer: &AffectedImage) -> String {
    let packages: Vec<Value> = answer
        .packages
        .iter()
        .map(|affected| {
            let fields = verdict_fields(&affected.package, &affected.verdict, &affected.rated);
            brought(fields, &affected.layer)
        })
        .collect();
    listing.add(&image_with(&answer.image, packages))
}

/// The end of the answer for programs.
pub fn affected_json_end(listing: Listing, cursor: Option<&str>) -> String {
    images_end(listing, cursor)
}

/// The answer without its images, for programs.
pub fn affected_summary_json(answer: &AffectedFleet) -> String {
    without_images(head(answer))
}

fn head(answer: &AffectedFleet) -> Map<String, Value> {
    let packages: Vec<Value> = answer
        .packages
        .iter()
        .map(|version| {
            let mut fields = verdict_fields(&version.package, &version.verdict, &version.rated);
            fields.insert("release".to_owned(), version.release.as_str().into());
            fields.insert("images".to_owned(), version.images.into());
            Value::Object(fields)
        })
        .collect();
    let mut head = fields(json!({
        "schema": "limpid-affected/1",
        "id": answer.id,
        "known": answer.is_known,
        "affected": answer.affected,
    }));
    head.extend(basis_fields(&answer.basis).map(|(name, value)| (name.to_owned(), value)));
    head.insert("packages".to_owned(), packages.into());
    head.insert("packagesLeftOut".to_owned(), answer.packages_left_out.into());
    head
}

pub(crate) fn verdict_fields(package: &Package, verdict: &Verdict, rated: &Rated) -> Map<String, Value> {
    fields(json!({
        "type": package.kind.name(),
        "name": package.name,
        "version": package.version,
        "arch": package.arch,
        "source": { "name": package.source_name, "version": package.source_version },
        "id": verdict.vulnerability,
        "state": verdict.state.name(),
        "fixedIn": verdict.fixed,
        "channel": verdict.channel,
        "severity": rated.severity.name(),
        "severitySource": rated.source,
    }))
}
