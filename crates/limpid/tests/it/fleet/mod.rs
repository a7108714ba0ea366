//! Questions about all images, each against a recomputation from the reports on every single image.

mod real;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use limpid_testkit::{Encoding, ImageBuilder, Layer, dpkg_status};
use serde_json::Value;

use crate::{BOOKWORM, Context};

fn json(context: &Context, arguments: &[&str]) -> Value {
    let text = context.ok(&[&["--offline"], arguments, &["--format", "json"]].concat());
    serde_json::from_str(&text).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().map(text).collect()
}

/// An advisory of our own on a package of Debian 12: (id, package, fixed version or nothing, severity).
fn advisories(context: &Context, rows: &[(&str, &str, &str, &str)]) {
    let records: Vec<String> = rows
        .iter()
        .map(|(id, package, fixed, severity)| {
            let fixed = if fixed.is_empty() { String::new() } else { format!(r#",{{"fixed":"{fixed}"}}"#) };
            format!(
                r#"{{"id":"{id}","database_specific":{{"severity":"{severity}"}},"affected":[{{"package":
                {{"ecosystem":"Debian:12","name":"{package}"}},"ranges":[{{"type":"ECOSYSTEM","events":
                [{{"introduced":"0"}}{fixed}]}}]}}]}}"#
            )
        })
        .collect();
    fs::write(context.path().join("own.json"), format!("[{}]", records.join(","))).unwrap();
    context.ok(&["feeds", "import", "own.json"]);
}

fn base(version: &str) -> Layer {
    let packages = [("a", version, ""), ("b", "2.0-1", "bee (1.9-1)"), ("c", "1", "")];
    Layer::new().file("etc/os-release", BOOKWORM).file("var/lib/dpkg/status", dpkg_status(&packages))
}

/// Writes an image to a folder and scans it.
fn scan(context: &Context, folder: &str, image: &ImageBuilder) {
    let path = context.path().join(folder);
    let _ = fs::remove_dir_all(&path);
    image.oci_layout(&path, Encoding::Gzip);
    context.ok(&["--offline", "packages", &format!("oci:{folder}")]);
}

/// An application on the base: another version of `a`, no `c`, and `d`.
fn application(base_version: &str) -> ImageBuilder {
    let packages = [("a", "1.5-1", ""), ("b", "2.0-1", "bee (1.9-1)"), ("d", "4", "")];
    let own = Layer::new().file("var/lib/dpkg/status", dpkg_status(&packages));
    ImageBuilder::new()
        .layer("ADD base", &base(base_version))
        .layer("RUN apt-get install d", &own)
        .label("team", "blue")
}

fn fleet() -> Context {
    let context = Context::new();
    scan(&context, "base", &ImageBuilder::new().layer("ADD base", &base("1.0-1")));
    scan(&context, "app", &application("1.0-1"));
    let other = Layer::new().file("srv/x", "x");
    scan(&context, "same", &ImageBuilder::new().layer("ADD base", &base("1.0-1")).layer("COPY x", &other));
    let nothing = Layer::new().file("srv/x", "x");
    scan(&context, "nothing", &ImageBuilder::new().layer("COPY x", &nothing));
    advisories(
        &context,
        &[("OWN-1", "a", "1.2-1", "High"), ("OWN-2", "bee", "", "Low"), ("OWN-3", "d", "5", "Critical")],
    );
    context
}

fn affected(context: &Context, arguments: &[&str]) -> (u64, Vec<String>) {
    let answer = json(context, &[&["affected"], arguments].concat());
    let images = list(&answer["images"]).iter().flat_map(|image| texts(&image["references"])).collect();
    (answer["affected"].as_u64().unwrap(), images)
}

#[test]
fn filters_name_the_images_and_the_verdicts() {
    let context = fleet();
    let of = |arguments: &[&str]| affected(&context, arguments);
    let named =
        |names: &[&str]| (names.len() as u64, names.iter().map(|name| format!("oci:{name}")).collect());
    assert_eq!(of(&["OWN-1"]), named(&["base", "same"]));
    assert_eq!(of(&["OWN-2"]), named(&["base", "app", "same"]));
    assert_eq!(of(&["OWN-2", "--label", "team=blue"]), named(&["app"]));
    assert_eq!(of(&["OWN-2", "--label", "team=red"]), named(&[]));
    assert_eq!(of(&["OWN-2", "--release", "debian:11"]), named(&[]));
    assert_eq!(of(&["OWN-2", "--repository", "oci:same"]), named(&["same"]));
    assert_eq!(of(&["OWN-2", "--severity", "low"]), named(&["base", "app", "same"]));
    assert_eq!(of(&["OWN-2", "--severity", "medium"]), named(&[]));
    assert_eq!(of(&["OWN-1", "--state", "fixable"]), named(&["base", "same"]));
    assert_eq!(of(&["OWN-1", "--state", "no-fix,deferred"]), named(&[]));
    // An image of which nothing is known is in no share.
    let answer = json(&context, &["affected", "OWN-1", "--count"]);
    assert_eq!((&answer["answerable"], &answer["unanswerable"]), (&3.into(), &1.into()));
    assert!(answer["images"].is_null());
    let package = &answer["packages"][0];
    assert_eq!(
        (&package["name"], &package["version"], &package["images"]),
        (&"a".into(), &"1.0-1".into(), &2.into())
    );
    let (code, error) = context.fails(&["affected", "OWN-1", "--state", "bad"]);
    assert!(code == 3 && error.contains("fixable"), "{error}");
}

#[test]
fn pages_are_one_answer_whatever_comes_between() {
    let context = fleet();
    let whole = json(&context, &["affected", "OWN-2"]);
    let mut arguments = vec!["affected".to_owned(), "OWN-2".to_owned(), "--limit".to_owned(), "1".to_owned()];
    let mut images = Vec::new();
    for page in 0.. {
        let call: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let answer = json(&context, &call);
        assert_eq!((&answer["affected"], &answer["revision"]), (&3.into(), &whole["revision"]));
        images.extend(list(&answer["images"]).clone());
        let Some(cursor) = answer["next"].as_str() else { break };
        // New images and another truth, which the next pages must not see.
        if page == 0 {
            let more = Layer::new().file("srv/y", "y");
            let image = ImageBuilder::new().layer("ADD base", &base("1.0-1")).layer("COPY y", &more);
            scan(&context, "later", &image);
            advisories(&context, &[("OWN-2", "bee", "1.0", "Low")]);
        }
        arguments.truncate(4);
        arguments.extend(["--after".to_owned(), cursor.to_owned()]);
        // Neither another question nor a list goes on from it.
        for other in [
            &["affected", "OWN-1"][..],
            &["affected", "OWN-2", "--release", "debian:12"],
            &["fleet", "package", "a"],
        ] {
            let (code, error) = context.fails(&[other, &["--after", cursor]].concat());
            assert!(code == 3 && error.contains("another question"), "{error}");
        }
    }
    assert_eq!(&images, list(&whole["images"]));
    assert_eq!(json(&context, &["affected", "OWN-2"])["affected"], 0);
    let cursor = arguments.pop().unwrap();
    let (code, error) = context.fails(&["--store", "other.db", "affected", "OWN-2", "--after", &cursor]);
    assert!(code == 3 && error.contains("another store"), "{error}");
    for bad in ["x", "1-2-3", "", "zz-1-1-0-0", &"f".repeat(10_000)] {
        let (code, error) = context.fails(&["affected", "OWN-2", "--after", bad]);
        assert!(code == 3 && error.contains("no cursor"), "{bad}: {error}");
    }
}

#[test]
fn the_past_is_told_as_it_was_told_then() {
    let context = fleet();
    let questions: [&[&str]; 5] = [
        &["affected", "OWN-1"],
        &["fleet", "vulnerabilities"],
        &["fleet", "status"],
        &["fleet", "layers"],
        &["fleet", "diff", "oci:base", "oci:app"],
    ];
    let bare = |mut answer: Value| {
        answer.as_object_mut().unwrap().remove("asOf");
        answer
    };
    let then: Vec<Value> = questions.iter().map(|question| bare(json(&context, question))).collect();
    advisories(
        &context,
        &[("OWN-1", "a", "9", "Medium"), ("OWN-3", "d", "5", "Low"), ("OWN-4", "c", "", "High")],
    );
    for (question, then) in questions.iter().zip(then) {
        let past = json(&context, &[*question, &["--as-of", "revision:1"]].concat());
        assert!(past["asOf"].is_string());
        assert_eq!(bare(past), then, "{question:?}");
        assert_ne!(bare(json(&context, question)), then, "{question:?}");
    }
    // On a day long ago there was no image; a revision is of advisories alone.
    let none = json(&context, &["affected", "OWN-1", "--as-of", "2001-01-01"]);
    assert_eq!(
        (&none["answerable"], &none["unanswerable"], &none["known"]),
        (&0.into(), &0.into(), &false.into())
    );
}

#[test]
fn layers_count_once_for_each_image() {
    let context = fleet();
    let answer = json(&context, &["fleet", "layers"]);
    let rows: Vec<String> = list(&answer["layers"])
        .iter()
        .map(|row| {
            format!(
                "{} {} {} {} {}",
                text(&row["command"]),
                row["images"],
                row["packages"],
                row["introduced"],
                row["fixed"]
            )
        })
        .collect();
    assert_eq!(rows, ["ADD base 3 3 2 0", "RUN apt-get install d 1 2 1 1"]);
    let by_packages = json(&context, &["fleet", "layers", "--by", "packages", "--limit", "1"]);
    assert_eq!(list(&by_packages["layers"]).len(), 1);
    let high = json(&context, &["fleet", "layers", "--severity", "critical"]);
    let commands: Vec<String> = list(&high["layers"]).iter().map(|row| text(&row["command"])).collect();
    assert_eq!(commands, ["RUN apt-get install d"]);
}

#[test]
fn a_newer_base_fixes_what_it_has_newer() {
    let context = fleet();
    let unknown = json(&context, &["fleet", "rebase", "oci:app"]);
    assert_eq!(unknown["base"]["references"][0], "oci:base");
    assert_eq!((&unknown["evidence"], &unknown["newer"]), (&"layers".into(), &Value::Null));
    let table = context.ok(&["--offline", "fleet", "rebase", "oci:app"]);
    assert!(table.contains("none is known") && table.contains("No statement is possible"), "{table}");
    // A newer build of the base fixes `bee`, and brings a vulnerable `e`; the image has its own `a`, which is newer than
    // the base's, and removed `c`.
    let packages = [("a", "1.1-1", ""), ("b", "2.0-2", "bee (2.0-2)"), ("c", "2", ""), ("e", "1", "")];
    let newer =
        Layer::new().file("etc/os-release", BOOKWORM).file("var/lib/dpkg/status", dpkg_status(&packages));
    scan(&context, "base", &ImageBuilder::new().layer("ADD base", &newer));
    advisories(
        &context,
        &[
            ("OWN-1", "a", "1.2-1", "High"),
            ("OWN-2", "bee", "2", "Low"),
            ("OWN-3", "d", "5", "Critical"),
            ("OWN-4", "e", "", "Medium"),
            ("OWN-5", "c", "", "Medium"),
        ],
    );
    let answer = json(&context, &["fleet", "rebase", "oci:app"]);
    let newer = &answer["newer"];
    assert_eq!((&newer["reference"], &newer["comparable"]), (&"oci:base".into(), &true.into()));
    let ids = |list_of: &Value| list(list_of).iter().map(|finding| text(&finding["id"])).collect::<Vec<_>>();
    assert_eq!(ids(&newer["findings"]["fixed"]), ["OWN-2"]);
    assert_eq!(ids(&newer["findings"]["introduced"]), ["OWN-4"]);
    assert_eq!(ids(&newer["findings"]["remaining"]), ["OWN-3"]);
    let names =
        |packages: &Value| list(packages).iter().map(|package| text(&package["name"])).collect::<Vec<_>>();
    assert_eq!(
        (names(&newer["packages"]["added"]), names(&newer["packages"]["removed"])),
        (vec!["e".to_owned()], vec![])
    );
    assert_eq!(newer["packages"]["changed"][0]["to"]["version"], "2.0-2");
    // The old base, asked for by its digest, is a base itself.
    let digest = text(&answer["base"]["digest"]);
    let itself = json(&context, &["fleet", "rebase", &digest]);
    assert_eq!((&itself["evidence"], &itself["newer"]["reference"]), (&"itself".into(), &"oci:base".into()));
    let fixed = ids(&itself["newer"]["findings"]["fixed"]);
    assert_eq!(fixed, ["OWN-2"]);
    let (code, error) = context.fails(&["fleet", "rebase", "oci:unheard-of"]);
    assert!(code == 4 && error.contains("no image"), "{error}");
}

#[test]
fn what_is_most_widespread_by_severity_fix_and_exploitation() {
    let context = crate::enrichment::alpine();
    let said = |arguments: &[&str]| {
        let all = [&["--feeds-mirror", "mirror"], arguments].concat();
        context.ok(&all)
    };
    said(&["scan", "oci:image"]);
    let ids = |arguments: &[&str]| -> Vec<String> {
        let answer: Value = serde_json::from_str(&said(
            &[&["fleet", "vulnerabilities", "--format", "json"], arguments].concat(),
        ))
        .unwrap();
        list(&answer["vulnerabilities"]).iter().map(|found| text(&found["id"])).collect()
    };
    assert_eq!(ids(&[]), ["CVE-2020-1001", "CVE-2020-1002", "CVE-2020-1003"]);
    assert_eq!(ids(&["--limit", "2"]), ["CVE-2020-1001", "CVE-2020-1002"]);
    assert_eq!(ids(&["--kev"]), ["CVE-2020-1001"]);
    assert_eq!(ids(&["--epss", "0.12345"]), ["CVE-2020-1001"]);
    assert!(ids(&["--epss", "0.12346"]).is_empty());
    assert_eq!(ids(&["--severity", "medium"]), ["CVE-2020-1001", "CVE-2020-1002"]);
    assert_eq!(ids(&["--severity", "critical"]), ["CVE-2020-1001"]);
    assert!(ids(&["--state", "no-fix"]).is_empty());
    let status: Value = serde_json::from_str(&said(&["fleet", "status", "--format", "json"])).unwrap();
    assert_eq!((&status["bySeverity"]["Critical"], &status["withExploited"]), (&1.into(), &1.into()));
    assert!(context.fails(&["fleet", "vulnerabilities", "--epss", "2"]).0 == 3);
    assert!(context.fails(&["fleet", "vulnerabilities", "--limit", "0"]).0 == 3);
    assert!(context.fails(&["fleet", "vulnerabilities", "--limit", "1000001"]).0 == 3);
    assert!(context.fails(&["fleet", "package", "a", "--version", ">="]).0 == 3);
}

#[test]
fn hostile_names_come_out_harmless_and_a_store_that_may_only_be_read_answers() {
    let context = Context::new();
    let long = "x".repeat(1000);
    let packages = [("evil\u{1b}[2J\u{202e}", "1\u{7}", ""), (long.as_str(), "1", ""), ("a", "1", "")];
    let layer =
        Layer::new().file("etc/os-release", BOOKWORM).file("var/lib/dpkg/status", dpkg_status(&packages));
    let image = ImageBuilder::new().layer("RUN \u{1b}]0;title\u{7} ::error::x", &layer).label("k\u{1b}", "v");
    scan(&context, "image", &image);
    advisories(&context, &[("OWN-1", "a", "", "High")]);
    let questions: [&[&str]; 9] = [
        &["affected", "OWN-1"],
        &["affected", "OWN-1", "--count"],
        &["affected", "OWN-\u{1b}[2J"],
        &["fleet", "package", "evil\u{1b}[2J\u{202e}"],
        &["fleet", "package", "evil\u{1b}[2J\u{202e}", "--count"],
        &["fleet", "layers"],
        &["fleet", "vulnerabilities"],
        &["fleet", "status"],
        &["fleet", "rebase", "oci:image"],
    ];
    let harmful = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    let mut answers = BTreeMap::new();
    for question in questions {
        let shown = context.ok(&[&["--offline"], question].concat());
        assert!(!shown.contains(harmful), "{question:?}: {}", shown.escape_debug());
        answers.insert(question, json(&context, question));
    }
    assert_eq!(json(&context, &["fleet", "package", &long])["having"], 1);
    // Nothing is kept for later then, and the answers are the same.
    let fresh = Context::new();
    fs::rename(context.path().join("store.db"), fresh.path().join("store.db")).unwrap();
    let connection = rusqlite::Connection::open(fresh.path().join("store.db")).unwrap();
    let undo = "DELETE FROM verdict; DELETE FROM exposure;
                INSERT OR IGNORE INTO unlisted SELECT occurrence_id FROM occurrence; PRAGMA wal_checkpoint(TRUNCATE);";
    connection.execute_batch(undo).unwrap();
    drop(connection);
    let store = fresh.path().join("store.db");
    let mut permissions = fs::metadata(&store).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&store, permissions).unwrap();
    let is_root = fs::OpenOptions::new().write(true).open(&store).is_ok();
    for (question, answer) in answers {
        assert_eq!(json(&fresh, question), answer, "{question:?}");
    }
    let left: i64 = rusqlite::Connection::open(&store)
        .unwrap()
        .query_row("SELECT count(*) FROM unlisted", [], |row| row.get(0))
        .unwrap();
    assert!(left > 0 || is_root, "a store that may only be read was written");
}

/// The references of images with a value each, for comparing.
fn by_name(rows: impl Iterator<Item = (String, String)>) -> BTreeMap<String, BTreeSet<String>> {
    let mut map: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, row) in rows {
        map.entry(name).or_default().insert(row);
    }
    map
}
