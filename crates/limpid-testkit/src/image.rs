//! Images, written in the forms that Limpid reads.

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

/// An image under construction: layers with the commands that made them.
#[derive(Debug, Clone, Default)]
pub struct ImageBuilder {
    layers: Vec<(String, Vec<u8>)>,
    windows: Option<String>,
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

    fn config(&self) -> Vec<u8> {
        let diff_ids: Vec<String> = self.layers.iter().map(|(_, tar)| Digest::of(tar).to_string()).collect();
        let history: Vec<_> = self
            .layers
            .iter()
            .map(|(command, _)| json!({"created": "1970-01-01T00:00:00Z", "created_by": command}))
            .collect();
        let mut config = json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        });
        if let Some(version) = &self.windows {
            config["os"] = json!("windows");
            config["os.version"] = json!(version);
        }
        config.to_string().into_bytes()
    }

    /// The files of an OCI layout, with the tag `latest`; and the manifest's digest.
    fn layout(&self, encoding: Encoding) -> (Vec<(String, Vec<u8>)>, Digest) {
        let mut files = vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
        let mut blob = |bytes: Vec<u8>, media_type: &str| {
            let digest = Digest::of(&bytes);
            let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
            files.push((format!("blobs/sha256/{}", digest.hex()), bytes));
            (digest, descriptor)
        };
        let layers: Vec<_> =
            self.layers.iter().map(|(_, tar)| blob(encoding.encode(tar), encoding.media_type()).1).collect();
        let (_, config) = blob(self.config(), "application/vnd.oci.image.config.v1+json");
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
}
