//! Artifacts as Harbor's API lists them: `GET /api/v2.0/projects/PROJECT/repositories/REPOSITORY/artifacts?with_tag=true`.
//!
//! Source: Harbor's API, version 2.0, `Artifact`. A listing names the repository only since Harbor 2.9, and before that in
//! the links that it gives; the registry's host it never names.

use std::collections::BTreeMap;

use limpid_model::Digest;
use serde::Deserialize;

use super::{Entry, Format, ListOptions, references};

/// Tags of one artifact; each is a reference of its own.
const TAGS_MAX: usize = 10_000;

pub(super) const FORMAT: Format = Format { is_it: |keys| keys.digest, read };

#[derive(Deserialize)]
struct Artifact {
    digest: Digest,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    repository_name: Option<String>,
    #[serde(default)]
    tags: Option<Vec<Tag>>,
    #[serde(default)]
    addition_links: Option<BTreeMap<String, Link>>,
}

#[derive(Deserialize)]
struct Tag {
    name: String,
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    href: Option<String>,
}

fn read(json: &str, options: &ListOptions) -> Result<Entry, String> {
    let artifact: Artifact = serde_json::from_str(json).map_err(|error| super::without_place(&error))?;
    match artifact.kind.as_deref() {
        None | Some("" | "IMAGE") => {}
        Some(kind) => {
            let kind: String = kind.chars().filter(|c| !c.is_control()).take(60).collect();
            return Ok(Entry::LeftOut(format!("{} is a {kind}, not an image", artifact.digest)));
        }
    }
    if options.registry.is_empty() {
        return Err("it does not say which registry it is in; say that with --registry".to_owned());
    }
    let named = artifact.repository_name.clone().filter(|name| !name.is_empty());
    let given = Some(options.repository.clone()).filter(|name| !name.is_empty());
    let repository = named.or(given).or_else(|| linked_repository(&artifact));
    let repository = repository
        .ok_or_else(|| "it does not say which repository it is in; say that with --repository".to_owned())?;
    let tags = artifact.tags.unwrap_or_default();
    if tags.len() > TAGS_MAX {
        return Err(format!("it has more than {TAGS_MAX} tags"));
    }
    let reference = |tag: String| format!("{}/{repository}{tag}@{}", options.registry, artifact.digest);
    let mut names: Vec<String> = tags.into_iter().map(|tag| reference(format!(":{}", tag.name))).collect();
    if names.is_empty() {
        names.push(reference(String::new()));
    }
    let work = names.iter().map(|name| references::work(name, options));
    Ok(Entry::Work(work.collect::<Result<_, _>>()?))
}

/// The repository that a link goes through: `/api/v2.0/projects/PROJECT/repositories/REPOSITORY/artifacts/…`, whose
/// slashes are escaped twice.
fn linked_repository(artifact: &Artifact) -> Option<String> {
    let links = artifact.addition_links.iter().flatten();
    links.filter_map(|(_, link)| link.href.as_deref()).find_map(|href| {
        let (_, rest) = href.split_once("/projects/")?;
        let mut parts = rest.split('/');
        let (project, word, repository) = (parts.next()?, parts.next()?, parts.next()?);
        let repository = repository.replace("%25", "%").replace("%2F", "/").replace("%2f", "/");
        (word == "repositories").then(|| format!("{project}/{repository}"))
    })
}
