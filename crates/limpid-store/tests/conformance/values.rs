//! Values come back as they were: hostile texts, order, large numbers; and what is refused.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{
    Advisory, AdvisoryDetails, Affected, AffectedState, Digest, Owner, PackageDiff, Verdict, VerdictState,
};
use limpid_store::{
    Error, FeedKey, FeedOutcome, ImageFilter, LayerRecord, NEWEST, NodeId, SearchedFile, Store, Validators,
};

use crate::fleet_of::*;
use crate::place::Place;

/// Texts as somebody who means harm writes them. What is no Unicode has become U+FFFD before it comes to a store.
fn hostile() -> Vec<String> {
    let lone_surrogate = String::from_utf8_lossy(b"\xed\xa0\x80").into_owned();
    let mut texts: Vec<String> = [
        "",
        "\0",
        "a\0b",
        "a\0c",
        "a",
        "A",
        "ä",
        "a\u{308}",
        "\u{fffd}",
        "\u{10ffff}",
        "'; DROP TABLE image; --",
        "\\",
        "\\x00",
        "%_",
        "$1",
        "\u{202e}",
        " a",
        "a ",
        "\r\n",
        "ﬀ",
        "ss",
        "ß",
        "NULL",
        "{}",
        "\u{feff}",
        "\u{7f}",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push(lone_surrogate.clone() + "x");
    // Longer than what fits into an entry of an index, alike up to the last byte.
    for end in ["a", "b", "\0"] {
        texts.push("long".repeat(1000) + end);
        texts.push("z".repeat(1 << 20) + end);
    }
    // Text that no compressor makes small.
    let mut noise = String::new();
    let mut state = 1_u64;
    while noise.len() < 100_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        noise.push(char::from(b' ' + u8::try_from(state >> 33 & 63).unwrap()));
    }
    texts.push(noise);
    texts
}

fn chain(number: usize) -> Digest {
    Digest::of(format!("chain {number}").as_bytes())
}

pub(crate) fn texts_of_strangers_come_back_as_they_were(place: &Place) {
    let store = place.open();
    for (number, text) in hostile().iter().enumerate() {
        let mut occurrence = package(text, text, text);
        occurrence.package.arch.clone_from(text);
        occurrence.context.repositories = vec![text.clone()];
        occurrence.owner = Owner(text.clone());
        let mut record = layer(&format!("layer {number}"));
        record.searched = BTreeSet::from([SearchedFile { path: text.clone(), extractor: text.clone() }]);
        store.put_layer(&record).unwrap();
        assert_eq!(store.layer(&record.digest).unwrap().unwrap(), record);
        let diff =
            PackageDiff { installed: vec![placed(occurrence.clone(), text)], ..PackageDiff::default() };
        let node = store.put_node(&chain(number), None, &diff).unwrap();
        let (layers, occurrences) = store.contents(&[node]).unwrap();
        assert_eq!(layers[0].installed[0].path, *text);
        assert_eq!(occurrences.into_values().collect::<Vec<_>>(), [occurrence]);
        let mut image =
            crate::fleet_of::record(&format!("image {number}"), &[&format!("layer {number}")], vec![node]);
        image.release.clone_from(text);
        image.metadata.labels = vec![(text.clone(), text.clone())];
        let id = store.put_image(&image, text, NOW).unwrap();
        assert_eq!(store.image_by_id(id).unwrap().unwrap(), image);
        if !text.is_empty() {
            assert_eq!(store.image_by_reference(text).unwrap().unwrap().0, id);
            assert_eq!(store.summaries(&[id]).unwrap()[0].references, std::slice::from_ref(text));
        }
    }
    sound(store.as_ref());
}

/// Texts that some database or other takes for the same are different ones everywhere.
pub(crate) fn texts_that_look_alike_are_different(place: &Place) {
    let store = place.open();
    let texts = hostile();
    let key = FeedKey { feed: "f\0".into(), document: "d".into() };
    let mut update = store.begin_update(&key).unwrap();
    for text in &texts {
        let affected = Affected {
            package: text.clone(),
            release: text.clone(),
            state: AffectedState::Fixed,
            fixed: text.clone(),
            ..Affected::default()
        };
        let details = AdvisoryDetails {
            description: text.clone(),
            aliases: vec![format!("of {text}")],
            ..Default::default()
        };
        update.add(Advisory { id: text.clone(), details, affected: vec![affected] }).unwrap();
    }
    let outcome = FeedOutcome {
        url: texts[2].clone(),
        date: texts[1].clone(),
        validators: Validators { etag: texts[8].clone(), last_modified: texts[2].clone() },
        ..FeedOutcome::default()
    };
    assert_eq!(update.commit(&outcome).unwrap().added, texts.len() as u64);
    let state = store.feeds().unwrap().remove(0);
    assert_eq!(
        (state.key, state.url, state.date, state.validators),
        (key, outcome.url, outcome.date, outcome.validators)
    );
    for text in &texts {
        let said = store.affected(text, &[text.as_str()], NEWEST).unwrap();
        assert_eq!(said.len(), 1, "{:?}", &text[..text.len().min(20)]);
        assert_eq!(
            (&said[0].affected.package, &said[0].affected.fixed, &said[0].advisory),
            (text, text, text)
        );
        let by_alias = store.advisories(&format!("of {text}"), NEWEST).unwrap();
        assert_eq!(by_alias.len(), 1);
        assert_eq!((&by_alias[0].advisory.id, &by_alias[0].advisory.details.description), (text, text));
        assert_eq!(store.feeds_for(text, NEWEST).unwrap().len(), 1);
    }
    let all: Vec<&str> = texts.iter().map(String::as_str).collect();
    let map: BTreeMap<String, BTreeSet<String>> =
        texts.iter().map(|text| (text.clone(), BTreeSet::from([text.clone()]))).collect();
    store
        .put_repository_cpes(&FeedKey { feed: "r".into(), document: "r".into() }, &map, &outcome_at(1))
        .unwrap();
    assert_eq!(store.repository_cpes(&all, NEWEST).unwrap(), map);
    sound(store.as_ref());
}

fn outcome_at(now: i64) -> FeedOutcome {
    FeedOutcome { now, ..FeedOutcome::default() }
}

pub(crate) fn order_is_by_bytes(place: &Place) {
    let store = place.open();
    let mut names = vec!["b", "B", "a", "ä", "a b", "a-b", "ab", "a\u{fffd}", "A", "_", "10", "9", "a\0"];
    for (number, name) in names.iter().enumerate() {
        let node = store.put_node(&chain(number), None, &installs(&[(name, "1")], name, STATUS)).unwrap();
        store.put_layer(&layer(name)).unwrap();
        let image =
            store.put_image(&record("one", &[names[0]], vec![first_node(store.as_ref(), node)]), name, NOW);
        image.unwrap();
        store.feed_failed(&FeedKey { feed: (*name).into(), document: (*name).into() }, "", "no", 1).unwrap();
    }
    names.sort_unstable();
    let contexts: Vec<String> =
        store.contexts().unwrap().into_iter().map(|context| context.release).collect();
    assert_eq!(contexts, names);
    let image = store.image(&Digest::of(b"one")).unwrap().unwrap().0;
    assert_eq!(store.summaries(&[image]).unwrap()[0].references, names);
    let feeds: Vec<String> = store.feeds().unwrap().into_iter().map(|state| state.key.feed).collect();
    assert_eq!(feeds, names);
    assert_eq!(store.source_names().unwrap().into_iter().collect::<Vec<_>>(), names);
    let from_a = ImageFilter { repository: "a".into(), ..ImageFilter::default() };
    assert_eq!(store.select(&from_a).unwrap().len(), 1);
}

/// The first node that was stored: the image keeps it while others come.
fn first_node(store: &dyn Store, node: NodeId) -> NodeId {
    store.node(&chain(0)).unwrap().unwrap_or(node)
}

pub(crate) fn numbers_near_the_top_come_back(place: &Place) {
    let store = place.open();
    let top = i64::MAX as u64;
    let mut record = layer("large");
    (record.size_bytes, record.uncompressed_bytes) = (top, u64::MAX);
    store.put_layer(&record).unwrap();
    let kept = store.layer(&record.digest).unwrap().unwrap();
    // What no column holds is clamped: no size comes near.
    assert_eq!((kept.size_bytes, kept.uncompressed_bytes), (top, top));
    let key = FeedKey { feed: "f".into(), document: "d".into() };
    let mut update = store.begin_update(&key).unwrap();
    update.add(Advisory { id: "CVE-1".into(), ..Advisory::default() }).unwrap();
    let outcome = FeedOutcome {
        size_bytes: u64::MAX,
        now: i64::MAX,
        parser_version: u32::MAX,
        ..FeedOutcome::default()
    };
    update.commit(&outcome).unwrap();
    let state = store.feeds().unwrap().remove(0);
    assert_eq!((state.size_bytes, state.succeeded_at, state.parser_version), (top, i64::MAX, u32::MAX));
    assert_eq!(store.revision_at(i64::MAX).unwrap(), 1);
    assert_eq!(store.revision_at(i64::MAX - 1).unwrap(), 0);
    assert_eq!(store.revision_time(1).unwrap(), Some(i64::MAX));
    assert_eq!(store.revision_time(u64::MAX).unwrap(), None);
    assert_eq!(store.advisories("CVE-1", u64::MAX - 1).unwrap().len(), 1);
}

pub(crate) fn a_layer_is_kept_with_what_was_searched_for_in_it(place: &Place) {
    let store = place.open();
    let record = layer("one");
    assert_eq!(store.layer(&record.digest).unwrap(), None);
    assert_eq!(store.readings(&record.digest).unwrap(), 0);
    let searched = |names: &[&str]| LayerRecord {
        searched: names
            .iter()
            .map(|name| SearchedFile { path: (*name).into(), extractor: "dpkg".into() })
            .collect(),
        ..record.clone()
    };
    store.put_layer(&searched(&["a", "b"])).unwrap();
    store.put_layer(&searched(&["a"])).unwrap();
    assert_eq!(store.layer(&record.digest).unwrap().unwrap(), searched(&["a", "b"]));
    store.put_layer(&searched(&["a", "c"])).unwrap();
    assert_eq!(store.layer(&record.digest).unwrap().unwrap(), searched(&["a", "c"]));
    assert_eq!(store.readings(&record.digest).unwrap(), 3);
}

pub(crate) fn an_image_is_refused_with_other_layers(place: &Place) {
    let store = place.open();
    let id = shared_image(store.as_ref());
    let mut known = store.image_by_id(id).unwrap().unwrap();
    known.metadata.layers.reverse();
    assert!(matches!(store.put_image(&known, "other", NOW), Err(Error::Conflict(_))));
    assert_eq!(store.image_by_reference("other").unwrap(), None);
    known.metadata.layers.reverse();
    known.indexer_state = "2".into();
    assert_eq!(store.put_image(&known, "other", NOW + 1).unwrap(), id);
    assert_eq!(store.image_by_reference("other").unwrap().unwrap(), (id, known));
    let without_layers = record("empty", &[], Vec::new());
    let empty = store.put_image(&without_layers, "", NOW).unwrap();
    assert!(empty > id);
    assert_eq!(store.image_by_id(empty).unwrap().unwrap(), without_layers);
    sound(store.as_ref());
}

pub(crate) fn references_lead_to_the_image_they_named_last(place: &Place) {
    let store = place.open();
    let (own, shared) = (own_image(store.as_ref()), shared_image(store.as_ref()));
    let named = || store.image_by_reference("tag").unwrap().unwrap().0;
    store.put_reference(own, "tag", NOW).unwrap();
    store.put_reference(shared, "tag", NOW + 1).unwrap();
    assert_eq!(named(), shared);
    store.put_reference(own, "tag", NOW + 2).unwrap();
    assert_eq!(named(), own);
    // A clock that went back changes nothing.
    store.put_reference(own, "tag", NOW - 5).unwrap();
    assert_eq!(named(), own);
    // Of two that it named at the same time, the newer image.
    store.put_reference(shared, "tag", NOW + 2).unwrap();
    assert_eq!(named(), shared);
    store.put_reference(shared, "", NOW).unwrap();
    assert_eq!(store.image_by_reference("").unwrap(), None);
    sound(store.as_ref());
}

pub(crate) fn verdicts_are_kept_for_the_newest_revision_only(place: &Place) {
    let store = place.open();
    own_image(store.as_ref());
    advisories(store.as_ref(), &["CVE-1"]);
    let occurrences: Vec<_> =
        store.occurrences_named("nginx").unwrap().into_iter().map(|(id, _)| id).collect();
    let verdict = Verdict {
        vulnerability: "CVE-1\0".into(),
        advisory: "CVE-1".into(),
        feed: "f".into(),
        state: VerdictState::Fixable,
        fixed: "ä".into(),
        channel: String::new(),
        severity: limpid_model::Severity::High,
        severity_word: String::new(),
        severity_feed: String::new(),
        state_word: String::new(),
        notice: String::new(),
    };
    let verdicts: BTreeMap<_, _> = occurrences.iter().map(|id| (*id, vec![verdict.clone()])).collect();
    store.put_verdicts(0, 7, &verdicts, &[]).unwrap();
    assert_eq!(store.verdicts(&occurrences, 7).unwrap(), BTreeMap::new());
    store.put_verdicts(1, 7, &verdicts, &[]).unwrap();
    assert_eq!(store.verdicts(&occurrences, 7).unwrap(), verdicts);
    assert_eq!(store.verdicts(&occurrences, 8).unwrap(), BTreeMap::new());
    store.put_verdicts(1, 8, &verdicts, &[]).unwrap();
    assert_eq!(store.verdicts(&occurrences, 7).unwrap(), BTreeMap::new());
    // What changed is about curl.
    advisories(store.as_ref(), &["CVE-2"]);
    assert_eq!(store.verdicts(&occurrences, 8).unwrap(), verdicts);
    store.put_verdicts(1, 9, &verdicts, &[]).unwrap();
    assert_eq!(store.verdicts(&occurrences, 9).unwrap(), BTreeMap::new());
    sound(store.as_ref());
}
