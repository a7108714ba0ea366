//! Conditional requests. Source: RFC 9110, sections 8.8.3 and 13.1.2.

use axum::http::HeaderMap;
use axum::http::header::IF_NONE_MATCH;

/// Whether `If-None-Match` names the validator (without quotes), or anything.
pub(crate) fn matches(headers: &HeaderMap, validator: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag.trim_matches('"') == validator
    })
}

/// A strong validator, as the `ETag` header has it.
pub(crate) fn quoted(validator: &str) -> String {
    format!("\"{validator}\"")
}
