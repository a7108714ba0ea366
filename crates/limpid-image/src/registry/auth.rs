//! Challenges, and tokens for them.
//!
//! Source: RFC 9110, section 11.6.1 (`WWW-Authenticate`); the distribution project's "Token Authentication
//! Specification" and "OAuth2 Token Authentication".

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::client::{Ask, Client, Response, said, without_query};
use super::credentials::Credential;
use super::{RegistryError, Secret};

/// Bytes of a token server's answer. Tokens have a few thousand; some carry long lists of groups.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Challenges and parameters of one answer.
const PARAMETERS_MAX: usize = 64;

/// One way to authenticate that a server offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Challenge {
    /// `basic` or `bearer`, in lower case.
    pub(crate) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The challenges of an answer: of all its `WWW-Authenticate` headers.
pub(crate) fn challenges(response: &Response) -> Vec<Challenge> {
    let headers = response.headers().get_all(ureq::http::header::WWW_AUTHENTICATE);
    headers.iter().filter_map(|value| value.to_str().ok()).flat_map(parse).collect()
}

/// Reads one header. What does not follow the grammar is passed over as far as that is possible.
fn parse(text: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = text;
    for _ in 0..PARAMETERS_MAX {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let end = rest.find([',', ' ', '\t', '=']).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        if word.is_empty() {
            break;
        }
        let value = tail.trim_start_matches([' ', '\t']).strip_prefix('=');
        match (value, challenges.last_mut()) {
            (Some(value), Some(challenge)) => {
                let (value, tail) = parameter_value(value.trim_start_matches([' ', '\t']));
                challenge.parameters.push((word.to_ascii_lowercase(), value));
                rest = tail;
            }
            (Some(_), None) => break,
            (None, _) => {
                challenges.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
                rest = tail;
            }
        }
    }
    challenges
}

/// A quoted string or a token, and what follows it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

/// `Authorization` for a user and password.
pub(crate) fn basic(username: &str, password: &Secret) -> Secret {
    Secret::new(format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.expose()))))
}

pub(crate) fn bearer(token: &Secret) -> Secret {
    Secret::new(format!("Bearer {}", token.expose()))
}

/// A token, and what further ones may be had for without the password.
pub(crate) struct Token {
    pub(crate) token: Secret,
    pub(crate) refresh_token: Option<Secret>,
}

/// Asks the challenge's server for a token to pull from `repository`.
pub(crate) fn token(
    client: &Client,
    challenge: &Challenge,
    repository: &str,
    credential: Option<&Credential>,
    insecure: &[String],
) -> Result<Token, RegistryError> {
    let what = format!("the repository {repository}");
    let failed = |realm: &str, reason: String| RegistryError::Token {
        realm: without_query(realm),
        what: what.clone(),
        reason,
    };
    let realm = challenge.parameter("realm").unwrap_or_default();
    if realm.is_empty() {
        return Err(failed("the registry", "its challenge names no token server".to_owned()));
    }
    let pull = format!("repository:{repository}:pull");
    let scope = challenge.parameter("scope").filter(|scope| !scope.is_empty()).unwrap_or(&pull);
    let service = challenge.parameter("service").unwrap_or_default();
    let url;
    let mut ask = Ask { url: realm, what: &what, ..Ask::default() };
    if let Some(Credential::IdentityToken(identity)) = credential {
        let form = [
            ("grant_type", "refresh_token"),
            ("service", service),
            ("client_id", "limpid"),
            ("scope", scope),
            ("refresh_token", identity.expose()),
        ];
        ask.form = Some(Secret::new(query(&form)));
    } else {
        // Several scopes in one challenge are separated by spaces and asked for one by one.
        let mut fields = vec![("service", service)];
        fields.extend(scope.split(' ').filter(|scope| !scope.is_empty()).map(|scope| ("scope", scope)));
        if let Some(Credential::Password { username, password }) = credential {
            fields.push(("account", username));
            ask.authorization = Some(basic(username, password));
        }
        fields.retain(|(_, value)| !value.is_empty());
        let separator = if realm.contains('?') { '&' } else { '?' };
        url = format!("{realm}{separator}{}", query(&fields));
        ask.url = &url;
    }
    let response = client.send(&ask, insecure)?;
    let status = response.status().as_u16();
    if status != 200 {
        let (_, said) = said(response);
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        let reason = match status {
            401 | 403 => format!("it does not accept the credentials ({status}{said})"),
            _ => format!("it answered {status}{said}"),
        };
        return Err(failed(realm, reason));
    }
    read(response).map_err(|reason| failed(realm, reason))
}

fn read(response: Response) -> Result<Token, String> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        token: Option<String>,
        #[serde(default)]
        access_token: Option<String>,
        #[serde(default)]
        refresh_token: Option<String>,
    }
    let mut bytes = Vec::new();
    let mut body = response.into_body().into_reader().take(ANSWER_BYTES_MAX + 1);
    body.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > ANSWER_BYTES_MAX {
        return Err(format!("its answer has more than {ANSWER_BYTES_MAX} bytes"));
    }
    // The parser's own words might repeat a part of a token.
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| "its answer is malformed".to_owned())?;
    let full = |text: Option<String>| text.filter(|text| !text.is_empty());
    let token = full(answer.token).or_else(|| full(answer.access_token));
    Ok(Token {
        token: Secret::new(token.ok_or_else(|| "its answer has no token".to_owned())?),
        refresh_token: full(answer.refresh_token).map(Secret::new),
    })
}

/// `application/x-www-form-urlencoded`
fn query(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let shown = |challenge: Challenge| {
            let parameters: Vec<String> =
                challenge.parameters.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{} {}", challenge.scheme, parameters.join("|"))
        };
        parse(text).into_iter().map(shown).collect()
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        assert_eq!(
            shown(r#"Bearer realm="https://a/token",service="r.x",scope="repository:a/b:pull,push""#),
            ["bearer realm=https://a/token|service=r.x|scope=repository:a/b:pull,push"]
        );
        assert_eq!(shown(r#"Basic realm="Registry Realm""#), ["basic realm=Registry Realm"]);
        assert_eq!(
            shown(r#"Basic realm="a \"b\"", Bearer realm=x, service = "y""#),
            [r#"basic realm=a "b""#, "bearer realm=x|service=y"]
        );
        assert_eq!(shown("Negotiate, BASIC"), ["negotiate ", "basic "]);
        assert_eq!(shown(r#"Bearer realm="open"#), ["bearer realm=open"]);
        assert!(shown("=x").is_empty() && shown("").is_empty() && shown(", ,").is_empty());
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(query(&[("a", "b c&d"), ("e", "ä:/")]), "a=b%20c%26d&e=%C3%A4%3A%2F");
    }

    proptest! {
        #[test]
        fn no_challenge_breaks_the_reader(text in ".{0,200}") {
            prop_assert!(parse(&text).len() <= PARAMETERS_MAX);
        }
    }
}
