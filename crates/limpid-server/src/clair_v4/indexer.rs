//! The indexer's paths: images come in, and what is in them goes out.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::header::{ETAG, LINK, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use limpid_image::ClairManifest;
use limpid_index::indexer_state;
use limpid_model::Digest;

use super::answer::{self, Refusal};
use super::{index_report, wire};
use crate::service::Service;
use crate::{body, conditional};

/// Images that one request deletes.
const DELETED_MAX: usize = 10_000;

/// `GET /indexer/api/v1/index_state`
pub(super) async fn state(headers: HeaderMap) -> Result<Response, Refusal> {
    let state = indexer_state();
    if conditional::matches(&headers, &state) {
        return Ok(with_state(StatusCode::NOT_MODIFIED.into_response(), &state));
    }
    let content_type = answer::content_type(&headers, wire::INDEX_STATE_TYPE)?;
    Ok(with_state(answer::json(&wire::State { state: state.clone() }, content_type)?, &state))
}

/// `POST /indexer/api/v1/index_report`: the image is in the store when the answer is there.
pub(super) async fn index(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let state = indexer_state();
    // As in Clair: whoever knows today's state has nothing to gain.
    if conditional::matches(&head.headers, &state) {
        let refusal = Refusal::new(StatusCode::PRECONDITION_FAILED, "the indexer's state is the same");
        return Ok(with_state(refusal.into_response(), &state));
    }
    answer::expect_json(&head.headers, wire::MANIFEST_TYPE)?;
    let content_type = answer::content_type(&head.headers, wire::INDEX_REPORT_TYPE)?;
    let limits = &service.config.limits;
    let bytes = body::read(body, limits.body_bytes, limits.body_timeout).await?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| Refusal::bad_request("the body is no text in UTF-8"))?;
    let manifest = ClairManifest::parse(text).map_err(|error| Refusal::bad_request(error.to_string()))?;
    let digest = manifest.hash;
    let shared = Arc::clone(&service);
    let work = move || {
        let record = shared.index(manifest)?;
        if shared.role.matches()
            && !record.release.is_empty()
            && shared.has_advisories(&record.release)? == Some(false)
        {
            shared.updates.want_release(&record.release);
        }
        index_report::finished(&*shared.store, &record)
    };
    let outcome = service.indexing.run(work).await;
    let report = match outcome {
        Ok(Ok(report)) => report,
        Ok(Err(limpid_index::Error::Image(error))) if is_final(&error) => {
            index_report::failed(digest.to_string(), error.to_string())
        }
        Ok(Err(error @ limpid_index::Error::Endless(_))) => {
            index_report::failed(digest.to_string(), error.to_string())
        }
        Ok(Err(error)) => {
            service.metrics.indexed("failed");
            return Err(error.into());
        }
        Err(refused) => {
            service.metrics.indexed("refused");
            return Err(refused.into());
        }
    };
    service.metrics.indexed(if report.success { "finished" } else { "unreadable" });
    let mut response = answer::json(&report, content_type)?;
    *response.status_mut() = StatusCode::CREATED;
    let at = format!("/indexer/api/v1/index_report/{digest}");
    let links = [
        format!("<{at}>; rel=\"https://projectquay.io/clair/v1/index_report\""),
        format!(
            "</matcher/api/v1/vulnerability_report/{digest}>; \
             rel=\"https://projectquay.io/clair/v1/vulnerability_report\""
        ),
    ];
    let headers = response.headers_mut();
    headers.extend(HeaderValue::try_from(at).map(|at| (LOCATION, at)));
    for link in links {
        if let Ok(link) = HeaderValue::try_from(link) {
            headers.append(LINK, link);
        }
    }
    Ok(with_state(response, &state))
}

/// Whether the same bytes would fail the same way.
fn is_final(error: &limpid_image::Error) -> bool {
    use limpid_image::Error as Image;
    matches!(
        error,
        Image::Malformed { .. }
            | Image::Unsupported { .. }
            | Image::Limit { .. }
            | Image::DigestMismatch { .. }
            | Image::TooLong { .. }
            | Image::TooShort { .. }
    )
}

/// `GET /indexer/api/v1/index_report/{digest}`
pub(super) async fn report(
    State(service): State<Arc<Service>>,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let digest = parse(&digest)?;
    let content_type = answer::content_type(&headers, wire::INDEX_REPORT_TYPE)?;
    let shared = Arc::clone(&service);
    let work = move || -> Result<_, limpid_index::Error> {
        let Some((_, record)) = shared.store.image(&digest)? else { return Ok(None) };
        // The state of the indexer that read it, which may be an earlier one.
        let state = record.indexer_state.clone();
        if conditional::matches(&headers, &state) {
            return Ok(Some((state, None)));
        }
        Ok(Some((state, Some(index_report::finished(&*shared.store, &record)?))))
    };
    match service.questions.run(work).await?? {
        None => Err(Refusal::not_found(format!("no image {digest} was indexed"))),
        Some((state, None)) => Ok(with_state(StatusCode::NOT_MODIFIED.into_response(), &state)),
        Some((state, Some(report))) => Ok(with_state(answer::json(&report, content_type)?, &state)),
    }
}

/// `DELETE /indexer/api/v1/index_report/{digest}`: it is gone, also if it never was there.
pub(super) async fn delete(
    State(service): State<Arc<Service>>,
    Path(digest): Path<String>,
) -> Result<Response, Refusal> {
    let digest = parse(&digest)?;
    let shared = Arc::clone(&service);
    service.questions.run(move || shared.forget(&[digest])).await??;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /indexer/api/v1/index_report` with a list of digests: those that were there.
pub(super) async fn delete_many(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    answer::expect_json(&head.headers, wire::BULK_DELETE_TYPE)?;
    let content_type = answer::content_type(&head.headers, wire::BULK_DELETE_TYPE)?;
    let limits = &service.config.limits;
    let bytes = body::read(body, limits.body_bytes, limits.body_timeout).await?;
    let named: Vec<String> = serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::bad_request(format!("the body is no list of digests: {error}")))?;
    if named.len() > DELETED_MAX {
        return Err(Refusal::bad_request(format!("the list has more than {DELETED_MAX} digests")));
    }
    let digests = named.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
    let shared = Arc::clone(&service);
    let gone = service.questions.run(move || shared.forget(&digests)).await??;
    answer::json(&gone, content_type)
}

impl Service {
    /// Forgets images: those that were there.
    fn forget(&self, digests: &[Digest]) -> Result<Vec<String>, limpid_store::Error> {
        let mut gone = Vec::new();
        for digest in digests {
            if let Some((id, _)) = self.store.image(digest)?
                && self.store.forget(id, self.clock.now())?
            {
                gone.push(digest.to_string());
            }
        }
        Ok(gone)
    }
}

/// A digest that a path or a body names.
pub(super) fn parse(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|error| Refusal::bad_request(format!("{error}")))
}

/// With the state as a strong validator: Quay keeps it, and compares it with what `index_state` says.
fn with_state(mut response: Response, state: &str) -> Response {
    // A record without a state is looked at again the next time.
    if !state.is_empty() {
        response
            .headers_mut()
            .extend(HeaderValue::try_from(conditional::quoted(state)).map(|tag| (ETAG, tag)));
    }
    response
}
