//! Connections that break and servers that go away, under an engine whose server is elsewhere.

use std::sync::atomic::{AtomicBool, Ordering};

use limpid_model::{Advisory, Digest};
use limpid_store::{Credentials, Error, FeedKey, FeedOutcome, PostgresStore, Store as _, Upkeep as _};
use limpid_testkit::{Passage, Postgres, require_or_skip};

use crate::fleet_of::*;

fn cluster() -> Option<&'static Postgres> {
    require_or_skip(Postgres::shared(), "PostgreSQL")
}

fn open(address: &str) -> PostgresStore {
    PostgresStore::open(address, &Credentials::default()).unwrap()
}

/// What is stored counts once, wherever the connection breaks: before, within or after the commit.
#[test]
fn nothing_is_lost_or_counted_twice_when_a_connection_breaks() {
    let Some(cluster) = cluster() else { return };
    let address = cluster.database();
    let passage = Passage::to(cluster.port());
    let store = open(&address.replace(&cluster.port().to_string(), &passage.port().to_string()));
    let mut expected = 0;
    for answers in 0..40 {
        passage.cut_after(answers);
        store.put_layer(&layer("one")).unwrap();
        expected += 1;
        assert_eq!(store.readings(&Digest::of(b"one")).unwrap(), expected, "cut after {answers}");
        let key = FeedKey { feed: "f".into(), document: "d".into() };
        let mut update = store.begin_update(&key).unwrap();
        update.add(Advisory { id: format!("CVE-{answers}"), ..Advisory::default() }).unwrap();
        let stats = update.commit(&FeedOutcome { now: NOW, ..FeedOutcome::default() }).unwrap();
        assert_eq!(stats.revision, expected, "cut after {answers}");
        let image = put(&store, &format!("image {answers}"), &[base()]);
        assert_eq!(image.0 as u64, expected, "cut after {answers}");
    }
    passage.cut_after(-1);
    assert_eq!(store.status().unwrap().revisions, expected);
    sound(&store);
}

#[test]
fn a_server_that_restarts_is_waited_for() {
    let Some(cluster) = require_or_skip(Postgres::start(&[]), "PostgreSQL") else { return };
    let address = cluster.database();
    let done = AtomicBool::new(false);
    let store = open(&address);
    let stored = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|number| {
                let (store, done) = (&store, &done);
                scope.spawn(move || {
                    let mut count = 0;
                    while !done.load(Ordering::Relaxed) {
                        put(store, &format!("image {number} {count}"), &[base()]);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for round in 0..6 {
            std::thread::sleep(std::time::Duration::from_millis(200));
            match round % 3 {
                0 => cluster.cut(&address),
                1 => cluster.restart(),
                _ => cluster.crash(),
            }
        }
        done.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).sum::<u64>()
    });
    assert!(stored > 0);
    let status = store.status().unwrap();
    assert_eq!((status.images, status.nodes), (stored, 1), "nothing acknowledged is missing");
    sound(&store);
}

#[test]
fn who_cannot_connect_is_told_why_and_no_password() {
    let Some(cluster) = cluster() else { return };
    let address = cluster.database();
    let open = |address: &str| PostgresStore::open(address, &Credentials::default()).unwrap_err();
    let unreachable = |address: &str| match open(address) {
        Error::Unreachable { address, reason } => format!("{address}: {reason}"),
        error => panic!("{error:?}"),
    };
    let wrong = unreachable(&address.replace("limpid-test", "wr0ng"));
    assert!(wrong.contains("password authentication failed") && !wrong.contains("wr0ng"), "{wrong}");
    assert!(unreachable(&format!("{address}_none")).contains("does not exist"));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = unreachable(&format!("postgres://me:s3cret@127.0.0.1:{closed}/d"));
    assert!(refused.contains("refused") && !refused.contains("s3cret"), "{refused}");
}

#[test]
fn a_schema_of_somebody_else_or_of_a_newer_limpid_is_left_alone() {
    let Some(cluster) = cluster() else { return };
    let address = cluster.database();
    cluster.sql(&address, "CREATE SCHEMA limpid; CREATE TABLE limpid.image (x INT)");
    let open = |address: &str| PostgresStore::open(address, &Credentials::default());
    assert!(matches!(open(&address), Err(Error::NotAStore { .. })));
    let address = cluster.database();
    drop(open(&address).unwrap());
    let newer = |readable_from: u32| {
        format!(
            "DELETE FROM limpid.migration WHERE version > 1; INSERT INTO limpid.migration VALUES (99, {readable_from}, now())"
        )
    };
    cluster.sql(&address, &newer(1));
    open(&address).unwrap();
    cluster.sql(&address, &newer(99));
    assert!(matches!(open(&address), Err(Error::TooNew { found: 99, .. })));
}

/// Many processes make the schema at once, and a reader is not in their way.
#[test]
fn many_open_an_empty_database_at_once() {
    let Some(cluster) = cluster() else { return };
    let address = cluster.database();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| open(&address).status().unwrap());
        }
    });
    assert_eq!(cluster.sql(&address, "SELECT count(*) FROM limpid.migration"), "1");
    // A database that may only be read answers.
    shared_image(&open(&address));
    cluster.sql(&address, "CREATE ROLE reader LOGIN PASSWORD 'r'; GRANT USAGE ON SCHEMA limpid TO reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA limpid TO reader; ALTER ROLE reader SET default_transaction_read_only = on");
    let reader = open(&address.replace("limpid:limpid-test", "reader:r"));
    assert_eq!(reader.status().unwrap().images, 1);
    assert!(matches!(reader.put_layer(&layer("x")), Err(Error::ReadOnly)));
    assert!(matches!(reader.backup(std::path::Path::new("x")), Err(Error::Elsewhere(_))));
}

#[test]
fn a_server_is_spoken_to_in_tls() {
    let Some(cluster) = require_or_skip(Postgres::start(&[]), "PostgreSQL") else { return };
    let openssl = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=db"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "server.key", "-out", "server.crt"])
        .current_dir(cluster.folder())
        .output();
    let made = openssl.is_ok_and(|output| output.status.success());
    if require_or_skip(made.then_some(()), "openssl").is_none() {
        return;
    }
    let (key, certificate) = (cluster.folder().join("server.key"), cluster.folder().join("server.crt"));
    let data = cluster.folder().join("data");
    assert!(
        std::process::Command::new("chown")
            .arg("--reference")
            .arg(&data)
            .arg(&key)
            .status()
            .unwrap()
            .success()
    );
    cluster.sql("postgres", &format!("ALTER SYSTEM SET ssl_key_file = '{}'", key.display()));
    cluster.sql("postgres", &format!("ALTER SYSTEM SET ssl_cert_file = '{}'", certificate.display()));
    cluster.sql("postgres", "ALTER SYSTEM SET ssl = on");
    cluster.restart();
    let address = cluster.database();
    let open = |host: &str, parameters: &str| {
        let address = format!("{}?{parameters}", address.replace("127.0.0.1", host));
        PostgresStore::open(&address, &Credentials::default())
    };
    let encrypted = || {
        cluster.sql("postgres", "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE ssl AND application_name = 'limpid'")
    };
    let ca = format!("sslrootcert={}", certificate.display());
    let plain = open("127.0.0.1", "sslmode=disable").unwrap();
    assert_eq!(encrypted(), "0");
    drop(plain);
    for parameters in ["sslmode=prefer", "sslmode=require", &format!("sslmode=verify-ca&{ca}")] {
        let store = open("127.0.0.1", parameters).unwrap();
        assert_eq!(encrypted(), "1", "{parameters}");
        store.put_layer(&layer("x")).unwrap();
    }
    drop(open("localhost", &format!("sslmode=verify-full&{ca}")).unwrap());
    let refused = |host: &str, parameters: &str| match open(host, parameters) {
        Err(Error::Unreachable { reason, .. }) => reason,
        other => panic!("{parameters}: {other:?}"),
    };
    assert!(refused("127.0.0.1", &format!("sslmode=verify-full&{ca}")).contains("certificate"));
    assert!(refused("localhost", "sslmode=verify-full").contains("certificate"));
    assert!(refused("localhost", "sslmode=verify-ca").contains("certificate"));
    cluster.sql("postgres", "ALTER SYSTEM SET ssl = off");
    cluster.restart();
    assert!(!refused("localhost", "sslmode=require").is_empty());
    open("localhost", "sslmode=prefer").unwrap();
}
