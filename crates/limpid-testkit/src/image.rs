//! Images, written in the forms that Limpid reads.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use limpid_model::Digest;
use serde_json::json;

use crate::Layer;

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl Encoding {
    /// `bytes` in this encoding; the same bytes give the same result.
    pub fn encode(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => bytes.to_vec(),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Self::Zstd => zstd::bulk::compress(bytes, 3).unwrap(),
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// How an engine orders an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// A folder and a `layer.tar` for each layer, then config and `manifest.json`, as Docker before 25.
    LayersLast,
    /// The same, `manifest.json` and config first.
    ManifestFirst,
    /// Layers named by their digests, and links to them, as Podman.
    Linked,
    /// `blobs/sha256` with layers in this encoding, and both `index.json` and `manifest.json`, as Docker since 25:
    /// plain ones from its classic store, others from its containerd store.
    Blobs(Encoding),
}

/// An image under construction: layers with the commands that made them.
#[derive(Debug, Clone, Default)]
pub struct ImageBuilder {
    pub(crate) layers: Vec<(String, Vec<u8>)>,
    architecture: Option<String>,
    windows: Option<String>,
    labels: BTreeMap<String, String>,
}

impl ImageBuilder {
    /// An image without layers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a layer on top.
    #[must_use]
    pub fn layer(mut self, command: &str, layer: &Layer) -> Self {
        self.layers.push((command.to_owned(), layer.tar()));
        self
    }

    /// Makes it an image for this version of Windows.
    #[must_use]
    pub fn windows(mut self, version: &str) -> Self {
        self.windows = Some(version.to_owned());
        self
    }

    /// Says that it runs on another architecture than amd64.
    #[must_use]
    pub fn architecture(mut self, architecture: &str) -> Self {
        self.architecture = Some(architecture.to_owned());
        self
    }

    /// Puts a label on it.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn config(&self) -> Vec<u8> {
        self.config_for(self.own_architecture())
    }

    fn own_architecture(&self) -> &str {
        self.architecture.as_deref().unwrap_or("amd64")
    }

    fn config_for(&self, architecture: &str) -> Vec<u8> {
        let diff_ids: Vec<String> = self.layers.iter().map(|(_, tar)| Digest::of(tar).to_string()).collect();
        let history: Vec<_> = self
            .layers
            .iter()
            .map(|(command, _)| json!({"created": "1970-01-01T00:00:00Z", "created_by": command}))
            .collect();
        let mut config = json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        });
        if let Some(version) = &self.windows {
            config["os"] = json!("windows");
            config["os.version"] = json!(version);
        }
        if !self.labels.is_empty() {
            config["config"]["Labels"] = json!(self.labels);
        }
        config.to_string().into_bytes()
    }

    /// The files of an OCI layout, with the tag `latest`; and the manifest's digest.
    fn layout(&self, encoding: Encoding) -> (Vec<(String, Vec<u8>)>, Digest) {
        self.layout_for(self.own_architecture(), encoding)
    }

    fn layout_for(&self, architecture: &str, encoding: Encoding) -> (Vec<(String, Vec<u8>)>, Digest) {
        let mut files = vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
        let mut blob = |bytes: Vec<u8>, media_type: &str| {
            let digest = Digest::of(&bytes);
            let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
            files.push((format!("blobs/sha256/{}", digest.hex()), bytes));
            (digest, descriptor)
        };
        let layers: Vec<_> =
            self.layers.iter().map(|(_, tar)| blob(encoding.encode(tar), encoding.media_type()).1).collect();
        let (_, config) = blob(self.config_for(architecture), "application/vnd.oci.image.config.v1+json");
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest =
            json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers});
        let (digest, mut manifest) = blob(manifest.to_string().into_bytes(), media_type);
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        files.push(("index.json".to_owned(), index.to_string().into_bytes()));
        (files, digest)
    }

    /// Writes an OCI layout and gives the manifest's digest.
    pub fn oci_layout(&self, directory: &Path, encoding: Encoding) -> Digest {
        let (files, digest) = self.layout(encoding);
        fs::create_dir_all(directory.join("blobs/sha256")).unwrap();
        for (path, bytes) in files {
            fs::write(directory.join(path), bytes).unwrap();
        }
        digest
    }

    /// Writes an OCI layout whose tag `latest` is an index of `images`, one for each platform, and an attestation.
    pub fn oci_layout_of_platforms(images: &[Self], directory: &Path, encoding: Encoding) {
        let mut manifests = Vec::new();
        for image in images {
            image.oci_layout(directory, encoding);
            let index = fs::read(directory.join("index.json")).unwrap();
            let mut index: serde_json::Value = serde_json::from_slice(&index).unwrap();
            let mut manifest = index["manifests"][0].take();
            manifest.as_object_mut().unwrap().remove("annotations");
            let architecture = image.own_architecture();
            manifest["platform"] = json!({"os": "linux", "architecture": architecture});
            manifests.push(manifest);
        }
        let mut attestation = manifests[0].clone();
        attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
        manifests.push(attestation);
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}).to_string();
        let digest = Digest::of(index.as_bytes());
        fs::write(directory.join(format!("blobs/sha256/{}", digest.hex())), &index).unwrap();
        let name = json!({"org.opencontainers.image.ref.name": "latest"});
        let descriptor =
            json!({"mediaType": media_type, "digest": digest, "size": index.len(), "annotations": name});
        let outer = json!({"schemaVersion": 2, "manifests": [descriptor]});
        fs::write(directory.join("index.json"), outer.to_string()).unwrap();
    }

    /// An OCI archive.
    pub fn oci_archive(&self, encoding: Encoding) -> Vec<u8> {
        let (files, _) = self.layout(encoding);
        files.iter().fold(Layer::new(), |archive, (path, bytes)| archive.file(path, bytes)).tar()
    }

    /// A Docker archive of the old layout, whose image has the tag `example:1`.
    pub fn docker_archive(&self) -> Vec<u8> {
        let config = self.config();
        let name = format!("{}.json", Digest::of(&config).hex());
        let mut archive = Layer::new();
        let mut layers = Vec::new();
        for (_, tar) in &self.layers {
            let path = format!("{}/layer.tar", Digest::of(tar).short());
            archive = archive.file(&path, tar);
            layers.push(path);
        }
        let manifest = json!([{"Config": name, "RepoTags": ["example:1"], "Layers": layers}]);
        archive.file(&name, config).file("manifest.json", manifest.to_string()).tar()
    }

    /// The image as an engine exports it, with the tag `example:1`.
    pub fn export(&self, order: Export) -> Vec<u8> {
        let config = self.config();
        let mut config_name = format!("{}.json", Digest::of(&config).hex());
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        let (mut layers, mut links) = (Vec::new(), Vec::new());
        for (at, (_, tar)) in self.layers.iter().enumerate() {
            let hex = Digest::of(tar).hex();
            let (stored, listed) = match order {
                Export::Linked => (format!("{hex}.tar"), format!("{at}{}/layer.tar", &hex[..8])),
                _ => (format!("{at}{}/layer.tar", &hex[..8]), format!("{at}{}/layer.tar", &hex[..8])),
            };
            if order == Export::Linked {
                links.push((listed.clone(), format!("../{stored}")));
            }
            layers.push(listed);
            if !files.iter().any(|(path, _)| *path == stored) {
                files.push((stored, tar.clone()));
            }
        }
        files.push((format!("{}/VERSION", layers.len()), b"1.0".to_vec()));
        match order {
            Export::Blobs(encoding) => {
                files = self.layout(encoding).0;
                config_name = format!("blobs/sha256/{}", Digest::of(&config).hex());
                let path =
                    |tar: &Vec<u8>| format!("blobs/sha256/{}", Digest::of(&encoding.encode(tar)).hex());
                layers = self.layers.iter().map(|(_, tar)| path(tar)).collect();
                files.sort();
                files.dedup();
            }
            _ => files.push((config_name.clone(), config)),
        }
        let manifest = json!([{"Config": config_name, "RepoTags": ["example:1"], "Layers": layers}]);
        files.push(("manifest.json".to_owned(), manifest.to_string().into_bytes()));
        if order == Export::ManifestFirst {
            files.reverse();
        }
        let archive = files.iter().fold(Layer::new(), |archive, (path, bytes)| archive.file(path, bytes));
        links.iter().fold(archive, |archive, (path, target)| archive.symlink(path, target)).tar()
    }

    /// An OCI archive of one index with an image for each architecture, named as containerd names it.
    pub fn multi_platform(name: &str, images: &[(&str, Self)]) -> Vec<u8> {
        let (mut files, mut manifests) = (Vec::new(), Vec::new());
        for (architecture, image) in images {
            let (layout, _) = image.layout_for(architecture, Encoding::Gzip);
            let index = layout.iter().find(|(path, _)| path == "index.json").unwrap();
            let mut index: serde_json::Value = serde_json::from_slice(&index.1).unwrap();
            let mut manifest = index["manifests"][0].take();
            manifest["annotations"].take();
            manifest["platform"] = json!({"os": "linux", "architecture": architecture});
            manifests.push(manifest);
            files.extend(layout.into_iter().filter(|(path, _)| path.starts_with("blobs/")));
        }
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}).to_string();
        let digest = Digest::of(index.as_bytes());
        let annotations = json!({"io.containerd.image.name": name});
        let top = json!({"mediaType": media_type, "digest": digest, "size": index.len(), "annotations": annotations});
        files.push((format!("blobs/sha256/{}", digest.hex()), index.into_bytes()));
        files.push(("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
        files.push((
            "index.json".to_owned(),
            json!({"schemaVersion": 2, "manifests": [top]}).to_string().into_bytes(),
        ));
        files.sort();
        files.dedup();
        files.iter().fold(Layer::new(), |archive, (path, bytes)| archive.file(path, bytes)).tar()
    }
}
