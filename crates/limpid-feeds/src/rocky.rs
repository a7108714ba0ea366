//! Rocky Linux: the `updateinfo` of its repositories.
//!
//! Source of truth: <https://dl.rockylinux.org/pub/rocky/>. Modular builds are listed without their module's stream.
//! Left out: the errata service's pages, which say the same, and repositories of special interest groups.

use std::io::Read;

use crate::error::FeedError;
use crate::feed::{Document, Feed, Layout, ParseSummary, Sink};
use crate::limits::Limits;
use crate::pointer::Pointer;
use crate::updateinfo::{self, Origin};

const BASE: &str = "https://dl.rockylinux.org/pub/rocky";
const MAJORS: [&str; 3] = ["8", "9", "10"];
/// Where the packages of images come from. The third is called PowerTools in release 8.
const REPOSITORIES: [&str; 3] = ["BaseOS", "AppStream", "CRB"];

/// Rocky Linux's errata, one document for each release and repository.
#[derive(Debug, Clone, Copy)]
pub struct Rocky;

impl Feed for Rocky {
    fn name(&self) -> &'static str {
        "rocky-updateinfo"
    }

    fn parser_version(&self) -> u32 {
        1
    }

    fn covers(&self, release: &str) -> bool {
        release.strip_prefix("rocky:").is_some_and(|major| MAJORS.contains(&major))
    }

    fn documents(&self, release: &str) -> Vec<Document> {
        let Some(major) = release.strip_prefix("rocky:").filter(|major| MAJORS.contains(major)) else {
            return Vec::new();
        };
        let document = |repository: &str| {
            let repository = if (major, repository) == ("8", "CRB") { "PowerTools" } else { repository };
            let url = format!("{BASE}/{major}/{repository}/x86_64/os/repodata/repomd.xml");
            Document::new(format!("{major}/{repository}"), url)
        };
        REPOSITORIES.map(document).to_vec()
    }

    fn all_documents(&self) -> Vec<Document> {
        MAJORS.iter().flat_map(|major| self.documents(&format!("rocky:{major}"))).collect()
    }

    fn layout(&self) -> Layout {
        Layout::Behind(&[Pointer::RepositoryMetadata])
    }

    fn parse(
        &self,
        document: &Document,
        input: &mut dyn Read,
        limits: &Limits,
        sink: &mut Sink<'_>,
    ) -> Result<ParseSummary, FeedError> {
        let major = document.name.split('/').next().unwrap_or_default();
        let origin = Origin { release: format!("rocky:{major}"), channel: String::new() };
        updateinfo::parse(&origin, document, input, limits, sink)
    }
}
