//! Red Hat's content manifests: from which repositories the packages of an image may come.
//!
//! Each image of Red Hat's adds a file `NAME-VERSION-RELEASE.json` to `root/buildinfo/content_manifests`, newer ones
//! `content-sets.json` there or in `usr/share/buildinfo`; `content_sets` in it are the names of repositories.
//! `labels.json` beside them repeats labels of the image, of which `cpe` names the product. Source of truth: Red Hat's
//! schema of content manifests and the readers in Clair. Kept as found: which CPEs a repository stands for is said by
//! a table that changes, and is looked up when matching.
//!
//! Left out: `image_contents`, what was built into the image beside packages.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::Record;
use serde::Deserialize;

use crate::dpkg::is_printable_word;
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor};

/// Repositories of one image; real ones have up to 150.
const REPOSITORIES_MAX: usize = 5_000;

/// A content manifest.
#[derive(Debug)]
pub(crate) struct ContentManifest;

#[derive(Deserialize)]
struct Manifest {
    content_sets: Option<Vec<String>>,
}

const DIRECTORIES: &[&str] = &["root/buildinfo/content_manifests/", "usr/share/buildinfo/"];

impl Extractor for ContentManifest {
    fn name(&self) -> &'static str {
        "content-manifest"
    }

    fn version(&self) -> u32 {
        1
    }

    /// The list of what was built in can be long.
    fn limit(&self) -> u64 {
        16 << 20
    }

    fn reads(&self, path: &str) -> bool {
        let name = DIRECTORIES.iter().find_map(|directory| path.strip_prefix(directory));
        name.is_some_and(|name| !name.contains('/') && name.ends_with(".json") && name != "labels.json")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::Directory("root/buildinfo/content_manifests"), Anchor::Directory("usr/share/buildinfo")]
    }

    fn sample_name(&self) -> &'static str {
        "x.json"
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        let manifest: Manifest = serde_json::from_slice(content)
            .map_err(|_| ExtractError::Unrecognised("a content manifest: its JSON does not fit"))?;
        let Some(sets) = manifest.content_sets else {
            return Ok(Record::Repositories(Vec::new()).into());
        };
        let count = sets.len();
        let repositories: BTreeSet<String> =
            sets.into_iter().filter(|set| is_printable_word(set)).take(REPOSITORIES_MAX).collect();
        let problems = if count > REPOSITORIES_MAX {
            vec![format!("it names {count} content sets, of which {REPOSITORIES_MAX} were read")]
        } else {
            Vec::new()
        };
        let record = Record::Repositories(repositories.into_iter().collect());
        Ok(Extracted { record, owners: Vec::new(), problems })
    }
}

/// The labels that an image was built with.
#[derive(Debug)]
pub(crate) struct BuildLabels;

impl Extractor for BuildLabels {
    fn name(&self) -> &'static str {
        "build-labels"
    }

    fn version(&self) -> u32 {
        1
    }

    fn limit(&self) -> u64 {
        1 << 20
    }

    fn reads(&self, path: &str) -> bool {
        matches!(path, "root/buildinfo/labels.json" | "usr/share/buildinfo/labels.json")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::File("root/buildinfo/labels.json"), Anchor::File("usr/share/buildinfo/labels.json")]
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        let labels: BTreeMap<String, serde_json::Value> = serde_json::from_slice(content)
            .map_err(|_| ExtractError::Unrecognised("a list of labels in JSON"))?;
        let cpe = labels.get("cpe").and_then(serde_json::Value::as_str);
        let cpe = cpe.filter(|cpe| cpe.starts_with("cpe:") && is_printable_word(cpe));
        Ok(Record::Repositories(cpe.map(str::to_owned).into_iter().collect()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_and_labels() {
        let path = "root/buildinfo/content_manifests/ubi8-container-8.9-1028.json";
        assert!(ContentManifest.reads(path));
        assert!(ContentManifest.reads("usr/share/buildinfo/content-sets.json"));
        assert!(!ContentManifest.reads("usr/share/buildinfo/labels.json"));
        let text = r#"{"metadata":{"icm_version":1,"image_layer_index":0},
            "content_sets":["rhel-8-for-x86_64-baseos-rpms","rhel-8-for-x86_64-appstream-rpms",""],
            "image_contents":[]}"#;
        let expected = ["rhel-8-for-x86_64-appstream-rpms", "rhel-8-for-x86_64-baseos-rpms"];
        let expected = Record::Repositories(expected.map(str::to_owned).to_vec());
        assert_eq!(ContentManifest.extract(path, text.as_bytes()).unwrap().record, expected);
        let empty = Record::Repositories(Vec::new());
        assert_eq!(ContentManifest.extract(path, b"{\"content_sets\":null}").unwrap().record, empty);
        assert!(ContentManifest.extract(path, b"[1]").is_err());
        let labels = br#"{"com.redhat.component":"ubi9-container","cpe":"cpe:/o:redhat:enterprise_linux:9"}"#;
        let expected = Record::Repositories(vec!["cpe:/o:redhat:enterprise_linux:9".to_owned()]);
        assert_eq!(BuildLabels.extract("", labels).unwrap().record, expected);
        assert_eq!(BuildLabels.extract("", b"{}").unwrap().record, empty);
    }
}
