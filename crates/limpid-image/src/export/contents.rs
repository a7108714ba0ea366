//! What came in an export, and the image that it makes.

use std::collections::BTreeMap;

use limpid_model::Digest;

use crate::compression::Compression;
use crate::docker_archive::{Saved, stand_in};
use crate::layer::{LayerStats, read_blob};
use crate::manifest::{Config, Document, LAYERS_MAX, parse};
use crate::stream::{StreamVisitor, StreamedImage};
use crate::{Error, Limits};

/// Links from member to member that are followed.
const LINKS_MAX: usize = 8;
/// Bytes of all documents together, which are kept in memory. The old form has one of about a kilobyte for each
/// layer, a config has a few hundred kilobytes at most.
const DOCUMENTS_BYTES_MAX: u64 = 32 << 20;

/// Which image a stream should hold.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// The name that picks one of several.
    pub(crate) name: &'a str,
    /// The image's id: the digest of its config or, in Docker's containerd store, of its manifest or index.
    pub(crate) id: Digest,
    /// Whether `id` can only be that of the config.
    pub(crate) id_is_config: bool,
}

/// What has gone by.
#[derive(Default)]
pub(super) struct Contents {
    documents: BTreeMap<String, Vec<u8>>,
    documents_bytes: u64,
    /// Members that were read as layers, and why those that could not be could not.
    layers: BTreeMap<String, Result<LayerStats, Error>>,
    layers_read: usize,
    pub(super) links: BTreeMap<String, String>,
}

impl Contents {
    /// Counts a document's bytes before they are read.
    pub(super) fn make_room(&mut self, bytes: u64, what: &str) -> Result<(), Error> {
        self.documents_bytes += bytes;
        if self.documents_bytes > DOCUMENTS_BYTES_MAX {
            return Err(Error::limit(what, format!("{DOCUMENTS_BYTES_MAX} bytes of JSON documents")));
        }
        Ok(())
    }

    /// Keeps a document. Of members with the same name the last one counts.
    pub(super) fn document_came(&mut self, name: String, bytes: Vec<u8>) {
        self.layers.remove(&name);
        self.documents.insert(name, bytes);
    }

    /// Notes what reading a member as a layer showed. Of members with the same name the last one counts.
    pub(super) fn layer(
        &mut self,
        name: String,
        result: Result<LayerStats, Error>,
        what: &str,
        visitor: &mut dyn StreamVisitor,
    ) -> Result<(), Error> {
        if let Ok(stats) = &result {
            self.layers_read += 1;
            if self.layers_read > LAYERS_MAX {
                return Err(Error::limit(what, format!("{LAYERS_MAX} layers")));
            }
            visitor.end(&name, stats);
        }
        self.documents.remove(&name);
        self.layers.insert(name, result);
        Ok(())
    }

    /// The member that a name means, which may be a link.
    fn resolve(&self, name: &str) -> String {
        let mut name = name.trim_start_matches("./").to_owned();
        for _ in 0..LINKS_MAX {
            match self.links.get(&name) {
                Some(target) => name.clone_from(target),
                None => break,
            }
        }
        name
    }

    fn document(&self, name: &str, what: &str) -> Result<&[u8], Error> {
        let found = self.documents.get(&self.resolve(name));
        found.map(Vec::as_slice).ok_or_else(|| Error::malformed(what, format!("it has no document {name}")))
    }

    /// Puts together what came.
    pub(super) fn image(
        mut self,
        what: &str,
        wanted: &Wanted<'_>,
        limits: &Limits,
        visitor: &mut dyn StreamVisitor,
    ) -> Result<StreamedImage, Error> {
        let manifest = self.document("manifest.json", what)?;
        let saved: Vec<Saved> = parse(manifest, &format!("manifest.json of {what}"))?;
        let saved = pick(saved, wanted, what)?;
        let config_bytes = self.document(&saved.config, what)?;
        let config_digest = Digest::of(config_bytes);
        let config: Config = parse(config_bytes, &format!("config {} of {what}", saved.config))?;
        let members: Vec<String> = saved.layers.iter().flatten().map(|path| self.resolve(path)).collect();
        if members.len() > LAYERS_MAX {
            return Err(Error::limit(what, format!("{LAYERS_MAX} layers")));
        }
        let (mut layers, mut has_blobs) = (Vec::with_capacity(members.len()), false);
        let diff_ids = config.diff_ids();
        for (index, member) in members.iter().enumerate() {
            let stats = self.stats(member, what, limits, visitor)?;
            has_blobs |= stats.compression != Compression::None;
            // Of a plain archive the config says what it is.
            if let (Compression::None, Some(Some(expected))) = (stats.compression, diff_ids.get(index))
                && stats.digest != *expected
            {
                let (what, expected) = (format!("{member} of {what}"), *expected);
                return Err(Error::DigestMismatch { what, expected, got: stats.digest });
            }
            layers.push((stats.digest, stats.size_bytes));
        }
        let manifest = if has_blobs { self.manifest(config_digest, &layers, wanted.id) } else { None };
        if wanted.id_is_config && wanted.id != config_digest {
            let expected = wanted.id;
            let what = format!("the config of {what}");
            return Err(Error::DigestMismatch { what, expected, got: config_digest });
        }
        let digest = manifest.unwrap_or_else(|| stand_in(config_digest, layers.iter().map(|layer| layer.0)));
        let metadata = config.metadata(digest, Some(config_digest), &layers, what)?;
        Ok(StreamedImage { metadata, members })
    }

    /// What reading the member as a layer showed.
    fn stats(
        &mut self,
        member: &str,
        what: &str,
        limits: &Limits,
        visitor: &mut dyn StreamVisitor,
    ) -> Result<LayerStats, Error> {
        if let Some(bytes) = self.documents.remove(member) {
            let named = format!("{member} of {what}");
            let result = read_blob(&bytes[..], &named, None, limits, visitor.member(member), &|_| {});
            self.layer(member.to_owned(), result, what, visitor)?;
        }
        match self.layers.get(member) {
            Some(Ok(stats)) => Ok(*stats),
            // Each member is asked for once, or the error ended it all the first time.
            Some(Err(_)) => match self.layers.remove(member) {
                Some(Err(error)) => Err(error),
                _ => Err(Error::not_found(format!("{member} of {what}"))),
            },
            None => Err(Error::malformed(
                what,
                format!("it lists the layer {member}, which did not come with it"),
            )),
        }
    }

    /// The digest of the manifest that has this config and these layers, if it came with them. Docker's
    /// containerd store keeps layers as they were pulled, and exports the manifest that they were pulled by.
    fn manifest(&self, config: Digest, layers: &[(Digest, u64)], id: Digest) -> Option<Digest> {
        let is_it = |bytes: &&Vec<u8>| {
            let Ok(document) = serde_json::from_slice::<Document>(bytes) else { return false };
            let named = document.layers.iter().flatten().map(|layer| layer.digest.parse::<Digest>().ok());
            document.config.is_some_and(|found| found.digest.parse() == Ok(config))
                && named.eq(layers.iter().map(|(digest, _)| Some(*digest)))
        };
        let mut found: Vec<Digest> =
            self.documents.values().filter(is_it).map(|bytes| Digest::of(bytes)).collect();
        found.sort();
        found.iter().find(|digest| **digest == id).or(found.first()).copied()
    }
}

/// The image that was asked for. An export by name or id holds one.
fn pick(saved: Vec<Saved>, wanted: &Wanted<'_>, what: &str) -> Result<Saved, Error> {
    let is_it = |image: &Saved| image.repo_tags.iter().flatten().any(|tag| tag == wanted.name);
    let count = saved.len();
    let mut named: Vec<Saved> = saved.into_iter().filter(|image| count == 1 || is_it(image)).collect();
    match (named.pop(), named.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => Err(Error::malformed(what, format!("its manifest.json lists {count} images instead of one"))),
    }
}
