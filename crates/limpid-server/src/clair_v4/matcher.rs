//! The matcher's path: what is known against an image that was indexed.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, ETAG};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use limpid_index::{Kernels, Moment};
use limpid_match::RULES_VERSION;
use limpid_model::{Digest, Report};
use limpid_store::NEWEST;

use super::answer::{self, Refusal};
use super::{indexer, vulnerability_report, wire};
use crate::conditional;
use crate::service::Service;

/// How far the report can be relied on: Clair's form has no place for it.
const STANDING: HeaderName = HeaderName::from_static("limpid-standing");

/// What comes of looking at an image.
enum Looked {
    Unknown,
    /// The report is the one that the client has.
    Same(String),
    /// Nothing can be said yet.
    NoAdvisories {
        release: String,
        why: String,
    },
    Report(String, Box<Report>),
}

/// `GET /matcher/api/v1/vulnerability_report/{digest}`
///
/// While there are no advisories for the image's distribution, the answer is 404, which Quay shows as queued: an empty
/// report would be taken for a clean one, and Clair's own empty 202 for a broken one.
pub(super) async fn report(
    State(service): State<Arc<Service>>,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let digest = indexer::parse(&digest)?;
    let content_type = answer::content_type(&headers, wire::VULNERABILITY_REPORT_TYPE)?;
    let shared = Arc::clone(&service);
    match service.questions.run(move || shared.look(&digest, &headers)).await?? {
        Looked::Unknown => Err(Refusal::not_found(format!("no image {digest} was indexed"))),
        Looked::NoAdvisories { release, why } => {
            Err(Refusal::not_found(format!("there are no advisories for {release} yet: {why}")))
        }
        Looked::Same(tag) => Ok(tagged(StatusCode::NOT_MODIFIED.into_response(), &tag)),
        Looked::Report(tag, report) => {
            let mut response = answer::json(&vulnerability_report::report(&report), content_type)?;
            let age = service.config.clair.cache_age.as_secs();
            let headers = response.headers_mut();
            headers
                .extend(HeaderValue::try_from(format!("max-age={age}")).map(|value| (CACHE_CONTROL, value)));
            headers.insert(STANDING, HeaderValue::from_static(report.coverage.standing.name()));
            Ok(tagged(response, &tag))
        }
    }
}

fn tagged(mut response: Response, tag: &str) -> Response {
    response.headers_mut().extend(HeaderValue::try_from(conditional::quoted(tag)).map(|tag| (ETAG, tag)));
    response
}

impl Service {
    fn look(&self, digest: &Digest, headers: &HeaderMap) -> Result<Looked, limpid_index::Error> {
        let Some((_, record)) = self.store.image(digest)? else { return Ok(Looked::Unknown) };
        // What makes a report: the image as it was read, the rules, the advisories.
        let state = record.indexer_state.clone();
        let tag = |revision: u64| format!("{state}-{RULES_VERSION}-{revision}");
        if !record.release.is_empty() && self.has_advisories(&record.release)? == Some(false) {
            self.updates.want_release(&record.release);
            // Advisories of the operator's own may speak for it.
            if self.store.feeds_for(&record.release, NEWEST)?.is_empty() {
                let why = self.why_no_advisories(&record.release);
                return Ok(Looked::NoAdvisories { release: record.release, why });
            }
        }
        let newest = tag(self.store.revision()?);
        if conditional::matches(headers, &newest) {
            return Ok(Looked::Same(newest));
        }
        let now = self.now();
        let today = now.get(..10).unwrap_or_default();
        let moment = Moment { revision: NEWEST, today, as_of: "", now: &now };
        let report = limpid_index::report(&*self.store, &record, "", moment, Kernels::ByImage)?;
        let unrated = limpid_index::unrated(&report);
        if self.config.feeds.update && !unrated.is_empty() {
            self.updates.want_records(unrated);
        }
        Ok(Looked::Report(tag(report.revision), Box::new(report)))
    }
}
