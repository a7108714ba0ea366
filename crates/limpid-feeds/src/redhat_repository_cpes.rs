//! Red Hat's map of repositories to products: `{"data": {REPOSITORY: {"cpes": [...], ...}}}`.
//!
//! It holds no advisories. Images name the repositories (content sets) that their packages came from, advisories
//! name products by CPE; this brings the two together. Source of truth: the file itself, as Red Hat's own scanner
//! guide points to it (<https://redhatproductsecurity.github.io/security-data-guidelines/>). Left out: `repo_relative_urls`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use serde::Deserialize;

use crate::decode::decoded;
use crate::error::FeedError;
use crate::feed::{Document, ParseSummary};
use crate::json::{JsonError, JsonWalker, Value};
use crate::limits::Limits;

/// Products of one repository. The most that Red Hat has are some thirty.
const CPES_MAX: usize = 10_000;

/// Red Hat's map of repositories to products.
#[derive(Debug, Clone, Copy)]
pub struct RepositoryCpes;

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    cpes: Vec<Cow<'a, str>>,
}

impl RepositoryCpes {
    /// Its name as a feed.
    pub const NAME: &'static str = "redhat-repository-cpes";
    /// See [`Feed::parser_version`](crate::Feed::parser_version).
    pub const PARSER_VERSION: u32 = 1;

    /// Whether packages of the release are judged by Red Hat's products.
    pub fn covers(release: &str) -> bool {
        release.split(':').next() == Some("rhel")
    }

    /// What is to be fetched.
    pub fn document() -> Document {
        let url = "https://security.access.redhat.com/data/metrics/repository-to-cpe.json";
        Document::new("repository-to-cpe", url)
    }

    /// Reads the map.
    pub fn parse(
        input: &mut dyn Read,
        limits: &Limits,
    ) -> Result<(BTreeMap<String, BTreeSet<String>>, ParseSummary), FeedError> {
        let document = Self::document();
        let fail = |error: JsonError| error.of(&document.name);
        let too_large = |what, limit| FeedError::TooLarge { document: document.name.clone(), what, limit };
        let input = decoded(input, limits).map_err(|error| fail(JsonError::Read(error)))?;
        let mut walker = JsonWalker::new(input, limits.record_bytes_max);
        let mut map: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut summary = ParseSummary::default();
        walker.open(b'{').map_err(fail)?;
        while let Some(key) = walker.next_key().map_err(fail)? {
            if key != "data" || !walker.next_is(b'{').map_err(fail)? {
                if key == "last_updated" {
                    if let Value::Good(date) = walker.value::<Cow<'_, str>>().map_err(fail)? {
                        date.as_ref().clone_into(&mut summary.date);
                    }
                } else {
                    walker.skip_value().map_err(fail)?;
                }
                continue;
            }
            walker.open(b'{').map_err(fail)?;
            while let Some(repository) = walker.next_key().map_err(fail)? {
                summary.records += 1;
                if summary.records > limits.records_max {
                    return Err(too_large("records", limits.records_max));
                }
                match walker.value::<Entry<'_>>().map_err(fail)? {
                    Value::Good(entry) if entry.cpes.is_empty() => summary.skip("repository has no product"),
                    Value::Good(entry) => {
                        if entry.cpes.len() > CPES_MAX {
                            return Err(too_large("products of one repository", CPES_MAX as u64));
                        }
                        let cpes = entry.cpes.into_iter().map(Cow::into_owned);
                        map.entry(repository).or_default().extend(cpes);
                    }
                    Value::OtherShape => summary.skip("repository is not of the known shape"),
                }
            }
        }
        walker.end().map_err(fail)?;
        if map.is_empty() {
            return Err(FeedError::Empty { document: document.name });
        }
        Ok((map, summary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_have_products() {
        let text = r#"{"last_updated":"2026-01-02","data":{"a-rpms":{"cpes":["cpe:/a:x:1","cpe:/a:x:2"],"repo_relative_urls":["c"]},
            "b-rpms":{"cpes":[]},"c-rpms":7},"other":[1]}"#;
        let (map, summary) = RepositoryCpes::parse(&mut text.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(map.len(), 1);
        assert_eq!(map["a-rpms"].iter().collect::<Vec<_>>(), ["cpe:/a:x:1", "cpe:/a:x:2"]);
        assert_eq!((summary.records, summary.date.as_str()), (3, "2026-01-02"));
        assert_eq!(summary.skipped.values().sum::<u64>(), 2);
        for bad in ["", "{}", r#"{"data":{}}"#, r#"{"data":{"a":{"cpes":["x"]}"#, "[]"] {
            assert!(RepositoryCpes::parse(&mut bad.as_bytes(), &Limits::default()).is_err(), "{bad}");
        }
    }
}
