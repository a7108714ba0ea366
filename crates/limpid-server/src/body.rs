//! A request's body: so many bytes, in so much time.

use std::time::Duration;

use axum::body::{Body, Bytes};

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It has more bytes than are read.
    TooLarge,
    /// It took too long.
    TooSlow,
    /// The connection broke.
    Broken,
}

/// Reads the body whole.
pub(crate) async fn read(body: Body, bytes_max: usize, timeout: Duration) -> Result<Bytes, BodyError> {
    // What says of itself that it is too large is not read at all.
    let told = axum::body::HttpBody::size_hint(&body).lower();
    if told > bytes_max as u64 {
        return Err(BodyError::TooLarge);
    }
    match tokio::time::timeout(timeout, axum::body::to_bytes(body, bytes_max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(next) = cause.source() {
                cause = next;
            }
            let is_limit = cause.to_string().contains("length limit");
            Err(if is_limit { BodyError::TooLarge } else { BodyError::Broken })
        }
        Err(_) => Err(BodyError::TooSlow),
    }
}
