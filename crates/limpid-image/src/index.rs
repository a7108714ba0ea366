//! From an index to the manifests that are meant: one for a platform, or those of all platforms.
//!
//! Source: OCI image specification v1.1, "image-index"; Docker's distribution manifest v2, schema 2. What is
//! no image (BuildKit's attestations, artifacts) is passed over.

use std::collections::BTreeSet;

use limpid_model::{Digest, Platform};

use crate::manifest::{Descriptor, Document, NESTING_MAX};
use crate::{Error, platform};

/// Documents read on the way through nested indexes. Images for every platform that there is have a dozen.
const DOCUMENTS_MAX: usize = 256;

/// Where indexes and manifests are.
pub(crate) trait Documents {
    /// The document that the descriptor names, its digest checked.
    fn document(&self, digest: Digest, descriptor: Option<&Descriptor>) -> Result<Document, Error>;
    /// The source's name in errors.
    fn name(&self) -> String;
}

/// A manifest, and the digest of its bytes.
pub(crate) type Found = (Digest, Document);

/// A walk through the indexes of one source.
pub(crate) struct Search<'a, D> {
    source: &'a D,
    documents_left: usize,
    offered: Vec<String>,
}

impl<'a, D: Documents> Search<'a, D> {
    pub(crate) fn new(source: &'a D) -> Self {
        Self { source, documents_left: DOCUMENTS_MAX, offered: Vec::new() }
    }

    /// The manifest for the platform; if there is only one and nobody asked for a platform, that one.
    pub(crate) fn one(mut self, among: &[Descriptor], wanted: Option<&Platform>) -> Result<Found, Error> {
        let platform = wanted.cloned().unwrap_or_else(platform::host);
        if let Some(found) = self.descend(among, &platform, wanted.is_none(), 0)? {
            return Ok(found);
        }
        self.offered.dedup();
        Err(Error::NotFound { what: format!("an image for {platform}"), available: self.offered })
    }

    /// The same from a digest, which may be that of an index or of a manifest.
    pub(crate) fn one_from(mut self, digest: Digest, wanted: Option<&Platform>) -> Result<Found, Error> {
        let document = self.read(digest, None)?;
        self.one_below(digest, document, wanted)
    }

    /// The same from a document that was read.
    pub(crate) fn one_below(
        self,
        digest: Digest,
        document: Document,
        wanted: Option<&Platform>,
    ) -> Result<Found, Error> {
        match document.manifests {
            Some(manifests) if document.config.is_none() => self.one(&manifests, wanted),
            _ => Ok((digest, document)),
        }
    }

    /// The manifests of all platforms, in the index's order.
    pub(crate) fn all(mut self, among: &[Descriptor]) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        self.collect(among, 0, &mut BTreeSet::new(), &mut found)?;
        if found.is_empty() {
            return Err(Error::not_found(format!("any image in the index of {}", self.source.name())));
        }
        Ok(found)
    }

    /// The same from a digest, which may be that of an index or of a manifest.
    pub(crate) fn all_from(mut self, digest: Digest) -> Result<Vec<Found>, Error> {
        let document = self.read(digest, None)?;
        self.all_below(digest, document)
    }

    /// The same from a document that was read.
    pub(crate) fn all_below(self, digest: Digest, document: Document) -> Result<Vec<Found>, Error> {
        match document.manifests {
            Some(manifests) if document.config.is_none() => self.all(&manifests),
            _ => Ok(vec![(digest, document)]),
        }
    }

    fn read(&mut self, digest: Digest, descriptor: Option<&Descriptor>) -> Result<Document, Error> {
        let left = self.documents_left.checked_sub(1);
        self.documents_left = left.ok_or_else(|| {
            Error::limit(self.source.name(), format!("{DOCUMENTS_MAX} manifests below one index"))
        })?;
        self.source.document(digest, descriptor)
    }

    fn check_depth(&self, depth: usize) -> Result<(), Error> {
        if depth < NESTING_MAX {
            return Ok(());
        }
        Err(Error::limit(self.source.name(), format!("{NESTING_MAX} indexes inside one another")))
    }

    fn descend(
        &mut self,
        among: &[Descriptor],
        wanted: &Platform,
        any_platform: bool,
        depth: usize,
    ) -> Result<Option<Found>, Error> {
        self.check_depth(depth)?;
        let images: Vec<&Descriptor> = among.iter().filter(|descriptor| descriptor.may_be_image()).collect();
        let candidates: Vec<&Descriptor> = match images[..] {
            [only] if any_platform || only.platform().is_none() => vec![only],
            // An index inside an index often names no platform: its own entries do.
            _ => {
                let fits = |of: &&&Descriptor| of.platform().is_some_and(|p| platform::matches(&p, wanted));
                let inner = |of: &&&Descriptor| of.platform().is_none() && of.is_index();
                images.iter().filter(fits).chain(images.iter().filter(inner)).copied().collect()
            }
        };
        self.offered.extend(images.iter().filter_map(|of| of.platform()).map(|p| p.to_string()));
        for descriptor in candidates {
            let digest = descriptor.digest(&format!("an index of {}", self.source.name()))?;
            let document = self.read(digest, Some(descriptor))?;
            match document.manifests {
                Some(manifests) if document.config.is_none() => {
                    if let Some(found) = self.descend(&manifests, wanted, any_platform, depth + 1)? {
                        return Ok(Some(found));
                    }
                }
                _ => return Ok(Some((digest, document))),
            }
        }
        Ok(None)
    }

    fn collect(
        &mut self,
        among: &[Descriptor],
        depth: usize,
        seen: &mut BTreeSet<Digest>,
        found: &mut Vec<Found>,
    ) -> Result<(), Error> {
        self.check_depth(depth)?;
        for descriptor in among.iter().filter(|descriptor| descriptor.may_be_image()) {
            let digest = descriptor.digest(&format!("an index of {}", self.source.name()))?;
            if !seen.insert(digest) {
                continue;
            }
            let document = self.read(digest, Some(descriptor))?;
            match document.manifests {
                Some(manifests) if document.config.is_none() => {
                    self.collect(&manifests, depth + 1, seen, found)?;
                }
                _ => found.push((digest, document)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    /// Documents by their digest.
    #[derive(Default)]
    struct Memory(BTreeMap<Digest, Vec<u8>>);

    impl Memory {
        fn put(&mut self, document: &Value) -> Digest {
            let bytes = document.to_string().into_bytes();
            let digest = Digest::of(&bytes);
            self.0.insert(digest, bytes);
            digest
        }

        fn manifest(&mut self, config: &str) -> Digest {
            let config = Digest::of(config.as_bytes());
            self.put(&json!({"schemaVersion": 2, "config": {"digest": config, "size": 1}, "layers": []}))
        }
    }

    impl Documents for Memory {
        fn document(&self, digest: Digest, _: Option<&Descriptor>) -> Result<Document, Error> {
            let bytes = self.0.get(&digest).ok_or_else(|| Error::not_found(digest.to_string()))?;
            Document::read(bytes, "a document")
        }

        fn name(&self) -> String {
            "memory".to_owned()
        }
    }

    fn entry(digest: Digest, platform: &str) -> Value {
        let (os, architecture) = platform.split_once('/').unwrap();
        json!({"digest": digest, "size": 1, "platform": {"os": os, "architecture": architecture}})
    }

    #[test]
    fn platforms_are_found_in_nested_indexes_and_attestations_are_not() {
        let mut memory = Memory::default();
        let (amd, arm, proof) = (memory.manifest("amd"), memory.manifest("arm"), memory.manifest("proof"));
        let inner = json!({"manifests": [entry(arm, "linux/arm64"), entry(proof, "unknown/unknown")]});
        let inner = memory.put(&inner);
        let inner_entry = json!({"mediaType": crate::manifest::INDEX_TYPES[0], "digest": inner, "size": 1});
        let artifact = json!({"digest": proof, "size": 1, "artifactType": "text/spdx"});
        let top = json!({"manifests": [entry(amd, "linux/amd64"), inner_entry, artifact]});
        let top = memory.put(&top);
        let one = |platform: &str| {
            let found = Search::new(&memory).one_from(top, Some(&platform.parse().unwrap()));
            found.map(|(digest, _)| digest)
        };
        assert_eq!(one("linux/amd64").unwrap(), amd);
        assert_eq!(one("linux/arm64/v8").unwrap(), arm);
        let missing = one("linux/s390x").unwrap_err().to_string();
        assert!(missing.contains("linux/amd64, linux/arm64"), "{missing}");
        let all = Search::new(&memory).all_from(top).unwrap();
        assert_eq!(all.iter().map(|(digest, _)| *digest).collect::<Vec<_>>(), [amd, arm]);
        assert_eq!(Search::new(&memory).all_from(amd).unwrap().len(), 1);
    }

    #[test]
    fn indexes_without_end_are_refused() {
        let mut memory = Memory::default();
        let mut inner = memory.manifest("x");
        for _ in 0..=NESTING_MAX {
            let entry = json!({"digest": inner, "size": 1});
            inner = memory.put(&json!({"manifests": [entry]}));
        }
        assert!(matches!(Search::new(&memory).all_from(inner), Err(Error::Limit { .. })));
        assert!(matches!(Search::new(&memory).one_from(inner, None), Err(Error::Limit { .. })));
        let many: Vec<Digest> = (0..300).map(|n| memory.manifest(&n.to_string())).collect();
        let many: Vec<Value> = many.iter().map(|digest| entry(*digest, "linux/amd64")).collect();
        let wide = memory.put(&json!({"manifests": many}));
        assert!(matches!(Search::new(&memory).all_from(wide), Err(Error::Limit { .. })));
    }

    #[test]
    fn what_is_no_image_is_named() {
        let read = |document: Value| {
            Document::read(document.to_string().as_bytes(), "it").map(|_| ()).unwrap_err().to_string()
        };
        assert!(read(json!({"schemaVersion": 1, "fsLayers": []})).contains("schema 1"));
        let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": "x", "size": 2});
        let artifact =
            json!({"schemaVersion": 2, "artifactType": "text/spdx", "config": config, "layers": []});
        assert!(read(artifact).contains("an artifact of type text/spdx"));
        assert!(read(json!({})).contains("neither"));
    }
}
