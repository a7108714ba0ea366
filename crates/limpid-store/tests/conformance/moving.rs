//! Stores that are copied from one engine to another.

use limpid_model::Digest;
use limpid_store::{Error, JobId, NEWEST, NewJob, OccurrenceId, Store};

use crate::fleet_of::*;
use crate::place::Place;

fn filled(store: &dyn Store) {
    advisories(store, &["CVE-1", "CVE-2"]);
    advisories(store, &["CVE-2", "CVE-3"]);
    let shared = shared_image(store);
    let own = own_image(store);
    copies(store, 530);
    while store.tend().unwrap() {}
    store.put_reference(shared, "a\0b\u{fffd}", NOW).unwrap();
    let curl: Vec<OccurrenceId> =
        store.occurrences_named("curl").unwrap().into_iter().map(|(id, _)| id).collect();
    expose(store, &curl.iter().map(|id| (*id, &["CVE-2"][..])).collect::<Vec<_>>());
    while store.list(1, 100).unwrap() {}
    let job = NewJob {
        kind: "index".to_owned(),
        subject: "debian".to_owned(),
        key: Digest::of(b"debian"),
        options: b"how\0".to_vec(),
        priority: 3,
    };
    store.enqueue(&[job], NOW).unwrap();
    an_event(store);
    store.channel("hook", "https://hook.example", 3).unwrap();
    // Of what is freed no id is given again, in the copy either.
    store.forget(own, NOW).unwrap();
    collect(store, NOW, NOW);
}

/// What a store answers, by ids too.
fn answers(store: &dyn Store) -> Vec<String> {
    let all = store.select(&Default::default()).unwrap();
    let shared = store.image(&Digest::of(b"shared")).unwrap().unwrap();
    let curl = store.occurrences_named("curl").unwrap();
    let ids: Vec<OccurrenceId> = curl.iter().map(|(id, _)| *id).collect();
    vec![
        format!("{:?}", rows(store)),
        format!("{all:?} {:?}", store.releases(&all).unwrap()),
        format!("{shared:?} {:?}", store.contents(&shared.1.nodes).unwrap()),
        format!("{curl:?} {:?} {:?}", store.holding(&ids).unwrap(), store.verdicts(&ids, 1).unwrap()),
        format!("{:?}", exposures(store)),
        format!("{:?}", store.feeds().unwrap()),
        format!("{:?}", store.affected("debian:12", &["curl"], NEWEST).unwrap()),
        format!("{:?}", store.affected("debian:12", &["curl"], 1).unwrap()),
        format!("{:?}", store.advisories("ALIAS-CVE-1", 1).unwrap()),
        format!("{:?}", store.events(1, 2000).unwrap()),
        format!("{:?} {:?}", store.processed().unwrap(), store.channels().unwrap()),
        format!("{:?}", store.jobs(None, JobId(0), 9).unwrap()),
        format!("{:?}", store.image_by_reference("a\0b\u{fffd}").unwrap()),
        format!("{} {:?}", store.last_event().unwrap(), store.last_image_at(NEWEST).unwrap()),
    ]
}

#[test]
fn a_store_moves_between_engines_and_back() {
    let Some(database) = Place::database() else { return };
    let (file, back) = (Place::file(), Place::file());
    let (first, second, third) = (file.open(), database.open(), back.open());
    filled(first.as_ref());
    let before = answers(first.as_ref());
    for (from, to) in [(&first, &second), (&second, &third)] {
        limpid_store::copy(from.as_ref(), to.as_ref(), &mut |_| {}).unwrap();
        sound(to.as_ref());
        for (there, here) in answers(to.as_ref()).iter().zip(&before) {
            assert_eq!(there, here);
        }
        let again = limpid_store::copy(from.as_ref(), to.as_ref(), &mut |_| {});
        assert!(matches!(again, Err(Error::NotEmpty(_))), "{again:?}");
    }
    // What is stored from here on has the same ids in all of them.
    let next = |store: &dyn Store| {
        let id = put(store, "next", &[base(), ("next", installs(&[("new", "1")], "debian:12", STATUS))]);
        let record = store.image_by_id(id).unwrap().unwrap();
        advisories(store, &["CVE-9"]);
        sound(store);
        (id, record.nodes, store.revision().unwrap(), store.last_event().unwrap())
    };
    let expected = next(first.as_ref());
    assert_eq!(next(second.as_ref()), expected);
    assert_eq!(next(third.as_ref()), expected);
}

#[test]
fn a_copy_that_ends_in_the_middle_leaves_nothing() {
    let source = Place::file();
    let store = source.open();
    filled(store.as_ref());
    for place in [Some(Place::file()), Place::database()].into_iter().flatten() {
        let target = place.open();
        let empty = target.status().unwrap();
        let mut rows = 0;
        let stopped = target.import(&mut |sink| {
            store.export(&mut |moving| {
                rows += 1;
                if rows > 500 {
                    return Err(Error::Caller("enough".into()));
                }
                sink(moving)
            })
        });
        assert!(matches!(stopped, Err(Error::Caller(_))), "{stopped:?}");
        let now = target.status().unwrap();
        assert_eq!((now.texts, now.images, now.packages), (empty.texts, 0, 0));
        limpid_store::copy(store.as_ref(), target.as_ref(), &mut |_| {}).unwrap();
        sound(target.as_ref());
    }
}
