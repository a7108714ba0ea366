//! Amazon Linux 1 (2018.03), 2, 2022 and 2023: the `updateinfo` of their repositories, extras' too.
//!
//! Source of truth: <https://alas.aws.amazon.com/> describes the errata, `mirror.list` leads to the repositories, and
//! `extras-catalog.json` names the topics of Amazon Linux 2's extras. What comes from another repository than core
//! has its name as channel (`extras/kernel-5.15`, `kernel-livepatch`): a topic's kernel is not core's.

use std::borrow::Cow;
use std::io::Read;

use serde::Deserialize;

use crate::error::FeedError;
use crate::feed::{Document, Feed, Layout, ParseSummary, Sink};
use crate::limits::Limits;
use crate::pointer::Pointer;
use crate::updateinfo::{self, Origin};

const CDN: &str = "https://cdn.amazonlinux.com";
/// Release, repository, and where its list of mirrors is.
const REPOSITORIES: &[(&str, &str, &str)] = &[
    ("2018.03", "updates", "https://repo.us-west-2.amazonaws.com/2018.03/updates/x86_64/mirror.list"),
    ("2", "core", "https://cdn.amazonlinux.com/2/core/latest/x86_64/mirror.list"),
    ("2022", "core", "https://cdn.amazonlinux.com/al2022/core/mirrors/latest/x86_64/mirror.list"),
    ("2023", "core", "https://cdn.amazonlinux.com/al2023/core/mirrors/latest/x86_64/mirror.list"),
    (
        "2023",
        "kernel-livepatch",
        "https://cdn.amazonlinux.com/al2023/kernel-livepatch/mirrors/latest/x86_64/mirror.list",
    ),
    ("2023", "nvidia", "https://cdn.amazonlinux.com/al2023/nvidia/mirrors/latest/x86_64/mirror.list"),
];
/// Repositories whose packages are the release's own.
const OWN: [&str; 2] = ["core", "updates"];
/// Topics of a catalog; there are some hundred.
const TOPICS_MAX: usize = 2_000;

/// Amazon Linux's errata, one document for each release and repository.
#[derive(Debug, Clone, Copy)]
pub struct Amazon;

impl Feed for Amazon {
    fn name(&self) -> &'static str {
        "amazon-updateinfo"
    }

    fn parser_version(&self) -> u32 {
        1
    }

    fn covers(&self, release: &str) -> bool {
        !self.documents(release).is_empty()
    }

    fn documents(&self, release: &str) -> Vec<Document> {
        let version = release.strip_prefix("amzn:").unwrap_or_default();
        let of_release = REPOSITORIES.iter().filter(|(of, _, _)| *of == version);
        of_release.map(|(of, name, url)| Document::new(format!("{of}/{name}"), *url)).collect()
    }

    fn all_documents(&self) -> Vec<Document> {
        REPOSITORIES.iter().map(|(of, name, url)| Document::new(format!("{of}/{name}"), *url)).collect()
    }

    fn catalog(&self, release: &str) -> Option<Document> {
        (release == "amzn:2")
            .then(|| Document::new("2/extras-catalog", format!("{CDN}/2/extras-catalog.json")))
    }

    fn all_catalogs(&self) -> Vec<Document> {
        self.catalog("amzn:2").into_iter().collect()
    }

    fn catalogued(&self, document: &Document, content: &[u8]) -> Result<Vec<Document>, FeedError> {
        let malformed =
            |reason: String| FeedError::Malformed { document: document.name.clone(), offset: 0, reason };
        let catalog: Catalog<'_> =
            serde_json::from_slice(content).map_err(|error| malformed(error.to_string()))?;
        if catalog.topics.len() > TOPICS_MAX {
            return Err(FeedError::TooLarge {
                document: document.name.clone(),
                what: "topics",
                limit: TOPICS_MAX as u64,
            });
        }
        let is_name = |name: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'.');
            !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
        };
        catalog
            .topics
            .iter()
            .map(|topic| {
                if !is_name(&topic.n) {
                    return Err(malformed(format!("`{}` is no name of a topic", topic.n.escape_default())));
                }
                let url = format!("{CDN}/2/extras/{}/latest/x86_64/mirror.list", topic.n);
                Ok(Document::new(format!("2/extras/{}", topic.n), url))
            })
            .collect()
    }

    fn layout(&self) -> Layout {
        Layout::Behind(&[Pointer::MirrorList, Pointer::RepositoryMetadata])
    }

    fn parse(
        &self,
        document: &Document,
        input: &mut dyn Read,
        limits: &Limits,
        sink: &mut Sink<'_>,
    ) -> Result<ParseSummary, FeedError> {
        let (version, repository) = document.name.split_once('/').unwrap_or((&document.name, ""));
        let channel = if OWN.contains(&repository) { "" } else { repository };
        let origin = Origin { release: format!("amzn:{version}"), channel: channel.to_owned() };
        updateinfo::parse(&origin, document, input, limits, sink)
    }
}

#[derive(Deserialize)]
struct Catalog<'a> {
    #[serde(borrow)]
    topics: Vec<Topic<'a>>,
}

#[derive(Deserialize)]
struct Topic<'a> {
    #[serde(borrow)]
    n: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_names_topics_and_nothing_else() {
        let catalog = Amazon.catalog("amzn:2").unwrap();
        assert!(Amazon.catalog("amzn:2023").is_none());
        let read = |text: &str| Amazon.catalogued(&catalog, text.as_bytes());
        let found = read(r#"{"topics":[{"n":"kernel-5.15","inst":["kernel"]},{"n":"php8.1"}],"status":"x"}"#)
            .unwrap();
        assert_eq!(found[0].name, "2/extras/kernel-5.15");
        assert_eq!(
            found[0].url,
            "https://cdn.amazonlinux.com/2/extras/kernel-5.15/latest/x86_64/mirror.list"
        );
        for bad in ["", "{}", r#"{"topics":[{"n":"../../x"}]}"#, r#"{"topics":[{"n":""}]}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
