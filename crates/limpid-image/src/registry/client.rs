//! Requests: TLS, proxies, redirects, retries.
//!
//! Source: RFC 9110 (HTTP semantics), sections 10.2.3 (`Retry-After`) and 15.4 (redirects).

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ureq::Agent;
use ureq::http::header::{AUTHORIZATION, LOCATION, RETRY_AFTER};
use ureq::http::{HeaderName, HeaderValue, Uri};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;

use super::outbound::Resolving;
use super::proxy::{is_loopback, proxy_for};
use super::tls::{SystemRoots, configuration};
use super::{RegistryError, RegistryOptions, Secret};

pub(crate) type Response = ureq::http::Response<ureq::Body>;

/// Redirects of one request: as many as browsers and Go's client follow.
const REDIRECTS_MAX: usize = 10;
/// Bytes of an address. Object stores' signed ones have one or two thousand.
const URL_BYTES_MAX: usize = 16 << 10;
/// Bytes of an answer that is an error which are looked at.
const ERROR_BYTES_MAX: u64 = 64 << 10;
/// Characters of what a registry says that are shown.
const SAID_MAX: usize = 300;
/// Origins whose connections are kept.
const AGENTS_MAX: usize = 128;
/// Bytes that are taken from a connection at a time.
const INPUT_BUFFER_BYTES: usize = 256 << 10;

/// Where a request goes: scheme, host, port. `Authorization` never goes from one to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Origin {
    is_https: bool,
    host: String,
    port: u16,
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) url: &'a str,
    /// What it is for, in errors.
    pub(crate) what: &'a str,
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// `Authorization`, for the origin of `url` alone.
    pub(crate) authorization: Option<Secret>,
    /// Further headers that may say who asks, for the same.
    pub(crate) headers_for_origin: Vec<(HeaderName, Secret)>,
    /// The form that is posted; nothing makes it a GET.
    pub(crate) form: Option<Secret>,
}

/// Sends requests, whatever they are for.
pub(crate) struct Client {
    pub(crate) options: RegistryOptions,
    roots: SystemRoots,
    agents: Mutex<HashMap<(Origin, bool), Agent>>,
}

impl Client {
    pub(crate) fn new(options: &RegistryOptions) -> Self {
        Self { options: options.clone(), roots: SystemRoots::default(), agents: Mutex::default() }
    }

    /// Sends the request until an answer comes that would not be another one in a moment.
    pub(crate) fn send(&self, ask: &Ask<'_>, insecure: &[String]) -> Result<Response, RegistryError> {
        let mut pause = self.options.pause;
        let mut attempt = 0;
        loop {
            let last = attempt >= self.options.retries;
            match self.follow(ask, insecure) {
                Ok(response) if last || !may_pass(response.status().as_u16()) => return Ok(response),
                Ok(response) => {
                    let asked = retry_after(&response);
                    std::thread::sleep(asked.unwrap_or_else(|| jittered(pause)).min(self.options.pause_max));
                }
                Err(Failure { error, transient }) if last || !transient => return Err(error),
                Err(_) => std::thread::sleep(jittered(pause)),
            }
            attempt += 1;
            pause = (pause * 2).min(self.options.pause_max);
        }
    }

    /// Sends the request once.
    pub(crate) fn try_once(&self, ask: &Ask<'_>, insecure: &[String]) -> Result<Response, RegistryError> {
        self.follow(ask, insecure).map_err(|failure| failure.error)
    }

    /// Waits before the `attempt`th attempt, from one.
    pub(crate) fn wait(&self, attempt: u32) {
        let pause = self.options.pause.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        std::thread::sleep(jittered(pause.min(self.options.pause_max)));
    }

    fn follow(&self, ask: &Ask<'_>, insecure: &[String]) -> Result<Response, Failure> {
        let mut url = ask.url.to_owned();
        let first = self.origin(&url, ask.what)?;
        let mut origin = first.clone();
        for _ in 0..=REDIRECTS_MAX {
            let is_insecure = self.may_be_insecure(&origin, insecure);
            self.check_outbound(&origin)?;
            if !origin.is_https && !is_insecure && !self.may_be_plain(&origin) {
                let host = origin.host;
                return Err(RegistryError::PlainHttp { url: without_query(&url), host }.into());
            }
            let response = self.once(ask, &url, &origin, is_insecure, origin == first)?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let target = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let broken = |reason: &str| protocol(&origin.host, ask.what, reason);
            if ask.form.is_some() {
                return Err(broken("credentials are not sent to where it redirects").into());
            }
            let target = target.ok_or_else(|| broken("it redirects to nowhere"))?;
            url = join(&url, target).ok_or_else(|| broken("it redirects to what is no address"))?;
            let next = self.origin(&url, ask.what)?;
            let may_be_plain = self.may_be_insecure(&next, insecure) || self.is_named(&next);
            if origin.is_https && !next.is_https && !may_be_plain {
                return Err(RegistryError::PlainHttp { url: without_query(&url), host: next.host }.into());
            }
            origin = next;
        }
        Err(protocol(&first.host, ask.what, "it redirects again and again").into())
    }

    fn once(
        &self,
        ask: &Ask<'_>,
        url: &str,
        origin: &Origin,
        insecure: bool,
        authorized: bool,
    ) -> Result<Response, Failure> {
        let agent = self.agent(origin, insecure)?;
        let authorization = ask.authorization.as_ref().filter(|_| authorized);
        let authorization = authorization
            .map(|secret| {
                let mut value = HeaderValue::from_str(secret.expose());
                value.iter_mut().for_each(|value| value.set_sensitive(true));
                value.map_err(|_| RegistryError::Configuration {
                    path: "the credentials".to_owned(),
                    reason: "they have characters that no request can carry".to_owned(),
                })
            })
            .transpose()?;
        let result = match &ask.form {
            Some(form) => {
                let mut request = agent.post(url);
                if let Some(value) = authorization {
                    request = request.header(AUTHORIZATION, value);
                }
                request.header("content-type", "application/x-www-form-urlencoded").send(form.expose())
            }
            None => {
                let mut request = agent.get(url);
                for (name, value) in &ask.headers {
                    request = request.header(name, value);
                }
                for (name, value) in ask.headers_for_origin.iter().filter(|_| authorized) {
                    request = request.header(name, value.expose());
                }
                if let Some(value) = authorization {
                    request = request.header(AUTHORIZATION, value);
                }
                request.call()
            }
        };
        result.map_err(|error| failure(&origin.shown(), error))
    }

    fn may_be_insecure(&self, origin: &Origin, more: &[String]) -> bool {
        let named = |name: &String| {
            let name = name.to_ascii_lowercase();
            name == origin.host || name == format!("{}:{}", origin.host, origin.port)
        };
        self.options.insecure_registries.iter().any(named) || more.iter().any(named)
    }

    /// Refuses what may not be asked, as far as that shows before names are resolved.
    fn check_outbound(&self, origin: &Origin) -> Result<(), RegistryError> {
        self.options
            .outbound
            .as_ref()
            .map_or(Ok(()), |policy| policy.check_literal(&origin.host, origin.port))
    }

    /// Whether whoever runs the service named the host.
    fn is_named(&self, origin: &Origin) -> bool {
        self.options.outbound.as_ref().is_some_and(|policy| policy.names(&origin.host, origin.port))
    }

    fn may_be_plain(&self, origin: &Origin) -> bool {
        is_loopback(&origin.host) || self.is_named(origin)
    }

    fn origin(&self, url: &str, what: &str) -> Result<Origin, RegistryError> {
        let parsed = url.parse::<Uri>().ok().filter(|_| url.len() <= URL_BYTES_MAX);
        let error = || protocol(url.get(..100).unwrap_or(url), what, "this is no http or https address");
        let uri = parsed.ok_or_else(error)?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(error()),
        };
        let authority = uri.authority().ok_or_else(error)?;
        if authority.as_str().contains('@') {
            return Err(protocol(authority.host(), what, "its address has credentials in it"));
        }
        let port = authority.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        Ok(Origin { is_https, host: authority.host().to_ascii_lowercase(), port })
    }

    fn agent(&self, origin: &Origin, insecure: bool) -> Result<Agent, RegistryError> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (origin.clone(), insecure);
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        // Callers of a service may name any number of hosts.
        if agents.len() >= AGENTS_MAX {
            agents.clear();
        }
        let options = &self.options;
        let proxy = proxy_for(&options.proxies, origin.is_https, &origin.host, origin.port)?;
        let mut config = Agent::config_builder()
            .timeout_connect(Some(options.connect_timeout))
            .timeout_recv_response(Some(options.read_timeout))
            .timeout_per_read(Some(options.read_timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .input_buffer_size(INPUT_BUFFER_BYTES)
            .proxy(proxy.clone())
            .user_agent(concat!("limpid/", env!("CARGO_PKG_VERSION")));
        if origin.is_https {
            config = config.tls_config(configuration(options, &self.roots, &origin.shown_host(), insecure)?);
        }
        let agent = match &options.outbound {
            // A proxy's own address was named by whoever runs the service.
            Some(policy) if proxy.is_none() => {
                let resolver = Resolving { policy: policy.clone(), names: DefaultResolver::default() };
                Agent::with_parts(config.build(), DefaultConnector::default(), resolver)
            }
            _ => config.build().into(),
        };
        agents.insert(key, agent.clone());
        Ok(agent)
    }
}

impl Origin {
    fn shown(&self) -> String {
        self.shown_host()
    }

    /// The host as folders of certificates name it: with the port if it is not the scheme's own.
    fn shown_host(&self) -> String {
        match (self.is_https, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

/// A failure, and whether it may be none in a moment.
struct Failure {
    error: RegistryError,
    transient: bool,
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self { error, transient: false }
    }
}

fn protocol(host: &str, what: &str, reason: &str) -> RegistryError {
    RegistryError::Protocol { host: host.to_owned(), what: what.to_owned(), reason: reason.to_owned() }
}

fn failure(host: &str, error: ureq::Error) -> Failure {
    let host = host.to_owned();
    let unreachable = |reason: String| RegistryError::Unreachable { host: host.clone(), reason };
    let tls = |reason: String| RegistryError::Tls { host: host.clone(), reason };
    match error {
        ureq::Error::HostNotFound => RegistryError::UnknownHost { host }.into(),
        ureq::Error::Rustls(error) => tls(error.to_string()).into(),
        ureq::Error::Tls(reason) => tls(reason.to_owned()).into(),
        ureq::Error::Pem(error) => tls(error.to_string()).into(),
        ureq::Error::Timeout(timeout) => {
            let waits_for_nothing = matches!(timeout, ureq::Timeout::Connect | ureq::Timeout::Resolve);
            Failure { error: unreachable(format!("{timeout} took too long")), transient: !waits_for_nothing }
        }
        ureq::Error::Io(error) => {
            if let Some(rustls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                return tls(rustls.to_string()).into();
            }
            let text = error.to_string();
            // The standard library has no kind for a name that cannot be resolved.
            if text.contains("failed to lookup address") {
                let unknown = !text.contains("emporary failure");
                return if unknown {
                    RegistryError::UnknownHost { host }.into()
                } else {
                    unreachable("its name cannot be resolved; there may be no network".to_owned()).into()
                };
            }
            let refused = error.kind() == std::io::ErrorKind::ConnectionRefused
                || matches!(
                    error.kind(),
                    std::io::ErrorKind::NetworkUnreachable | std::io::ErrorKind::HostUnreachable
                );
            Failure { error: unreachable(text), transient: !refused }
        }
        ureq::Error::Other(error) => match error.downcast::<RegistryError>() {
            Ok(error) => (*error).into(),
            Err(error) => unreachable(error.to_string()).into(),
        },
        ureq::Error::ConnectionFailed | ureq::Error::Protocol(_) => {
            Failure { error: unreachable(error.to_string()), transient: true }
        }
        error => unreachable(error.to_string()).into(),
    }
}

fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// Half of the pause, and a random part of the other half, so that twenty clients do not come back as one.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// How long the server asks to wait: seconds, or a date, which is compared with the server's own clock.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp());
    let now = date(response.headers().get(ureq::http::header::DATE)?.to_str().ok()?)?;
    let seconds = date(text)?.as_second().saturating_sub(now.as_second());
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// The address that `target` means when it stands in an answer from `base`.
fn join(base: &str, target: &str) -> Option<String> {
    if target.starts_with("http://") || target.starts_with("https://") {
        return Some(target.to_owned());
    }
    let (scheme, rest) = base.split_once("://")?;
    if let Some(rest) = target.strip_prefix("//") {
        return Some(format!("{scheme}://{rest}"));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if target.starts_with('/') {
        return Some(format!("{scheme}://{authority}{target}"));
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(format!("{scheme}://{authority}{folder}/{target}"))
}

/// An address without what may be a secret.
pub(crate) fn without_query(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// What the answer says of its failure: `errors[].code` and `message` of the distribution specification.
pub(crate) fn said(response: Response) -> (Vec<String>, String) {
    #[derive(serde::Deserialize)]
    struct Said {
        #[serde(default)]
        code: Option<String>,
        #[serde(default)]
        message: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct Answer {
        #[serde(default)]
        errors: Vec<Said>,
    }
    let mut bytes = Vec::new();
    let mut body = response.into_body().into_reader().take(ERROR_BYTES_MAX);
    // An answer that cannot be read says nothing.
    let _ = body.read_to_end(&mut bytes);
    let Ok(answer) = serde_json::from_slice::<Answer>(&bytes) else { return (Vec::new(), String::new()) };
    let codes = answer.errors.iter().filter_map(|said| said.code.clone()).collect();
    let texts: Vec<&str> = answer
        .errors
        .iter()
        .filter_map(|said| said.message.as_deref().or(said.code.as_deref()))
        .filter(|text| !text.is_empty())
        .collect();
    (codes, texts.join("; ").chars().take(SAID_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_redirects_are_joined() {
        let join = |target: &str| join("https://h:5/v2/a/b?c=d", target).unwrap_or_default();
        assert_eq!(join("http://x/y"), "http://x/y");
        assert_eq!(join("//x/y"), "https://x/y");
        assert_eq!(join("/y?z"), "https://h:5/y?z");
        assert_eq!(join("y"), "https://h:5/v2/a/y");
        assert_eq!(super::join("https://h", "y").as_deref(), Some("https://h/y"));
    }
}
