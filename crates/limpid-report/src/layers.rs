//! What each layer of an image did.

use limpid_model::Report;
use serde_json::{Value, json};

use crate::coverage::coverage;
use crate::terminal::{Columns, Style, printable, wrapped};

/// Layers for people, base first.
pub fn layers_table(report: &Report, style: Style) -> String {
    let mut text = format!("{}\n\n", style.bold(&printable(&report.reference)));
    let head = ["LAYER", "SIZE", "INSTALLED", "UPGRADED", "REMOVED", "INTRODUCED", "FIXED", "COMMAND"];
    let mut columns = Columns::new(&head, &[7]);
    for (index, (layer, change)) in report.image.layers.iter().zip(&report.layers).enumerate() {
        columns.push(vec![
            crate::table::layer(report, index),
            size(layer.size_bytes),
            change.installed.to_string(),
            change.upgraded.to_string(),
            change.removed.to_string(),
            change.introduced.to_string(),
            change.fixed.to_string(),
            if layer.command.is_empty() { "-".to_owned() } else { layer.command.clone() },
        ]);
    }
    columns.shorten(0, style);
    text.push_str(&columns.render(style, |_, _, _| None));
    let legend = "INSTALLED, UPGRADED and REMOVED count packages; INTRODUCED and FIXED count vulnerabilities of packages.";
    text.push('\n');
    text.push_str(&wrapped(&format!("{legend}{}", crate::summary::hidden(report)), 0, style));
    text.push_str("\n\n");
    text.push_str(&coverage(report, style));
    text
}

/// Layers for programs.
pub fn layers_json(report: &Report) -> String {
    let layers: Vec<Value> = report
        .image
        .layers
        .iter()
        .zip(&report.layers)
        .map(|(layer, change)| {
            json!({
                "digest": layer.digest,
                "diffId": layer.diff_id,
                "sizeBytes": layer.size_bytes,
                "command": layer.command,
                "created": layer.created,
                "packages": { "installed": change.installed, "upgraded": change.upgraded, "removed": change.removed },
                "vulnerabilities": { "introduced": change.introduced, "fixed": change.fixed },
            })
        })
        .collect();
    crate::json::document(&json!({
        "schema": "limpid-layers/1",
        "reference": report.reference,
        "image": crate::json::image(report),
        "layers": layers,
        "hidden": crate::json::hidden(report),
        "coverage": crate::json::coverage(report),
    }))
}

/// Bytes for people, in decimal units.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_decimal() {
        let sizes = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (61_512_345, "61.5 MB"),
            (4_200_000_000, "4.2 GB"),
        ];
        for (bytes, expected) in sizes {
            assert_eq!(size(bytes), expected);
        }
    }
}
