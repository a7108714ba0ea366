//! Questions about all images.

use limpid_model::PackageDiff;
use limpid_store::{ImageFilter, ImageId, OccurrenceId, Store};

use crate::fleet_of::*;
use crate::place::Place;

fn ids(store: &dyn Store, name: &str, version: &str) -> Vec<OccurrenceId> {
    let named = store.occurrences_named(name).unwrap().into_iter();
    named.filter(|(_, occurrence)| occurrence.package.version == version).map(|(id, _)| id).collect()
}

pub(crate) fn occurrences_are_held_by_the_images_below_their_nodes(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    let (shared, own) = (shared_image(store), own_image(store));
    let removes =
        PackageDiff { removed: vec![package("libc6", "2.36", "debian:12")], ..PackageDiff::default() };
    let returns = installs(&[("libc6", "2.36")], "debian:12", STATUS);
    let without = put(store, "without", &[base(), ("removes", removes.clone())]);
    let back = put(store, "back", &[base(), ("removes", removes), ("returns", returns)]);
    let holding = |name: &str, version: &str| -> Vec<ImageId> {
        store.holding(&ids(store, name, version)).unwrap().iter().collect()
    };
    assert_eq!(holding("libc6", "2.36"), [shared, own, back]);
    assert_eq!(holding("bash", "5.2"), [shared, without, back]);
    assert_eq!(holding("bash", "5.3"), [own]);
    assert_eq!(holding("curl", "7.88"), [shared, own]);
    assert_eq!(store.holding(&[]).unwrap().len(), 0);
    assert_eq!(store.holding(&[OccurrenceId(i64::MAX)]).unwrap().len(), 0);
    let groups = [
        ids(store, "libc6", "2.36"),
        [ids(store, "bash", "5.2"), ids(store, "bash", "5.3")].concat(),
        Vec::new(),
    ];
    assert_eq!(store.counts(&groups, None).unwrap(), [3, 4, 0]);
    let within = [own, without].into_iter().collect();
    assert_eq!(store.counts(&groups, Some(&within)).unwrap(), [1, 2, 0]);
    store.forget(own, NOW).unwrap();
    assert_eq!(holding("bash", "5.3"), []);
    assert_eq!(holding("libc6", "2.36"), [shared, back]);
    while store.tend().unwrap() {}
    assert_eq!(holding("libc6", "2.36"), [shared, back]);
}

pub(crate) fn images_are_selected_by_all_that_a_filter_says(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    let (one, two) = (shared_image(store), own_image(store));
    let mut later = record("later", &["base"], vec![store.image_by_id(one).unwrap().unwrap().nodes[0]]);
    later.metadata.labels = vec![("team".into(), "a".into()), ("tier".into(), "1".into())];
    later.release = "debian:13".into();
    let three = store.put_image(&later, "host.example/team/app:1", NOW + 10).unwrap();
    store.put_reference(one, "host.example/team/app@sha256:00", NOW).unwrap();
    store.put_reference(two, "host.example/team/application:1", NOW).unwrap();
    store.put_reference(two, "host.example/team/app/sub:1", NOW + 20).unwrap();
    let select = |filter: ImageFilter| -> Vec<ImageId> { store.select(&filter).unwrap().iter().collect() };
    let any = ImageFilter::default;
    assert_eq!(select(any()), [one, two, three]);
    assert_eq!(select(ImageFilter { repository: "host.example/team/app".into(), ..any() }), [one, three]);
    assert_eq!(select(ImageFilter { repository: "host.example/team/".into(), ..any() }), [one, two, three]);
    assert_eq!(select(ImageFilter { repository: "host.example/team/app/".into(), ..any() }), [two]);
    assert_eq!(
        select(ImageFilter {
            repository: "host.example/team/app/".into(),
            there_at: Some(NOW + 19),
            ..any()
        }),
        []
    );
    assert_eq!(select(ImageFilter { there_at: Some(NOW + 9), ..any() }), [one, two]);
    assert_eq!(select(ImageFilter { last: Some(one), ..any() }), [one]);
    assert_eq!(select(ImageFilter { release: "debian:13".into(), ..any() }), [three]);
    assert_eq!(select(ImageFilter { labels: vec![("team".into(), "a".into())], ..any() }), [three]);
    assert_eq!(select(ImageFilter { labels: vec![("team".into(), "b".into())], ..any() }), []);
    let all = store.select(&any()).unwrap();
    let releases: Vec<_> = store.releases(&all).unwrap().into_iter().collect();
    assert_eq!(releases, [("debian:12".to_owned(), 2), ("debian:13".to_owned(), 1)]);
    let summaries = store.summaries(&[three, ImageId(i64::from(u32::MAX)), one]).unwrap();
    assert_eq!(summaries.iter().map(|summary| summary.id).collect::<Vec<_>>(), [three, one]);
    assert_eq!(summaries[0].references, ["host.example/team/app:1"]);
    assert_eq!(summaries[0].release, "debian:13");
}

pub(crate) fn names_lead_to_occurrences(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    let mut occurrence = package("libssl3", "3.0", "debian:12");
    occurrence.package.source_name = "openssl".into();
    let diff = PackageDiff { installed: vec![placed(occurrence.clone(), STATUS)], ..PackageDiff::default() };
    put(store, "ssl", &[("ssl", diff)]);
    shared_image(store);
    for name in ["libssl3", "openssl"] {
        let found = store.occurrences_named(name).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1, occurrence);
    }
    assert_eq!(store.occurrences_named("ssl").unwrap(), []);
    let names: Vec<String> = store.source_names().unwrap().into_iter().collect();
    assert_eq!(names, ["bash", "curl", "libc6", "openssl"]);
}
