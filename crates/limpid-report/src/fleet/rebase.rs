//! What moving to a newer known build of the same base would fix.

use limpid_model::{BaseEvidence, Rebase};
use serde_json::{Value, json};

use super::{difference, image_fields, name};
use crate::json::document;
use crate::summary::plural;
use crate::terminal::{Style, printable, wrapped};

/// The answer for people.
pub fn rebase_table(answer: &Rebase, style: Style) -> String {
    let mut text = format!("{}\n\n", style.bold(&printable(&name(&answer.image))));
    let mut lines = vec![match answer.evidence {
        BaseEvidence::Layers => format!(
            "base    {}: its {} the first of this image's",
            name(&answer.base),
            plural(answer.base_layers, "layer is", "layers are")
        ),
        BaseEvidence::Itself => {
            "base    none is known: no image in the store is the beginning of this one; it is looked at as a base itself"
                .to_owned()
        }
    }];
    if answer.is_bounded {
        lines.push(
            "        there may be a larger one: too many images end in the same packages to look at all"
                .to_owned(),
        );
    }
    lines.push(match &answer.newer {
        None => {
            "newer   none is known: the base's references name no later image of the same release".to_owned()
        }
        Some(newer) if newer.reference.is_empty() => format!(
            "newer   {}: of the same repository {}, release and platform, seen later",
            name(&newer.image),
            newer.repository
        ),
        Some(newer) => {
            format!("newer   {}: {} names it now", newer.image.digest, newer.reference)
        }
    });
    for line in lines {
        text.push_str(&wrapped(&printable(&line), 8, style));
        text.push('\n');
    }
    text.push('\n');
    let mut sentence = match &answer.newer {
        None => "No statement is possible: scan the base image's newer build first.".to_owned(),
        Some(newer) => {
            text.push_str(&difference::packages_table(&newer.difference, style));
            text.push_str(&difference::vulnerabilities_table(&newer.difference, style));
            format!(
                "Moving to it, with the image's own layers as they are: {}",
                difference::sentence(&newer.difference, newer.is_answerable)
            )
        }
    };
    if !answer.as_of.is_empty() {
        sentence.push_str(&format!(" As of {}.", answer.as_of));
    }
    text.push_str(&wrapped(&printable(&sentence), 0, style));
    text.push('\n');
    text
}

/// The answer for programs.
pub fn rebase_json(answer: &Rebase) -> String {
    let evidence = match answer.evidence {
        BaseEvidence::Layers => "layers",
        BaseEvidence::Itself => "itself",
    };
    let newer = answer.newer.as_ref().map(|newer| {
        json!({
            "image": image_fields(&newer.image),
            "reference": (!newer.reference.is_empty()).then_some(&newer.reference),
            "repository": newer.repository,
            "comparable": newer.is_answerable,
            "packages": difference::packages(&newer.difference),
            "findings": difference::findings(&newer.difference),
        })
    });
    let body: Value = json!({
        "schema": "limpid-fleet-rebase/1",
        "revision": answer.revision,
        "asOf": (!answer.as_of.is_empty()).then_some(&answer.as_of),
        "image": image_fields(&answer.image),
        "base": image_fields(&answer.base),
        "baseLayers": answer.base_layers,
        "evidence": evidence,
        "bounded": answer.is_bounded,
        "newer": newer,
    });
    document(&body)
}
