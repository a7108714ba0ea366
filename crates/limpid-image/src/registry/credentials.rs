//! Credentials, from where docker and podman keep them.
//!
//! Source: containers-auth.json(5); Docker's `config.json` and the protocol of its credential helpers. Order:
//! what the user gave, then each file in turn; within a file a host's own helper, the file's helper, its
//! entries. What is found for one host is never shown to another.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::name::{DOCKER_HUB, RepositoryName};
use super::repository::credential_server;
use super::{AuthFile, AuthFileKind, RegistryError, RegistryOptions, Secret};

/// Bytes of a file of credentials, and of a helper's answer.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What a helper writes in place of a user's name if the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// What a registry can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    Password {
        username: String,
        password: Secret,
    },
    /// A token that the token server takes in place of a password.
    IdentityToken(Secret),
    /// A token that the registry takes as it is.
    RegistryToken(Secret),
}

/// A credential, if there is one, and where it was looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) credential: Option<Credential>,
    pub(crate) tried: Vec<String>,
}

/// All that may hold credentials.
pub(crate) struct Credentials {
    explicit: Option<Credential>,
    files: Vec<(String, Config)>,
    /// What may not be read, in a sentence each.
    unreadable: Vec<String>,
    /// Helpers that registries.conf names.
    helpers: Vec<String>,
    helper_timeout: Duration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    auths: Option<BTreeMap<String, Entry>>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    identitytoken: Option<String>,
    #[serde(default)]
    registrytoken: Option<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry(…)")
    }
}

impl Credentials {
    /// Reads the files; asks no helper yet.
    pub(crate) fn read(options: &RegistryOptions, helpers: &[String]) -> Result<Self, RegistryError> {
        let explicit = match (&options.token, &options.username, &options.password) {
            (Some(token), ..) => Some(Credential::RegistryToken(token.clone())),
            (None, Some(username), Some(password)) => {
                Some(Credential::Password { username: username.clone(), password: password.clone() })
            }
            _ => None,
        };
        let (mut files, mut unreadable) = (Vec::new(), Vec::new());
        for file in &options.auth_files {
            let (name, text, kind) = match file {
                AuthFile::Content { name, text } => {
                    (name.clone(), text.expose().as_bytes().to_vec(), AuthFileKind::Config)
                }
                AuthFile::Path { path, kind, required } => match read(path) {
                    Ok(bytes) => (path.display().to_string(), bytes, *kind),
                    // The machine's own file may be root's alone: others do without it.
                    Err(error) if !required && error.kind() == ErrorKind::PermissionDenied => {
                        unreadable.push(format!("{} may not be read", path.display()));
                        continue;
                    }
                    Err(error) if !required && error.kind() == ErrorKind::NotFound => continue,
                    Err(error) => return Err(unusable(path, error)),
                },
            };
            files.push((name.clone(), parse(&name, &text, kind)?));
        }
        let helpers = helpers.to_vec();
        Ok(Self { explicit, files, unreadable, helpers, helper_timeout: options.helper_timeout })
    }

    /// The credential for a repository. `explicit`: whether what the user gave is meant for its host.
    pub(crate) fn find(&self, name: &RepositoryName, explicit: bool) -> Found {
        let mut found = Found { credential: None, tried: self.unreadable.clone() };
        if let Some(credential) = self.explicit.as_ref().filter(|_| explicit) {
            found.tried.push("those given on the command line".to_owned());
            found.credential = Some(credential.clone());
            return found;
        }
        let server = credential_server(&name.host);
        for (file, config) in &self.files {
            let own = config.cred_helpers.iter().flatten().find(|(key, _)| is_host(key, &name.host));
            let helper = own.map(|(_, helper)| helper).or(config.creds_store.as_ref());
            if let Some(helper) = helper.filter(|helper| !helper.is_empty())
                && self.ask(helper, &server, &mut found)
            {
                return found;
            }
            let entry = config.auths.as_ref().and_then(|auths| entry(auths, name));
            match entry.map(Entry::credential) {
                Some(Ok(Some(credential))) => {
                    found.tried.push(format!("those of {file}"));
                    found.credential = Some(credential);
                    return found;
                }
                Some(Err(reason)) => found.tried.push(format!("{file}: {reason}")),
                Some(Ok(None)) | None => found.tried.push(format!("{file} has none")),
            }
        }
        for helper in &self.helpers {
            if self.ask(helper, &server, &mut found) {
                break;
            }
        }
        found
    }

    /// Asks a helper; whether it had something.
    fn ask(&self, helper: &str, server: &str, found: &mut Found) -> bool {
        match run_helper(helper, server, self.helper_timeout) {
            Ok(Some(credential)) => {
                found.tried.push(format!("those of docker-credential-{helper}"));
                found.credential = Some(credential);
                return true;
            }
            Ok(None) => found.tried.push(format!("docker-credential-{helper} has none")),
            Err(reason) => found.tried.push(format!("docker-credential-{helper}: {reason}")),
        }
        false
    }
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>, &'static str> {
        let full = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = full(&self.registrytoken) {
            return Ok(Some(Credential::RegistryToken(Secret::new(token))));
        }
        if let Some(token) = full(&self.identitytoken) {
            return Ok(Some(Credential::IdentityToken(Secret::new(token))));
        }
        if let Some(auth) = full(&self.auth) {
            let decoded = STANDARD.decode(auth.trim()).map_err(|_| "an entry is not in base64")?;
            let decoded = String::from_utf8(decoded).map_err(|_| "an entry is not text")?;
            let (username, password) = decoded.split_once(':').ok_or("an entry has no colon")?;
            // Docker once padded passwords with zero bytes.
            let password = Secret::new(password.trim_matches('\0'));
            return Ok(Some(Credential::Password { username: username.to_owned(), password }));
        }
        match (full(&self.username), full(&self.password)) {
            (Some(username), Some(password)) => {
                Ok(Some(Credential::Password { username, password: Secret::new(password) }))
            }
            _ => Ok(None),
        }
    }
}

/// The entry whose key is most specific: `HOST/ns/repo`, then `HOST/ns`, then `HOST` in any of the ways in
/// which Docker has written it.
fn entry<'a>(auths: &'a BTreeMap<String, Entry>, name: &RepositoryName) -> Option<&'a Entry> {
    let mut key = name.to_string();
    while let Some((shorter, _)) = key.rsplit_once('/') {
        if let Some(entry) = auths.get(&key) {
            return Some(entry);
        }
        key = shorter.to_owned();
    }
    auths
        .get(&name.host)
        .or_else(|| auths.iter().find(|(key, _)| is_host(key, &name.host)).map(|(_, entry)| entry))
}

/// Whether a key stands for a host as a whole.
fn is_host(key: &str, host: &str) -> bool {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    let same = |key: &str| key.eq_ignore_ascii_case(host);
    same(key) || (host == DOCKER_HUB && matches!(key, "index.docker.io" | "registry-1.docker.io"))
}

fn unusable(path: &Path, reason: impl std::fmt::Display) -> RegistryError {
    RegistryError::Configuration { path: path.display().to_string(), reason: reason.to_string() }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn parse(name: &str, text: &[u8], kind: AuthFileKind) -> Result<Config, RegistryError> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Config::default());
    }
    let parsed = match kind {
        AuthFileKind::Config => serde_json::from_slice(text),
        AuthFileKind::DockerCfg => {
            serde_json::from_slice(text).map(|auths| Config { auths: Some(auths), ..Config::default() })
        }
    };
    // Where it breaks is said, not what stands there.
    parsed.map_err(|error| RegistryError::Configuration {
        path: name.to_owned(),
        reason: format!("it is malformed at line {}, column {}", error.line(), error.column()),
    })
}

/// Asks `docker-credential-NAME get` for a server's credentials. It has none if it says so.
fn run_helper(name: &str, server: &str, timeout: Duration) -> Result<Option<Credential>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        #[serde(default)]
        username: String,
        #[serde(default)]
        secret: String,
    }
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    if !name.chars().all(is_plain) {
        return Err("its name is malformed".to_owned());
    }
    let mut helper = Command::new(format!("docker-credential-{name}"));
    helper.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = helper.spawn().map_err(|error| format!("it cannot be run: {error}"))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (send, receive) = mpsc::channel();
    let server = server.to_owned();
    // A helper may start others that keep its output open: the thread ends with them, we do not wait for it.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stdin) = stdin {
            // One that does not want to know the server gives up in its own way.
            let _ = stdin.write_all(server.as_bytes());
        }
        let read = stdout.map(|stdout| stdout.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
        let _ = send.send(read.unwrap_or(Ok(0)).map(|_| bytes));
    });
    let Ok(output) = receive.recv_timeout(timeout) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("it did not answer within {} s", timeout.as_secs_f32()));
    };
    let status = child.wait().map_err(|error| error.to_string())?;
    let output = output.map_err(|error| error.to_string())?;
    if !status.success() {
        let text = String::from_utf8_lossy(&output);
        let none = text.contains("credentials not found") || text.contains("no credentials server URL");
        return if none { Ok(None) } else { Err(format!("it ended with {status}")) };
    }
    let answer: Answer = serde_json::from_slice(&output).map_err(|_| "its answer is malformed".to_owned())?;
    let secret = Secret::new(answer.secret);
    Ok(match (answer.username.as_str(), secret.expose()) {
        (_, "") => None,
        (TOKEN_USER, _) => Some(Credential::IdentityToken(secret)),
        _ => Some(Credential::Password { username: answer.username, password: secret }),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn credentials(text: &str) -> Credentials {
        let file = AuthFile::Content { name: "test".to_owned(), text: Secret::new(text) };
        let options = RegistryOptions { auth_files: vec![file], ..RegistryOptions::default() };
        Credentials::read(&options, &[]).unwrap()
    }

    fn user(credentials: &Credentials, name: &str) -> String {
        let (host, path) = name.split_once('/').unwrap();
        let name = RepositoryName { host: host.to_owned(), path: path.to_owned() };
        match credentials.find(&name, false).credential {
            Some(Credential::Password { username, password }) => format!("{username}:{}", password.expose()),
            Some(Credential::IdentityToken(token)) => format!("identity {}", token.expose()),
            Some(Credential::RegistryToken(token)) => format!("registry {}", token.expose()),
            None => String::new(),
        }
    }

    #[test]
    fn the_most_specific_entry_of_exactly_this_host_wins() {
        let auth = |text: &str| STANDARD.encode(text);
        let text = format!(
            r#"{{"auths": {{
                "h.x": {{"auth": "{}"}}, "h.x/ns": {{"auth": "{}"}}, "h.x/ns/repo": {{"auth": "{}"}},
                "https://index.docker.io/v1/": {{"auth": "{}"}}, "https://old.x/v2/": {{"auth": "{}"}},
                "i.x": {{"identitytoken": "I"}}, "r.x": {{"registrytoken": "R"}}, "bad.x": {{"auth": "?"}},
                "p.x:5000": {{"username": "u", "password": "p"}}, "e.x": {{}}
            }}}}"#,
            auth("a:1"),
            auth("b:2"),
            auth("c:3:4"),
            auth("hub:5"),
            auth("old:6")
        );
        let credentials = credentials(&text);
        for (name, expected) in [
            ("h.x/other", "a:1"),
            ("h.x/ns/other", "b:2"),
            ("h.x/ns/repo", "c:3:4"),
            ("h.x/nsx", "a:1"),
            ("docker.io/library/debian", "hub:5"),
            ("old.x/a", "old:6"),
            ("i.x/a", "identity I"),
            ("r.x/a", "registry R"),
            ("p.x:5000/a", "u:p"),
            ("p.x/a", ""),
            ("sub.h.x/a", ""),
            ("bad.x/a", ""),
            ("e.x/a", ""),
        ] {
            assert_eq!(user(&credentials, name), expected, "{name}");
        }
        let bad = RepositoryName { host: "bad.x".to_owned(), path: "a".to_owned() };
        assert_eq!(credentials.find(&bad, false).tried, ["test: an entry is not in base64"]);
    }

    #[test]
    fn what_the_user_gave_is_for_one_host_and_is_never_shown() {
        let options = RegistryOptions {
            username: Some("me".to_owned()),
            password: Some(Secret::new("hidden")),
            ..RegistryOptions::default()
        };
        let credentials = Credentials::read(&options, &[]).unwrap();
        let name = RepositoryName { host: "h.x".to_owned(), path: "a".to_owned() };
        assert!(credentials.find(&name, true).credential.is_some());
        assert!(credentials.find(&name, false).credential.is_none());
        let shown = format!("{options:?} {:?}", credentials.find(&name, true));
        assert!(!shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn a_malformed_file_is_named_and_not_repeated() {
        for text in ["{\"auths\": {\"h\": {\"auth\": hidden}}}", "[\"hidden\"]"] {
            let file = AuthFile::Content { name: "the file".to_owned(), text: Secret::new(text) };
            let options = RegistryOptions { auth_files: vec![file], ..RegistryOptions::default() };
            let error = Credentials::read(&options, &[]).err().unwrap().to_string();
            assert!(error.contains("the file") && !error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn helpers_have_plain_names() {
        assert!(run_helper("../x", "h", Duration::from_secs(1)).unwrap_err().contains("malformed"));
        assert!(run_helper("none-of-that-name", "h", Duration::from_secs(1)).unwrap_err().contains("run"));
    }
}
