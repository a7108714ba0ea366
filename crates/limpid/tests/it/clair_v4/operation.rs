//! What whoever runs the service relies on: health, numbers, settings, and that it ends without losing anything.

use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;

use limpid_testkit::Content;
use serde_json::json;

use super::load::{Gate, gated};
use super::{NO_FEEDS, Service, ask, debian_mirror, put, serve};
use crate::{Context, two_layers};

#[test]
fn it_is_ready_when_it_can_answer_and_counts_what_it_does() {
    let context = Context::new();
    debian_mirror(&context);
    let mut content = Content::new();
    let image = put(&mut content, &context, "ns/image", &two_layers());
    let (registry, settings) = serve(content);
    let feeds = "feeds: {releases: [\"debian:12\", \"alpine:3.20\"], enrichment: none}";
    // Nothing of Alpine can be had.
    let service = Service::start(&context, &format!("{settings}\n{feeds}"), &["--feeds-mirror", "mirror"]);
    assert_eq!(service.introspect("/healthz").text(), "ok\n");
    let reply =
        service.until(|service| service.introspect("/readyz"), |reply| !reply.text().contains("under way"));
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("no advisories for alpine:3.20: feed"), "{}", reply.text());
    assert!(!reply.text().contains("debian:12"), "{}", reply.text());
    service.index(&image.manifest(registry.address()));
    service.get("/nowhere");
    let metrics = service.introspect("/metrics").text();
    for line in [
        "limpid_http_requests_total{method=\"POST\",route=\"/indexer/api/v1/index_report\",code=\"201\"} 1",
        "limpid_http_requests_total{method=\"GET\",route=\"other\",code=\"404\"} 1",
        "limpid_http_request_duration_seconds_bucket{le=\"300.0\",route=\"/indexer/api/v1/index_report\"} 1",
        "limpid_images_indexed_total{outcome=\"finished\"} 1",
        "limpid_layers_read_total 2",
        "limpid_layers_reading 0",
        "limpid_work_running{lane=\"indexing\"} 0",
        "limpid_feed_records{feed=\"debian-tracker\",document=\"tracker\"} 3",
        "limpid_feed_failing{feed=\"debian-tracker\",document=\"tracker\"} 0",
        "limpid_store_rows{kind=\"images\"}",
        "limpid_store_bytes{kind=\"file\"}",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert_eq!(service.introspect("/indexer/api/v1/index_state").status, 404);
    assert_eq!(
        service.log.lock().unwrap().lines().filter(|line| line.contains("INFO")).count(),
        0,
        "quiet by default"
    );
}

#[test]
fn parts_serve_their_paths_alone() {
    let context = Context::new();
    let report = "/matcher/api/v1/vulnerability_report/x";
    let state = "/indexer/api/v1/index_state";
    for (role, statuses) in [("indexer", [200, 404]), ("matcher", [404, 400]), ("all", [200, 400])] {
        let service = Service::start(&context, NO_FEEDS, &["--role", role]);
        let asked = [service.get(state).status, service.get(report).status];
        assert_eq!(asked, statuses, "{role}");
    }
}

#[test]
fn asked_to_end_it_answers_what_it_was_asked_and_takes_no_more() {
    let context = Context::new();
    let mut content = Content::new();
    let image = put(&mut content, &context, "ns/image", &two_layers());
    let gate = Gate::default();
    let (registry, settings) = gated(content, &gate);
    let mut service = Service::start(&context, &settings, &[]);
    let apis = service.apis.clone();
    let manifest = image.manifest(registry.address()).to_string();
    std::thread::scope(|scope| {
        let asked =
            scope.spawn(|| ask(&apis, "POST", "/indexer/api/v1/index_report", &[], manifest.as_bytes()));
        while registry.requests().is_empty() {
            std::thread::yield_now();
        }
        service.signal("-TERM");
        while TcpStream::connect(&service.apis).is_ok() {
            std::thread::yield_now();
        }
        assert!(service.introspect("/readyz").text().contains("the service stops"));
        gate.open();
        let reply = asked.join().unwrap().unwrap();
        assert_eq!((reply.status, &reply.json()["state"]), (201, &json!("IndexFinished")));
    });
    assert_eq!(service.wait().code(), Some(0));
    let service = Service::start(&context, &settings, &[]);
    assert_eq!(service.get(&format!("/indexer/api/v1/index_report/{}", image.digest)).status, 200);
}

#[test]
fn killed_it_loses_nothing_that_it_answered() {
    let context = Context::new();
    let mut content = Content::new();
    let image = put(&mut content, &context, "ns/image", &two_layers());
    let base = {
        let full = two_layers();
        put(&mut content, &context, "ns/full", &full)
    };
    let second = crate::clair_v4::put(
        &mut content,
        &context,
        "ns/second",
        &limpid_testkit::ImageBuilder::new().layer("x", &limpid_testkit::Layer::new().file("x", "y")),
    );
    let gate = Gate::default();
    gate.open();
    let (registry, settings) = gated(content.clone(), &gate);
    let mut service = Service::start(&context, &settings, &[]);
    assert_eq!(service.index(&image.manifest(registry.address())).status, 201);
    // In the middle of another image's layer.
    let closed = Gate::default();
    let (slow, _) = gated(content, &closed);
    drop(service);
    let both = settings.replace("registries: [", &format!("registries: [\"{}\", ", slow.address()));
    service = Service::start(&context, &both, &[]);
    let apis = service.apis.clone();
    let manifest = second.manifest(slow.address()).to_string();
    std::thread::scope(|scope| {
        let asked =
            scope.spawn(|| ask(&apis, "POST", "/indexer/api/v1/index_report", &[], manifest.as_bytes()));
        while slow.requests().is_empty() {
            std::thread::yield_now();
        }
        service.signal("-KILL");
        assert!(asked.join().unwrap().is_err(), "nothing was acknowledged");
    });
    assert_eq!(service.wait().signal(), Some(9));
    closed.open();
    let service = Service::start(&context, &both, &[]);
    let state = |digest| service.get(&format!("/indexer/api/v1/index_report/{digest}")).status;
    assert_eq!((state(image.digest), state(second.digest)), (200, 404));
    let before = registry.requests().len();
    assert_eq!(service.index(&base.manifest(registry.address())).status, 201);
    assert_eq!(registry.requests().len(), before, "its layers were read before");
    assert_eq!(service.index(&second.manifest(slow.address())).status, 201);
    context.ok(&["store", "check"]);
}

#[test]
fn settings_are_checked_and_clairs_own_are_read() {
    let context = Context::new();
    let defaults = context.ok(&["config", "defaults"]);
    std::fs::write(context.path().join("defaults.yaml"), &defaults).unwrap();
    context.ok(&["config", "check", "--config", "defaults.yaml"]);
    std::fs::write(
        context.path().join("clair.yaml"),
        "http_listen_addr: \"127.0.0.1:6060\"\nindexer: {connstring: \"host=db\"}\nupdaters: {sets: [debian]}\nauth: {psk: {key: MDEyMzQ1Njc4OWFiY2RlZg==, iss: [quay]}}\n",
    )
    .unwrap();
    let output = context.run(&["config", "check", "--clair-config", "clair.yaml"]);
    assert!(output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("warning: indexer.connstring: ") && told.contains("warning: updaters.sets: "),
        "{told}"
    );
    assert!(!told.contains("auth"), "{told}");
    std::fs::write(context.path().join("bad.yaml"), "limits:\n  body_bytes: plenty\n").unwrap();
    let (code, error) = context.fails(&["config", "check", "--config", "bad.yaml"]);
    assert_eq!(code, 3);
    assert!(error.contains("limits.body_bytes"), "{error}");
    assert!(
        context.fails(&["config", "check", "--config", "none.yaml"]).1.contains("none.yaml cannot be read")
    );
}
