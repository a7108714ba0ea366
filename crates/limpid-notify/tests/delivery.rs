//! Delivery on a clock that stands still: receivers that fail, are away, refuse, and come back.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use limpid_index::{Clock, Process, ProcessState};
use limpid_notify::{
    Answer, Backoff, Channel, Delivered, Delivery, Failure, FileLines, Http, HttpSender, Lines, Message,
    Start, Taken, Webhook,
};
use limpid_store::{
    Channels as _, EventKind, Events as _, ImageId, Lease, Processed, SqliteStore, Store, VulnerabilityChange,
};

const NOW: i64 = 1_700_000_000;

/// Time that moves only when it is told to.
struct Stopped(AtomicI64);

impl Clock for Stopped {
    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn wait(&self, duration: Duration) {
        self.0.fetch_add(i64::try_from(duration.as_secs()).unwrap(), Ordering::SeqCst);
    }
}

struct This;

impl Process for This {
    fn name(&self) -> &str {
        "this"
    }

    fn state_of(&self, _: &str) -> ProcessState {
        ProcessState::Alive
    }
}

/// A receiver that answers what it is told to, and 200 after that.
#[derive(Default)]
struct Receiver {
    answers: VecDeque<Taken>,
    received: Vec<u64>,
    attempts: Vec<(i64, u64)>,
}

impl Channel for Receiver {
    fn target(&self) -> String {
        "https://receiver.example/hook".to_owned()
    }

    fn deliver(&mut self, messages: &[Message], now: i64) -> Taken {
        self.attempts.extend(messages.iter().map(|message| (now, message.number)));
        let taken = self.answers.pop_front().unwrap_or(Taken { messages: messages.len(), failure: None });
        self.received.extend(messages.iter().take(taken.messages).map(|message| message.number));
        taken
    }
}

fn fails(failure: Failure) -> Taken {
    Taken { messages: 0, failure: Some(failure) }
}

/// A store with events, numbered from 1, of which those of `kernels` are about kernels.
fn store(count: usize, kernels: &[usize]) -> SqliteStore {
    let store = SqliteStore::open(Path::new(":memory:")).unwrap();
    let changes: Vec<VulnerabilityChange> = (1..=count)
        .map(|number| VulnerabilityChange {
            kind: EventKind::New,
            vulnerability: format!("CVE-2024-{number}"),
            from_revision: 0,
            revision: 0,
            is_kernel: kernels.contains(&number),
            last_image: ImageId(0),
            images: 1,
            packages: Vec::new(),
        })
        .collect();
    let to = Processed { revision: 0, rules_version: 1, step: None };
    assert!(store.put_events(&store.processed().unwrap(), &to, &changes, NOW).unwrap());
    store
}

struct World {
    store: SqliteStore,
    clock: Stopped,
}

impl World {
    fn new(count: usize, kernels: &[usize]) -> Self {
        Self { store: store(count, kernels), clock: Stopped(AtomicI64::new(NOW)) }
    }

    fn run(&self, channel: &mut dyn Channel) -> Delivered {
        let delivery = Delivery {
            store: &self.store,
            clock: &self.clock,
            process: &This,
            backoff: Backoff::default(),
            with_kernels: false,
        };
        delivery.run("hook", channel, Start::After(0)).unwrap()
    }

    fn cursor(&self) -> u64 {
        self.store.channels().unwrap()[0].cursor
    }
}

#[test]
fn a_receiver_that_is_down_for_an_hour_gets_everything_in_order() {
    let world = World::new(5, &[]);
    let mut receiver = Receiver::default();
    let mut attempts = 0;
    loop {
        if world.clock.now() < NOW + 3600 {
            receiver.answers.push_back(fails(Failure::passing("it answered 503")));
        } else {
            receiver.answers.clear();
        }
        let delivered = world.run(&mut receiver);
        let Some(next) = delivered.next_attempt_at else { break };
        attempts += 1;
        assert_eq!(delivered.error, "it answered 503");
        // Before its time comes nothing is sent.
        let sent = receiver.attempts.len();
        world.run(&mut receiver);
        assert_eq!(receiver.attempts.len(), sent);
        receiver.answers.clear();
        world.clock.wait(Duration::from_secs(u64::try_from(next - world.clock.now()).unwrap()));
    }
    assert_eq!(receiver.received, [1, 2, 3, 4, 5]);
    assert!((8..=12).contains(&attempts), "{attempts} attempts in an hour");
    let state = world.store.channels().unwrap().remove(0);
    assert_eq!((state.cursor, state.delivered, state.dead, state.attempts), (5, 5, 0, 0));
    assert_eq!(state.last_error, "");
}

#[test]
fn what_is_refused_for_good_lets_the_others_pass_and_is_sent_again_when_asked() {
    let world = World::new(3, &[]);
    let mut receiver = Receiver::default();
    receiver.answers.push_back(Taken { messages: 1, failure: None });
    receiver.answers.push_back(fails(Failure::Lasting { reason: "it answered 410".to_owned() }));
    let delivered = world.run(&mut receiver);
    assert_eq!((delivered.delivered, delivered.dead), (2, 1));
    assert_eq!(receiver.received, [1, 3]);
    let letter = world.store.dead_letters("hook", 0, false, 10).unwrap().remove(0);
    assert_eq!((letter.number, letter.attempts, letter.error.as_str()), (2, 1, "it answered 410"));
    assert_eq!(world.run(&mut receiver), Delivered::default(), "nobody asked for it");
    world.store.revive("hook", None).unwrap();
    receiver.answers.push_back(fails(Failure::passing("it answered 500")));
    assert_eq!(world.run(&mut receiver).dead, 1);
    assert_eq!(world.run(&mut receiver), Delivered::default(), "once asked, once tried");
    world.store.revive("hook", Some(2)).unwrap();
    assert_eq!(world.run(&mut receiver).delivered, 1);
    assert_eq!(receiver.received, [1, 3, 2]);
    assert_eq!(world.store.channels().unwrap()[0].dead, 0);
}

#[test]
fn a_receiver_that_asks_for_time_gets_it() {
    let world = World::new(1, &[]);
    let mut receiver = Receiver::default();
    let asks = Failure::Passing { reason: "it answered 429".to_owned(), retry_after_seconds: Some(7000) };
    receiver.answers.push_back(fails(asks));
    assert_eq!(world.run(&mut receiver).next_attempt_at, Some(NOW + 7000));
    world.clock.wait(Duration::from_secs(6999));
    assert_eq!(world.run(&mut receiver).delivered, 0);
    world.clock.wait(Duration::from_secs(1));
    assert_eq!(world.run(&mut receiver).delivered, 1);
}

#[test]
fn what_fails_too_often_is_given_up_and_kept() {
    let world = World::new(2, &[]);
    let mut receiver = Receiver::default();
    for _ in 0..30 {
        receiver.answers.push_back(fails(Failure::passing("connection refused")));
    }
    let mut delivered = world.run(&mut receiver);
    while let Some(next) = delivered.next_attempt_at {
        world.clock.wait(Duration::from_secs(u64::try_from(next - world.clock.now()).unwrap()));
        delivered = world.run(&mut receiver);
    }
    assert_eq!((delivered.dead, receiver.received.as_slice()), (1, &[2][..]));
    let letter = world.store.dead_letters("hook", 0, false, 10).unwrap().remove(0);
    assert_eq!((letter.number, letter.attempts), (1, 30));
    let hours = (world.clock.now() - NOW) / 3600;
    assert!((20..=27).contains(&hours), "{hours} hours");
}

#[test]
fn kernels_are_passed_over_and_do_not_come_back() {
    let world = World::new(4, &[1, 3, 4]);
    let mut receiver = Receiver::default();
    assert_eq!(world.run(&mut receiver).delivered, 1);
    assert_eq!((receiver.received.as_slice(), world.cursor()), (&[2][..], 4));
}

#[test]
fn one_process_at_a_time_delivers_to_a_channel() {
    let world = World::new(1, &[]);
    let lease = Lease { owner: "other#1".to_owned(), until: NOW + 30 };
    assert_eq!(world.store.lease("deliver hook", &lease, &|_| false).unwrap(), None);
    let mut receiver = Receiver::default();
    assert!(world.run(&mut receiver).is_busy && receiver.attempts.is_empty());
    world.store.release("deliver hook", "other#1").unwrap();
    assert_eq!(world.run(&mut receiver).delivered, 1);
}

#[test]
fn a_new_channel_begins_where_it_is_told_to() {
    let world = World::new(3, &[]);
    let run = |name: &str, start| {
        let mut receiver = Receiver::default();
        let delivery = Delivery {
            store: &world.store,
            clock: &world.clock,
            process: &This,
            backoff: Backoff::default(),
            with_kernels: false,
        };
        delivery.run(name, &mut receiver, start).unwrap();
        receiver.received
    };
    assert_eq!(run("now", Start::Now), [] as [u64; 0]);
    assert_eq!(run("two", Start::After(2)), [3]);
    assert_eq!(run("late", Start::After(99)), [] as [u64; 0]);
    // It is no longer new.
    assert_eq!(run("two", Start::After(0)), [] as [u64; 0]);
}

#[test]
fn lines_are_appended_and_one_that_was_cut_stays_alone() {
    let world = World::new(300, &[]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    std::fs::write(&path, "{\"cut\":").unwrap();
    assert_eq!(world.run(&mut FileLines::new(&path)).delivered, 300);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (301, "{\"cut\":"));
    for (number, line) in lines[1..].iter().enumerate() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["number"], number + 1);
    }
    let gone = folder.path().join("none/events.jsonl");
    let failed = FileLines::new(&gone).deliver(&[], NOW).failure.unwrap();
    assert!(matches!(failed, Failure::Passing { .. }) && failed.reason().contains("cannot be written"));
    let mut text = Vec::new();
    let message = Message { number: 1, id: "x".to_owned(), body: b"{}".to_vec() };
    assert_eq!(Lines::new("stdout", &mut text).deliver(&[message], NOW).messages, 1);
    assert_eq!(text, b"{}\n");
}

type Headers = Vec<(String, String)>;

/// Notes what was sent.
#[derive(Default)]
struct Noted(Mutex<Vec<Headers>>);

impl Http for Noted {
    fn post(&self, _: &str, headers: &[(String, String)], _: &[u8]) -> Result<Answer, String> {
        self.0.lock().unwrap().push(headers.to_vec());
        Ok(Answer { status: 200, ..Answer::default() })
    }
}

#[test]
fn an_attempt_has_the_events_id_and_its_own_time() {
    let (world, http) = (World::new(1, &[]), Noted::default());
    let secret = "0123456789abcdef0123456789abcdef";
    let mut webhook =
        Webhook::new("https://a/b?t=1", Some(secret), &["X-Team: sea".to_owned()], &http).unwrap();
    world.run(&mut webhook);
    let sent = http.0.lock().unwrap()[0].clone();
    let header = |name: &str| sent.iter().find(|(header, _)| header == name).map(|(_, value)| value.clone());
    assert_eq!(header("webhook-id"), Some(world.store.events(0, 1).unwrap()[0].id.to_string()));
    assert_eq!(header("webhook-timestamp"), Some(NOW.to_string()));
    assert!(header("webhook-signature").unwrap().starts_with("v1,"));
    assert_eq!(header("X-Team").as_deref(), Some("sea"));
    assert_eq!(world.store.channels().unwrap()[0].target, "https://a/b");
}

/// A server on loopback that writes something to each of some connections and keeps them open for as long as it is there.
fn server(answers: Vec<&'static [u8]>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut requests = Vec::new();
        for answer in answers {
            let (mut connection, _) = listener.accept().unwrap();
            let mut bytes = vec![0; 65536];
            let read = connection.read(&mut bytes).unwrap();
            requests.push(String::from_utf8_lossy(&bytes[..read]).into_owned());
            // Who has seen enough goes away.
            let _ = connection.write_all(answer);
            kept.push(connection);
        }
        requests
    });
    (url, thread)
}

#[test]
fn the_real_sender_follows_nothing_waits_for_nobody_and_reads_little() {
    let long: &'static [u8] = Box::leak(
        [b"HTTP/1.1 500 No\r\nContent-Length: 100000000\r\n\r\n".to_vec(), vec![b'x'; 1 << 20]]
            .concat()
            .into_boxed_slice(),
    );
    let (url, thread) = server(vec![
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/elsewhere?secret=1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        long,
        b"",
        b"HTTP/1.1 204 Done\r\n\r\n",
    ]);
    let sender = HttpSender::new(Some(Duration::from_millis(500)));
    let mut webhook = Webhook::new(&url, None, &[], &sender).unwrap();
    let message = Message { number: 1, id: "x".to_owned(), body: b"{}".to_vec() };
    let mut reason = || {
        let taken = webhook.deliver(std::slice::from_ref(&message), NOW);
        taken.failure.map(|failure| {
            assert!(matches!(failure, Failure::Passing { .. }), "{failure:?}");
            failure.reason().to_owned()
        })
    };
    let redirect = reason().unwrap();
    assert!(
        redirect.contains("302") && redirect.contains("elsewhere") && !redirect.contains("secret"),
        "{redirect}"
    );
    let large = reason().unwrap();
    assert!(large.contains("500: xxx") && large.len() < 300, "{large}");
    let hanging = reason().unwrap();
    assert!(hanging.contains("timeout"), "{hanging}");
    assert_eq!(reason(), None);
    let requests = thread.join().unwrap();
    assert!(requests[0].starts_with("POST /hook HTTP/1.1\r\n"), "{}", requests[0]);
}
