//! Which layers introduce most.

use limpid_model::{FleetLayers, LayerRank};
use serde_json::{Value, json};

use super::{as_of, basis_fields, image_fields, name};
use crate::json::document;
use crate::listing::fields;
use crate::summary::plural;
use crate::terminal::{Columns, Style, printable, wrapped};

/// The layers for people.
pub fn fleet_layers_table(answer: &FleetLayers, style: Style) -> String {
    let mut text = String::new();
    if !answer.layers.is_empty() {
        let head = ["IMAGES", "PACKAGES", "INTRODUCED", "FIXED", "LAYER", "FIRST IN", "COMMAND"];
        let mut columns = Columns::new(&head, &[5, 6]);
        for share in &answer.layers {
            let command = &share.layer.command;
            columns.push(vec![
                share.images.to_string(),
                share.packages.to_string(),
                share.introduced.to_string(),
                share.fixed.to_string(),
                share.layer.digest.short(),
                name(&share.example),
                if command.is_empty() { "-".to_owned() } else { command.clone() },
            ]);
        }
        text.push_str(&columns.render(style, |_, _, _| None));
        text.push('\n');
    }
    let by = match answer.rank {
        LayerRank::Vulnerabilities => "INTRODUCED",
        LayerRank::Packages => "PACKAGES",
    };
    let mut sentence = format!(
        "The first are those with the most {by} in all their IMAGES together; each number is that of one image. {} \
         looked at.",
        plural(answer.examined, "layer that changes packages was", "layers that change packages were")
    );
    if answer.not_examined > 0 {
        sentence.push_str(&format!(" {} more, which fewer images share, were not.", answer.not_examined));
    }
    sentence.push_str(&as_of(&answer.basis));
    text.push_str(&wrapped(&printable(&sentence), 0, style));
    text.push('\n');
    text
}

/// The layers for programs.
pub fn fleet_layers_json(answer: &FleetLayers) -> String {
    let layers: Vec<Value> = answer
        .layers
        .iter()
        .map(|share| {
            json!({
                "digest": share.layer.digest,
                "command": share.layer.command,
                "images": share.images,
                "packages": share.packages,
                "introduced": share.introduced,
                "fixed": share.fixed,
                "example": image_fields(&share.example),
            })
        })
        .collect();
    let by = match answer.rank {
        LayerRank::Vulnerabilities => "vulnerabilities",
        LayerRank::Packages => "packages",
    };
    let mut body = fields(json!({ "schema": "limpid-fleet-layers/1", "by": by }));
    body.extend(basis_fields(&answer.basis).map(|(name, value)| (name.to_owned(), value)));
    body.insert("layers".to_owned(), layers.into());
    body.insert("examined".to_owned(), answer.examined.into());
    body.insert("notExamined".to_owned(), answer.not_examined.into());
    document(&Value::Object(body))
}
