//! Images whose layers stand at addresses: what is asked for, what is shown to whom, and that bytes are verified.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use limpid_image::{
    ClairManifest, Entry, Error, ExpectedBlob, FileContent, Interest, LayerVisitor, Limits, OpenOptions,
    RegistryError, RegistryOptions, open_clair_manifest, read_layer,
};
use limpid_model::Digest;
use limpid_testkit::{Answer, Encoding, Layer, Request, Server};

struct Files(Vec<String>);

impl LayerVisitor for Files {
    fn entry(&mut self, entry: &Entry<'_>) -> Interest {
        self.0.push(entry.path.to_owned());
        Interest::Skip
    }
    fn file(&mut self, _: &str, _: FileContent<'_>) {}
    fn problem(&mut self, _: &str, _: String) {}
}

fn layer() -> Vec<u8> {
    Encoding::Gzip.encode(&Layer::new().file("etc/x", "y".repeat(200_000)).tar())
}

fn manifest(uri: &str, digest: Digest, headers: &str) -> ClairManifest {
    let hash = Digest::of(b"manifest");
    let json = format!(
        r#"{{"hash":"{hash}","layers":[{{"hash":"{digest}","uri":"{uri}","headers":{headers}}}],"more":1}}"#
    );
    ClairManifest::parse(&json).unwrap()
}

/// The files of the one layer.
fn read(manifest: &ClairManifest) -> Result<Vec<String>, Error> {
    let registry =
        RegistryOptions { pause: Duration::from_millis(1), retries: 2, ..RegistryOptions::default() };
    let options = OpenOptions { registry, ..OpenOptions::default() };
    let image = open_clair_manifest(manifest, &options)?;
    let expected = ExpectedBlob { digest: image.metadata().layers[0].digest, size_bytes: None };
    let mut files = Files(Vec::new());
    read_layer(image.layer(0)?, Some(&expected), &options.limits, &mut files, &|_| ())?;
    Ok(files.0)
}

#[test]
fn a_layer_is_asked_for_with_its_headers() {
    let blob = layer();
    let digest = Digest::of(&blob);
    let server = Server::start(move |_| Answer::new(200, blob.clone()));
    let headers = r#"{"Accept":["application/gzip"],"Authorization":["Bearer t"],"X-More":["a","b"]}"#;
    let manifest = manifest(&format!("http://{}/v2/a/blobs/x?sig=s", server.address()), digest, headers);
    assert_eq!(read(&manifest).unwrap(), ["etc/x"]);
    let request = &server.requests()[0];
    assert_eq!(request.target, "/v2/a/blobs/x?sig=s");
    assert_eq!((request.header("accept"), request.header("authorization")), ("application/gzip", "Bearer t"));
    assert_eq!(request.header("x-more"), "b", "the last of several lines, as the test's server keeps them");
}

#[test]
fn credentials_stay_where_they_were_meant_for() {
    let blob = layer();
    let digest = Digest::of(&blob);
    let storage = Server::start(move |_| Answer::new(200, blob.clone()));
    let to = format!("http://{}/signed", storage.address());
    let registry = Server::start(move |_| Answer::new(307, "").header("Location", to.clone()));
    let headers =
        r#"{"Accept":["application/gzip"],"authorization":["Bearer t"],"Cookie":["c"],"X-Key":["k"]}"#;
    let manifest = manifest(&format!("http://{}/x", registry.address()), digest, headers);
    assert_eq!(read(&manifest).unwrap(), ["etc/x"]);
    let shown = |request: &Request, name| request.header(name).to_owned();
    let (first, second) = (&registry.requests()[0], &storage.requests()[0]);
    for (name, value) in [("authorization", "Bearer t"), ("cookie", "c"), ("x-key", "k")] {
        assert_eq!((shown(first, name).as_str(), shown(second, name).as_str()), (value, ""), "{name}");
    }
    assert_eq!(shown(second, "accept"), "application/gzip");
}

#[test]
fn what_comes_is_verified() {
    let blob = layer();
    let server = Server::start(move |_| Answer::new(200, blob.clone()));
    let forged = manifest(&format!("http://{}/x", server.address()), Digest::of(b"other"), "null");
    assert!(matches!(read(&forged), Err(Error::DigestMismatch { .. })));
}

#[test]
fn a_download_that_breaks_goes_on() {
    let blob = Arc::new(layer());
    let digest = Digest::of(&blob);
    let half = blob.len() / 2;
    let server = Server::start(move |request| match request.header("range") {
        "" => Answer { cut_after: Some(half), ..Answer::new(200, blob.as_slice()) },
        range => {
            assert_eq!((range, request.header("x-key")), (format!("bytes={half}-").as_str(), "k"));
            let range = format!("bytes {half}-{}/{}", blob.len() - 1, blob.len());
            Answer::new(206, &blob[half..]).header("Content-Range", range)
        }
    });
    let manifest = manifest(&format!("http://{}/x", server.address()), digest, r#"{"X-Key":["k"]}"#);
    assert_eq!(read(&manifest).unwrap(), ["etc/x"]);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn what_grows_without_end_is_refused() {
    let blob = Layer::new().file("x", vec![0_u8; 200_000]).tar();
    let digest = Digest::of(&blob);
    let server = Server::start(move |_| Answer::new(200, blob.clone()));
    let manifest = manifest(&format!("http://{}/x", server.address()), digest, "{}");
    let limits = Limits { uncompressed_bytes: 100_000, ..Limits::default() };
    let image = open_clair_manifest(&manifest, &OpenOptions { limits, ..OpenOptions::default() }).unwrap();
    assert!(matches!(image.layer(0), Err(Error::Limit { .. })));
}

#[test]
fn refusals_say_why() {
    for (status, words) in [(401, "wants credentials"), (403, "refuses"), (404, "has no layer"), (418, "418")]
    {
        let server = Server::start(move |_| Answer::new(status, r#"{"errors":[{"message":"expired"}]}"#));
        let manifest =
            manifest(&format!("http://{}/x", server.address()), Digest::of(b""), r#"{"X-Secret":["hush"]}"#);
        let error = read(&manifest).unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains("hush"), "{error}");
    }
    let far = manifest("http://elsewhere.example/x", Digest::of(b""), "{}");
    assert!(matches!(read(&far), Err(Error::Registry(RegistryError::PlainHttp { .. }))));
    let offline = RegistryOptions { offline: true, ..RegistryOptions::default() };
    let options = OpenOptions { registry: offline, ..OpenOptions::default() };
    assert!(matches!(
        open_clair_manifest(&far, &options),
        Err(Error::Registry(RegistryError::Offline { .. }))
    ));
}

#[test]
fn what_shows_a_manifest_shows_no_secret() {
    let manifest = manifest("https://h/x?signature=hush", Digest::of(b""), r#"{"Authorization":["hush"]}"#);
    assert!(!format!("{manifest:?}").contains("hush"));
}
