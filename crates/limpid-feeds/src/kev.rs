//! CISA's catalogue of known exploited vulnerabilities (KEV).
//!
//! Source: <https://www.cisa.gov/known-exploited-vulnerabilities-catalog>, its JSON form and schema beside
//! it. The site stands behind a filter that turns programs away now and then; CISA's own mirror on GitHub
//! has the same file. Left out: vendor, product and the vulnerability's name in the catalogue.

use std::borrow::Cow;
use std::io::Read;

use limpid_model::{Advisory, AdvisoryDetails, Exploited};
use serde::Deserialize;

use crate::error::FeedError;
use crate::feed::{Document, Emitter, Feed, ParseSummary, Sink};
use crate::json::{JsonWalker, Value};
use crate::limits::Limits;
use crate::{cve_records, decoded};

const URL: &str = "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json";
const MIRROR_URL: &str =
    "https://raw.githubusercontent.com/cisagov/kev-data/develop/known_exploited_vulnerabilities.json";

/// Known exploited vulnerabilities, by CISA.
pub struct Kev;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow, rename = "cveID")]
    cve_id: Cow<'a, str>,
    #[serde(borrow)]
    date_added: Cow<'a, str>,
    #[serde(borrow, default)]
    due_date: Cow<'a, str>,
    #[serde(borrow, default)]
    short_description: Cow<'a, str>,
    #[serde(borrow, default)]
    required_action: Cow<'a, str>,
    #[serde(borrow, default)]
    known_ransomware_campaign_use: Cow<'a, str>,
    #[serde(borrow, default)]
    notes: Cow<'a, str>,
    #[serde(borrow, default)]
    cwes: Vec<Cow<'a, str>>,
}

impl Feed for Kev {
    fn name(&self) -> &'static str {
        "kev"
    }

    fn parser_version(&self) -> u32 {
        1
    }

    fn all_documents(&self) -> Vec<Document> {
        vec![Document::new("catalogue", URL)]
    }

    fn enriches(&self) -> bool {
        true
    }

    fn is_small(&self) -> bool {
        true
    }

    fn fallback(&self, document: &Document) -> Option<Document> {
        Some(Document::new(document.name.clone(), MIRROR_URL))
    }

    fn parse(
        &self,
        document: &Document,
        input: &mut dyn Read,
        limits: &Limits,
        sink: &mut Sink<'_>,
    ) -> Result<ParseSummary, FeedError> {
        let read = |source| FeedError::Read { document: document.name.clone(), source };
        let mut walker = JsonWalker::new(decoded(input, limits).map_err(read)?, limits.record_bytes_max);
        let mut emitter = Emitter::new(document, limits, sink);
        let of = |error: crate::json::JsonError| error.of(&document.name);
        walker.open(b'{').map_err(of)?;
        while let Some(key) = walker.next_key().map_err(of)? {
            match key.as_str() {
                "dateReleased" => {
                    if let Value::Good(date) = walker.value::<String>().map_err(of)? {
                        emitter.summary.date = date;
                    }
                }
                "vulnerabilities" => {
                    walker.open(b'[').map_err(of)?;
                    while walker.next_element().map_err(of)? {
                        emitter.record()?;
                        match walker.value::<Entry<'_>>().map_err(of)? {
                            Value::Good(entry) => match advisory(&entry) {
                                Some(advisory) => emitter.emit(advisory)?,
                                None => emitter.skip("entry has no CVE id"),
                            },
                            Value::OtherShape => emitter.skip("entry is not of the known shape"),
                        }
                    }
                }
                _ => walker.skip_value().map_err(of)?,
            }
        }
        walker.end().map_err(of)?;
        emitter.finish(false)
    }
}

fn advisory(entry: &Entry<'_>) -> Option<Advisory> {
    if !cve_records::is_cve_id(&entry.cve_id) {
        return None;
    }
    let mut weaknesses: Vec<String> = entry.cwes.iter().map(|cwe| cwe.to_string()).collect();
    weaknesses.sort();
    weaknesses.dedup();
    let notes = entry.notes.split([';', ' ']);
    let notes = notes.map(|note| note.trim().trim_end_matches(',')).filter(|note| note.starts_with("http"));
    Some(Advisory {
        id: entry.cve_id.to_string(),
        details: AdvisoryDetails {
            description: entry.short_description.to_string(),
            weaknesses,
            exploited: Some(Exploited {
                added: entry.date_added.to_string(),
                due: entry.due_date.to_string(),
                by_ransomware: entry.known_ransomware_campaign_use == "Known",
                action: entry.required_action.to_string(),
            }),
            links: notes.map(str::to_owned).collect(),
            published: entry.date_added.to_string(),
            ..AdvisoryDetails::default()
        },
        affected: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Vec<Advisory>, ParseSummary), FeedError> {
        let mut found = Vec::new();
        let document = Document::new("catalogue", URL);
        let summary = Kev.parse(&document, &mut text.as_bytes(), &Limits::default(), &mut |advisory| {
            found.push(advisory);
            Ok(())
        })?;
        Ok((found, summary))
    }

    #[test]
    fn an_entry_says_that_and_how_a_vulnerability_is_exploited() {
        let (found, summary) = parse(
            r#"{"title":"t","dateReleased":"2025-08-25T17:04:19.9796Z","count":3,"vulnerabilities":[
            {"cveID":"CVE-2021-44228","dateAdded":"2021-12-10","dueDate":"2021-12-24","requiredAction":"Patch.",
             "shortDescription":"d","knownRansomwareCampaignUse":"Known","cwes":["CWE-502","CWE-20"],
             "notes":"see https:\/\/a.example\/x, ; https://b.example/y"},
            {"cveID":"none","dateAdded":"2021-12-10"}, {"cveID":7}]}"#,
        )
        .unwrap();
        assert_eq!(summary.date, "2025-08-25T17:04:19.9796Z");
        assert_eq!(summary.skipped.values().sum::<u64>(), 2);
        let details = &found[0].details;
        let exploited = details.exploited.as_ref().unwrap();
        assert!(exploited.by_ransomware && exploited.due == "2021-12-24" && exploited.action == "Patch.");
        assert_eq!(details.weaknesses, ["CWE-20", "CWE-502"]);
        assert_eq!(details.links, ["https://a.example/x", "https://b.example/y"]);
    }

    #[test]
    fn a_page_in_place_of_the_catalogue_is_an_error() {
        for text in
            ["", "<html>Access denied</html>", "{}", r#"{"vulnerabilities":[]}"#, r#"{"vulnerabilities":["#]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
