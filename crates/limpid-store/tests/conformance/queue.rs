//! The queue of jobs, over any engine: who gets a job, whose end counts, and what becomes of what the dead held.

use std::collections::BTreeSet;

use limpid_model::Digest;
use limpid_store::{
    Enqueued, JobEnd, JobId, JobState, Lease, NewJob, PRIORITY_STEP_SECONDS, Store, Taken, Taking,
};

use crate::place::Place;

const NOW: i64 = 1_700_000_000;
const ALIVE: fn(&Lease) -> bool = |_| false;

fn job(name: &str) -> NewJob {
    NewJob {
        kind: "index".to_owned(),
        subject: name.to_owned(),
        key: Digest::of(name.as_bytes()),
        options: format!("options of {name}").into_bytes(),
        priority: 0,
    }
}

fn add(store: &dyn Store, names: &[&str], now: i64) -> Vec<JobId> {
    let jobs: Vec<NewJob> = names.iter().map(|name| job(name)).collect();
    store.enqueue(&jobs, now).unwrap().into_iter().map(|enqueued| enqueued.job).collect()
}

fn take_as(
    store: &dyn Store,
    worker: &str,
    limit: usize,
    now: i64,
    is_over: &dyn Fn(&Lease) -> bool,
) -> Taken {
    let worker = Lease { owner: worker.to_owned(), until: now + 30 };
    let taking = Taking { kinds: &["index"], limit, worker: &worker, failures_max: 3, now };
    store.take(&taking, is_over).unwrap()
}

fn take(store: &dyn Store, worker: &str, limit: usize, now: i64) -> Vec<String> {
    take_as(store, worker, limit, now, &ALIVE).jobs.into_iter().map(|job| job.subject).collect()
}

fn state(store: &dyn Store, id: JobId) -> JobState {
    let job = store.jobs(None, JobId(id.0 - 1), 1).unwrap().remove(0);
    assert_eq!(job.id, id);
    job.state
}

fn on_every_engine(test: impl Fn(&dyn Store)) {
    for place in [Some(Place::file()), Place::database()].into_iter().flatten() {
        test(place.open().as_ref());
    }
}

#[test]
fn the_same_work_is_there_once_while_it_waits_or_runs() {
    on_every_engine(|store| {
        let [first, again, other] = store.enqueue(&[job("a"), job("a"), job("b")], NOW).unwrap()[..] else {
            panic!()
        };
        assert!(
            first.is_new && !again.is_new && other.is_new && first.job == again.job && first.job != other.job
        );
        // The newer options count: they may hold newer credentials.
        let newer = NewJob { options: b"newer".to_vec(), ..job("a") };
        assert_eq!(store.enqueue(&[newer], NOW).unwrap(), [Enqueued { job: first.job, is_new: false }]);
        let taken = take_as(store, "w", 9, NOW, &ALIVE).jobs;
        assert_eq!(taken[0].options, b"newer");
        assert_eq!(taken[1].options, b"options of b");
        // Another kind is other work.
        let kind = NewJob { kind: "other".to_owned(), ..job("a") };
        assert!(store.enqueue(&[kind], NOW).unwrap()[0].is_new);
        assert!(take(store, "w", 9, NOW).is_empty(), "nobody does that kind");
        // Once it is done it can be added anew, and what it took is gone.
        assert!(store.finish("w", taken[0].id, 1, &JobEnd::Done, NOW).unwrap());
        assert!(store.enqueue(&[job("a")], NOW).unwrap()[0].is_new);
    });
}

#[test]
fn what_is_added_while_it_runs_is_done_once_more() {
    on_every_engine(|store| {
        let id = add(store, &["a"], NOW)[0];
        assert_eq!(take(store, "w", 1, NOW), ["a"]);
        assert_eq!(add(store, &["a", "a"], NOW + 1), [id, id]);
        assert!(take(store, "v", 1, NOW + 1).is_empty(), "never two at a time");
        assert!(store.finish("w", id, 1, &JobEnd::Done, NOW + 2).unwrap());
        let taken = take_as(store, "v", 1, NOW + 2, &ALIVE).jobs.remove(0);
        assert_eq!((taken.id, taken.attempt, taken.failures), (id, 2, 0));
        assert!(store.finish("v", id, 2, &JobEnd::Done, NOW + 3).unwrap());
        assert_eq!(state(store, id), JobState::Done);
    });
}

#[test]
fn turns_go_by_priority_and_age() {
    on_every_engine(|store| {
        let with = |name: &str, priority: i32| NewJob { priority, ..job(name) };
        store.enqueue(&[with("old", 0), with("old and low", -1)], NOW).unwrap();
        let later = NOW + PRIORITY_STEP_SECONDS / 2;
        store.enqueue(&[with("new", 0), with("new and high", 1), with("raised", -9)], later).unwrap();
        store.enqueue(&[with("raised", 2), with("raised", 1)], later).unwrap();
        let order = ["raised", "new and high", "old", "new", "old and low"];
        assert_eq!(take(store, "w", 3, later), order[..3]);
        assert_eq!(take(store, "w", 9, later), order[3..]);
        // Who waits long enough comes before what is more important.
        store.enqueue(&[with("patient", 0)], NOW).unwrap();
        store.enqueue(&[with("important", 3)], NOW + 3 * PRIORITY_STEP_SECONDS + 1).unwrap();
        assert_eq!(take(store, "w", 1, NOW + 9 * PRIORITY_STEP_SECONDS), ["patient"]);
    });
}

#[test]
fn an_end_counts_only_from_who_holds_the_job() {
    on_every_engine(|store| {
        let id = add(store, &["a"], NOW)[0];
        assert!(!store.finish("w", id, 0, &JobEnd::Done, NOW).unwrap(), "it was not taken");
        take(store, "w", 1, NOW);
        assert!(!store.finish("v", id, 1, &JobEnd::Done, NOW).unwrap(), "another has it");
        assert!(!store.finish("w", id, 2, &JobEnd::Done, NOW).unwrap(), "it is another attempt");
        assert!(store.finish("w", id, 1, &JobEnd::Returned, NOW).unwrap());
        assert!(!store.finish("w", id, 1, &JobEnd::Done, NOW).unwrap(), "it was given back");
        let taken = take_as(store, "v", 1, NOW, &ALIVE).jobs.remove(0);
        assert_eq!((taken.attempt, taken.failures), (2, 0));
        assert!(store.finish("v", id, 2, &JobEnd::Done, NOW).unwrap());
        // The answer was lost, and it is said again.
        assert!(store.finish("v", id, 2, &JobEnd::Done, NOW + 1).unwrap());
        let job = store.jobs(Some(JobState::Done), JobId(0), 9).unwrap().remove(0);
        assert_eq!((job.ended_at, job.attempts), (NOW, 2));
        assert!(store.check(NOW).unwrap().is_sound());
    });
}

#[test]
fn failures_wait_and_end() {
    on_every_engine(|store| {
        let ids = add(store, &["a", "b"], NOW);
        take(store, "w", 2, NOW);
        let retry = JobEnd::Retry { reason: "no network".to_owned(), at: NOW + 60 };
        assert!(store.finish("w", ids[0], 1, &retry, NOW).unwrap());
        let counts = store.job_counts(NOW).unwrap();
        assert_eq!((counts.waiting, counts.delayed, counts.running), (1, 1, 1));
        assert!(take(store, "w", 9, NOW + 59).is_empty());
        let taken = take_as(store, "w", 9, NOW + 60, &ALIVE).jobs.remove(0);
        assert_eq!((taken.attempt, taken.failures), (2, 1));
        let dead = JobEnd::Dead { reason: "é".repeat(2000) };
        assert!(store.finish("w", ids[0], 2, &dead, NOW + 61).unwrap());
        let job = store.jobs(Some(JobState::Dead), JobId(0), 9).unwrap().remove(0);
        assert_eq!((job.id, job.failures), (ids[0], 2));
        assert_eq!(job.reason, "é".repeat(1000), "reasons have a bound");
        // Tried again from the start, unless the same work is there already.
        let newer = add(store, &["a"], NOW + 62)[0];
        assert!(store.retry(None, NOW + 63).unwrap().is_empty());
        store.cancel(Some(&[newer]), NOW + 63).unwrap();
        assert_eq!(store.retry(Some(&ids), NOW + 64).unwrap(), [ids[0]]);
        let taken = take_as(store, "w", 9, NOW + 64, &ALIVE).jobs.remove(0);
        assert_eq!((taken.id, taken.failures, &*taken.options), (ids[0], 0, b"options of a".as_slice()));
    });
}

#[test]
fn what_the_dead_held_waits_again_and_each_lost_job_is_taken_alone() {
    on_every_engine(|store| {
        let ids = add(store, &["a", "b", "c", "d"], NOW);
        let held = take_as(store, "dead", 2, NOW, &ALIVE).jobs;
        assert!(take_as(store, "w", 0, NOW, &ALIVE).jobs.is_empty());
        let over = |lease: &Lease| lease.owner == "dead";
        let taken = take_as(store, "w", 9, NOW + 1, &over);
        assert_eq!(taken.recovered, 2);
        let subjects = |taken: &Taken| taken.jobs.iter().map(|job| job.subject.clone()).collect::<Vec<_>>();
        assert_eq!(subjects(&taken), ["a"]);
        assert_eq!((taken.jobs[0].attempt, taken.jobs[0].failures), (2, 1));
        assert_eq!(take(store, "w", 9, NOW + 1), ["b"]);
        assert_eq!(take(store, "w", 9, NOW + 1), ["c", "d"]);
        // Were it only asleep: what it says now is not heard.
        assert!(!store.renew(&Lease { owner: "dead".to_owned(), until: NOW + 99 }).unwrap());
        for job in held {
            assert!(!store.finish("dead", job.id, job.attempt, &JobEnd::Done, NOW + 2).unwrap());
        }
        // Two that kill whoever takes them are given up in the end; what was lost beside them only waits.
        for round in 2..=3 {
            let over = |lease: &Lease| lease.owner != "other";
            let taken = take_as(store, "other", 1, NOW + 10 * round, &over);
            assert_eq!(taken.recovered, if round == 2 { 4 } else { 0 });
            let over = |lease: &Lease| lease.owner == "other";
            let taken = take_as(store, "next", 0, NOW + 10 * round + 1, &over);
            assert_eq!(taken.recovered, 1);
            store.give_back("next", NOW).unwrap();
        }
        assert_eq!([state(store, ids[0]), state(store, ids[1])], [JobState::Dead; 2]);
        assert!(store.jobs(Some(JobState::Dead), JobId(0), 9).unwrap()[0].reason.contains("workers ended"));
        assert_eq!(store.job_counts(NOW).unwrap().waiting, 2);
        assert!(store.check(NOW).unwrap().is_sound());
    });
}

#[test]
fn one_row_says_that_a_worker_lives() {
    on_every_engine(|store| {
        add(store, &["a", "b", "c"], NOW);
        take(store, "w", 2, NOW);
        assert!(store.renew(&Lease { owner: "w".to_owned(), until: NOW + 100 }).unwrap());
        let at = |now: i64| move |lease: &Lease| now >= lease.until;
        assert_eq!(take_as(store, "v", 0, NOW + 99, &at(NOW + 99)).recovered, 0);
        assert_eq!(take_as(store, "v", 0, NOW + 100, &at(NOW + 100)).recovered, 2);
        assert_eq!(take(store, "v", 9, NOW + 100).len(), 1);
        assert_eq!(store.give_back("v", NOW).unwrap(), 1);
        assert_eq!(store.job_counts(NOW).unwrap().workers, 0);
        assert!(!store.renew(&Lease { owner: "v".to_owned(), until: NOW }).unwrap());
    });
}

#[test]
fn jobs_are_listed_called_off_and_forgotten() {
    on_every_engine(|store| {
        let ids = add(store, &["a", "b", "c", "d"], NOW);
        take(store, "w", 1, NOW);
        let page = |state, after| -> Vec<JobId> {
            store.jobs(state, after, 2).unwrap().into_iter().map(|job| job.id).collect()
        };
        assert_eq!(page(None, JobId(0)), ids[..2]);
        assert_eq!(page(None, ids[1]), ids[2..]);
        assert_eq!(page(Some(JobState::Waiting), JobId(0)), ids[1..3]);
        // One that runs too: its end is not heard then.
        assert_eq!(store.cancel(Some(&ids[..2]), NOW).unwrap(), ids[..2]);
        assert!(!store.finish("w", ids[0], 1, &JobEnd::Done, NOW).unwrap());
        assert_eq!(store.cancel(None, NOW + 5).unwrap(), ids[2..]);
        assert_eq!(store.cancel(None, NOW + 5).unwrap(), []);
        assert_eq!(store.retry(None, NOW).unwrap(), []);
        assert_eq!(store.job_counts(NOW).unwrap().cancelled, 4);
        assert_eq!(store.purge(NOW + 5, true, 1).unwrap(), 1);
        assert_eq!(store.purge(NOW + 5, true, 9).unwrap(), 1);
        assert_eq!(store.purge(NOW + 6, true, 9).unwrap(), 2);
        // Ids are not given again.
        assert!(add(store, &["e"], NOW)[0] > ids[3]);
        let taken = take_as(store, "w", 9, NOW, &ALIVE).jobs.remove(0);
        let dead = JobEnd::Dead { reason: "x".to_owned() };
        store.finish("w", taken.id, taken.attempt, &dead, NOW).unwrap();
        assert_eq!(store.purge(NOW + 1, false, 9).unwrap(), 0);
        assert_eq!(store.purge(NOW + 1, true, 9).unwrap(), 1);
    });
}

#[test]
fn what_is_no_job_is_refused_whole() {
    on_every_engine(|store| {
        for wrong in [
            NewJob { priority: 101, ..job("x") },
            NewJob { subject: "s".repeat(4097), ..job("x") },
            NewJob { options: vec![0; (4 << 20) + 1], ..job("x") },
            job("a\0b"),
        ] {
            assert!(store.enqueue(&[job("good"), wrong], NOW).is_err());
        }
        assert_eq!(store.job_counts(NOW).unwrap().waiting, 0);
        // Whatever else people name images comes back as it was, options byte for byte.
        let strange = NewJob { options: (0..=255).collect(), ..job("'; DROP TABLE job; -- ÄÖ\u{1F980}") };
        store.enqueue(std::slice::from_ref(&strange), NOW).unwrap();
        let taken = take_as(store, "w'\"", 1, NOW, &ALIVE).jobs.remove(0);
        assert_eq!((taken.subject, taken.options), (strange.subject, strange.options));
    });
}

#[test]
fn one_of_all_has_the_turn_at_what_is_done_every_so_often() {
    on_every_engine(|store| {
        assert!(store.is_due("gc", 60, NOW).unwrap());
        assert!(!store.is_due("gc", 60, NOW + 59).unwrap());
        assert!(store.is_due("update", 60, NOW + 59).unwrap());
        assert!(store.is_due("gc", 60, NOW + 60).unwrap());
        assert!(store.is_due("gc", 60, NOW - 500).unwrap(), "the clock was set back");
    });
}

pub(crate) fn of_many_workers_each_job_goes_to_one(place: &Place) {
    let store = place.open();
    let names: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    add(store.as_ref(), &names.iter().map(String::as_str).collect::<Vec<_>>(), NOW);
    let took: Vec<Vec<JobId>> = std::thread::scope(|scope| {
        let workers = (0..8).map(|number| {
            scope.spawn(move || {
                let store = place.open();
                let worker = format!("w{number}");
                let mut took = Vec::new();
                loop {
                    let taken = take_as(store.as_ref(), &worker, 3, NOW, &ALIVE).jobs;
                    if taken.is_empty() {
                        return took;
                    }
                    for job in taken {
                        assert!(store.finish(&worker, job.id, job.attempt, &JobEnd::Done, NOW).unwrap());
                        took.push(job.id);
                    }
                }
            })
        });
        workers.collect::<Vec<_>>().into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let all: Vec<JobId> = took.into_iter().flatten().collect();
    assert_eq!(all.len(), 200);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 200);
    assert_eq!(store.job_counts(NOW).unwrap().done, 200);
}
