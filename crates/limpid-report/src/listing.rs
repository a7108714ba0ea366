//! A document with one long list, written piece by piece, so that no more than one element is in memory.

use serde_json::{Map, Value};

/// Writes `{…head…, "NAME": […], …tail…}`.
#[derive(Debug)]
pub struct Listing {
    any: bool,
}

impl Listing {
    /// The beginning: the fields before the list, and the list's name.
    pub(crate) fn begin(head: &Map<String, Value>, name: &str) -> (Self, String) {
        let mut text = "{\n".to_owned();
        for (key, value) in head {
            text.push_str(&field(key, value));
            text.push_str(",\n");
        }
        text.push_str(&format!("  {}: [", Value::from(name)));
        (Self { any: false }, text)
    }

    /// The next element.
    pub(crate) fn add(&mut self, element: &Value) -> String {
        let separator = if self.any { ",\n    " } else { "\n    " };
        self.any = true;
        // JSON has no line ends inside strings, so each line can be moved to the right.
        format!("{separator}{}", format!("{element:#}").replace('\n', "\n    "))
    }

    /// The end, with the fields after the list.
    pub(crate) fn end(self, tail: &Map<String, Value>) -> String {
        let mut text = if self.any { "\n  ]" } else { "]" }.to_owned();
        for (key, value) in tail {
            text.push_str(",\n");
            text.push_str(&field(key, value));
        }
        text.push_str("\n}\n");
        text
    }
}

fn field(key: &str, value: &Value) -> String {
    format!("  {}: {}", Value::from(key), format!("{value:#}").replace('\n', "\n  "))
}

/// The fields of an object.
pub(crate) fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_pieces_are_one_document() {
        for count in 0..3 {
            let head = fields(json!({ "schema": "limpid-x/1", "a\"b": { "c": ["d\ne"] } }));
            let (mut listing, mut text) = Listing::begin(&head, "images");
            for number in 0..count {
                text.push_str(&listing.add(&json!({ "number": number, "names": ["x\ny", "z"] })));
            }
            text.push_str(&listing.end(&fields(json!({ "next": null }))));
            let value: Value = serde_json::from_str(&text).unwrap();
            let mut sorted: Vec<&str> = text.lines().collect();
            let document = crate::json::document(&value);
            let mut expected: Vec<&str> = document.lines().collect();
            // Wherever the keys stand, it is indented as any other document.
            let bare = |line: &&str| line.trim_end_matches(',').to_owned();
            let (mut sorted, mut expected): (Vec<String>, Vec<String>) = (
                sorted.drain(..).map(|l| bare(&l)).collect(),
                expected.drain(..).map(|l| bare(&l)).collect(),
            );
            sorted.sort();
            expected.sort();
            assert_eq!(sorted, expected);
            assert_eq!(value["images"].as_array().unwrap().len(), count);
        }
    }
}
