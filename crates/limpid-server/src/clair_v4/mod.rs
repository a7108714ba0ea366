//! Clair's API, version 4, at the root, as Quay, clairctl and clair-scanner speak it.
//!
//! Source: Clair's `httptransport` and claircore's types (versions 4.8 and 1.5), and what Quay makes of the answers, which
//! is stricter than Clair's own description: its code checks each answer against a schema of its own. What is served
//! follows the code where the two differ: kinds in lower case, no `range`, both names of a severity.
//!
//! Left out: the notifier's paths; deleting update operations, which here are revisions and stay.

mod answer;
mod cvss;
mod index_report;
mod indexer;
mod matcher;
mod vulnerability_report;
mod wire;

use std::sync::Arc;

use axum::routing::{get, post};
use axum::{Router, middleware};

use crate::auth;
use crate::service::Service;

/// The paths of the parts that this process is.
pub(crate) fn router(service: &Arc<Service>) -> Router {
    let mut router = Router::new();
    if service.role.indexes() {
        router = router
            .route("/indexer/api/v1/index_state", get(indexer::state))
            .route("/indexer/api/v1/index_report", post(indexer::index).delete(indexer::delete_many))
            .route("/indexer/api/v1/index_report/{digest}", get(indexer::report).delete(indexer::delete));
    }
    if service.role.matches() {
        router = router.route("/matcher/api/v1/vulnerability_report/{digest}", get(matcher::report));
    }
    router
        .route("/robots.txt", get(async || "User-agent: *\nDisallow: /\n"))
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(middleware::from_fn_with_state(
            auth::Gate { guard: Arc::clone(&service.guard), refuse: answer::unauthorized },
            auth::check,
        ))
        .with_state(Arc::clone(service))
}
