//! An image as Clair's API takes it: a manifest's digest and, for each layer, its digest, an address and headers.
//!
//! Source: Clair v4's API, `POST /indexer/api/v1/index_report`; Quay and clairctl send it. There is no config, so the
//! platform, labels and commands of such an image are unknown. The manifest's digest is the sender's word: nothing
//! shows that these are its layers, so it counts together with their list. Each layer's bytes are verified.
//!
//! Left out: layers by file name, which Clair refuses too.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use limpid_model::{Digest, ImageMetadata, LayerMetadata, Platform};
use serde::{Deserialize, Serialize};
use ureq::http::header::{ACCEPT, AUTHORIZATION};
use ureq::http::{HeaderName, HeaderValue};

use crate::image::{Image, LayerContent, OpenOptions};
use crate::manifest::LAYERS_MAX;
use crate::registry::{Blob, Client, LayerAddress, Source};
use crate::{Error, Limits, RegistryError, RegistryOptions, Secret};

/// Bytes of a layer's address. Signed ones have one or two thousand.
const ADDRESS_BYTES_MAX: usize = 16 << 10;
/// Values of headers for one layer; senders set two.
const HEADERS_MAX: usize = 64;
/// Bytes of a header's value. Tokens of registries have some thousand.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// How slow a server may be: so long before anything is asked of it, and so many bytes a second from then on. Somebody
/// else may wait for the same layer.
const SLOW_SECONDS_MAX: u64 = 60;
const BYTES_A_SECOND_MIN: u64 = 16 << 10;
/// Headers that are the connection's own business, or ours when a download is resumed.
const HEADERS_REFUSED: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A manifest in Clair's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClairManifest {
    /// The digest of the image's manifest, as whoever sends it says.
    pub hash: Digest,
    /// The layers, base first.
    #[serde(deserialize_with = "or_null")]
    pub layers: Vec<ClairLayer>,
}

/// A layer in Clair's words. Address and headers may be secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClairLayer {
    /// The digest of its blob.
    pub hash: Digest,
    /// Where it is to be had: http or https.
    pub uri: String,
    /// What to send with the request.
    #[serde(default, deserialize_with = "or_null")]
    pub headers: BTreeMap<String, Vec<String>>,
}

/// Go writes `null` for what is empty.
fn or_null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl fmt::Debug for ClairLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClairLayer").field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl ClairManifest {
    /// Reads one from JSON. What it says more is passed over.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let manifest: Self = crate::manifest::parse(json.as_bytes(), "the manifest")?;
        manifest.check()?;
        Ok(manifest)
    }

    /// What tells this image from all others: the manifest's digest together with the list of layers.
    pub fn key(&self) -> Digest {
        let digests: Vec<String> = self.layers.iter().map(|layer| layer.hash.to_string()).collect();
        Digest::of(format!("{}\n{}", self.hash, digests.join("\n")).as_bytes())
    }

    fn check(&self) -> Result<(), Error> {
        let what = format!("manifest {}", self.hash);
        if self.layers.is_empty() {
            return Err(Error::malformed(what, "it lists no layers"));
        }
        if self.layers.len() > LAYERS_MAX {
            return Err(Error::limit(what, format!("{LAYERS_MAX} layers")));
        }
        self.layers.iter().try_for_each(ClairLayer::check)
    }
}

impl ClairLayer {
    fn check(&self) -> Result<(), Error> {
        let what = format!("layer {}", self.hash);
        let is_web = self.uri.starts_with("https://") || self.uri.starts_with("http://");
        if !is_web {
            return Err(Error::malformed(what, "its address is neither https nor http"));
        }
        if self.uri.len() > ADDRESS_BYTES_MAX {
            return Err(Error::limit(what, format!("{ADDRESS_BYTES_MAX} bytes of an address")));
        }
        if self.headers.values().map(Vec::len).sum::<usize>() > HEADERS_MAX {
            return Err(Error::limit(what, format!("{HEADERS_MAX} headers")));
        }
        self.named_headers().map(|_| ())
    }

    /// The headers by their names, each value by itself.
    fn named_headers(&self) -> Result<Vec<(HeaderName, Secret)>, Error> {
        let mut headers = Vec::new();
        for (name, values) in &self.headers {
            // The value may be a secret; the name is not, and may be anything.
            let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
            let wrong = |reason: &str| {
                Error::malformed(format!("layer {}", self.hash), format!("its header `{shown}` {reason}"))
            };
            let lower = name.to_ascii_lowercase();
            let known =
                HeaderName::from_bytes(lower.as_bytes()).map_err(|_| wrong("has a name that none has"))?;
            if HEADERS_REFUSED.contains(&lower.as_str()) || lower.starts_with("proxy-") {
                return Err(wrong("is not for a manifest to set"));
            }
            for value in values {
                if value.len() > HEADER_BYTES_MAX {
                    return Err(wrong("is too long"));
                }
                HeaderValue::from_str(value)
                    .map_err(|_| wrong("has characters that no request can carry"))?;
                headers.push((known.clone(), Secret::new(value.clone())));
            }
        }
        Ok(headers)
    }
}

/// Fetches layers from addresses; one for all images, so that connections are used again.
#[derive(Clone)]
pub struct LayerClient(Arc<Client>);

impl fmt::Debug for LayerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LayerClient")
    }
}

impl LayerClient {
    /// One that goes by these options; credentials in them are not used.
    pub fn new(options: &RegistryOptions) -> Self {
        Self(Arc::new(Client::new(options)))
    }
}

/// An image whose layers are read from their addresses.
pub struct ClairImage {
    metadata: ImageMetadata,
    layers: Vec<Arc<LayerAddress>>,
    limits: Limits,
    connected: Mutex<BTreeMap<usize, Blob>>,
}

/// Opens the image that a manifest describes. Nothing is asked for until a layer is read.
pub fn open_clair_manifest(manifest: &ClairManifest, options: &OpenOptions) -> Result<Box<dyn Image>, Error> {
    if options.registry.offline {
        return Err(RegistryError::Offline { name: manifest.hash.to_string() }.into());
    }
    let client = LayerClient::new(&options.registry);
    Ok(Box::new(ClairImage::new(manifest, &client, &options.limits)?))
}

impl ClairImage {
    /// The image that a manifest describes. Nothing is asked for yet.
    pub fn new(manifest: &ClairManifest, client: &LayerClient, limits: &Limits) -> Result<Self, Error> {
        manifest.check()?;
        let layers = manifest.layers.iter().map(|layer| {
            let (mut authorization, mut accept, mut others) = (None, Vec::new(), Vec::new());
            for (name, value) in layer.named_headers()? {
                match name {
                    AUTHORIZATION => authorization = Some(value),
                    // The one that says nothing of who asks may follow a redirect.
                    ACCEPT => accept.push((name, value.expose().to_owned())),
                    _ => others.push((name, value)),
                }
            }
            let (client, url) = (Arc::clone(&client.0), layer.uri.clone());
            let (headers, headers_for_origin) = (accept, others);
            Ok(Arc::new(LayerAddress { client, url, authorization, headers, headers_for_origin }))
        });
        let layers = layers.collect::<Result<Vec<_>, Error>>()?;
        let metadata = ImageMetadata {
            manifest_digest: manifest.hash,
            config_digest: None,
            platform: Platform::default(),
            os_version: String::new(),
            created: String::new(),
            environment: Vec::new(),
            labels: Vec::new(),
            layers: manifest.layers.iter().map(|layer| metadata(layer.hash)).collect(),
        };
        Ok(Self { metadata, layers, limits: limits.clone(), connected: Mutex::default() })
    }

    /// Asks for the layer at `index` now, so that its token need not outlive the wait for its turn.
    pub fn connect(&self, index: usize) -> Result<(), Error> {
        let blob = self.ask(index)?;
        self.connected.lock().unwrap_or_else(PoisonError::into_inner).insert(index, blob);
        Ok(())
    }

    fn ask(&self, index: usize) -> Result<Blob, Error> {
        let layer = self.metadata.layers.get(index).zip(self.layers.get(index));
        let (layer, address) = layer.ok_or_else(|| Error::not_found(format!("layer {}", index + 1)))?;
        let source = Source::Address(Arc::clone(address));
        // What decompresses to more is refused, and no blob is larger than what it decompresses to.
        Blob::open_unsized(source, layer.digest, self.limits.uncompressed_bytes)
    }
}

/// The size of a layer is not known before it is asked for: 0 stands for that.
fn metadata(digest: Digest) -> LayerMetadata {
    LayerMetadata { digest, diff_id: None, size_bytes: 0, command: String::new(), created: String::new() }
}

impl Image for ClairImage {
    fn metadata(&self) -> &ImageMetadata {
        &self.metadata
    }

    fn layer(&self, index: usize) -> Result<LayerContent, Error> {
        let connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner).remove(&index);
        let blob = connected.map_or_else(|| self.ask(index), Ok)?;
        Ok(LayerContent::Blob(Box::new(Paced { blob, waited: Duration::ZERO, bytes: 0 })))
    }
}

/// Gives up on a server that sends just enough to look alive.
struct Paced {
    blob: Blob,
    /// How long the server was waited for.
    waited: Duration,
    bytes: u64,
}

impl Read for Paced {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        let read = self.blob.read(buffer)?;
        self.waited += begun.elapsed();
        self.bytes += read as u64;
        if self.waited.as_secs() > SLOW_SECONDS_MAX + self.bytes / BYTES_A_SECOND_MIN {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "its server is too slow"));
        }
        Ok(read)
    }
}
