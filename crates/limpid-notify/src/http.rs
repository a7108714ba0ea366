//! The little of HTTP that webhooks need: one request, its status, and nothing else.
//!
//! Redirects are not followed: a webhook's address is what the operator wrote, and a signed body goes nowhere else. Of an
//! answer's body only a bounded beginning is read, for the error that people see.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::http::header;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Retry-After`, as sent; empty for none.
    pub retry_after: String,
    /// `Location`, as sent; empty for none.
    pub location: String,
    /// The beginning of the body.
    pub body: String,
}

/// Sends requests; a test has one of its own.
pub trait Http: Send {
    /// Posts a body. An error is a sentence on what failed before there was an answer.
    fn post(&self, url: &str, headers: &[(String, String)], body: &[u8]) -> Result<Answer, String>;
}

/// The real one.
#[derive(Debug)]
pub struct HttpSender {
    agent: Agent,
}

/// How long a request may take, from the name's resolution to the answer's headers.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 512;

impl HttpSender {
    /// A sender whose requests end after `timeout`, or after half a minute.
    pub fn new(timeout: Option<Duration>) -> Self {
        let certificates = rustls_native_certs::load_native_certs().certs;
        let certificates: Vec<_> =
            certificates.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let config = Agent::config_builder()
            .timeout_connect(Some(timeout.unwrap_or(CONNECT_TIMEOUT).min(CONNECT_TIMEOUT)))
            .timeout_global(Some(timeout.unwrap_or(TIMEOUT)))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("limpid/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(certificates))).build())
            .build();
        Self { agent: config.into() }
    }
}

impl Http for HttpSender {
    fn post(&self, url: &str, headers: &[(String, String)], body: &[u8]) -> Result<Answer, String> {
        let mut request = self.agent.post(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut answer = request.send(body).map_err(|error| error.to_string())?;
        let text = |name: header::HeaderName| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (retry_after, location) = (text(header::RETRY_AFTER), text(header::LOCATION));
        let mut beginning = Vec::new();
        // The status is the answer; a body that breaks off takes nothing from it.
        let _ = answer.body_mut().as_reader().take(ANSWER_BYTES_MAX).read_to_end(&mut beginning);
        let body = String::from_utf8_lossy(&beginning).into_owned();
        Ok(Answer { status: answer.status().as_u16(), retry_after, location, body })
    }
}
