//! Answers in Clair's form: which type is wanted, and errors as `{"code", "message"}`.
//!
//! Quay takes 400 for a manifest that will never be indexed, and reads its text as ASCII; every other error it tries
//! again. So 400 is for what is wrong with the request itself.

use axum::Json;
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use limpid_image::RegistryError;
use serde::Serialize;

use crate::body::BodyError;
use crate::lanes::Refused;

/// Seconds after which to ask again what was too much.
const RETRY_SECONDS: u32 = 5;
/// Characters of an error that are sent.
const MESSAGE_MAX: usize = 1000;

/// Why a request is not answered.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
}

/// The body of an error.
#[derive(Serialize)]
struct Told<'a> {
    code: &'a str,
    message: &'a str,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = match self.status {
            StatusCode::BAD_REQUEST => "bad-request",
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::NOT_FOUND => "not-found",
            StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
            StatusCode::REQUEST_TIMEOUT => "request-timeout",
            StatusCode::CONFLICT => "conflict",
            StatusCode::PRECONDITION_FAILED => "precondition-failed",
            StatusCode::PAYLOAD_TOO_LARGE => "request-too-large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported-media-type",
            StatusCode::TOO_MANY_REQUESTS => "too-many-requests",
            StatusCode::BAD_GATEWAY => "bad-gateway",
            StatusCode::SERVICE_UNAVAILABLE => "service-unavailable",
            _ => "internal-error",
        };
        let printable =
            |letter: char| if letter.is_ascii() && !letter.is_ascii_control() { letter } else { '?' };
        let message: String = self.message.chars().take(MESSAGE_MAX).map(printable).collect();
        let mut response = (self.status, Json(Told { code, message: &message })).into_response();
        let mut add = |name, value| drop(response.headers_mut().insert(name, value));
        match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                add(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
            }
            StatusCode::UNAUTHORIZED => add(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            _ => {}
        }
        response
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Busy => Self::new(StatusCode::TOO_MANY_REQUESTS, "too much is asked at a time"),
            Refused::Broken => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the work ended without a result")
            }
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body has more bytes than the service reads (limits.body_bytes)",
            ),
            BodyError::TooSlow => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "the body took longer than the service waits (limits.body_timeout)",
            ),
            BodyError::Broken => Self::bad_request("the body broke off"),
        }
    }
}

impl From<limpid_index::Error> for Refusal {
    fn from(error: limpid_index::Error) -> Self {
        use limpid_image::Error as Image;
        use limpid_index::Error as Index;
        use limpid_store::Error as Store;
        let (status, remedy) = match &error {
            Index::Image(Image::Registry(
                RegistryError::NotAllowed { .. } | RegistryError::PlainHttp { .. },
            )) => (
                StatusCode::FORBIDDEN,
                "; if that is meant, name the host or its network under `registries:`",
            ),
            Index::Image(_) => (StatusCode::BAD_GATEWAY, ""),
            Index::Store(Store::Conflict(_)) => (StatusCode::CONFLICT, ""),
            Index::Store(Store::Busy | Store::DiskFull | Store::ReadOnly | Store::Gone(_))
            | Index::Stopped => (StatusCode::SERVICE_UNAVAILABLE, ""),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, ""),
        };
        if status.is_server_error() {
            tracing::warn!(%error, status = status.as_u16(), "a request failed");
        }
        Self::new(status, format!("{error}{remedy}"))
    }
}

impl From<limpid_store::Error> for Refusal {
    fn from(error: limpid_store::Error) -> Self {
        limpid_index::Error::from(error).into()
    }
}

pub(super) fn unauthorized() -> Response {
    Refusal::new(StatusCode::UNAUTHORIZED, "a token that the shared key signed is wanted").into_response()
}

pub(super) async fn no_such_path() -> Response {
    Refusal::not_found("there is nothing here").into_response()
}

pub(super) async fn no_such_method() -> Response {
    let mut response =
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "the method is not allowed here").into_response();
    // axum adds what is allowed; without a router's word nothing is.
    response.headers_mut().remove(ALLOW);
    response
}

/// The type to answer in: `own`, or plain JSON if that is what is asked for.
pub(super) fn content_type(headers: &HeaderMap, own: &'static str) -> Result<HeaderValue, Refusal> {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if accepted.peek().is_none() {
        return Ok(HeaderValue::from_static(own));
    }
    let kinds = accepted
        .flat_map(|value| value.split(','))
        .map(|kind| kind.split(';').next().unwrap_or_default().trim());
    for kind in kinds {
        match kind {
            "application/json" => return Ok(HeaderValue::from_static("application/json")),
            "*/*" | "application/*" | "" => return Ok(HeaderValue::from_static(own)),
            kind if kind == own => return Ok(HeaderValue::from_static(own)),
            _ => {}
        }
    }
    let message = format!("only application/json and {own} can be answered");
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

/// Whether the body says that it is JSON of this kind, or says nothing.
pub(super) fn expect_json(headers: &HeaderMap, own: &str) -> Result<(), Refusal> {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") || kind.eq_ignore_ascii_case(own) {
        return Ok(());
    }
    let message = format!("the body must be application/json or {own}");
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

/// A value as JSON of a type.
pub(super) fn json(value: &impl Serialize, content_type: HeaderValue) -> Result<Response, Refusal> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(CONTENT_TYPE, content_type)], bytes).into_response())
}
