//! The listener for whoever runs the service: whether it lives, whether it is ready, what it counts. It asks nobody who
//! they are, and tells nothing of images.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use limpid_store::StoreStatus;
use tokio::sync::Mutex;

use crate::service::Service;

/// How long the store may take to answer before the service is not ready.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);
/// How old numbers of rows may be: counting a million takes a moment.
const STATUS_AGE_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Introspection {
    pub(crate) service: Arc<Service>,
    /// The service ends: others are to be asked.
    pub(crate) stopping: Arc<AtomicBool>,
    status: Mutex<Option<(Instant, StoreStatus)>>,
}

impl Introspection {
    pub(crate) fn new(service: Arc<Service>, stopping: Arc<AtomicBool>) -> Self {
        Self { service, stopping, status: Mutex::default() }
    }
}

pub(crate) fn router(introspection: Introspection) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(introspection))
}

async fn ready(State(state): State<Arc<Introspection>>) -> Response {
    let mut wrong = Vec::new();
    if state.stopping.load(Ordering::Relaxed) {
        wrong.push("the service stops".to_owned());
    }
    let service = Arc::clone(&state.service);
    let asked = tokio::task::spawn_blocking(move || service.unready());
    match tokio::time::timeout(STORE_TIMEOUT, asked).await {
        Ok(Ok(Ok(reasons))) => wrong.extend(reasons),
        Ok(Ok(Err(error))) => wrong.push(format!("the store: {error}")),
        Ok(Err(_)) => wrong.push("the store: no answer".to_owned()),
        Err(_) => wrong.push(format!("the store: no answer in {} seconds", STORE_TIMEOUT.as_secs())),
    }
    match wrong.is_empty() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", wrong.join("\n"))).into_response(),
    }
}

async fn metrics(State(state): State<Arc<Introspection>>) -> Response {
    let mut kept = state.status.lock().await;
    let fresh =
        kept.as_ref().filter(|(since, _)| since.elapsed() < STATUS_AGE_MAX).map(|(_, status)| *status);
    let service = Arc::clone(&state.service);
    let read = tokio::task::spawn_blocking(move || {
        let status = fresh.map_or_else(|| service.store.status(), Ok)?;
        Ok::<_, limpid_store::Error>((status, service.store.revision()?, service.store.feeds()?))
    });
    // What else is counted is worth seeing when the store fails.
    if let Ok(Ok((status, revision, feeds))) = read.await {
        if fresh.is_none() {
            *kept = Some((Instant::now(), status));
        }
        state.service.metrics.set_store(&status);
        state.service.metrics.set_feeds(revision, &feeds);
    }
    drop(kept);
    state.service.metrics.set_load("indexing", &state.service.indexing);
    state.service.metrics.set_load("questions", &state.service.questions);
    match state.service.metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Service {
    /// What keeps the service from answering well.
    fn unready(&self) -> Result<Vec<String>, limpid_index::Error> {
        self.store.revision()?;
        let mut wrong = Vec::new();
        if !self.role.matches() {
            return Ok(wrong);
        }
        if self.config.feeds.update && !self.updates.settled() {
            wrong.push("feeds: the first round is under way".to_owned());
        }
        for release in &self.config.feeds.releases {
            if self.has_advisories(release)? == Some(false) {
                wrong
                    .push(format!("feeds: no advisories for {release}: {}", self.why_no_advisories(release)));
            }
        }
        Ok(wrong)
    }
}
