//! Many at once: each layer is fetched and read once, and what is too much is turned away.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};

use limpid_testkit::{Answer, Content, Server};
use limpid_testkit::{ImageBuilder, Layer, dpkg_status};
use serde_json::json;

use super::{NO_FEEDS, Pushed, Service, put};
use crate::{BOOKWORM, Context, two_layers};

const REQUESTS: usize = 50;

/// Holds answers back until it is opened.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(super) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub(super) fn pass(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |open| !*open).unwrap());
    }
}

/// A registry that answers for blobs only when the gate is open.
pub(super) fn gated(content: Content, gate: &Gate) -> (Server, String) {
    let gate = gate.clone();
    let registry = Server::start(move |request| {
        gate.pass();
        content.answer(request)
    });
    let settings = format!("registries: [\"{}\"]\n{NO_FEEDS}", registry.address());
    (registry, settings)
}

fn fetched(registry: &Server) -> BTreeMap<String, usize> {
    let mut fetched = BTreeMap::new();
    for request in registry.requests() {
        let blob = request.target.rsplit_once('/').unwrap().1.to_owned();
        *fetched.entry(blob).or_default() += 1;
    }
    fetched
}

/// Ten images on one base, each with a layer of its own.
fn images(content: &mut Content, context: &Context) -> Vec<Pushed> {
    let base = Layer::new()
        .file("etc/os-release", BOOKWORM)
        .file("var/lib/dpkg/status", dpkg_status(&[("a", "1.0-1", "")]));
    let second = Layer::new().file("opt/shared", vec![7; 300_000]);
    let image = |number: usize| {
        let version = format!("{number}");
        let own = dpkg_status(&[("a", "1.0-1", ""), ("own", &version, "")]);
        let top = Layer::new().file("var/lib/dpkg/status", own);
        ImageBuilder::new().layer("base", &base).layer("second", &second).layer("own", &top)
    };
    (0..10).map(|number| put(content, context, &format!("ns/image{number}"), &image(number))).collect()
}

#[test]
fn of_fifty_requests_that_share_layers_each_layer_is_fetched_once() {
    let context = Context::new();
    let mut content = Content::new();
    let images = images(&mut content, &context);
    let gate = Gate::default();
    let (registry, settings) = gated(content, &gate);
    let service = Service::start(&context, &settings, &[]);
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..REQUESTS)
            .map(|number| {
                let (service, image) = (&service, &images[number % images.len()]);
                let manifest = image.manifest(registry.address());
                scope.spawn(move || service.index(&manifest))
            })
            .collect();
        // All of them stand before the registry before it gives anything.
        let running = |count: usize| format!("limpid_work_running{{lane=\"indexing\"}} {count}");
        service.until(
            |service| service.introspect("/metrics"),
            |reply| reply.text().contains(&running(REQUESTS)),
        );
        gate.open();
        for (number, asked) in asked.into_iter().enumerate() {
            let reply = asked.join().unwrap();
            assert_eq!(reply.status, 201, "{}", reply.text());
            let report = reply.json();
            let versions: Vec<&str> = report["packages"]
                .as_object()
                .unwrap()
                .values()
                .filter(|package| package["name"] == "own")
                .map(|package| package["version"].as_str().unwrap())
                .collect();
            assert_eq!(versions, [(number % images.len()).to_string()]);
        }
    });
    let fetched = fetched(&registry);
    assert_eq!(fetched.len(), 12, "two layers for all, one for each");
    assert!(fetched.values().all(|times| *times == 1), "{fetched:?}");
}

#[test]
fn who_waited_for_a_layer_that_could_not_be_had_fetches_it_from_their_own_address() {
    let context = Context::new();
    let mut content = Content::new();
    let image = put(&mut content, &context, "ns/image", &two_layers());
    let gate = Gate::default();
    let (registry, settings) = gated(content, &gate);
    let service = Service::start(&context, &settings, &[]);
    let mut broken = image.manifest(registry.address());
    broken["hash"] = json!(format!("sha256:{}", "b".repeat(64)));
    for layer in broken["layers"].as_array_mut().unwrap() {
        layer["uri"] = json!(format!("http://{}/v2/gone", registry.address()));
    }
    std::thread::scope(|scope| {
        let first = scope.spawn(|| service.index(&broken));
        while registry.requests().len() < image.layers.len() {
            std::thread::yield_now();
        }
        let second = scope.spawn(|| service.index(&image.manifest(registry.address())));
        let running = "limpid_work_running{lane=\"indexing\"} 2";
        service.until(|service| service.introspect("/metrics"), |reply| reply.text().contains(running));
        gate.open();
        assert_eq!(first.join().unwrap().error().0, 502);
        assert_eq!(second.join().unwrap().status, 201);
    });
}

#[test]
fn what_is_too_much_is_turned_away_and_told_when_to_come_back() {
    let context = Context::new();
    let mut content = Content::new();
    let image = put(&mut content, &context, "ns/image", &two_layers());
    let gate = Gate::default();
    let (registry, settings) = gated(content, &gate);
    let service = Service::start(&context, &format!("{settings}\nlimits: {{index_requests: 1}}"), &[]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| service.index(&image.manifest(registry.address())));
        while registry.requests().is_empty() {
            std::thread::yield_now();
        }
        let refused = service.index(&image.manifest(registry.address()));
        assert_eq!((refused.error().0, refused.error().1.as_str()), (429, "too-many-requests"));
        assert!(!refused.header("retry-after").is_empty());
        assert_eq!(service.get("/indexer/api/v1/index_state").status, 200, "other questions are answered");
        gate.open();
        assert_eq!(first.join().unwrap().status, 201);
    });
}

#[test]
fn a_server_that_does_not_say_how_large_a_layer_is_is_borne() {
    let context = Context::new();
    let mut content = Content::new();
    let image = put(&mut content, &context, "ns/image", &two_layers());
    let registry = Server::start(move |request| {
        let answer = content.answer(request);
        let length = format!("{:x}\r\n", answer.body.len());
        let body = [length.as_bytes(), &answer.body, b"\r\n0\r\n\r\n"].concat();
        let headers = vec![("Transfer-Encoding".to_owned(), "chunked".to_owned())];
        Answer { headers, body, ..answer }
    });
    let settings = format!("registries: [\"{}\"]\n{NO_FEEDS}", registry.address());
    let service = Service::start(&context, &settings, &[]);
    let reply = service.index(&image.manifest(registry.address()));
    assert_eq!((reply.status, &reply.json()["state"]), (201, &json!("IndexFinished")), "{}", reply.text());
}
