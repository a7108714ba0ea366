use super::*;

fn load(own: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(File { name: "own.yaml", text: own }), None, environment).map(|(config, _)| config)
}

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";

#[test]
fn defaults_are_sound_and_stay_on_loopback() {
    let config = load("", &[]).unwrap();
    assert!(config.auth().unwrap() == Auth::Unset);
    assert_eq!(config.introspection_address().unwrap().unwrap().to_string(), "127.0.0.1:8089");
    assert_eq!(config.feeds.period, Duration::from_secs(6 * 3600));
}

#[test]
fn the_network_is_served_only_on_purpose() {
    for listen in [":6060", "0.0.0.0:1", "[::]:1", "192.0.2.1:80"] {
        let own = format!("listen: \"{listen}\"");
        assert!(matches!(load(&own, &[]), Err(ConfigError::Open { .. })), "{listen}");
        assert!(load(&format!("{own}\nauth: none"), &[]).is_ok(), "{listen}");
        assert!(load(&format!("{own}\nauth: {{psk: {{key: {KEY}, issuers: [quay]}}}}"), &[]).is_ok());
    }
    assert!(load("listen: 127.3.2.1:1", &[]).is_ok());
}

#[test]
fn a_mistake_names_its_key_and_never_the_secret() {
    for (own, key) in [
        ("listn: x", "listn"),
        ("limits: {body_bites: 1}", "limits"),
        ("limits: {body_bytes: many}", "limits.body_bytes"),
        ("feeds: {period: soon}", "feeds.period"),
        ("feeds: {releases: [plan9:4]}", "feeds.releases"),
        ("registries: [\"https://a\"]", "registries"),
        ("listen: nowhere", "listen"),
        ("auth: {psk: {key: c2hvcnQ=}}", "auth.psk.key"),
        ("auth: {psk: {key: hidden!}}", "auth.psk.key"),
        ("auth: all", "auth"),
        ("limits: {connections: 0}", "limits.connections"),
    ] {
        let error = load(own, &[]).unwrap_err().to_string();
        assert!(error.contains(key), "{own}: {error}");
        assert!(!error.contains("hidden"), "{error}");
    }
    let config = load(&format!("auth: {{psk: {{key: {KEY}}}}}"), &[]).unwrap();
    assert!(!format!("{config:?}").contains(KEY));
}

#[test]
fn the_environment_comes_last() {
    let config = load(
        "listen: 127.0.0.1:1\nregistries: [a.example]",
        &[
            ("LIMPID_SERVE_LISTEN", ":2"),
            ("LIMPID_SERVE_AUTH_PSK_KEY", KEY),
            ("LIMPID_SERVE_AUTH_PSK_ISSUERS", "quay, other"),
            ("LIMPID_SERVE_REGISTRIES", "b.example,10.0.0.0/8"),
            ("LIMPID_SERVE_LIMITS_BODY_BYTES", "5"),
            ("LIMPID_SERVE_FEEDS_UPDATE", "false"),
            ("LIMPID_STORE", "unrelated"),
        ],
    );
    let config = config.unwrap();
    assert_eq!((config.listen.as_str(), config.limits.body_bytes, config.feeds.update), (":2", 5, false));
    assert_eq!(config.registries, ["b.example", "10.0.0.0/8"]);
    assert!(matches!(config.auth().unwrap(), Auth::Psk { issuers, .. } if issuers == ["quay", "other"]));
    assert!(load("", &[("LIMPID_SERVE_LISTN", "x")]).is_err());
}

#[test]
fn clairs_file_is_read_and_what_has_no_meaning_is_told() {
    let text = format!(
        "http_listen_addr: \":6060\"\nintrospection_addr: \":8089\"\nlog_level: debug-color\nindexer:\n  connstring: host=db\n  \
         scanlock_retry: 10\n  layer_scan_concurrency: 5\n  migrations: true\nmatcher:\n  connstring: host=db\n  period: 2h\n  \
         indexer_addr: clair-indexer\nnotifier:\n  webhook: {{target: \"http://quay\"}}\nauth:\n  psk:\n    key: {KEY}\n    iss: [quay]\n"
    );
    let clair = Some(File { name: "config.yaml", text: &text });
    let (config, warnings) = Config::load(None, clair, []).unwrap();
    assert_eq!(config.listen, ":6060");
    assert_eq!(config.introspection_address().unwrap().unwrap().to_string(), "0.0.0.0:8089");
    assert_eq!((config.feeds.period.as_secs(), config.limits.layers), (7200, 5));
    assert_eq!(config.log.level, LogLevel::Debug);
    assert!(matches!(config.auth().unwrap(), Auth::Psk { issuers, .. } if issuers == ["quay"]));
    let keys: Vec<&str> = warnings.iter().filter_map(|warning| warning.split(':').next()).collect();
    assert_eq!(
        keys,
        [
            "indexer.connstring",
            "indexer.scanlock_retry",
            "matcher.connstring",
            "matcher.indexer_addr",
            "notifier.webhook.target"
        ]
    );
}
