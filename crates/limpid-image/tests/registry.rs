//! The registry source against a registry that misbehaves on purpose.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use limpid_image::{
    AuthFile, Entry, Error, ExpectedBlob, FileContent, Image, Interest, LayerContent, LayerVisitor, Limits,
    OpenOptions, Reference, RegistryError, RegistryOptions, Secret, open, open_all, read_layer,
};
use limpid_model::Digest;
use limpid_testkit::{Answer, Content, Encoding, ImageBuilder, Layer, Request, Server};
use serde_json::json;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

/// An image whose one layer has some megabytes that do not compress, as the repository `a` with the tag `t`.
fn content() -> (Content, Digest) {
    let noise: Vec<u8> = (0..600_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let image = ImageBuilder::new().layer("ADD", &Layer::new().file("noise", noise));
    let folder = tempfile::tempdir().unwrap();
    image.oci_layout(folder.path(), Encoding::Plain);
    let mut content = Content::new();
    let digest = content.put_layout("a", "t", folder.path());
    (content, digest)
}

fn options() -> OpenOptions {
    let registry = RegistryOptions {
        pause: Duration::from_millis(1),
        pause_max: Duration::from_millis(50),
        read_timeout: Duration::from_secs(5),
        ..RegistryOptions::default()
    };
    OpenOptions { registry, ..OpenOptions::default() }
}

fn with_password() -> OpenOptions {
    let mut options = options();
    options.registry.username = Some("me".to_owned());
    options.registry.password = Some(Secret::new("secret"));
    options
}

fn reference(server: &Server, rest: &str) -> Reference {
    format!("{}/{rest}", server.address()).parse().unwrap()
}

#[derive(Default)]
struct Names(Vec<String>, Vec<String>);

impl LayerVisitor for Names {
    fn entry(&mut self, entry: &Entry<'_>) -> Interest {
        self.0.push(entry.path.to_owned());
        Interest::Skip
    }
    fn file(&mut self, _: &str, _: FileContent<'_>) {}
    fn problem(&mut self, _: &str, reason: String) {
        self.1.push(reason);
    }
}

/// Reads the first layer and gives the names and problems in it.
fn read(image: &dyn Image) -> Result<Names, Error> {
    let layer = &image.metadata().layers[0];
    let expected = ExpectedBlob { digest: layer.digest, size_bytes: Some(layer.size_bytes) };
    let mut names = Names::default();
    read_layer(image.layer(0)?, Some(&expected), &Limits::default(), &mut names, &|_| {})?;
    Ok(names)
}

fn pull(server: &Server, rest: &str, options: &OpenOptions) -> Result<Names, Error> {
    read(open(&reference(server, rest), options)?.as_ref())
}

fn registry_error(result: Result<impl Sized, Error>) -> RegistryError {
    match result.map(|_| ()).unwrap_err() {
        Error::Registry(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_image_is_pulled_by_tag_and_by_digest() {
    let (content, digest) = content();
    let server = Server::start(move |request| content.answer(request));
    let opened = open(&reference(&server, "a:t"), &options()).unwrap();
    assert_eq!(opened.metadata().manifest_digest, digest);
    assert!(server.requests().iter().filter(|request| request.target.contains("/blobs/")).count() == 1);
    assert_eq!(read(opened.as_ref()).unwrap().0, ["noise"]);
    pull(&server, &format!("a@{digest}"), &options()).unwrap();
    let accept = server
        .requests()
        .iter()
        .find(|r| r.target.contains("manifests"))
        .unwrap()
        .header("accept")
        .to_owned();
    assert!(accept.starts_with(INDEX) && accept.contains(MANIFEST), "{accept}");
    let missing = registry_error(pull(&server, "a:u", &options()));
    assert!(matches!(missing, RegistryError::NotFound { .. }), "{missing:?}");
}

#[test]
fn a_connection_that_closes_at_every_megabyte_is_resumed_where_it_closed() {
    let (content, _) = content();
    let server = Server::start(move |request| Answer { cut_after: Some(1 << 20), ..content.answer(request) });
    let mut options = options();
    options.registry.retries = 1;
    assert_eq!(pull(&server, "a:t", &options).unwrap().0, ["noise"]);
    let ranges: Vec<String> =
        server.requests().iter().map(|r| r.header("range").to_owned()).filter(|r| !r.is_empty()).collect();
    assert_eq!(ranges, ["bytes=1048576-", "bytes=2097152-"]);
}

#[test]
fn a_server_that_ignores_ranges_is_read_from_the_beginning() {
    let (content, _) = content();
    let count = AtomicUsize::new(1);
    let server = Server::start(move |request| {
        let mut request = request.clone();
        request.headers.remove("range");
        let mut answer = content.answer(&request);
        if request.target.contains("/blobs/") {
            answer.cut_after = Some(count.fetch_add(1, Ordering::Relaxed) << 19);
        }
        answer
    });
    assert_eq!(pull(&server, "a:t", &options()).unwrap().0, ["noise"]);
}

#[test]
fn a_server_that_gives_nothing_more_is_given_up_on() {
    let (content, _) = content();
    let server = Server::start(move |request| {
        let answer = content.answer(request);
        match answer.status {
            206 => Answer { cut_after: Some(1), ..answer },
            _ => Answer { cut_after: Some(70_000), ..answer },
        }
    });
    let error = registry_error(pull(&server, "a:t", &options()));
    assert!(matches!(error, RegistryError::Cut { position: 70_000.., .. }), "{error:?}");
    assert!(server.requests().len() < 20);
}

#[test]
fn a_range_that_begins_elsewhere_is_refused() {
    let (content, _) = content();
    let server = Server::start(move |request| {
        let mut answer = content.answer(request);
        if answer.status == 206 {
            answer.headers = vec![("Content-Range".to_owned(), "bytes 7-8/9".to_owned())];
        }
        Answer { cut_after: Some(1 << 20), ..answer }
    });
    let error = registry_error(pull(&server, "a:t", &options()));
    assert!(error.to_string().contains("bytes 7-8/9"), "{error}");
}

#[test]
fn lies_about_digests_and_sizes_are_refused() {
    let (content, _) = content();
    let layer = open_layer_path(&content);
    let mut damaged = content.clone();
    damaged.object(&layer)[100_000] ^= 1;
    let server = Server::start(move |request| damaged.answer(request));
    assert!(matches!(pull(&server, "a:t", &options()), Err(Error::DigestMismatch { .. })));

    let mut longer = content.clone();
    longer.object(&layer).push(0);
    let server = Server::start(move |request| longer.answer(request));
    assert!(matches!(pull(&server, "a:t", &options()), Err(Error::TooLong { .. })));

    let mut shorter = content.clone();
    shorter.object(&layer).pop();
    let server = Server::start(move |request| shorter.answer(request));
    assert!(matches!(pull(&server, "a:t", &options()), Err(Error::TooShort { .. })));

    // The manifest is not the one that the header, or the reference, names.
    let honest = content.clone();
    let server = Server::start(move |request| {
        honest.answer(request).header("Docker-Content-Digest", Digest::of(b"").to_string())
    });
    assert!(matches!(pull(&server, "a:t", &options()), Err(Error::DigestMismatch { .. })));
    let mut forged = content;
    let wrong = Digest::of(b"x");
    forged.put(&format!("a/manifests/{wrong}"), MANIFEST, "{}");
    let server = Server::start(move |request| forged.answer(request));
    assert!(matches!(pull(&server, &format!("a@{wrong}"), &options()), Err(Error::DigestMismatch { .. })));
}

/// The path of the largest blob.
fn open_layer_path(content: &Content) -> String {
    let content = content.clone();
    let server = Server::start(move |request| content.answer(request));
    let image = open(&reference(&server, "a:t"), &options()).unwrap();
    format!("a/blobs/{}", image.metadata().layers[0].digest)
}

#[test]
fn documents_without_end_are_refused() {
    let mut content = Content::new();
    content.put("a/manifests/t", MANIFEST, vec![b' '; (4 << 20) + 1]);
    let server = Server::start(move |request| content.answer(request));
    assert!(matches!(pull(&server, "a:t", &options()), Err(Error::Limit { .. })));
}

/// A registry that wants tokens, each of which is good for `uses` requests, and its token server in one.
fn token_server(content: Content, uses: usize, password: bool) -> Server {
    let left: Arc<std::sync::Mutex<BTreeMap<String, usize>>> = Arc::default();
    let count = AtomicUsize::new(0);
    Server::start(move |request: &Request| {
        if request.target.starts_with("/token") {
            let allowed = !password || request.header("authorization") == "Basic bWU6c2VjcmV0";
            if !allowed || !request.target.contains("scope=repository%3Aa%3Apull") {
                return Answer::new(401, "{}");
            }
            let token = format!("t{}", count.fetch_add(1, Ordering::Relaxed));
            left.lock().unwrap().insert(token.clone(), uses);
            return Answer::new(200, json!({"token": token, "expires_in": 60}).to_string());
        }
        let token = request.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        match left.lock().unwrap().get_mut(token) {
            Some(left) if *left > 0 => {
                *left -= 1;
                Answer { cut_after: Some(1 << 20), ..content.answer(request) }
            }
            _ => {
                let host = request.header("host");
                let challenge =
                    format!(r#"Bearer realm="http://{host}/token",service="test",scope="repository:a:pull""#);
                Answer::new(401, "{}").header("WWW-Authenticate", challenge)
            }
        }
    })
}

#[test]
fn tokens_that_expire_half_way_are_renewed() {
    let server = token_server(content().0, 1, false);
    assert_eq!(pull(&server, "a:t", &options()).unwrap().0, ["noise"]);
    let tokens = server.requests().iter().filter(|r| r.target.starts_with("/token")).count();
    // Manifest, config, and a layer in three pieces: a token each.
    assert_eq!(tokens, 5);
    let server = token_server(content().0, 100, true);
    assert_eq!(pull(&server, "a:t", &with_password()).unwrap().0, ["noise"]);
    let tokens = server.requests().iter().filter(|r| r.target.starts_with("/token")).count();
    assert_eq!(tokens, 1);
}

#[test]
fn a_token_that_cannot_be_had_and_one_that_is_never_good_are_errors() {
    let server = token_server(content().0, 1, true);
    let error = registry_error(pull(&server, "a:t", &options()));
    assert!(matches!(error, RegistryError::Token { .. }), "{error:?}");
    let server = token_server(content().0, 0, true);
    let error = registry_error(pull(&server, "a:t", &with_password()));
    let RegistryError::Unauthorized { tried, .. } = &error else { panic!("{error:?}") };
    assert!(tried.len() == 2 && !format!("{error} {error:?}").contains("secret"), "{error:?}");
}

#[test]
fn an_identity_token_is_exchanged() {
    let (content, _) = content();
    let server = Server::start(move |request| {
        if request.target == "/token" {
            let fields =
                ["grant_type=refresh_token", "refresh_token=I%2Fx", "service=test", "scope=repository"];
            let good = request.method == "POST" && fields.iter().all(|field| request.body.contains(field));
            return if good { Answer::new(200, r#"{"access_token":"T"}"#) } else { Answer::new(400, "") };
        }
        if request.header("authorization") == "Bearer T" {
            return content.answer(request);
        }
        let challenge = format!(r#"Bearer realm="http://{}/token",service=test"#, request.header("host"));
        Answer::new(401, "").header("WWW-Authenticate", challenge)
    });
    let mut options = options();
    let text = json!({"auths": {server.address(): {"identitytoken": "I/x"}}}).to_string();
    options.registry.auth_files =
        vec![AuthFile::Content { name: "test".to_owned(), text: Secret::new(text) }];
    assert_eq!(pull(&server, "a:t", &options).unwrap().0, ["noise"]);
}

#[test]
fn credentials_do_not_follow_redirects_to_another_host() {
    let (content, _) = content();
    let store = content.clone();
    let elsewhere = Server::start(move |request| store.answer(request));
    let other = elsewhere.address().to_owned();
    let server = Server::start(move |request| {
        if request.header("authorization") != "Basic bWU6c2VjcmV0" {
            return Answer::new(401, "").header("WWW-Authenticate", r#"Basic realm="x""#);
        }
        match request.target.contains("/blobs/") {
            true => Answer::new(307, "").header("Location", format!("http://{other}{}", request.target)),
            false => content.answer(request),
        }
    });
    assert_eq!(pull(&server, "a:t", &with_password()).unwrap().0, ["noise"]);
    let asked = elsewhere.requests();
    assert!(asked.len() == 2 && asked.iter().all(|request| request.header("authorization").is_empty()));
    // Nor are they sent without having been asked for.
    assert!(server.requests()[0].header("authorization").is_empty());
}

#[test]
fn plain_http_is_for_loopback_and_named_hosts_only() {
    let (content, _) = content();
    let server = Server::start(move |request| match request.target.contains("/blobs/") {
        true => Answer::new(302, "").header("Location", "http://registry.invalid/blob"),
        false => content.answer(request),
    });
    let error = registry_error(pull(&server, "a:t", &options()));
    assert!(
        matches!(&error, RegistryError::PlainHttp { host, .. } if host == "registry.invalid"),
        "{error:?}"
    );
}

#[test]
fn what_may_pass_is_waited_for_and_what_will_not_is_told() {
    let (content, _) = content();
    let count = AtomicUsize::new(0);
    let busy = content.clone();
    let server = Server::start(move |request| match count.fetch_add(1, Ordering::Relaxed) {
        1 => Answer::new(429, "").header("Retry-After", "0"),
        2 => Answer::new(503, ""),
        3 => Answer::new(429, "").header("Retry-After", "3600"),
        4 => Answer { cut_after: Some(0), ..Answer::new(500, "x") },
        _ => busy.answer(request),
    });
    assert_eq!(pull(&server, "a:t", &options()).unwrap().0, ["noise"]);
    for (status, expected) in
        [(429, "too many requests"), (403, "refuses"), (500, "answered 500"), (418, "418")]
    {
        let body = r#"{"errors":[{"code":"DENIED","message":"not for you"}]}"#;
        let server = Server::start(move |request| match request.target.as_str() {
            "/v2/" => Answer::new(200, ""),
            _ => Answer::new(status, body),
        });
        let error = registry_error(pull(&server, "a:t", &options())).to_string();
        assert!(error.contains(expected) && error.contains("not for you"), "{error}");
    }
    let unknown = "registry.invalid/a:t".parse().unwrap();
    let error = registry_error(open(&unknown, &options()));
    assert!(
        matches!(error, RegistryError::UnknownHost { .. } | RegistryError::Unreachable { .. }),
        "{error:?}"
    );
    let mut offline = options();
    offline.registry.offline = true;
    assert!(matches!(registry_error(open(&unknown, &offline)), RegistryError::Offline { .. }));
}

#[test]
fn platforms_of_an_index_are_opened_one_by_one_or_all() {
    let (mut content, arm) = content();
    let folder = tempfile::tempdir().unwrap();
    ImageBuilder::new()
        .layer("ADD", &Layer::new().file("amd", "x"))
        .oci_layout(folder.path(), Encoding::Gzip);
    let amd = content.put_layout("a", "amd", folder.path());
    let entry = |digest: Digest, architecture: &str, os: &str| {
        json!({"mediaType": MANIFEST, "digest": digest, "size": 1,
               "platform": {"os": os, "architecture": architecture}})
    };
    let manifests = [
        entry(arm, "arm64", "linux"),
        entry(amd, "amd64", "linux"),
        entry(Digest::of(b"proof"), "unknown", "unknown"),
    ];
    content.put(
        "a/manifests/all",
        INDEX,
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).to_string(),
    );
    content.put("a/manifests/lie", MANIFEST, json!({"schemaVersion": 2, "manifests": manifests}).to_string());
    let server = Server::start(move |request| content.answer(request));
    let mut options = options();
    options.platform = Some("linux/amd64".parse().unwrap());
    assert_eq!(pull(&server, "a:all", &options).unwrap().0, ["amd"]);
    options.platform = Some("linux/s390x".parse().unwrap());
    assert!(matches!(pull(&server, "a:all", &options), Err(Error::NotFound { .. })));
    let all = open_all(&reference(&server, "a:all"), &options).unwrap();
    let digests: Vec<Digest> = all.iter().map(|image| image.metadata().manifest_digest).collect();
    assert_eq!(digests, [arm, amd]);
    assert!(matches!(pull(&server, "a:lie", &options), Err(Error::Malformed { .. })));
}

#[test]
fn foreign_layers_are_told_of_or_fetched_from_where_the_manifest_says() {
    let tar = Encoding::Gzip.encode(&Layer::new().file("windows", "x").tar());
    let mut content = Content::new();
    let config = content.put("a/blobs/x", "", r#"{"os":"windows","architecture":"amd64"}"#);
    content.put(&format!("a/blobs/{config}"), "", r#"{"os":"windows","architecture":"amd64"}"#);
    let layer = content.put("a/blobs/y", "", tar.clone());
    content.put(&format!("a/blobs/{layer}"), "", tar.clone());
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 1},
        "layers": [{"mediaType": FOREIGN, "digest": layer, "size": tar.len(), "urls": ["ftp://no/x"]}]});
    content.put("a/manifests/t", MANIFEST, manifest.to_string());
    let server = Server::start(move |request| content.answer(request));
    let names = pull(&server, "a:t", &options()).unwrap();
    assert!(names.0.is_empty() && names.1[0].contains("foreign layer"), "{:?}", names.1);
    let mut allowed = options();
    allowed.registry.foreign_layers = true;
    assert_eq!(pull(&server, "a:t", &allowed).unwrap().0, ["windows"]);
}

#[test]
fn mirrors_come_first_and_what_they_lack_comes_from_the_registry() {
    let (content, _) = content();
    let store = content.clone();
    let mirror = Server::start(move |request| store.answer(request));
    let empty = Server::start(|_| Answer::new(404, "{}"));
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("registries.conf");
    let location = |server: &Server| format!("[[registry.mirror]]\nlocation = \"{}\"\n", server.address());
    let text =
        format!("[[registry]]\nprefix = \"registry.invalid/x\"\n{}{}", location(&empty), location(&mirror));
    std::fs::write(&conf, text).unwrap();
    let mut options = with_password();
    options.registry.registries_conf = vec![conf];
    let image = open(&"registry.invalid/x/a:t".parse().unwrap(), &options).unwrap();
    assert_eq!(read(image.as_ref()).unwrap().0, ["noise"]);
    assert!(!empty.requests().is_empty());
    // What the user gave is for the registry and not for its mirrors.
    assert!(mirror.requests().iter().all(|request| request.header("authorization").is_empty()));
    let error = registry_error(open(&"registry.invalid/x/b:t".parse().unwrap(), &options));
    let RegistryError::Everywhere { others, .. } = &error else { panic!("{error:?}") };
    assert_eq!(others.len(), 2, "{error}");
}

#[test]
fn a_slow_stream_is_read_as_it_comes() {
    let (content, _) = content();
    let layer = open_layer_path(&content);
    let server = Server::start(move |request| {
        let slow = request.target.contains(&layer);
        Answer { slowness: slow.then_some(Duration::from_millis(1)), ..content.answer(request) }
    });
    let image = open(&reference(&server, "a:t"), &options()).unwrap();
    let LayerContent::Blob(mut blob) = image.layer(0).unwrap() else { panic!("no blob") };
    let mut first = [0; 512];
    blob.read_exact(&mut first).unwrap();
    assert!(first.starts_with(b"noise"));
}
