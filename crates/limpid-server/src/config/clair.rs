//! Clair's own `config.yaml`: what of it means something here.
//!
//! Source: Clair's reference of its configuration (version 4.8). Keys that have no meaning are told of, each once; drop-in
//! files beside it are not read.

use serde_json::{Value, json};

/// Keys of Clair's that need no counterpart: there is nothing to be set.
const NEEDLESS: [&str; 5] =
    ["indexer.migrations", "matcher.migrations", "notifier.migrations", "indexer.airgap", "metrics.name"];

/// Clair's keys in our words.
pub(super) fn translate(clair: &Value, warnings: &mut Vec<String>) -> Value {
    let mut settings = json!({});
    let mut leaves = Vec::new();
    collect("", clair, &mut leaves);
    for (key, value) in leaves {
        let text = value.as_str().map(str::to_owned).unwrap_or_else(|| value.to_string());
        let translated = match key.as_str() {
            "http_listen_addr" => json!({ "listen": text }),
            "introspection_addr" if text.is_empty() => json!({ "introspection": "off" }),
            "introspection_addr" => json!({ "introspection": text }),
            "log_level" => match level(&text) {
                Some(level) => json!({ "log": { "level": level } }),
                None => {
                    warnings.push(format!("log_level: `{text}` is no level; it is left at its default"));
                    continue;
                }
            },
            "auth.psk.key" => json!({ "auth": { "psk": { "key": text } } }),
            "auth.psk.iss" => json!({ "auth": { "psk": { "issuers": value } } }),
            "matcher.period" => json!({ "feeds": { "period": text } }),
            "matcher.cache_age" => json!({ "clair": { "cache_age": text } }),
            "matcher.disable_updaters" => json!({ "feeds": { "update": value != &Value::Bool(true) } }),
            "indexer.index_report_request_concurrency" => json!({ "limits": { "index_requests": value } }),
            "indexer.layer_scan_concurrency" => json!({ "limits": { "layers": value } }),
            key if NEEDLESS.contains(&key) => continue,
            key => {
                warnings.push(format!("{key}: {}", without_meaning(key)));
                continue;
            }
        };
        super::merge(&mut settings, translated);
    }
    settings
}

/// Every key with its value; lists are values.
fn collect<'v>(prefix: &str, value: &'v Value, leaves: &mut Vec<(String, &'v Value)>) {
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                let full = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                collect(&full, value, leaves);
            }
        }
        _ => leaves.push((prefix.to_owned(), value)),
    }
}

fn level(text: &str) -> Option<&'static str> {
    Some(match text {
        "trace" => "trace",
        "debug" | "debug-color" => "debug",
        "info" => "info",
        "warn" => "warn",
        "error" | "fatal" | "panic" => "error",
        _ => return None,
    })
}

fn without_meaning(key: &str) -> &'static str {
    let after = |prefix: &str| key.starts_with(prefix);
    if key.ends_with("connstring") {
        "Limpid has a store of its own; name it with --store"
    } else if after("updaters.") || after("matchers.") {
        "it has no counterpart; feeds follow from the images, and from feeds.releases"
    } else if after("notifier.") {
        "it is not used: this service sends no notifications"
    } else if after("tls.") {
        "it is not used: put a server that speaks TLS before the service"
    } else if after("trace.") {
        "it is not used: the service sends no traces"
    } else if key.ends_with("_addr") {
        "it is not used: all parts share one store"
    } else {
        "it has no counterpart and is not used"
    }
}
