//! An engine's exports in every order, and in every way to go wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use limpid_image::{
    Endpoint, EngineOptions, Entry, Error, FileContent, Image, Interest, LayerStats, LayerVisitor, Limits,
    OpenOptions, StreamVisitor, StreamedImage, open,
};
use limpid_testkit::{Encoding, EngineAnswer, Export, FakeEngine, Framing, ImageBuilder, Layer};

/// Sees paths.
#[derive(Default)]
struct Paths {
    current: Vec<String>,
    ended: Vec<(String, LayerStats, Vec<String>)>,
}

impl LayerVisitor for Paths {
    fn entry(&mut self, entry: &Entry<'_>) -> Interest {
        self.current.push(entry.path.to_owned());
        Interest::Skip
    }
    fn file(&mut self, _: &str, _: FileContent<'_>) {}
    fn problem(&mut self, _: &str, _: String) {}
}

impl StreamVisitor for Paths {
    fn member(&mut self, _: &str) -> &mut dyn LayerVisitor {
        self.current.clear();
        self
    }
    fn end(&mut self, name: &str, stats: &LayerStats) {
        self.ended.push((name.to_owned(), *stats, std::mem::take(&mut self.current)));
    }
}

fn image() -> ImageBuilder {
    let filler: Vec<u8> = (0..30_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let base = Layer::new().file("base", filler).symlink("link", "base");
    let empty = Layer::new();
    // The first layer comes twice; one begins as a JSON document does.
    ImageBuilder::new()
        .layer("ADD base", &base)
        .layer("RUN true", &empty)
        .layer("ADD odd", &Layer::new().file("{odd}", "x"))
        .layer("ADD base again", &base)
}

fn open_at(socket: &Path) -> Result<Box<dyn Image>, Error> {
    let docker = Endpoint::Sockets(vec![socket.to_owned()]);
    let engines = EngineOptions { docker, ..EngineOptions::default() };
    open(&"docker-daemon:example:1".parse().unwrap(), &OpenOptions { engines, ..OpenOptions::default() })
}

fn read(answers: Vec<EngineAnswer>) -> Result<(StreamedImage, Paths), Error> {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let _engine = FakeEngine::start(&socket, answers);
    let image = open_at(&socket)?;
    let mut paths = Paths::default();
    let streamed = image.stream().unwrap().read(&Limits::default(), &mut paths, &|_| {})?;
    Ok((streamed, paths))
}

fn answers(order: Export) -> Vec<EngineAnswer> {
    FakeEngine::answers(&image(), image().export(order))
}

#[test]
fn every_order_gives_the_image_that_the_archive_gives() {
    let folder = tempfile::tempdir().unwrap();
    for order in [
        Export::LayersLast,
        Export::ManifestFirst,
        Export::Linked,
        Export::Blobs(Encoding::Plain),
        Export::Blobs(Encoding::Gzip),
        Export::Blobs(Encoding::Zstd),
    ] {
        for framing in [Framing::Chunked, Framing::Length(0), Framing::Close] {
            let mut answers = answers(order);
            let file = folder.path().join("export.tar");
            std::fs::write(&file, &answers[2].body).unwrap();
            answers[2].framing = framing;
            let (streamed, paths) = read(answers).unwrap();
            let archive = format!("docker-archive:{}", file.display()).parse().unwrap();
            let mut expected = open(&archive, &OpenOptions::default()).unwrap().metadata().clone();
            if let Export::Blobs(Encoding::Gzip | Encoding::Zstd) = order {
                // Layers as they were pulled, so the manifest is that of the registry.
                let layout = format!("oci-archive:{}", file.display()).parse().unwrap();
                expected = open(&layout, &OpenOptions::default()).unwrap().metadata().clone();
            }
            assert_eq!(streamed.metadata, expected, "{order:?} {framing:?}");
            let seen = |at: usize| {
                let member = paths.ended.iter().rfind(|(name, ..)| *name == streamed.members[at]).unwrap();
                assert_eq!(member.1.digest, expected.layers[at].digest);
                member.2.join(" ")
            };
            assert_eq!([seen(0), seen(1), seen(2), seen(3)], ["base link", "", "{odd}", "base link"]);
        }
    }
}

#[test]
fn what_is_known_before_the_export_is_what_comes() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let engine = FakeEngine::with_image(&socket, &image(), image().export(Export::LayersLast));
    let opened = open_at(&socket).unwrap();
    assert_eq!(engine.exports(), 0);
    let stream = opened.stream().unwrap();
    assert!(stream.is_predictable());
    let streamed = stream.read(&Limits::default(), &mut Paths::default(), &|_| {}).unwrap();
    let (before, after) = (opened.metadata(), &streamed.metadata);
    assert_eq!(before.manifest_digest, after.manifest_digest);
    assert_eq!(before.config_digest, after.config_digest);
    let facts = |image: &limpid_model::ImageMetadata| {
        let layers = image.layers.iter();
        layers.map(|layer| (layer.digest, layer.command.clone(), layer.created.clone())).collect::<Vec<_>>()
    };
    assert_eq!(facts(before), facts(after));
    assert_eq!(before.environment, after.environment);
}

#[test]
fn a_stream_that_breaks_off_anywhere_is_an_error() {
    for order in [Export::LayersLast, Export::Linked, Export::Blobs(Encoding::Gzip)] {
        for framing in [Framing::Chunked, Framing::Length(0), Framing::Close] {
            let mut answers = answers(order);
            // All but the padding at the end.
            let whole = answers[2].body.len() - 1024;
            for cut in [0, 1, 511, 512, 700, whole / 3, whole / 2, whole - 2048, whole - 513] {
                answers[2].framing = framing;
                answers[2].cut = Some(cut);
                let error = read(answers.clone()).err();
                let error = error.unwrap_or_else(|| panic!("{order:?} {framing:?} {cut}")).to_string();
                assert!(error.starts_with("the export of example:1 from Docker"), "{cut} {error}");
            }
        }
    }
}

#[test]
fn lengths_that_lie_are_errors() {
    let mut more = answers(Export::LayersLast);
    more[2].framing = Framing::Length(10_000);
    // The archive is whole, and more is promised than comes: nothing is missing.
    assert!(read(more).is_ok());
    let mut cut = answers(Export::LayersLast);
    cut[2].framing = Framing::Length(10_000);
    cut[2].cut = Some(60_000);
    assert!(matches!(read(cut), Err(Error::StreamCut { .. })));
    // A header that promises more than there is.
    let mut longer = answers(Export::LayersLast);
    longer[2].body[124..136].copy_from_slice(b"77777777777\0");
    let mut sum = 0_u32;
    longer[2].body[148..156].fill(b' ');
    longer[2].body[..512].iter().for_each(|byte| sum += u32::from(*byte));
    longer[2].body[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert!(matches!(read(longer), Err(Error::StreamCut { .. })));
}

#[test]
fn other_bytes_than_the_config_names_are_refused() {
    for order in [Export::LayersLast, Export::ManifestFirst, Export::Linked, Export::Blobs(Encoding::Plain)] {
        let mut changed = answers(order);
        let body = &mut changed[2].body;
        let needle = 29_999_u32.wrapping_mul(2_654_435_761).to_le_bytes();
        let at = body.windows(4).position(|window| window == needle).unwrap();
        body[at] ^= 1;
        assert!(matches!(read(changed), Err(Error::DigestMismatch { .. })), "{order:?}");
    }
    // A config that is not the one that the image is named after.
    let other = ImageBuilder::new().layer("ADD", &Layer::new().file("other", "x"));
    let answers = FakeEngine::answers(&image(), other.export(Export::LayersLast));
    assert!(matches!(read(answers), Err(Error::DigestMismatch { .. })));
}

#[test]
fn a_changed_byte_never_gives_another_image() {
    let base = Layer::new().file("a", "the content of a").symlink("link", "a");
    let image = ImageBuilder::new().layer("ADD a", &base).layer("ADD b", &Layer::new().file("b", "of b"));
    for order in [Export::LayersLast, Export::Linked, Export::Blobs(Encoding::Plain)] {
        let folder = tempfile::tempdir().unwrap();
        let whole = image.export(order);
        for at in (0..whole.len() - 1024).step_by(13) {
            let socket = folder.path().join("engine.sock");
            let mut export = whole.clone();
            export[at] ^= 1 << (at % 8);
            let _engine = FakeEngine::with_image(&socket, &image, export);
            let opened = open_at(&socket).unwrap();
            let mut paths = Paths::default();
            let read = opened.stream().unwrap().read(&Limits::default(), &mut paths, &|_| {});
            if let Ok(streamed) = read {
                assert_eq!(
                    streamed.metadata.manifest_digest,
                    opened.metadata().manifest_digest,
                    "{order:?} {at}"
                );
                let seen =
                    |name: &String| paths.ended.iter().rfind(|ended| ended.0 == *name).unwrap().2.join(" ");
                let seen: Vec<String> = streamed.members.iter().map(seen).collect();
                assert_eq!(seen, ["a link", "b"], "{order:?} {at}");
            }
            std::fs::remove_file(&socket).unwrap();
        }
    }
}

#[test]
fn a_stream_longer_than_the_limit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let _engine = FakeEngine::with_image(&socket, &image(), image().export(Export::LayersLast));
    let limits = Limits { uncompressed_bytes: 100_000, ..Limits::default() };
    let image = open_at(&socket).unwrap();
    let error = image.stream().unwrap().read(&limits, &mut Paths::default(), &|_| {}).err().unwrap();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
}

#[test]
fn dockers_containerd_store_shows_the_manifest_with_the_export() {
    let folder = tempfile::tempdir().unwrap();
    let mut answers = answers(Export::Blobs(Encoding::Gzip));
    let file = folder.path().join("export.tar");
    std::fs::write(&file, &answers[2].body).unwrap();
    let layout = format!("oci-archive:{}", file.display()).parse().unwrap();
    let pulled = open(&layout, &OpenOptions::default()).unwrap().metadata().clone();
    // There the id is the manifest's digest, or that of an index which lists it.
    let descriptor = format!("\"Id\":\"{}\",\"Descriptor\":{{}}", pulled.manifest_digest);
    let id = format!("\"Id\":\"{}\"", image().id());
    answers[0].body = image().inspected().replace(&id, &descriptor).into_bytes();
    let socket = folder.path().join("engine.sock");
    let _engine = FakeEngine::start(&socket, answers);
    let opened = open_at(&socket).unwrap();
    let stream = opened.stream().unwrap();
    assert!(!stream.is_predictable());
    assert_eq!(opened.metadata().manifest_digest, pulled.manifest_digest);
    let streamed = stream.read(&Limits::default(), &mut Paths::default(), &|_| {}).unwrap();
    assert_eq!(streamed.metadata, pulled);
}

#[test]
fn a_layer_that_does_not_come_or_is_none_is_an_error() {
    let image = image();
    let name = format!("{}.json", image.id().hex());
    let export = |layers: &[&str]| {
        let manifest = serde_json::json!([{"Config": name, "RepoTags": null, "Layers": layers}]).to_string();
        let config = image.export(Export::LayersLast);
        let begin = config.windows(10).position(|window| window == b"{\"created\"").unwrap();
        let end = begin + config[begin..].iter().position(|byte| *byte == 0).unwrap();
        let archive = Layer::new().file(&name, &config[begin..end]).file("text", "no archive at all");
        let archive = archive.file("zip", [b"PK\x03\x04".as_slice(), &[7; 2000]].concat());
        archive.file("manifest.json", manifest).tar()
    };
    for layers in [&["gone/layer.tar"][..], &["text"], &["zip"], &["manifest.json"]] {
        let error = read(FakeEngine::answers(&image, export(layers))).err();
        let error = error.unwrap_or_else(|| panic!("{layers:?}"));
        assert!(error.to_string().contains(layers[0]), "{error}");
    }
}

#[test]
fn an_engine_that_refuses_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    assert!(matches!(open_at(&socket), Err(Error::EngineUnreachable { .. })));
    let error = read(Vec::new()).err().unwrap();
    assert!(matches!(error, Error::NotInEngine { .. }), "{error}");
    assert_eq!(error.to_string(), "Docker has no image `example:1`: No such image");
    for at in 0..3 {
        let mut failing = answers(Export::LayersLast);
        failing[at].status = 500;
        failing[at].body = br#"{"message":"the disk\u0007 is full"}"#.to_vec();
        let error = read(failing).err().unwrap().to_string();
        assert!(error.ends_with("it answered 500: the disk is full"), "{error}");
    }
    let mut nonsense = answers(Export::LayersLast);
    nonsense[0].body = b"{\"Id\":\"latest\"}".to_vec();
    assert!(read(nonsense).err().unwrap().to_string().contains("its id `latest` is no digest"));
    for name in ["../../containers", "a?x=1", "a b", "a//b"] {
        let docker = Endpoint::Sockets(vec![socket.clone()]);
        let options =
            OpenOptions { engines: EngineOptions { docker, ..Default::default() }, ..Default::default() };
        let error = open(&format!("docker-daemon:{name}").parse().unwrap(), &options).err().unwrap();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
    }
}

#[test]
fn addresses_are_unix_or_tcp() {
    let at = |address: &str| {
        let docker = Endpoint::Address { address: address.to_owned(), certificates: None };
        let engines = EngineOptions { docker, ..EngineOptions::default() };
        open(&"docker-daemon:x".parse().unwrap(), &OpenOptions { engines, ..Default::default() }).err()
    };
    for address in ["ssh://host", "npipe:////./pipe/x", "unix://relative", "host:2375", "tcp://a@b/c?d", ""] {
        assert!(matches!(at(address), Some(Error::Unsupported { .. })), "{address}");
    }
    for address in ["unix:///nowhere/engine.sock", "tcp://127.0.0.1:1"] {
        assert!(matches!(at(address), Some(Error::EngineUnreachable { .. })), "{address}");
    }
}
