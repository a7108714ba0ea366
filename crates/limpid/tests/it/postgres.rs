//! The command on a PostgreSQL database: what it prints is what it prints on a file.

use limpid_testkit::{Postgres, corpus, feeds_mirror, require_or_skip};

use crate::{Context, two_layers};

/// A context whose store is a database.
struct Database {
    context: Context,
    address: String,
}

impl Database {
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.context.command(arguments).env("LIMPID_STORE", &self.address).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit code and standard error of a run that must fail, with another address.
    fn fails(&self, address: &str, arguments: &[&str]) -> (i32, String) {
        let output = self.context.command(arguments).env("LIMPID_STORE", address).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

fn database() -> Option<Database> {
    let cluster = require_or_skip(Postgres::shared(), "PostgreSQL")?;
    Some(Database { context: Context::new(), address: cluster.database() })
}

/// Without the times at which feeds were read, which are those of two runs.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| word.contains('T') && word.trim_matches(['"', ',']).ends_with('Z');
    let line = |line: &str| line.split(' ').filter(|word| !is_time(word)).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// What differs from store to store: sizes.
fn without_bytes(text: &str) -> String {
    let kept =
        text.lines().filter(|line| !["bytes", "free of these"].iter().any(|name| line.starts_with(name)));
    kept.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_real_image_gets_the_same_answers_from_both_engines() {
    let Some(database) = database() else { return };
    let (Some(images), Some(mirror)) = (
        require_or_skip(corpus(), "the corpus of real images"),
        require_or_skip(feeds_mirror(), "the feeds' mirror"),
    ) else {
        return;
    };
    let image = format!("oci:{}", images.join("debian-bookworm-upgraded/oci").display());
    let mirror = mirror.display().to_string();
    let file = Context::new();
    let asked: Vec<Vec<&str>> = vec![
        vec!["packages", &image],
        vec!["--no-enrich", "--feeds-mirror", &mirror, "feeds", "update", "debian-tracker"],
        vec!["--offline", "--no-enrich", "scan", &image],
        vec!["--offline", "--no-enrich", "scan", "--format", "json", &image],
        vec!["--offline", "--no-enrich", "layers", &image],
        vec!["--offline", "explain", &image, "CVE-2023-4911"],
        vec!["--offline", "affected", "CVE-2023-4911"],
        vec!["--offline", "owner", &image, "/usr/bin/bash"],
    ];
    for arguments in &asked {
        let (there, here) = (database.ok(arguments), file.ok(arguments));
        assert_eq!(there.lines().count() > 0, here.lines().count() > 0, "{arguments:?}");
        if !arguments.contains(&"update") {
            assert!(without_times(&there) == without_times(&here), "{arguments:?}");
        }
    }
    // The embedded engine checks its file besides.
    let held = |text: String| text.split_once(" invariants over ").map(|(_, held)| held.to_owned());
    let (there, here) = (held(database.ok(&["store", "check"])), held(file.ok(&["store", "check"])));
    assert!(there.is_some() && there == here, "{there:?} {here:?}");
    assert_eq!(
        without_bytes(&database.ok(&["store", "status"])),
        without_bytes(&file.ok(&["store", "status"]))
    );
    assert_eq!(database.ok(&["store", "forget", &image]), file.ok(&["store", "forget", &image]));
    let gc = ["store", "gc", "--grace", "0"];
    assert_eq!(database.ok(&gc), file.ok(&gc));
    assert_eq!(
        without_bytes(&database.ok(&["store", "status"])),
        without_bytes(&file.ok(&["store", "status"]))
    );
}

#[test]
fn a_store_is_copied_to_a_database_and_back() {
    let Some(database) = database() else { return };
    let context = &database.context;
    two_layers().oci_layout(&context.path().join("image"), limpid_testkit::Encoding::Gzip);
    let before = context.ok(&["--offline", "packages", "oci:image"]);
    context.ok(&["store", "copy", "store.db", &database.address]);
    assert_eq!(database.ok(&["--offline", "packages", "oci:image"]), before);
    context.ok(&["store", "copy", &database.address, "back.db"]);
    let status =
        |context: &Context, store: &str| without_bytes(&context.ok(&["--store", store, "store", "status"]));
    assert_eq!(status(context, "back.db"), status(context, "store.db"));
    let (code, error) = context.fails(&["store", "copy", "store.db", "back.db"]);
    assert_eq!(code, 5);
    assert!(error.contains("is not empty") && error.contains("hint:"), "{error}");
    assert_eq!(context.fails(&["store", "copy", "none.db", "new.db"]).0, 3);
    assert!(!context.path().join("new.db").exists());
}

#[test]
fn what_is_wrong_with_an_address_is_said_without_its_password() {
    let Some(database) = database() else { return };
    let wrong = database.address.replace("limpid-test", "s3cret");
    for address in [&wrong, "postgres://me:s3cret@127.0.0.1:1/db", "postgres://me:s3cret@host:port/db"] {
        let (code, error) = database.fails(address, &["store", "status"]);
        assert_eq!(code, 5, "{error}");
        assert!(error.contains("hint:") && !error.contains("s3cret"), "{error}");
    }
    let (code, error) = database.fails(&database.address, &["store", "backup", "file"]);
    assert_eq!(code, 5);
    assert!(error.contains("pg_dump"), "{error}");
    // A password may stand where PostgreSQL's own tools look for it.
    let without = database.address.replace(":limpid-test", "");
    let mut command = database.context.command(&["--store", &without, "store", "check"]);
    assert!(command.env("PGPASSWORD", "limpid-test").status().unwrap().success());
}
