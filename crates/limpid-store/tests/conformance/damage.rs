//! Checks that find planted damage.

use limpid_model::Digest;
use limpid_store::{Lease, NewJob, Taking};

use crate::fleet_of::*;
use crate::place::Place;

/// What is planted, and the table and words that must tell of it. `{ff}` stands for bytes.
const DAMAGE: &[(&str, &str, &str)] = &[
    ("DELETE FROM node WHERE node_id = (SELECT min(node_id) FROM node)", "node", "parent is missing"),
    ("UPDATE node SET parent_id = node_id WHERE parent_id IS NOT NULL", "node", "not newer"),
    ("UPDATE node SET node_key = {00} WHERE parent_id IS NULL", "node", "key"),
    ("UPDATE chain SET node_id = 99", "chain", "no node"),
    ("INSERT INTO node_change VALUES (1, 99, 1)", "node_change", "of nodes"),
    ("INSERT INTO node_change VALUES (99, 1, 1)", "node_change", "of occurrences"),
    ("DELETE FROM node_change WHERE brings = 0", "node_change", "a diff has them"),
    ("INSERT INTO node_change VALUES (1, 1, 0)", "node_change", "no diff has"),
    ("UPDATE node SET diff = {ff} WHERE parent_id IS NULL", "node", "diff cannot be read"),
    ("DELETE FROM occurrence WHERE occurrence_id = 1", "node", "names occurrences"),
    ("DELETE FROM text WHERE value LIKE 'srv/%'", "node", "names paths"),
    ("UPDATE image SET node_id = 99", "image", "last node is missing"),
    ("UPDATE image SET node_id = 1", "image", "follow each other"),
    ("UPDATE image SET body = {ff}", "image", "cannot be read"),
    ("UPDATE image SET manifest_digest = {00} WHERE image_id = 1", "image", "cannot be read"),
    (
        "UPDATE image SET manifest_digest = {0000000000000000000000000000000000000000000000000000000000000000}",
        "image",
        "more than once",
    ),
    ("UPDATE image SET first_seen = 1 WHERE image_id = 2", "image", "first seen"),
    ("UPDATE image SET config_id = 99 WHERE image_id = 1", "image", "config is missing"),
    ("INSERT INTO image_former VALUES (9999, 1, 1)", "image_former", "of images"),
    ("INSERT INTO image_former VALUES (1, 1, 99)", "image_former", "node is missing"),
    ("UPDATE segment SET last_image = 5000", "segment", "behind the one before"),
    ("INSERT INTO segment_part VALUES (99, 0, 0, {00})", "segment_part", "of segments"),
    ("UPDATE segment SET body = {ff}", "segment", "cannot be read"),
    ("UPDATE segment SET images = images + 1", "segment", "cannot be read"),
    ("UPDATE segment_part SET body = {ff}", "segment", "cannot be read"),
    ("DELETE FROM segment_part WHERE kind = 0", "segment", "cannot be read"),
    ("DELETE FROM segment_part WHERE kind = 1", "segment", "other occurrences"),
    (
        "UPDATE segment_part SET body = (SELECT body FROM segment_part WHERE kind = 1 AND segment_id = 1)
      WHERE kind = 1 AND segment_id = 2",
        "segment",
        "other occurrences",
    ),
    ("DELETE FROM displaced", "segment", "other images"),
    ("UPDATE image SET release = 'debian:11' WHERE image_id = 4", "segment", "other releases"),
    ("INSERT INTO config VALUES (99, 1, {00})", "config", "no image has"),
    ("UPDATE config SET body = {ff}", "config", "cannot be read"),
    ("UPDATE config SET hash = 1", "config", "cannot be read"),
    ("INSERT INTO label VALUES (99, 1, 'k', 'v')", "label", "no image has"),
    ("UPDATE label SET value = 'other'", "label", "hash"),
    ("DELETE FROM image", "image_label", "of images"),
    ("DELETE FROM label", "image_label", "label is missing"),
    ("DELETE FROM image_label", "image_label", "an image has them"),
    ("INSERT INTO image_label VALUES (1, 2)", "image_label", "no image has"),
    ("INSERT INTO description VALUES (1, 99, {00})", "description", "no image has"),
    ("UPDATE description SET body = {ff}", "description", "cannot be read"),
    ("DELETE FROM image", "image_layer", "of images"),
    ("DELETE FROM layer", "image_layer", "layer is missing"),
    ("DELETE FROM description", "image_layer", "description is missing"),
    ("DELETE FROM image_layer WHERE layer_id = 2", "image_layer", "an image has them"),
    (
        "INSERT INTO image_layer SELECT layer_id, number, 1 FROM image_layer WHERE image_id = 2 AND layer_id > 2",
        "image_layer",
        "no image has",
    ),
    (
        "UPDATE layer SET digest = {0000000000000000000000000000000000000000000000000000000000000000}",
        "layer",
        "more than once",
    ),
    ("DELETE FROM extractors", "layer", "extractors"),
    ("UPDATE extractors SET body = {ff}", "extractors", "cannot be read"),
    (
        "UPDATE node SET node_key = {0000000000000000000000000000000000000000000000000000000000000000}",
        "node",
        "more than once",
    ),
    ("DELETE FROM reference", "repository", "without"),
    ("DELETE FROM repository", "reference", "repository is missing"),
    ("UPDATE reference SET image_id = 9999", "reference", "to images"),
    ("UPDATE reference SET last_seen = 1", "reference", "before"),
    ("UPDATE revision SET last_image = 1 WHERE revision = 1", "revision", "fewer images"),
    ("DELETE FROM package WHERE package_id = 1", "occurrence", "package is missing"),
    ("DELETE FROM context", "occurrence", "context is missing"),
    ("DELETE FROM package WHERE package_id = 1", "verdict", "of packages"),
    ("DELETE FROM context", "verdict", "of contexts"),
    ("INSERT INTO signed_source VALUES ('linux', 999)", "signed_source", "of packages"),
    ("UPDATE layer SET findings = {ff}", "layer", "cannot be read"),
    ("UPDATE layer SET searched = {ff}", "layer", "cannot be read"),
    ("UPDATE package SET kind = 99", "package", "cannot be read"),
    ("UPDATE package SET facts = {ff}", "package", "cannot be read"),
    ("UPDATE context SET body = {ff} WHERE context_id = 1", "context", "cannot be read"),
    ("UPDATE context SET release = 'other'", "context", "cannot be read"),
    ("UPDATE verdict SET body = {ff}", "verdict", "cannot be read"),
    ("UPDATE verdict SET listed = {ff}", "verdict", "cannot be read"),
    ("UPDATE verdict SET listed = NULL", "occurrence", "neither judged"),
    ("INSERT INTO unlisted VALUES (99)", "unlisted", "missing"),
    ("DELETE FROM text WHERE value = 'CVE-1'", "exposure", "text is missing"),
    ("UPDATE exposure SET occurrences = {ff}", "exposure", "cannot be read"),
    ("DELETE FROM exposure", "exposure", "differ"),
    ("UPDATE advisory SET body = {ff}", "advisory", "cannot be read"),
    ("UPDATE advisory SET severity = 3", "advisory", "cannot be read"),
    ("UPDATE affected SET body = {ff}", "affected", "cannot be read"),
    ("UPDATE revision SET feed_id = 99", "revision", "of documents"),
    ("UPDATE feed SET revision = 99", "feed", "revision is missing"),
    ("DELETE FROM feed", "advisory", "of documents"),
    ("DELETE FROM feed", "affected", "of documents"),
    ("UPDATE advisory SET to_revision = from_revision", "advisory", "end before"),
    ("UPDATE advisory SET from_revision = 0", "advisory", "first revision"),
    ("UPDATE advisory SET to_revision = 99", "advisory", "last revision"),
    (
        "UPDATE advisory SET to_revision = NULL, id_text = (SELECT min(id_text) FROM advisory)",
        "advisory",
        "more than once",
    ),
    ("DELETE FROM text WHERE value = 'CVE-1'", "advisory", "texts"),
    ("DELETE FROM text WHERE value = 'ALIAS-CVE-1'", "alias", "texts"),
    ("UPDATE affected SET to_revision = from_revision", "affected", "end before"),
    ("UPDATE affected SET from_revision = 0", "affected", "first revision"),
    ("UPDATE affected SET to_revision = 99", "affected", "last revision"),
    (
        "INSERT INTO affected (feed_id, id_text, package_text, release_text, body, from_revision)
      SELECT feed_id, id_text, package_text, release_text, body, from_revision FROM affected
      WHERE to_revision IS NULL",
        "affected",
        "same bytes",
    ),
    ("UPDATE advisory SET to_revision = 2 WHERE to_revision IS NULL", "affected", "not current"),
    ("DELETE FROM text WHERE value = 'curl'", "affected", "texts"),
    ("UPDATE feed_release SET records = records + 1", "feed_release", "count other"),
    ("DELETE FROM feed_release", "feed_release", "lack"),
    ("INSERT INTO repository_cpe VALUES ('r', 'c', 2, 1)", "repository_cpe", "end before"),
    ("INSERT INTO repository_cpe VALUES ('r', 'c', 99, NULL)", "repository_cpe", "revision is missing"),
    (
        "INSERT INTO repository_cpe VALUES ('r', 'c', 1, NULL), ('r', 'c', 2, NULL)",
        "repository_cpe",
        "more than once",
    ),
    ("INSERT INTO score VALUES (99, 1, 1, 1)", "score", "of documents"),
    ("INSERT INTO score VALUES (1, 1, 100001, 1)", "score", "no probability"),
    ("UPDATE event SET image_id = NULL", "event", "about nothing"),
    ("UPDATE event SET body = {ff} WHERE body IS NOT NULL", "event", "cannot be read"),
    ("UPDATE event SET revision = 99", "event", "of revisions"),
    ("UPDATE event_state SET revision = 99", "event_state", "ahead"),
    ("INSERT INTO former_verdict VALUES (999, 1, 1, {00})", "former_verdict", "of packages"),
    ("INSERT INTO channel VALUES ('c', '', 99999, 0, 0, 0, 0, '')", "channel", "ahead"),
    ("INSERT INTO dead_letter VALUES ('c', 1, 1, 1, '', 0)", "dead_letter", "of channels"),
    ("INSERT INTO dead_letter VALUES ('c', 99999, 1, 1, '', 0)", "dead_letter", "of events"),
    ("UPDATE lease SET owner = ''", "lease", "without"),
    ("UPDATE lease SET expires_at = 9000000000", "lease", "longer"),
    ("DELETE FROM worker", "job", "without a worker"),
    ("UPDATE job SET state = 9", "job", "is none"),
    ("UPDATE job SET job_key = {00}", "job", "key"),
    ("UPDATE job SET state = 2", "job", "still have options"),
];

pub(crate) fn every_damage_is_found(place: &Place) {
    let opened = place.open();
    let store = opened.as_ref();
    advisories(store, &["CVE-1", "CVE-2"]);
    advisories(store, &["CVE-2", "CVE-3"]);
    shared_image(store);
    own_image(store);
    let curl = store.occurrences_named("curl").unwrap();
    expose(store, &curl.iter().map(|(id, _)| (*id, &["CVE-1"][..])).collect::<Vec<_>>());
    while store.list(1, 1).unwrap() {}
    let lease = Lease { owner: "somebody".to_owned(), until: NOW + 30 };
    store.lease("task", &lease, &|_| false).unwrap();
    let job = NewJob {
        kind: "index".to_owned(),
        subject: "debian".to_owned(),
        key: Digest::of(b"debian"),
        options: b"how".to_vec(),
        priority: 0,
    };
    store.enqueue(&[job], NOW).unwrap();
    let taking = Taking { kinds: &["index"], limit: 1, worker: &lease, failures_max: 1, now: NOW };
    assert_eq!(store.take(&taking, &|_| false).unwrap().jobs.len(), 1);
    // Two segments, one image of the first displaced.
    let first = copies(store, 530);
    assert!(store.tend().unwrap() && !store.tend().unwrap());
    copies(store, 530);
    assert!(store.tend().unwrap() && !store.tend().unwrap());
    assert!(store.forget(first, NOW).unwrap());
    an_event(store);
    sound(store);
    let invariants = store.check(NOW).unwrap().invariants;
    drop(opened);
    let mut found = std::collections::BTreeSet::new();
    for (sql, table, what) in DAMAGE {
        let copy = place.copy();
        // What the database itself refuses cannot be there.
        if !copy.sql(sql) {
            found.insert((*table, *what));
            continue;
        }
        let broken = copy.open().check(NOW).unwrap().broken;
        copy.remove();
        let told = broken.iter().find(|broken| broken.table == *table && broken.what.contains(what));
        let told = told.unwrap_or_else(|| panic!("{sql}: {table}: {what}: {broken:?}"));
        assert!(told.count > 0 && !told.example.is_empty(), "{told:?}");
        found.insert((told.table, told.what));
    }
    // All but that of the embedded engine's file itself.
    let of_the_file = u64::from(!place.is_database());
    assert_eq!(found.len() as u64 + of_the_file, invariants, "every invariant is seen to break");
}
