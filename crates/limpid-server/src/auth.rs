//! Who may ask: whoever shows a token that the shared key signed.
//!
//! Source: RFC 7519 (JWT), HS256 alone, as Clair and Quay use it: an issuer that is named or Clair's own, an end that lies
//! ahead, no start that does. Quay's tokens have `iss` and `exp` and nothing else.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

use crate::Auth;

/// Whom Clair's own parts speak as.
const INTRASERVICE: &str = "clair-intraservice";
/// Seconds that clocks may differ, as in Clair.
const LEEWAY_SECONDS: u64 = 15;
/// Bytes of a token: those met have two hundred.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Decides who may ask.
pub(crate) enum Guard {
    Everybody,
    Psk { key: DecodingKey, validation: Box<Validation> },
}

#[derive(Deserialize)]
struct Claims {}

impl Guard {
    pub(crate) fn new(auth: &Auth) -> Self {
        let Auth::Psk { key, issuers } = auth else { return Self::Everybody };
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["exp", "iss"]);
        let issuers: Vec<&str> = issuers.iter().map(String::as_str).chain([INTRASERVICE]).collect();
        validation.set_issuer(&issuers);
        Self::Psk { key: DecodingKey::from_secret(key), validation: Box::new(validation) }
    }

    /// Whether what a request shows is enough.
    fn admits(&self, authorization: Option<&str>) -> bool {
        let Self::Psk { key, validation } = self else { return true };
        let Some((scheme, token)) = authorization.and_then(|text| text.split_once(' ')) else { return false };
        let token = token.trim();
        scheme.eq_ignore_ascii_case("bearer")
            && token.len() <= TOKEN_BYTES_MAX
            && decode::<Claims>(token, key, validation).is_ok()
    }
}

/// A guard before an API, and how that API tells those who are not let through.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) guard: Arc<Guard>,
    pub(crate) refuse: fn() -> Response,
}

/// Lets through whom the guard admits.
pub(crate) async fn check(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if gate.guard.admits(shown) { next.run(request).await } else { (gate.refuse)() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::*;

    const KEY: &[u8] = b"0123456789abcdef";

    fn now() -> u64 {
        jsonwebtoken::get_current_timestamp()
    }

    fn admits(token: &str) -> bool {
        let guard = Guard::new(&Auth::Psk { key: KEY.to_owned(), issuers: vec!["quay".to_owned()] });
        guard.admits(Some(&format!("Bearer {token}")))
    }

    fn signed(key: &[u8], algorithm: Algorithm, claims: &Value) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(key)).unwrap()
    }

    #[test]
    fn quays_and_clairs_tokens_are_admitted() {
        assert!(admits(&signed(KEY, Algorithm::HS256, &json!({"iss": "quay", "exp": now() + 300}))));
        let own = json!({"iss": "clair-intraservice", "iat": now(), "nbf": now() - 60, "exp": now() + 60});
        assert!(admits(&signed(KEY, Algorithm::HS256, &own)));
        assert!(admits(&signed(
            KEY,
            Algorithm::HS256,
            &json!({"iss": "quay", "aud": "x", "exp": now() - 5})
        )));
    }

    #[test]
    fn all_others_are_refused() {
        let good = json!({"iss": "quay", "exp": now() + 300});
        for (why, token) in [
            ("another key", signed(b"fedcba9876543210", Algorithm::HS256, &good)),
            ("another algorithm", signed(KEY, Algorithm::HS512, &good)),
            ("expired", signed(KEY, Algorithm::HS256, &json!({"iss": "quay", "exp": now() - 60}))),
            (
                "not yet",
                signed(KEY, Algorithm::HS256, &json!({"iss": "quay", "nbf": now() + 60, "exp": now() + 300})),
            ),
            ("another issuer", signed(KEY, Algorithm::HS256, &json!({"iss": "mallory", "exp": now() + 300}))),
            ("no issuer", signed(KEY, Algorithm::HS256, &json!({"exp": now() + 300}))),
            ("no end", signed(KEY, Algorithm::HS256, &json!({"iss": "quay"}))),
        ] {
            assert!(!admits(&token), "{why}");
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        for algorithm in ["none", "None", "NONE"] {
            let head = part(&json!({"alg": algorithm, "typ": "JWT"}));
            assert!(!admits(&format!("{head}.{}.", part(&good))), "{algorithm}");
        }
        // A sound signature under a head that says that there is none.
        let sound = signed(KEY, Algorithm::HS256, &good);
        let signature = sound.rsplit('.').next().unwrap();
        assert!(!admits(&format!("{}.{}.{signature}", part(&json!({"alg": "none"})), part(&good))));
        for shown in
            [None, Some(""), Some("Bearer"), Some("Bearer "), Some("Basic cXVheTo="), Some("Bearer a.b.c")]
        {
            let guard = Guard::new(&Auth::Psk { key: KEY.to_owned(), issuers: Vec::new() });
            assert!(!guard.admits(shown), "{shown:?}");
        }
    }
}
