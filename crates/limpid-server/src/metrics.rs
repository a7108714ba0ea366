//! What the service counts, as Prometheus reads it. Names are an interface: docs/server.md lists them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use limpid_index::Progress;
use limpid_model::Digest;
use limpid_store::{FeedState, StoreStatus};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::lanes::Lane;

/// Upper bounds in seconds: from a report that is not sent again to an image of gigabytes.
const BUCKETS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    method: &'static str,
    route: String,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLane {
    lane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFeed {
    feed: String,
    document: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// A histogram with the same bounds for every route.
type Durations = Family<Route, Histogram, fn() -> Histogram>;

/// What is counted.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Asked, Counter>,
    durations: Durations,
    connections: Gauge<i64, AtomicI64>,
    running: Family<OfLane, Gauge<i64, AtomicI64>>,
    waiting: Family<OfLane, Gauge<i64, AtomicI64>>,
    indexed: Family<Outcome, Counter>,
    layers: Counter,
    layers_reading: Gauge<i64, AtomicI64>,
    layer_bytes: Counter<u64, AtomicU64>,
    feed_succeeded: Family<OfFeed, Gauge<i64, AtomicI64>>,
    feed_failing: Family<OfFeed, Gauge<i64, AtomicI64>>,
    feed_records: Family<OfFeed, Gauge<i64, AtomicI64>>,
    revision: Gauge<i64, AtomicI64>,
    rows: Family<OfKind, Gauge<i64, AtomicI64>>,
    store_bytes: Family<OfKind, Gauge<i64, AtomicI64>>,
}

/// Requests that are being answered, and how they end.
pub(crate) async fn watch(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    // Paths that lead nowhere would be as many as callers can think of.
    let route = route.unwrap_or_else(|| "other".to_owned());
    let method = match request.method().as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        _ => "other",
    };
    let response = next.run(request).await;
    let (code, took) = (response.status().as_u16(), begun.elapsed());
    tracing::info!(method, route, code, milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    metrics.answered(method, route, code, took);
    response
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let mut metrics = Self {
            registry: Registry::with_prefix("limpid"),
            requests: Family::default(),
            durations: Family::new_with_constructor(histogram),
            connections: Gauge::default(),
            running: Family::default(),
            waiting: Family::default(),
            indexed: Family::default(),
            layers: Counter::default(),
            layers_reading: Gauge::default(),
            layer_bytes: Counter::default(),
            feed_succeeded: Family::default(),
            feed_failing: Family::default(),
            feed_records: Family::default(),
            revision: Gauge::default(),
            rows: Family::default(),
            store_bytes: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("http_requests", "Requests that were answered", self.requests.clone());
        let seconds = Unit::Seconds;
        let help = "How long answers took";
        registry.register_with_unit("http_request_duration", help, seconds, self.durations.clone());
        registry.register("http_connections", "Connections that are open", self.connections.clone());
        registry.register("work_running", "Requests that are worked on, by lane", self.running.clone());
        registry.register("work_waiting", "Requests that wait for their turn, by lane", self.waiting.clone());
        registry.register("images_indexed", "Requests to index an image, by outcome", self.indexed.clone());
        registry.register(
            "layers_read",
            "Layers whose bytes were read to the end or until they failed",
            self.layers.clone(),
        );
        registry.register("layers_reading", "Layers that are being read", self.layers_reading.clone());
        registry.register_with_unit(
            "layer",
            "Bytes of layers that were read",
            Unit::Bytes,
            self.layer_bytes.clone(),
        );
        let help = "When a feed's document was last got, in seconds since the epoch";
        registry.register("feed_last_success_timestamp", help, self.feed_succeeded.clone());
        registry.register(
            "feed_failing",
            "1 if the last attempt to get a document failed",
            self.feed_failing.clone(),
        );
        registry.register(
            "feed_records",
            "Affected ranges of a document that are current",
            self.feed_records.clone(),
        );
        registry.register("revision", "The newest revision of the advisories", self.revision.clone());
        registry.register("store_rows", "What the store holds, by kind", self.rows.clone());
        registry.register_with_unit(
            "store",
            "How large the store is, by kind",
            Unit::Bytes,
            self.store_bytes.clone(),
        );
    }

    fn answered(&self, method: &'static str, route: String, code: u16, took: Duration) {
        self.durations.get_or_create(&Route { route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&Asked { method, route, code }).inc();
    }

    /// Counts a connection until what is given is dropped.
    pub(crate) fn connected(&self) -> Counted {
        self.connections.inc();
        Counted(self.connections.clone())
    }

    pub(crate) fn indexed(&self, outcome: &'static str) {
        self.indexed.get_or_create(&Outcome { outcome }).inc();
    }

    pub(crate) fn set_load(&self, lane: &'static str, of: &Lane) {
        let (running, waiting) = of.load();
        self.running.get_or_create(&OfLane { lane }).set(number(running as u64));
        self.waiting.get_or_create(&OfLane { lane }).set(number(waiting as u64));
    }

    pub(crate) fn set_feeds(&self, revision: u64, feeds: &[FeedState]) {
        self.revision.set(number(revision));
        for state in feeds {
            let of = OfFeed { feed: state.key.feed.clone(), document: state.key.document.clone() };
            self.feed_succeeded.get_or_create(&of).set(state.succeeded_at);
            self.feed_failing.get_or_create(&of).set(i64::from(!state.error.is_empty()));
            self.feed_records.get_or_create(&of).set(number(state.records));
        }
    }

    pub(crate) fn set_store(&self, status: &StoreStatus) {
        for (kind, rows) in [
            ("images", status.images),
            ("references", status.references),
            ("layers", status.layers),
            ("nodes", status.nodes),
            ("packages", status.packages),
            ("occurrences", status.occurrences),
            ("verdicts", status.verdicts),
            ("advisories", status.advisories),
            ("revisions", status.revisions),
        ] {
            self.rows.get_or_create(&OfKind { kind }).set(number(rows));
        }
        for (kind, bytes) in
            [("file", status.file_bytes), ("free", status.free_bytes), ("log", status.log_bytes)]
        {
            self.store_bytes.get_or_create(&OfKind { kind }).set(number(bytes));
        }
    }

    /// All of it, as OpenMetrics writes it.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Something that is counted as long as it is there.
pub(crate) struct Counted(Gauge<i64, AtomicI64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts the layers that are read.
pub(crate) struct Reading<'a>(&'a Metrics);

impl<'a> Reading<'a> {
    pub(crate) fn new(metrics: &'a Metrics) -> Self {
        Self(metrics)
    }
}

impl Progress for Reading<'_> {
    fn layer_begins(&self, layer: &Digest, _: u64) {
        tracing::debug!(%layer, "layer begins");
        self.0.layers_reading.inc();
    }

    fn layer_advances(&self, _: &Digest, bytes: u64) {
        self.0.layer_bytes.inc_by(bytes);
    }

    fn layer_ends(&self, layer: &Digest) {
        tracing::debug!(%layer, "layer ends");
        self.0.layers_reading.dec();
        self.0.layers.inc();
    }

    fn feed_begins(&self, _: &str) {}
    fn feed_advances(&self, _: &str, _: u64) {}
    fn feed_ends(&self, _: &str, _: &str) {}
}
