//! Every field of every JSON document stands in docs/json.md.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Context;
use crate::enrichment::alpine;

/// Objects whose keys are data: names of labels, and of severities.
const MAPS: [&str; 3] = ["labels", "bySeverity", "severities"];

fn fields(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                into.insert(name.clone());
                if !(MAPS.contains(&name.as_str()) && value.is_object()) {
                    fields(value, into);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, into)),
        // The names of schemas stand there too.
        Value::String(text) if text.starts_with("limpid-") => {
            into.insert(text.clone());
        }
        _ => {}
    }
}

#[test]
fn every_field_is_documented() {
    let context = alpine();
    let commands: Vec<&[&str]> = vec![
        &["scan", "oci:image"],
        &["scan", "--platform", "all", "oci:image"],
        &["scan", "oci:image", "oci:image"],
        &["packages", "oci:image"],
        &["packages", "--platform", "all", "oci:image"],
        &["layers", "oci:image"],
        &["affected", "CVE-2020-1001"],
        &["fleet", "status"],
        &["fleet", "vulnerabilities"],
        &["fleet", "package", "a"],
        &["fleet", "layers"],
        &["fleet", "rebase", "oci:image"],
        &["fleet", "diff", "oci:image", "oci:image"],
        &["feeds", "status"],
        &["feeds", "changes", "--since", "2020-01-01"],
        &["store", "status"],
        &["store", "check"],
        &["events", "list"],
        &["events", "show", "1"],
        &["events", "show", "2"],
        &["events", "images", "2"],
        &["events", "channels"],
    ];
    let mut found = BTreeSet::new();
    for command in commands {
        if command[0] == "events" && command[1] == "list" {
            an_event_and_a_dead_letter(&context);
        }
        let text = context.ok(&[&["--feeds-mirror", "mirror"], command, &["--format", "json"]].concat());
        let document: Value = serde_json::from_str(&text).unwrap();
        fields(&document, &mut found);
    }
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json.md")).unwrap();
    let missing: Vec<&String> = found.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/json.md does not name {missing:?}");
    assert!(found.len() > 80, "all documents were looked at: {found:?}");
}

/// Has a fix move, and a channel give up the event on it.
fn an_event_and_a_dead_letter(context: &Context) {
    let path = context.path().join("mirror/secdb.alpinelinux.org/v3.20/main.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("1.1-r0", "1.2-r0")).unwrap();
    context.ok(&["--feeds-mirror", "mirror", "feeds", "update", "alpine:3.20"]);
    context.ok(&["events", "deliver", "--file", "events.jsonl", "--from", "start"]);
    let store = rusqlite::Connection::open(context.path().join("store.db")).unwrap();
    store
        .execute("INSERT INTO dead_letter SELECT name, 2, 1, 1, 'it answered 410', 0 FROM channel", [])
        .unwrap();
}
