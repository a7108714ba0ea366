//! `docker-daemon:NAME` and `podman:NAME`: images of an engine on this machine or another, asked for by its HTTP
//! interface and streamed: see [`export`](crate::export).
//!
//! Source: Docker Engine API v1.41, which Podman speaks too: `/images/NAME/json`, `/history` and `/get`. What
//! the engine says of an image is a claim until its export was read: the config is compared with the image's
//! id, each plain layer with the config.
//!
//! Left out: `ssh://` addresses; the platform of an image that an engine holds for several, which is the engine's
//! choice.

use std::collections::BTreeMap;

use limpid_model::{Digest, ImageMetadata, LayerMetadata, Platform};
use serde::Deserialize;

use crate::docker_archive::stand_in;
use crate::engine_client::{Client, Endpoint};
use crate::export::{Wanted, read_export};
use crate::image::{Image, LayerContent, OpenOptions};
use crate::manifest::{LAYERS_MAX, parse};
use crate::stream::{LayerStream, StreamVisitor, StreamedImage};
use crate::{Error, Limits, platform};

/// Characters of an image's name. A repository's name has at most 255, a tag 128, a digest 71.
const NAME_CHARACTERS_MAX: usize = 512;

/// Where engines listen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineOptions {
    /// Docker's.
    pub docker: Endpoint,
    /// Podman's.
    pub podman: Endpoint,
}

/// `GET /images/NAME/json`, as far as it is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    os: String,
    #[serde(default)]
    os_version: Option<String>,
    #[serde(default)]
    config: Option<RunConfig>,
    #[serde(default, rename = "RootFS")]
    root_fs: Option<RootFs>,
    /// Docker's containerd store says by this what the id is the digest of.
    #[serde(default)]
    descriptor: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RunConfig {
    #[serde(default)]
    env: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs {
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// A step of `GET /images/NAME/history`, the newest first.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Step {
    #[serde(default)]
    created: i64,
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    size: i64,
}

/// An image that an engine has.
pub(crate) struct EngineImage {
    client: Client,
    name: String,
    id: Digest,
    /// Whether the engine keeps layers as plain archives, known by their digests.
    is_plain: bool,
    metadata: ImageMetadata,
}

pub(crate) fn open_docker(name: &str, options: &OpenOptions) -> Result<EngineImage, Error> {
    open(Client::new("Docker", &options.engines.docker)?, name, options)
}

pub(crate) fn open_podman(name: &str, options: &OpenOptions) -> Result<EngineImage, Error> {
    open(Client::new("Podman", &options.engines.podman)?, name, options)
}

fn open(client: Client, name: &str, options: &OpenOptions) -> Result<EngineImage, Error> {
    if !is_name(name) {
        let name: String = name.chars().take(60).collect();
        return Err(Error::malformed(format!("the name `{name}`"), "no image can have it"));
    }
    let what = format!("the description of the image {name}");
    let answer = client.document(&format!("/images/{name}/json"), &what, name)?;
    let inspected: Inspected = parse(&answer, &what)?;
    let id: Digest = id(&inspected.id)
        .ok_or_else(|| client.failed(&what, format!("its id `{:.80}` is no digest", inspected.id)))?;
    let text = |text: &str| text.to_ascii_lowercase();
    let found = Platform {
        os: text(&inspected.os),
        architecture: text(&inspected.architecture),
        variant: text(inspected.variant.as_deref().unwrap_or_default()),
    };
    if let Some(wanted) = options.platform.as_ref().filter(|wanted| !platform::matches(&found, wanted)) {
        return Err(Error::NotFound {
            what: format!("the image {name} for {wanted} in {}", client.engine),
            available: vec![found.to_string()],
        });
    }
    let history = client.document(&format!("/images/{id}/history"), &what, name)?;
    let history: Vec<Step> = parse(&history, &format!("the history of the image {name}"))?;
    let is_plain = inspected.descriptor.is_none();
    let metadata = describe(&inspected, id, found, history, &what, is_plain)?;
    Ok(EngineImage { client, name: name.to_owned(), id, is_plain, metadata })
}

/// An id, which some versions write without `sha256:`.
fn id(text: &str) -> Option<Digest> {
    text.parse().or_else(|_| format!("sha256:{text}").parse()).ok()
}

/// Whether the text may stand in a request: it has a name's characters, and no parts that lead elsewhere.
fn is_name(name: &str) -> bool {
    name.len() <= NAME_CHARACTERS_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:@+".contains(&byte))
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// The image as the engine describes it.
fn describe(
    inspected: &Inspected,
    id: Digest,
    platform: Platform,
    mut history: Vec<Step>,
    what: &str,
    is_plain: bool,
) -> Result<ImageMetadata, Error> {
    let layers = inspected.root_fs.as_ref().and_then(|root_fs| root_fs.layers.as_deref()).unwrap_or_default();
    if layers.len() > LAYERS_MAX {
        return Err(Error::limit(what, format!("{LAYERS_MAX} layers")));
    }
    let digests =
        layers.iter().map(|layer| layer.parse().map_err(|e| Error::malformed(what, format!("{e}"))));
    let digests: Vec<Digest> = digests.collect::<Result<_, Error>>()?;
    history.reverse();
    // Steps that changed nothing are not marked; they have no size. So has a layer that is empty, and then
    // nobody can say which step made which layer.
    if history.len() != digests.len() {
        history.retain(|step| step.size > 0);
    }
    let told = history.len() == digests.len();
    let layers = digests.iter().enumerate().map(|(index, digest)| {
        let step = history.get(index).filter(|_| told);
        let created = step.and_then(|step| jiff::Timestamp::from_second(step.created).ok());
        LayerMetadata {
            digest: *digest,
            diff_id: Some(*digest),
            size_bytes: step.map_or(0, |step| u64::try_from(step.size).unwrap_or(0)),
            command: step.map(|step| step.created_by.clone()).unwrap_or_default(),
            created: created.map(|time| time.to_string()).unwrap_or_default(),
        }
    });
    let run = inspected.config.as_ref();
    let labels = run.and_then(|run| run.labels.as_ref()).into_iter().flatten();
    Ok(ImageMetadata {
        // In the containerd store the id may be the manifest's digest; nothing else could be known yet.
        manifest_digest: if is_plain { stand_in(id, digests.iter().copied()) } else { id },
        config_digest: is_plain.then_some(id),
        platform,
        os_version: inspected.os_version.clone().unwrap_or_default(),
        created: inspected.created.clone().unwrap_or_default(),
        environment: run.and_then(|run| run.env.clone()).unwrap_or_default(),
        labels: labels.map(|(key, value)| (key.clone(), value.clone().unwrap_or_default())).collect(),
        layers: layers.collect(),
    })
}

impl Image for EngineImage {
    fn metadata(&self) -> &ImageMetadata {
        &self.metadata
    }

    fn layer(&self, index: usize) -> Result<LayerContent, Error> {
        let what = format!("layer {} of {} alone", index + 1, self.name);
        Err(Error::unsupported(what, format!("{} exports whole images", self.client.engine)))
    }

    fn stream(&self) -> Option<&dyn LayerStream> {
        Some(self)
    }
}

impl LayerStream for EngineImage {
    fn read(
        &self,
        limits: &Limits,
        visitor: &mut dyn StreamVisitor,
        progress: &dyn Fn(u64),
    ) -> Result<StreamedImage, Error> {
        let what = format!("the export of {} from {}", self.name, self.client.engine);
        // By the id, so that a tag that is moved meanwhile leads nowhere else.
        let body = self.client.get(&format!("/images/{}/get", self.id), &what, &self.name)?;
        let wanted = Wanted { name: &self.name, id: self.id, id_is_config: self.is_plain };
        read_export(body, &what, &wanted, limits, visitor, progress)
    }

    fn is_predictable(&self) -> bool {
        self.is_plain
    }
}
