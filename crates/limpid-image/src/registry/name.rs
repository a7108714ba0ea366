//! The name of an image in a registry: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.
//!
//! Source: the grammar of the distribution project's `reference` package, and the defaults that Docker adds:
//! `docker.io`, `library/`, `latest`.

use std::fmt;

use limpid_model::Digest;

use super::RegistryError;

/// The registry that names without a host mean, and its API's host, which is another.
pub(crate) const DOCKER_HUB: &str = "docker.io";
/// Names are no longer than this: the grammar's own bound.
const NAME_BYTES_MAX: usize = 255;
/// Nor are tags.
const TAG_BYTES_MAX: usize = 128;

/// A name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    /// Host and port, if the name has them.
    pub(crate) host: Option<String>,
    /// The repository in it.
    pub(crate) path: String,
    pub(crate) tag: Option<String>,
    pub(crate) digest: Option<Digest>,
}

/// A repository: host and path, complete.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RepositoryName {
    pub(crate) host: String,
    pub(crate) path: String,
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl Name {
    pub(crate) fn parse(text: &str) -> Result<Self, RegistryError> {
        let error = |reason: &str| RegistryError::Name {
            name: text.chars().take(200).collect(),
            reason: reason.to_owned(),
        };
        if text.starts_with("https://") || text.starts_with("http://") {
            return Err(error("it is an address; leave out what stands before the host"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest.parse::<Digest>().map_err(|reason| error(&reason.to_string()))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (host, rest) = split_host(rest);
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag.to_owned())),
            None => (rest, None),
        };
        if path.len() + host.map_or(0, str::len) > NAME_BYTES_MAX {
            return Err(error("it is longer than 255 bytes"));
        }
        if host.is_some_and(|host| !is_host(host)) {
            return Err(error("its host is malformed"));
        }
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(error("the repository must be in lower case"));
        }
        if !path.split('/').all(is_component) {
            return Err(error("the repository has a part that is empty or has characters it may not have"));
        }
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err(error("its tag has characters it may not have"));
        }
        // Sixty-four hexadecimal digits are an image's id, not a name: Docker refuses them too.
        if host.is_none() && path.len() == 64 && path.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(error("it is an image id, and registries know images by name"));
        }
        Ok(Self { host: host.map(str::to_ascii_lowercase), path: path.to_owned(), tag, digest })
    }

    /// The repository, on the host that the name has or else on `host`.
    pub(crate) fn on(&self, host: &str) -> RepositoryName {
        let host = self.host.as_deref().unwrap_or(host);
        let host = if host == "index.docker.io" { DOCKER_HUB } else { host };
        let path = match self.path.contains('/') {
            false if host == DOCKER_HUB => format!("library/{}", self.path),
            _ => self.path.clone(),
        };
        RepositoryName { host: host.to_owned(), path }
    }

    /// What the manifest is asked for by: the digest if there is one, else the tag.
    pub(crate) fn selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }
}

impl RepositoryName {
    /// Reads `HOST[:PORT][/PATH]`, as registries.conf writes locations, with the rest of a name behind it.
    pub(crate) fn at(location: &str, rest: &str) -> Option<Self> {
        let whole = format!("{location}{rest}");
        let (host, path) = whole.split_once('/')?;
        let fits = is_host(host) && path.len() <= NAME_BYTES_MAX && path.split('/').all(is_component);
        fits.then(|| Self { host: host.to_ascii_lowercase(), path: path.to_owned() })
    }

    /// The host that answers for it.
    pub(crate) fn api_host(&self) -> &str {
        if self.host == DOCKER_HUB { "registry-1.docker.io" } else { &self.host }
    }
}

/// The first part is a host if it could be no part of a path: it has a dot, a colon or upper case, or it is
/// `localhost`.
fn split_host(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((host, rest))
            if host == "localhost"
                || host.contains(['.', ':'])
                || host.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (Some(host), rest)
        }
        _ => (None, text),
    }
}

pub(crate) fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            (None, port.strip_prefix(':').or((!port.is_empty()).then_some("?")))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.is_none_or(|host| host.split('.').all(is_label))
        && port
            .is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !is_plain(*first) || !is_plain(*last) {
        return false;
    }
    let separators =
        text.split(|character: char| character.is_ascii_lowercase() || character.is_ascii_digit());
    separators
        .filter(|run| !run.is_empty())
        .all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'))
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_BYTES_MAX
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_get_the_defaults_that_docker_gives_them() {
        let whole = |text: &str| {
            let name = Name::parse(text).unwrap();
            let repository = name.on(DOCKER_HUB);
            format!("{} {} {}", repository.api_host(), repository.path, name.selector())
        };
        assert_eq!(whole("debian"), "registry-1.docker.io library/debian latest");
        assert_eq!(whole("debian:12"), "registry-1.docker.io library/debian 12");
        assert_eq!(whole("grafana/grafana"), "registry-1.docker.io grafana/grafana latest");
        assert_eq!(whole("index.docker.io/debian:12"), "registry-1.docker.io library/debian 12");
        assert_eq!(whole("docker.io/debian"), "registry-1.docker.io library/debian latest");
        assert_eq!(whole("ghcr.io/debian"), "ghcr.io debian latest");
        assert_eq!(whole("localhost/debian"), "localhost debian latest");
        assert_eq!(whole("Host/debian"), "host debian latest");
        assert_eq!(whole("host:5000/a/b__c/d---e:T_1.x-y"), "host:5000 a/b__c/d---e T_1.x-y");
        assert_eq!(whole("[::1]:5000/a"), "[::1]:5000 a latest");
        let digest = Digest::of(b"");
        assert_eq!(whole(&format!("h.x/a:1@{digest}")), format!("h.x a {digest}"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(256);
        let id = "0123456789abcdef".repeat(4);
        for text in [
            "",
            "/",
            "a//b",
            "Debian",
            "a/B",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a:",
            "a:.x",
            "a@",
            "a@sha256:00",
            "h:x/a",
            "h:99999/a",
            "-h.x/a",
            "[::1/a",
            "[x]/a",
            "a b",
            "a:t/b",
            "ä",
            &long,
            &id,
            "h.x/",
            "a@sha512:00",
            "..",
            "../../etc",
        ] {
            assert!(Name::parse(text).is_err(), "{text}");
        }
    }
}
