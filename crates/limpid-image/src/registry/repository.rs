//! A repository at one host: requests with whatever the registry wants to be shown.

use std::io::Read as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use limpid_model::Digest;
use ureq::http::HeaderName;
use ureq::http::header::{ACCEPT, CONTENT_TYPE};

use super::auth::{Challenge, basic, bearer, challenges, token};
use super::client::{Ask, Client, Response, said};
use super::credentials::{Credential, Credentials, Found};
use super::name::{DOCKER_HUB, RepositoryName, is_host};
use super::proxy::is_loopback;
use super::{RegistryError, Secret};
use crate::Error;
use crate::manifest::{DOCUMENT_BYTES_MAX, INDEX_TYPES, MANIFEST_TYPES};

/// Bytes of a list of tags; it is only asked for to be helpful.
const TAGS_BYTES_MAX: u64 = 1 << 20;
/// Tags that are named to someone who asked for one that is not there.
const TAGS_SHOWN: usize = 10;

/// What answers to requests for a repository.
pub(crate) struct Repository {
    client: Arc<Client>,
    pub(crate) name: RepositoryName,
    /// Hosts that may be spoken to without a valid certificate, or without TLS, because registries.conf says so.
    insecure: Vec<String>,
    base: OnceLock<String>,
    credentials: Arc<Credentials>,
    /// Whether the user's own name and password are for this host.
    explicit: bool,
    found: OnceLock<Found>,
    session: Mutex<Session>,
}

/// What is shown with each request.
#[derive(Default)]
struct Session {
    authorization: Option<Secret>,
    refresh_token: Option<Secret>,
    /// Counts what was shown, so that of many threads that were refused with one token one asks for another.
    generation: u64,
}

impl Repository {
    pub(crate) fn new(
        client: Arc<Client>,
        name: RepositoryName,
        insecure: bool,
        credentials: Arc<Credentials>,
        explicit: bool,
    ) -> Self {
        let insecure = if insecure { vec![name.host.clone()] } else { Vec::new() };
        Self {
            client,
            name,
            insecure,
            base: OnceLock::new(),
            credentials,
            explicit,
            found: OnceLock::new(),
            session: Mutex::default(),
        }
    }

    pub(crate) fn host(&self) -> &str {
        &self.name.host
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The manifest or index named by a tag or digest: its bytes, their digest, and the type it was sent as.
    pub(crate) fn manifest(&self, selector: &str) -> Result<(Vec<u8>, Digest, String), Error> {
        let what = format!("the manifest of {}", self.shown(selector));
        let accept = [INDEX_TYPES, MANIFEST_TYPES].concat().join(", ");
        let accept = format!("{accept}, application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.1");
        let response = self.get(&format!("manifests/{selector}"), &what, &[(ACCEPT, accept)])?;
        if response.status().as_u16() != 200 {
            return Err(self.refusal(response, &what, Some(selector)).into());
        }
        let header = |name: &HeaderName| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let media_type = header(&CONTENT_TYPE).unwrap_or_default();
        let claimed = header(&HeaderName::from_static("docker-content-digest"));
        let bytes = self.document(response, &what)?;
        let got = Digest::of(&bytes);
        let expected = selector.parse::<Digest>().ok();
        let expected = expected.or_else(|| claimed.and_then(|claimed| claimed.parse().ok()));
        match expected {
            Some(expected) if expected != got => Err(Error::DigestMismatch { what, expected, got }),
            _ => Ok((bytes, got, media_type)),
        }
    }

    /// A small blob that is a document.
    pub(crate) fn blob_document(&self, digest: Digest, what: &str) -> Result<Vec<u8>, Error> {
        let response = self.get(&format!("blobs/{digest}"), what, &[])?;
        if response.status().as_u16() != 200 {
            return Err(self.refusal(response, what, None).into());
        }
        let bytes = self.document(response, what)?;
        let got = Digest::of(&bytes);
        let what = what.to_owned();
        if got == digest { Ok(bytes) } else { Err(Error::DigestMismatch { what, expected: digest, got }) }
    }

    fn document(&self, response: Response, what: &str) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut body = response.into_body().into_reader().take(DOCUMENT_BYTES_MAX + 1);
        body.read_to_end(&mut bytes).map_err(|error| RegistryError::Cut {
            host: self.host().to_owned(),
            what: what.to_owned(),
            position: bytes.len() as u64,
            reason: error.to_string(),
        })?;
        if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err(Error::limit(what, format!("{DOCUMENT_BYTES_MAX} bytes of a JSON document")));
        }
        Ok(bytes)
    }

    /// Asks for something of the repository. A refusal for want of credentials is answered with them, once.
    pub(crate) fn get(
        &self,
        path: &str,
        what: &str,
        headers: &[(HeaderName, String)],
    ) -> Result<Response, RegistryError> {
        let url = format!("{}/v2/{}/{path}", self.base()?, self.name.path);
        let mut generation = 0;
        for attempt in 0..2 {
            let authorization = {
                let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
                generation = session.generation;
                session.authorization.clone()
            };
            let ask = Ask { url: &url, what, headers: headers.to_vec(), authorization, ..Ask::default() };
            let response = self.client.send(&ask, &self.insecure)?;
            if response.status().as_u16() != 401 || attempt > 0 {
                return Ok(response);
            }
            self.authenticate(response, what, generation)?;
        }
        Err(self.unauthorized(what, String::new(), generation))
    }

    /// Answers a challenge, unless another thread did so since the request was sent.
    fn authenticate(&self, response: Response, what: &str, generation: u64) -> Result<(), RegistryError> {
        let offered = challenges(&response);
        let (_, said) = said(response);
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if session.generation != generation {
            return Ok(());
        }
        let credential = self.found().credential.as_ref();
        let by = |scheme: &str| offered.iter().find(|challenge| challenge.scheme == scheme);
        let authorization = match (credential, by("bearer"), by("basic")) {
            (Some(Credential::RegistryToken(token)), ..) if generation == 0 => bearer(token),
            (_, Some(challenge), _) => self.token(&mut session, challenge, credential)?,
            (Some(Credential::Password { username, password }), _, Some(_)) if generation == 0 => {
                basic(username, password)
            }
            _ => return Err(self.unauthorized(what, said, generation)),
        };
        session.authorization = Some(authorization);
        session.generation += 1;
        Ok(())
    }

    fn token(
        &self,
        session: &mut Session,
        challenge: &Challenge,
        credential: Option<&Credential>,
    ) -> Result<Secret, RegistryError> {
        let ask = |credential: Option<&Credential>| {
            token(&self.client, challenge, &self.name.path, credential, &self.insecure)
        };
        // A refresh token that no longer holds is no reason to fail where there is a password.
        let refreshed = session.refresh_token.take().map(Credential::IdentityToken);
        let got = match refreshed.as_ref().map(|refresh| ask(Some(refresh))) {
            Some(Ok(got)) => got,
            _ => ask(credential)?,
        };
        session.refresh_token = got.refresh_token;
        Ok(bearer(&got.token))
    }

    fn found(&self) -> &Found {
        self.found.get_or_init(|| self.credentials.find(&self.name, self.explicit))
    }

    fn unauthorized(&self, what: &str, said: String, generation: u64) -> RegistryError {
        let mut tried = self.found().tried.clone();
        if generation > 0 {
            tried.push("it did not accept them".to_owned());
        }
        RegistryError::Unauthorized { host: self.host().to_owned(), what: what.to_owned(), tried, said }
    }

    /// `https://HOST` or `http://HOST`. Where both are allowed, TLS comes first.
    fn base(&self) -> Result<String, RegistryError> {
        if let Some(base) = self.base.get() {
            return Ok(base.clone());
        }
        let host = self.name.api_host();
        let bare = match host.rsplit_once(':') {
            Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
            _ => host,
        };
        let is_it = |name: &String| name.eq_ignore_ascii_case(host) || name.eq_ignore_ascii_case(bare);
        let named = self.insecure.iter().chain(&self.client.options.insecure_registries).any(is_it);
        let mut base = format!("https://{host}");
        if named || is_loopback(bare) {
            let ask = |url: &str| {
                let ask = Ask { url, what: "the registry's version", ..Ask::default() };
                self.client.try_once(&ask, &self.insecure)
            };
            let refused = match ask(&format!("{base}/v2/")) {
                Ok(_) => None,
                // A certificate that is not trusted is no reason to do without any.
                Err(error @ RegistryError::Tls { .. }) if is_certificate_error(&error) => return Err(error),
                Err(error) => Some(error),
            };
            if let Some(error) = refused {
                base = format!("http://{host}");
                if ask(&format!("{base}/v2/")).is_err() {
                    return Err(error);
                }
            }
        }
        Ok(self.base.get_or_init(|| base).clone())
    }

    /// The error that an answer which is none stands for.
    pub(crate) fn refusal(&self, response: Response, what: &str, selector: Option<&str>) -> RegistryError {
        let status = response.status().as_u16();
        let (codes, said) = said(response);
        let host = self.host().to_owned();
        let what = what.to_owned();
        match status {
            401 => self.unauthorized(&what, said, 1),
            403 => RegistryError::Forbidden { host, what, said },
            404 => {
                let unknown = codes.iter().any(|code| code == "NAME_UNKNOWN");
                let by_tag = selector.filter(|selector| !selector.contains(':') && !unknown);
                let tags = by_tag.map(|tag| self.near_tags(tag));
                let what = match selector {
                    // Some registries say only of the list of tags that there is no such repository.
                    Some(_) if unknown || tags == Some(None) => format!("repository {}", self.name.path),
                    Some(selector) if selector.contains(':') => {
                        format!("image {selector} in the repository {}", self.name.path)
                    }
                    Some(selector) => format!("tag {selector} in the repository {}", self.name.path),
                    None => what,
                };
                RegistryError::NotFound { host, what, available: tags.flatten().unwrap_or_default() }
            }
            429 => RegistryError::TooManyRequests { host, said },
            status => RegistryError::Status { host, what, status, said },
        }
    }

    /// Tags that are there, those first that begin most like the one that is not; nothing if there is no such
    /// repository. Best effort.
    fn near_tags(&self, wanted: &str) -> Option<Vec<String>> {
        #[derive(serde::Deserialize)]
        struct List {
            tags: Option<Vec<String>>,
        }
        let Ok(response) = self.get("tags/list?n=1000", "the list of tags", &[]) else {
            return Some(Vec::new());
        };
        if response.status().as_u16() == 404 {
            return None;
        }
        let mut bytes = Vec::new();
        let mut body = response.into_body().into_reader().take(TAGS_BYTES_MAX);
        let _ = body.read_to_end(&mut bytes);
        let list: Option<List> = serde_json::from_slice(&bytes).ok();
        let mut tags = list.and_then(|list| list.tags).unwrap_or_default();
        let alike = |tag: &str| tag.bytes().zip(wanted.bytes()).take_while(|(a, b)| a == b).count();
        tags.retain(|tag| tag.len() <= 128);
        tags.sort_by(|a, b| alike(b).cmp(&alike(a)).then_with(|| a.cmp(b)));
        tags.truncate(TAGS_SHOWN);
        Some(tags)
    }

    fn shown(&self, selector: &str) -> String {
        let separator = if selector.contains(':') { '@' } else { ':' };
        format!("{}{separator}{selector}", self.name)
    }
}

fn is_certificate_error(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Tls { reason, .. } if reason.contains("certificate"))
}

/// The server that Docker's tools know this host's credentials by.
pub(crate) fn credential_server(host: &str) -> String {
    if host == DOCKER_HUB || !is_host(host) {
        "https://index.docker.io/v1/".to_owned()
    } else {
        host.to_owned()
    }
}
