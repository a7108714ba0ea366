//! Workers: real processes, a registry, one of them killed. Lists that others gave. Being asked to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use limpid_model::Digest;
use limpid_store::{JobId, JobState, Queue as _, SqliteStore, Store as _, Upkeep as _};
use limpid_testkit::{Answer, Encoding, Server, SmallFleet};

use crate::{Context, two_layers};

/// Long enough for whatever a test waits for on a machine that is busy; no test waits so long if all is well.
const PATIENCE: Duration = Duration::from_secs(120);

struct Fleet {
    server: Server,
    images: Vec<(String, Digest)>,
    layers: BTreeSet<Digest>,
}

impl Fleet {
    fn start(images: usize) -> Self {
        let SmallFleet { content, images, layers } = SmallFleet::new(images, 20_000);
        Self { server: Server::start(move |request| content.answer(request)), images, layers }
    }

    fn reference(&self, image: usize) -> String {
        format!("{}/{}", self.server.address(), self.images[image].0)
    }

    fn list(&self, context: &Context) {
        let references: Vec<String> = (0..self.images.len()).map(|image| self.reference(image)).collect();
        std::fs::write(context.path().join("images.txt"), references.join("\n")).unwrap();
    }
}

fn store(context: &Context) -> SqliteStore {
    SqliteStore::open(&context.path().join("store.db")).unwrap()
}

const WORKER: [&str; 4] = ["serve", "--role", "worker", "--no-update"];

/// A worker that writes its log to a file.
fn worker(context: &Context, log: &str, more: &[&str]) -> Child {
    let log = File::create(context.path().join(log)).unwrap();
    let mut command = context.command(&[&WORKER, more].concat());
    command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn log(context: &Context, name: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(context.path().join(name)).unwrap();
    // What is killed may have been writing its last line.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, name: &str) {
    let killed = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status().unwrap();
    assert!(killed.success());
}

#[test]
fn of_four_workers_one_is_killed_and_every_job_is_done_once() {
    const IMAGES: usize = 200;
    let context = Context::new();
    let fleet = Fleet::start(IMAGES);
    fleet.list(&context);
    assert_eq!(context.ok(&["queue", "add", "--from-file", "images.txt"]), "200 jobs were added\n");
    assert_eq!(
        context.ok(&["queue", "add", "--from-file", "images.txt"]),
        "0 jobs were added, 200 were there already\n"
    );
    let store = store(&context);
    let mut workers: Vec<Child> =
        (0..4).map(|number| worker(&context, &format!("{number}.log"), &["--until-empty"])).collect();
    // The one that is killed has something in hand, and is in the middle of it.
    let victim = format!(" {} ", workers[0].id());
    let held = || {
        store
            .jobs(Some(JobState::Running), JobId(0), 999)
            .unwrap()
            .into_iter()
            .filter(|job| job.worker.contains(&victim))
    };
    wait_until("the middle of the backlog", || store.job_counts(0).unwrap().done >= IMAGES as u64 / 4);
    wait_until("a moment in which it holds jobs", || {
        signal(&workers[0], "STOP");
        let holds = held().next().is_some();
        if !holds {
            signal(&workers[0], "CONT");
        }
        holds
    });
    let lost: BTreeSet<JobId> = held().map(|job| job.id).collect();
    workers[0].kill().unwrap();
    workers[0].wait().unwrap();
    for worker in &mut workers[1..] {
        assert!(worker.wait().unwrap().success());
    }
    let counts = store.job_counts(0).unwrap();
    assert_eq!((counts.done, counts.open(), counts.dead, counts.workers), (IMAGES as u64, 0, 0, 0));
    // Every image is there, under its name, and every layer was read to its end once.
    for (image, (_, digest)) in fleet.images.iter().enumerate() {
        let (_, record) = store.image_by_reference(&fleet.reference(image)).unwrap().unwrap();
        assert_eq!(record.metadata.manifest_digest, *digest);
    }
    let read: Vec<u64> = fleet.layers.iter().map(|layer| store.readings(layer).unwrap()).collect();
    assert!(read.iter().all(|readings| *readings == 1), "{read:?}");
    // Nobody ended a job that another had ended, and only what the dead one had was taken again.
    let mut ends: BTreeMap<i64, u32> = BTreeMap::new();
    for number in 0..4 {
        for line in log(&context, &format!("{number}.log")) {
            if line["message"] == "job done" {
                *ends.entry(line["job"].as_i64().unwrap()).or_default() += 1;
            }
        }
    }
    assert!(ends.values().all(|ends| *ends == 1), "{ends:?}");
    assert!(IMAGES - ends.len() <= lost.len(), "only the dead one's ends may lack their lines");
    for job in store.jobs(None, JobId(0), 999).unwrap() {
        let again = u32::from(lost.contains(&job.id));
        assert!(job.attempts <= 1 + again && job.failures <= again, "{job:?}");
    }
    let recovered = (1..4).flat_map(|number| log(&context, &format!("{number}.log")));
    let recovered: u64 =
        recovered.filter_map(|line| line["jobs"].as_u64().filter(|_| line["level"] == "WARN")).sum();
    assert_eq!(recovered, lost.len() as u64);
    assert!(store.check(i64::MAX - 999_999).unwrap().is_sound());
}

/// A registry whose layers come only once it is told so.
struct Held {
    server: Server,
    opens: Arc<AtomicBool>,
    images: Vec<(String, Digest)>,
}

impl Held {
    fn start(images: usize) -> Self {
        let SmallFleet { content, images, layers } = SmallFleet::new(images, 100);
        let opens = Arc::new(AtomicBool::new(false));
        let open = Arc::clone(&opens);
        let server = Server::start(move |request| {
            let is_layer = layers.iter().any(|layer| request.target.ends_with(&layer.to_string()));
            while is_layer && !open.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            content.answer(request)
        });
        Self { server, opens, images }
    }

    fn add(&self, context: &Context) {
        let references: Vec<String> =
            self.images.iter().map(|(name, _)| format!("{}/{name}", self.server.address())).collect();
        let references: Vec<&str> = references.iter().map(String::as_str).collect();
        context.ok(&[&["queue", "add"], references.as_slice()].concat());
    }

    fn wait_for_layers(&self) {
        wait_until("a layer's request", || {
            self.server.requests().iter().any(|request| request.target.contains("/blobs/"))
        });
    }
}

#[test]
fn a_worker_that_is_asked_to_stop_finishes_what_it_began() {
    let context = Context::new();
    let held = Held::start(6);
    held.add(&context);
    let mut child = worker(&context, "log", &["--jobs", "2", "--threads", "2"]);
    held.wait_for_layers();
    let store = store(&context);
    wait_until("two jobs in hand", || store.job_counts(0).unwrap().running == 2);
    signal(&child, "TERM");
    held.opens.store(true, Ordering::SeqCst);
    assert!(child.wait().unwrap().success());
    let counts = store.job_counts(i64::MAX).unwrap();
    assert!(counts.done >= 1 && counts.done + counts.waiting == 6, "{counts:?}");
    assert_eq!((counts.running, counts.workers), (0, 0));
    // What was given back is no failure, and anybody may go on.
    assert!(worker(&context, "log2", &["--until-empty"]).wait().unwrap().success());
    let jobs = store.jobs(None, JobId(0), 9).unwrap();
    assert!(jobs.iter().all(|job| job.state == JobState::Done && job.failures == 0), "{jobs:?}");
}

#[test]
fn a_worker_that_cannot_finish_in_time_gives_back() {
    let context = Context::new();
    let held = Held::start(3);
    held.add(&context);
    let mut child = worker(&context, "log", &["--stop-grace", "0"]);
    held.wait_for_layers();
    signal(&child, "INT");
    assert!(child.wait().unwrap().success());
    let counts = store(&context).job_counts(i64::MAX).unwrap();
    assert_eq!((counts.waiting, counts.running, counts.workers), (3, 0, 0));
    held.opens.store(true, Ordering::SeqCst);
    assert!(worker(&context, "log2", &["--until-empty"]).wait().unwrap().success());
}

#[test]
fn lists_of_clair_and_harbor_become_images() {
    let context = Context::new();
    let layout = context.path().join("image");
    let digest = two_layers().oci_layout(&layout, Encoding::Gzip);
    let mut content = limpid_testkit::Content::new();
    content.put_layout("team/app", "1", &layout);
    let by_tag: serde_json::Value = serde_json::from_slice(content.object("team/app/manifests/1")).unwrap();
    let server = Server::start(move |request| match request.target.strip_prefix("/signed") {
        Some(_) if request.header("x-key") != "k" => Answer::new(403, "{}"),
        Some(rest) => content.answer(&limpid_testkit::Request { target: rest.to_owned(), ..request.clone() }),
        None => content.answer(request),
    });
    let at = server.address();
    let layers: Vec<serde_json::Value> = by_tag["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| {
            let hash = layer["digest"].as_str().unwrap();
            serde_json::json!({"hash": hash, "uri": format!("http://{at}/signed/v2/team/app/blobs/{hash}"),
                "headers": {"X-Key": ["k"]}})
        })
        .collect();
    // One whose sender knows another manifest's digest, and one that claims this one's with other layers.
    let other = Digest::of(b"a manifest of another registry");
    let manifest = serde_json::json!({"hash": other, "layers": layers});
    let forged = serde_json::json!({"hash": other, "layers": [layers[0]]});
    std::fs::write(context.path().join("clair.json"), format!("{manifest}\n{{\"hash\":1}}\n{forged}\n"))
        .unwrap();
    let (exit, errors) = context.fails(&["queue", "import", "clair.json"]);
    assert!(
        exit == 1 && errors.starts_with("limpid: clair.json:2: ") && errors.lines().count() == 1,
        "{errors}"
    );
    let artifacts = serde_json::json!([
        {"type": "IMAGE", "digest": digest, "repository_name": "team/app", "tags": [{"name": "1"}]},
        {"type": "CHART", "digest": digest, "repository_name": "team/chart"},
    ]);
    std::fs::write(context.path().join("harbor.json"), artifacts.to_string()).unwrap();
    assert_eq!(context.ok(&["queue", "import", "--registry", at, "harbor.json"]), "1 job was added\n");

    // The forged one is refused, which is what the exit code says.
    let mut child = worker(&context, "log", &["--until-empty", "--jobs", "1"]);
    assert_eq!(child.wait().unwrap().code(), Some(4));
    let jobs = store(&context).jobs(None, JobId(0), 9).unwrap();
    let states: Vec<JobState> = jobs.iter().map(|job| job.state).collect();
    assert_eq!(states, [JobState::Done, JobState::Dead, JobState::Done]);
    assert!(jobs[1].reason.contains("different list of layers"), "{}", jobs[1].reason);
    // Both say the same of the packages, and no layer was read twice.
    let store = store(&context);
    let nodes = |digest: &Digest| store.image(digest).unwrap().unwrap().1;
    assert_eq!(nodes(&other).nodes, nodes(&digest).nodes);
    let sizes =
        |digest| nodes(digest).metadata.layers.iter().map(|layer| layer.size_bytes).collect::<Vec<_>>();
    assert_eq!(sizes(&other), sizes(&digest));
    for layer in nodes(&digest).metadata.layers {
        assert_eq!(store.readings(&layer.digest).unwrap(), 1);
    }
    let reference = format!("{at}/team/app:1@{digest}");
    assert!(store.image_by_reference(&reference).unwrap().is_some());
    // Nothing that was shown to the registry is told, or stays with what is done.
    let log = std::fs::read_to_string(context.path().join("log")).unwrap();
    assert!(!log.contains("X-Key") && !log.contains("/signed/"), "{log}");
    let connection = rusqlite::Connection::open(context.path().join("store.db")).unwrap();
    let kept = "SELECT count(*) FROM job WHERE instr(options, 'X-Key') AND state != 3";
    assert_eq!(connection.query_row(kept, [], |row| row.get::<_, u32>(0)).unwrap(), 0);
}

#[test]
fn the_queue_is_looked_after() {
    let context = Context::new();
    two_layers().oci_layout(&context.path().join("image"), Encoding::Gzip);
    let good = format!("oci:{}", context.path().join("image").display());
    let gone = format!("oci:{}", context.path().join("gone").display());
    assert_eq!(context.ok(&["queue", "add", "--priority", "-5", &good, &gone]), "2 jobs were added\n");
    let (exit, error) = context.fails(&["queue", "add", &good, "oci:relative"]);
    assert!(exit == 3 && error.contains("not an absolute path"), "{error}");
    assert_eq!(context.ok(&["queue", "cancel", "1"]), "1 job was called off\n");
    let (exit, error) = context.fails(&["queue", "cancel", "1", "2", "77"]);
    assert!(exit == 1 && error.contains("job 1 neither") && error.contains("job 77 neither"), "{error}");
    context.ok(&["queue", "add", &good, &gone]);
    assert_eq!(worker(&context, "log", &["--until-empty"]).wait().unwrap().code(), Some(4));
    let document = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&context.ok(&[arguments, &["--format", "json"]].concat())).unwrap()
    };
    let status = document(&["queue", "status"]);
    assert_eq!(
        (&status["schema"], &status["done"], &status["dead"], &status["cancelled"]),
        (&"limpid-queue/1".into(), &1.into(), &1.into(), &2.into())
    );
    let dead = document(&["queue", "list", "--state", "dead"]);
    assert_eq!(dead["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&dead["jobs"][0]["subject"], &dead["next"]),
        (&gone.as_str().into(), &serde_json::Value::Null)
    );
    assert!(dead["jobs"][0]["reason"].as_str().unwrap().contains("was not found"));
    let page = document(&["queue", "list", "--limit", "2", "--after", "1"]);
    assert_eq!((&page["jobs"][0]["id"], &page["next"]), (&2.into(), &3.into()));
    // The image is there now.
    two_layers().oci_layout(&context.path().join("gone"), Encoding::Zstd);
    assert_eq!(context.ok(&["queue", "retry", "--all"]), "1 job waits again\n");
    assert!(worker(&context, "log", &["--until-empty"]).wait().unwrap().success());
    assert_eq!(context.ok(&["queue", "clear"]), "4 jobs were forgotten\n");
    assert!(context.ok(&["queue", "status"]).contains("done                0\n"));
    assert!(context.ok(&["queue", "list"]).is_empty());

    let (exit, error) = context.fails(&["serve", "--role", "gardener"]);
    assert!(exit == 3 && error.contains("no role `gardener`"), "{error}");
    let (exit, error) = context.fails(&["serve", "--role", "worker", "--registry-token", "t"]);
    assert!(exit == 3 && error.contains("are for one registry"), "{error}");
}

#[test]
fn a_worker_keeps_feeds_fresh() {
    let context = Context::new();
    two_layers().oci_layout(&context.path().join("image"), Encoding::Gzip);
    let good = format!("oci:{}", context.path().join("image").display());
    context.ok(&["queue", "add", &good]);
    let tracker = context.path().join("feeds/security-tracker.debian.org/tracker/data/json");
    std::fs::create_dir_all(tracker.parent().unwrap()).unwrap();
    let json = r#"{"a":{"CVE-2024-1":{"releases":{"bookworm":{"status":"resolved","fixed_version":"2.0-1",
        "repositories":{"bookworm":"1.0-2"},"urgency":"high"}}}}}"#;
    std::fs::write(&tracker, json).unwrap();
    let output = context.run(&[
        "--feeds-mirror",
        "feeds",
        "--no-enrich",
        "serve",
        "--role",
        "worker",
        "--until-empty",
    ]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let updated = errors.lines().find(|line| line.contains("feed updated")).unwrap();
    assert!(updated.contains(r#""feed":"debian-tracker""#) && updated.contains(r#""added":1"#), "{updated}");
    let affected = context.ok(&["--offline", "affected", "CVE-2024-1"]);
    assert!(affected.contains("1 of 1 image"), "{affected}");
}
