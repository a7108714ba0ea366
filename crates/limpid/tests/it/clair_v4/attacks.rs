//! Whoever means no good: refused, and nothing is asked on their behalf.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use limpid_testkit::{Answer, Content, Server};
use serde_json::{Value, json};

use super::{NO_FEEDS, Service, ask, put, serve};
use crate::{Context, two_layers};

const KEY: &[u8] = b"an example of a shared key";
const INDEX: &str = "/indexer/api/v1/index_report";
const STATE: &str = "/indexer/api/v1/index_state";

fn token(key: &[u8], algorithm: Algorithm, claims: &Value) -> String {
    let token = encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(key)).unwrap();
    format!("Bearer {token}")
}

#[test]
fn only_who_has_the_key_is_answered() {
    let context = Context::new();
    let key = base64::engine::general_purpose::STANDARD.encode(KEY);
    let settings = format!("auth: {{psk: {{key: \"{key}\", issuers: [quay]}}}}\n{NO_FEEDS}");
    let service = Service::start(&context, &settings, &[]);
    let now = jsonwebtoken::get_current_timestamp();
    let good = json!({"iss": "quay", "exp": now + 300});
    let status =
        |authorization: &str| service.ask("GET", STATE, &[("Authorization", authorization)], b"").status;
    assert_eq!(status(&token(KEY, Algorithm::HS256, &good)), 200);
    assert_eq!(
        status(&token(KEY, Algorithm::HS256, &json!({"iss": "clair-intraservice", "exp": now + 60}))),
        200
    );
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!("Bearer {}.{}.", part(&json!({"alg": "none"})), part(&good));
    for refused in [
        unsigned.as_str(),
        &token(b"another key of the same length", Algorithm::HS256, &good),
        &token(KEY, Algorithm::HS384, &good),
        &token(KEY, Algorithm::HS256, &json!({"iss": "quay", "exp": now - 60})),
        &token(KEY, Algorithm::HS256, &json!({"iss": "mallory", "exp": now + 300})),
        "Basic cXVheTpxdWF5",
    ] {
        assert_eq!(status(refused), 401, "{refused}");
    }
    for (method, path) in [
        ("GET", STATE),
        ("POST", INDEX),
        ("DELETE", INDEX),
        ("GET", "/matcher/api/v1/vulnerability_report/x"),
        ("GET", "/nowhere"),
        ("GET", "/indexer/api/v1/../v1/index_state"),
        ("GET", "//indexer/api/v1/index_state"),
        ("GET", "/indexer/api/v1/index_state/%2e%2e/index_state"),
    ] {
        let reply = service.ask(method, path, &[], b"");
        assert_eq!(reply.error(), (401, "unauthorized".to_owned(), reply.error().2), "{method} {path}");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    assert_eq!(service.introspect("/healthz").status, 200);
}

#[test]
fn the_network_is_not_served_by_accident() {
    let context = Context::new();
    std::fs::write(context.path().join("open.yaml"), "listen: \":0\"\nintrospection: off\n").unwrap();
    let (code, error) = context.fails(&["serve", "--config", "open.yaml"]);
    assert_eq!(code, 3);
    assert!(error.contains("`auth`") && error.contains("hint:"), "{error}");
    assert_eq!(context.fails(&["config", "check", "--config", "open.yaml"]).0, 3);
    std::fs::write(context.path().join("open.yaml"), "listen: \":0\"\nintrospection: off\nauth: none\n")
        .unwrap();
    context.ok(&["config", "check", "--config", "open.yaml"]);
}

/// A manifest with one layer at an address.
fn at(uri: &str) -> Value {
    let hash = format!("sha256:{}", "a".repeat(64));
    json!({"hash": hash, "layers": [{"hash": hash, "uri": uri, "headers": {"Authorization": ["Bearer secret"]}}]})
}

#[test]
fn what_only_the_service_can_reach_is_not_asked_for_others() {
    let context = Context::new();
    let inside = Server::start(|_| Answer::new(200, "inside"));
    let port = inside.address().rsplit_once(':').unwrap().1.to_owned();
    let service = Service::start(&context, NO_FEEDS, &[]);
    for uri in [
        format!("http://127.0.0.1:{port}/x"),
        format!("http://localhost:{port}/x"),
        format!("http://127.1:{port}/x"),
        format!("http://2130706433:{port}/x"),
        format!("http://0x7f000001:{port}/x"),
        format!("http://0.0.0.0:{port}/x"),
        format!("http://[::1]:{port}/x"),
        format!("http://[::ffff:127.0.0.1]:{port}/x"),
        format!("https://127.0.0.1:{port}/x"),
        format!("https://localhost:{port}/x"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        "https://10.0.0.1/x".to_owned(),
        "https://[fd00:ec2::254]/x".to_owned(),
    ] {
        let (status, code, message) = service.index(&at(&uri)).error();
        assert_eq!((status, code.as_str()), (403, "forbidden"), "{uri}: {message}");
        assert!(message.contains("registries:"), "{uri}: {message}");
    }
    assert!(inside.requests().is_empty(), "{:?}", inside.requests());
    for uri in
        [format!("http://user:password@127.0.0.1:{port}/x"), "http://".to_owned(), "http:///x".to_owned()]
    {
        let (status, _, message) = service.index(&at(&uri)).error();
        assert!(status >= 400 && !message.contains("password"), "{uri}: {status} {message}");
    }
    assert!(inside.requests().is_empty());
}

#[test]
fn a_redirect_leads_neither_inside_nor_takes_credentials_along() {
    let context = Context::new();
    let mut content = Content::new();
    let image = put(&mut content, &context, "ns/image", &two_layers());
    let (storage, _) = serve(content);
    let inside = Server::start(|_| Answer::new(200, "inside"));
    let (target, denied) = (storage.address().to_owned(), inside.address().to_owned());
    let registry = Server::start(move |request| match request.target.strip_prefix("/denied") {
        Some(path) => Answer::new(307, "").header("Location", format!("http://{denied}{path}")),
        None => Answer::new(307, "").header("Location", format!("http://{target}{}?signed", request.target)),
    });
    let settings = format!("registries: [\"{}\", \"{}\"]\n{NO_FEEDS}", registry.address(), storage.address());
    let service = Service::start(&context, &settings, &[]);
    let mut manifest = image.manifest(registry.address());
    manifest["layers"][0]["headers"]["X-Secret"] = json!(["too"]);
    // The storage has objects by their plain path; what comes back is not the layer, but who was asked what shows.
    let _ = service.index(&manifest);
    let requests = storage.requests();
    assert!(!requests.is_empty() && requests.iter().all(|request| request.target.ends_with("?signed")));
    for name in ["authorization", "x-secret"] {
        assert!(requests.iter().all(|request| request.header(name).is_empty()), "{name} followed a redirect");
    }
    let first = registry.requests();
    assert!(first.iter().all(|request| request.header("authorization") == "Bearer of-quay"));
    let (status, _, message) = service.index(&at(&format!("http://{}/denied/x", registry.address()))).error();
    assert_eq!(status, 403, "{message}");
    assert!(message.contains(inside.address().split(':').next().unwrap()) && message.contains("registries:"));
    assert!(inside.requests().is_empty());
}

#[test]
fn bodies_and_heads_have_bounds_and_the_slow_are_let_go() {
    let context = Context::new();
    let limits = "limits: {body_bytes: 10000, header_timeout: 1s, body_timeout: 1s}";
    let service = Service::start(&context, &format!("{limits}\n{NO_FEEDS}"), &[]);
    let large = vec![b' '; 10_001];
    assert_eq!(service.ask("POST", INDEX, &[], &large).error().0, 413);
    // Said to be larger than anything: refused before it comes.
    let told = service.ask("POST", INDEX, &[("Content-Length", "99999999999")], b"{");
    assert_eq!(told.error().0, 413);
    let chunked = [("Transfer-Encoding", "chunked"), ("Content-Length", "0")];
    assert!((400..500).contains(&service.ask("POST", INDEX, &chunked, b"").status));
    let slow_body = service.ask("POST", INDEX, &[("Content-Length", "100")], b"{");
    assert_eq!(slow_body.error().0, 408);
    let mut slow_head: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(&service.apis).unwrap()).collect();
    for stream in &mut slow_head {
        stream.write_all(b"GET /indexer/api/v1/index_state HTTP/1.1\r\nHost: x\r\n").unwrap();
    }
    assert_eq!(service.get(STATE).status, 200, "others are answered meanwhile");
    for stream in &mut slow_head {
        // Reads to the end: the service closes the connection.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    }
    let endless = vec![b'x'; 100_000];
    let head = format!("GET / HTTP/1.1\r\nX: {}", String::from_utf8_lossy(&endless));
    let mut stream = TcpStream::connect(&service.apis).unwrap();
    let _ = stream.write_all(head.as_bytes());
    let status = super::reply(&mut stream).map_or(431, |reply| reply.status);
    assert_eq!(status, 431);
    assert_eq!(ask(&service.apis, "GET", STATE, &[], b"").unwrap().status, 200);
}
