//! Several documents in one, written piece by piece, so that no more than one is in memory.

use serde_json::{Value, json};

/// Writes `{"schema": "limpid-reports/1", "reports": […], "errors": […]}`.
#[derive(Debug, Default)]
pub struct Documents {
    any: bool,
}

impl Documents {
    /// The beginning.
    pub fn begin() -> (Self, String) {
        (Self::default(), "{\n  \"schema\": \"limpid-reports/1\",\n  \"reports\": [".to_owned())
    }

    /// The next document, as its own format writes it.
    pub fn add(&mut self, document: &str) -> String {
        let mut text = if self.any { ",\n" } else { "\n" }.to_owned();
        self.any = true;
        text.push_str(&crate::json::moved(document));
        text
    }

    /// The end: what failed, by reference, with the reason.
    pub fn end(self, errors: &[(String, String)]) -> String {
        let errors: Vec<Value> = errors
            .iter()
            .map(|(reference, reason)| json!({ "reference": reference, "error": reason }))
            .collect();
        let errors = crate::json::document(&Value::Array(errors)).trim_end().replace('\n', "\n  ");
        format!("{}],\n  \"errors\": {errors}\n}}\n", if self.any { "\n  " } else { "" })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_are_one_document() {
        for count in 0..3 {
            let (mut documents, mut text) = Documents::begin();
            for number in 0..count {
                text.push_str(&documents.add(&crate::json::document(&json!({ "a": number, "b": "x\ny" }))));
            }
            text.push_str(&documents.end(&[("oci:x".to_owned(), "gone".to_owned())]));
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(text, crate::json::document(&value), "indented as any other");
            assert_eq!(value["reports"].as_array().unwrap().len(), count);
            assert_eq!(value["errors"][0]["reference"], "oci:x");
        }
    }
}
