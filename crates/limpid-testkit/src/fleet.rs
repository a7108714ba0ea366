//! A registry's worth of small images that share layers, as images of one team do.

use std::collections::BTreeSet;

use limpid_model::Digest;
use serde_json::json;

use crate::{Content, Encoding, Layer, dpkg_status};

/// Images that share layers, and the registry's content that has them.
#[derive(Debug, Clone, Default)]
pub struct SmallFleet {
    /// What a registry answers with.
    pub content: Content,
    /// Each image's repository and tag, and its manifest's digest.
    pub images: Vec<(String, Digest)>,
    /// All layers.
    pub layers: BTreeSet<Digest>,
}

struct Part {
    name: String,
    packages: Vec<(String, String)>,
    descriptor: serde_json::Value,
    diff_id: Digest,
}

impl SmallFleet {
    /// So many images of three layers: a base for every fifty, another layer for every ten, and one of their own.
    /// Layers have some `filler_bytes` that do not compress, the lower the more.
    pub fn new(images: usize, filler_bytes: usize) -> Self {
        let mut fleet = Self::default();
        let mut base: Option<Part> = None;
        let mut middle: Option<Part> = None;
        for number in 0..images {
            if number % 50 == 0 {
                base = Some(fleet.part(&format!("base{number}"), None, 4 * filler_bytes));
            }
            if number % 10 == 0 {
                middle = Some(fleet.part(&format!("middle{number}"), base.as_ref(), 2 * filler_bytes));
            }
            let own = fleet.part(&format!("own{number}"), middle.as_ref(), filler_bytes);
            let parts = [base.as_ref().unwrap(), middle.as_ref().unwrap(), &own];
            fleet.image(&format!("team{}/app{number}", number % 7), &parts);
        }
        fleet
    }

    /// A layer with one package more than those below it.
    fn part(&mut self, name: &str, below: Option<&Part>, filler_bytes: usize) -> Part {
        let mut packages = below.map(|below| below.packages.clone()).unwrap_or_default();
        packages.push((name.to_owned(), "1.0-1".to_owned()));
        let lines: Vec<(&str, &str, &str)> =
            packages.iter().map(|(name, version)| (name.as_str(), version.as_str(), "")).collect();
        let mut state = Digest::of(name.as_bytes())
            .as_bytes()
            .iter()
            .fold(1, |state: u64, byte| state.wrapping_mul(257).wrapping_add(u64::from(*byte)) | 1);
        let filler: Vec<u8> = (0..filler_bytes)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect();
        let mut layer = Layer::new()
            .file(&format!("opt/{name}"), filler)
            .file("var/lib/dpkg/status", dpkg_status(&lines));
        if below.is_none() {
            layer = layer.file("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
        }
        let tar = layer.tar();
        let blob = Encoding::Gzip.encode(&tar);
        let (digest, size) = (Digest::of(&blob), blob.len());
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        self.layers.insert(digest);
        self.content.put(&format!("blobs/{digest}"), "application/octet-stream", blob);
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": size});
        Part { name: name.to_owned(), packages, descriptor, diff_id: Digest::of(&tar) }
    }

    fn image(&mut self, repository: &str, parts: &[&Part]) {
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": parts.iter().map(|part| part.diff_id).collect::<Vec<_>>()},
            "history": parts.iter().map(|part| json!({"created_by": part.name})).collect::<Vec<_>>(),
        });
        let config = config.to_string().into_bytes();
        let (digest, size) = (Digest::of(&config), config.len());
        self.content.put(&format!("blobs/{digest}"), "application/octet-stream", config);
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": size},
            "layers": parts.iter().map(|part| part.descriptor.clone()).collect::<Vec<_>>(),
        });
        let manifest = manifest.to_string();
        let digest = self.content.put(&format!("{repository}/manifests/1"), media_type, manifest.clone());
        self.content.put(&format!("{repository}/manifests/{digest}"), media_type, manifest);
        self.images.push((format!("{repository}:1"), digest));
    }
}
