//! A webhook: each event is posted as JSON, and signed.
//!
//! Headers and signature are those of the Standard Webhooks specification, version 1.0.0
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>), for which libraries
//! exist in most languages: `webhook-id` is the event's id, the same whenever it is sent; `webhook-timestamp` the time
//! of the attempt; `webhook-signature` is `v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64.
//!
//! An answer of 2xx is delivery. One that says that this message is wrong (400, 410, 413, 414, 415, 422 and others of
//! 4xx) makes it a dead letter at once. All others concern the address, the credentials or the moment (401, 403, 404,
//! 405, 407, 408, 409, 425, 429, 3xx, 5xx): the message waits, and with it those behind it. `Retry-After` is obeyed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use sha2::Sha256;

use crate::{Answer, Channel, Failure, Http, Message, Taken};

/// How a secret begins that is written in base64.
const ENCODED: &str = "whsec_";
/// Bytes of a secret. Below that it can be guessed; above, it is no secret but a file named by mistake.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=1024;
/// Characters of an answer that an error quotes.
const QUOTED_MAX: usize = 200;

/// Why there is no such webhook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The address is none.
    #[error(
        "`{0}` is no address of a webhook: it begins with https:// or http://, and has no name or password in it"
    )]
    Address(String),
    /// The secret is none.
    #[error("the webhook's secret has {0} bytes; it must have 16 to 1024")]
    Secret(usize),
    /// The secret says that it is base64 and is not.
    #[error("the webhook's secret begins with whsec_, and what follows is no base64")]
    Encoding,
    /// A header cannot be sent.
    #[error("`{0}` is no header: write NAME: VALUE")]
    Header(String),
}

/// A webhook.
pub struct Webhook<'a> {
    url: String,
    secret: Option<Vec<u8>>,
    headers: Vec<(String, String)>,
    http: &'a dyn Http,
}

impl<'a> Webhook<'a> {
    /// The webhook at an address. Its messages are signed if there is a secret: `whsec_` and base64, or the bytes
    /// themselves. `headers` are sent besides, written as `NAME: VALUE`.
    pub fn new(
        url: &str,
        secret: Option<&str>,
        headers: &[String],
        http: &'a dyn Http,
    ) -> Result<Self, WebhookError> {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.is_empty()
            || host.contains('@')
            || url.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err(WebhookError::Address(target(url)));
        }
        let headers = headers.iter().map(|header| {
            let (name, value) = header.split_once(':').unwrap_or_default();
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let value = value.trim();
            let is_sent = !name.is_empty() && name.bytes().all(is_token) && !value.contains(char::is_control);
            // Its value may be a credential, so only the name is told.
            if is_sent {
                Ok((name.to_owned(), value.to_owned()))
            } else {
                Err(WebhookError::Header(name.to_owned()))
            }
        });
        Ok(Self {
            url: url.to_owned(),
            secret: secret.map(decoded).transpose()?,
            headers: headers.collect::<Result<_, _>>()?,
            http,
        })
    }

    fn send(&self, message: &Message, now: i64) -> Result<(), Failure> {
        let mut headers = vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("webhook-id".to_owned(), message.id.clone()),
            ("webhook-timestamp".to_owned(), now.to_string()),
        ];
        if let Some(secret) = &self.secret {
            headers.push(("webhook-signature".to_owned(), signature(secret, message, now)));
        }
        headers.extend(self.headers.iter().cloned());
        let answer = self.http.post(&self.url, &headers, &message.body);
        let answer = answer.map_err(|reason| {
            // An error may name the address, and with it what is not to be shown.
            let reason = reason.replace(&self.url, &self.target());
            Failure::passing(format!("{}: {reason}", self.target()))
        })?;
        judge(&answer, now)
    }
}

impl Channel for Webhook<'_> {
    fn target(&self) -> String {
        target(&self.url)
    }

    fn deliver(&mut self, messages: &[Message], now: i64) -> Taken {
        for (position, message) in messages.iter().enumerate() {
            if let Err(failure) = self.send(message, now) {
                return Taken { messages: position, failure: Some(failure) };
            }
        }
        Taken { messages: messages.len(), failure: None }
    }
}

/// An address as people may read it: what stands before an `@` or behind a `?` may be a secret.
fn target(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let host = rest.find('/').unwrap_or(rest.len());
    let begins = rest[..host].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[begins..])
}

fn decoded(secret: &str) -> Result<Vec<u8>, WebhookError> {
    let secret = secret.trim();
    let bytes = match secret.strip_prefix(ENCODED) {
        Some(encoded) => STANDARD.decode(encoded).map_err(|_| WebhookError::Encoding)?,
        None => secret.as_bytes().to_vec(),
    };
    if SECRET_BYTES.contains(&bytes.len()) { Ok(bytes) } else { Err(WebhookError::Secret(bytes.len())) }
}

fn signature(secret: &[u8], message: &Message, now: i64) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(format!("{}.{now}.", message.id).as_bytes());
    mac.update(&message.body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn judge(answer: &Answer, now: i64) -> Result<(), Failure> {
    let status = answer.status;
    let quoted: String = answer.body.trim().chars().filter(|c| !c.is_control()).take(QUOTED_MAX).collect();
    let mut reason = format!("it answered {status}");
    if !answer.location.is_empty() {
        reason.push_str(&format!(" and names {}, which is not followed", target(&answer.location)));
    } else if !quoted.is_empty() {
        reason.push_str(&format!(": {quoted}"));
    }
    let retry_after_seconds = retry_after(&answer.retry_after, now);
    match status {
        200..=299 => Ok(()),
        401 | 403 | 404 | 405 | 407 | 408 | 409 | 425 | 429 => {
            Err(Failure::Passing { reason, retry_after_seconds })
        }
        400..=499 => Err(Failure::Lasting { reason }),
        _ => Err(Failure::Passing { reason, retry_after_seconds }),
    }
}

/// Seconds of a `Retry-After`: a number, or a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str, now: i64) -> Option<i64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(i64::from(seconds));
    }
    let until: Timestamp = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some((until.as_second() - now).max(0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    struct Never;

    impl Http for Never {
        fn post(&self, _: &str, _: &[(String, String)], _: &[u8]) -> Result<Answer, String> {
            Err("never".to_owned())
        }
    }

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example that the specification's own libraries test with.
        let message = Message {
            number: 1,
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            body: br#"{"test": 2432232314}"#.to_vec(),
        };
        let secret = decoded("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(&secret, &message, 1_614_265_330);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        assert_eq!(target("https://example.org/hook?token=abc#x"), "https://example.org/hook");
        assert_eq!(target("https://me:hidden@example.org/a@b"), "https://example.org/a@b");
        let refused = |url: &str| Webhook::new(url, None, &[], &Never).err().unwrap().to_string();
        assert!(!refused("https://me:hidden@example.org").contains("hidden"));
        for bad in ["", "example.org", "ftp://example.org", "https://", "https://a b/"] {
            assert!(Webhook::new(bad, None, &[], &Never).is_err(), "{bad}");
        }
        let header = |text: &str| Webhook::new("http://a", None, &[text.to_owned()], &Never);
        assert!(header("Authorization: Bearer x").is_ok());
        assert!(header("no header").is_err() && header("a b: c").is_err() && header("a: b\r\nc: d").is_err());
    }

    #[test]
    fn secrets_are_long_enough_and_soundly_written() {
        assert_eq!(decoded("short"), Err(WebhookError::Secret(5)));
        assert_eq!(decoded("whsec_***"), Err(WebhookError::Encoding));
        assert_eq!(decoded("a sentence of thirty characters\n").unwrap().len(), 31);
    }

    #[test]
    fn answers_say_whether_to_come_again() {
        let answer = |status, retry_after: &str| {
            judge(&Answer { status, retry_after: retry_after.to_owned(), ..Answer::default() }, 784_111_717)
        };
        assert_eq!(answer(204, ""), Ok(()));
        for status in [400, 410, 413, 415, 422, 451] {
            assert!(matches!(answer(status, "5"), Err(Failure::Lasting { .. })), "{status}");
        }
        for status in [301, 308, 401, 403, 404, 408, 429, 500, 503] {
            assert!(
                matches!(answer(status, ""), Err(Failure::Passing { retry_after_seconds: None, .. })),
                "{status}"
            );
        }
        let after = |text: &str| match answer(429, text) {
            Err(Failure::Passing { retry_after_seconds, .. }) => retry_after_seconds,
            other => panic!("{other:?}"),
        };
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(60));
        assert_eq!(after("soon"), None);
    }
}
