//! `limpid store`: forgetting and freeing beside processes that index, killed in the middle, and backups.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use limpid_store::{Fleet as _, OccurrenceId, SqliteStore, Store as _};
use limpid_testkit::{Encoding, ImageBuilder, Layer, dpkg_status};
use serde_json::Value;

use crate::{BOOKWORM, Context};

const PROCESSES: usize = 8;
const IMAGES: usize = 16;
const ROUNDS: usize = 2;
const KILLS: u32 = 60;

fn status(packages: &[String]) -> String {
    let packages: Vec<(&str, &str, &str)> = packages.iter().map(|name| (name.as_str(), "1", "")).collect();
    dpkg_status(&packages)
}

/// Images on one base; every second shares its middle, and each has packages of its own.
fn images(context: &Context, count: usize, own_packages: usize) {
    let names = |prefix: &str, count: usize| (0..count).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
    let base = names("base", 20);
    let bottom = Layer::new().file("etc/os-release", BOOKWORM).file("var/lib/dpkg/status", status(&base));
    for image in 0..count {
        let middle = [base.clone(), names(&format!("middle{}-", image % 2), 5)].concat();
        let top = [middle.clone(), names(&format!("own{image}-"), own_packages)].concat();
        let middle = Layer::new().file("var/lib/dpkg/status", status(&middle));
        let top = Layer::new().file("var/lib/dpkg/status", status(&top));
        ImageBuilder::new()
            .layer("base", &bottom)
            .layer("middle", &middle)
            .layer("own", &top)
            .oci_layout(&context.path().join(image.to_string()), Encoding::Gzip);
    }
}

fn packages(context: &Context, store: &str, image: usize) -> Result<String, String> {
    let reference = format!("oci:{image}");
    let output = context.run(&["--offline", "--store", store, "packages", "--format", "json", &reference]);
    match output.status.success() && output.stderr.is_empty() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Brings images into a store, in their order.
fn index(context: &Context, store: &str, images: impl Iterator<Item = usize>) {
    let references: Vec<String> = images.map(|image| format!("oci:{image}\n")).collect();
    std::fs::write(context.path().join("list"), references.concat()).unwrap();
    context.ok(&["--offline", "--store", store, "packages", "--format", "json", "--from-file", "list"]);
}

fn check(context: &Context, store: &str) {
    let text = context.ok(&["--store", store, "store", "check"]);
    assert!(text.starts_with("everything holds"), "{text}");
}

/// Counts of rows, without sizes.
fn rows(context: &Context, store: &str) -> Value {
    let text = context.ok(&["--store", store, "store", "status", "--format", "json"]);
    let mut status: Value = serde_json::from_str(&text).unwrap();
    for bytes in ["fileBytes", "freeBytes", "logBytes"] {
        assert!(status.as_object_mut().unwrap().remove(bytes).unwrap().is_u64());
    }
    status
}

#[test]
fn a_store_tells_what_it_holds_and_forgets_what_it_is_told() {
    let context = Context::new();
    images(&context, 3, 2);
    index(&context, "less.db", [0, 2].into_iter());
    index(&context, "store.db", 0..3);
    let table = context.ok(&["store", "status"]);
    assert!(table.lines().any(|line| line.split_whitespace().eq(["images", "3"])), "{table}");
    let (code, error) = context.fails(&["store", "forget", "oci:1", "oci:7"]);
    assert!(code == 4 && error.contains("no image oci:7") && error.contains("hint:"), "{code}: {error}");
    assert_eq!(rows(&context, "store.db")["images"], 3, "nothing is forgotten after a mistake");
    let report: Value = serde_json::from_str(&packages(&context, "store.db", 1).unwrap()).unwrap();
    let digest = report["image"]["digest"].as_str().unwrap().to_owned();
    assert_eq!(context.ok(&["store", "forget", &digest]), format!("forgot {digest}\n"));
    let text = context.ok(&["store", "gc"]);
    assert!(text.contains("freed 0 layers") && text.contains("not for 900 seconds"), "{text}");
    let text = context.ok(&["store", "gc", "--grace", "0"]);
    assert!(text.starts_with("freed 2 layers, 2 nodes, 2 chains, 7 occurrences, 7 packages"), "{text}");
    assert_eq!(rows(&context, "store.db"), rows(&context, "less.db"));
    check(&context, "store.db");
    // Everything was seen today; of a store that was not used for a week nothing is left.
    let text = context.ok(&["store", "gc", "--keep-days", "1"]);
    assert!(text.contains("forgot 0 images"), "{text}");
    let week = "UPDATE reference SET first_seen = first_seen - 7 * 86400, last_seen = last_seen - 7 * 86400;
                UPDATE image SET analysed_at = analysed_at - 7 * 86400";
    rusqlite::Connection::open(context.path().join("store.db")).unwrap().execute_batch(week).unwrap();
    context.ok(&["--offline", "packages", "oci:2"]);
    let text = context.ok(&["store", "gc", "--keep-days", "1", "--grace", "0"]);
    assert!(text.contains("forgot 1 images"), "{text}");
    index(&context, "one.db", [2].into_iter());
    assert_eq!(rows(&context, "store.db"), rows(&context, "one.db"));
}

#[test]
fn damage_ends_with_the_stores_exit_code() {
    let context = Context::new();
    images(&context, 1, 1);
    index(&context, "store.db", 0..1);
    let path = context.path().join("store.db");
    rusqlite::Connection::open(&path).unwrap().execute("DELETE FROM chain", []).unwrap();
    check(&context, "store.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute("DELETE FROM package WHERE name = 'base3'", [])
        .unwrap();
    let output = context.run(&["store", "check"]);
    assert_eq!(output.status.code(), Some(5));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("occurrence: 1 whose package is missing, for example occurrence "), "{text}");
    let output = context.run(&["store", "check", "--format", "json"]);
    assert_eq!(output.status.code(), Some(5));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        report["broken"].as_array().unwrap().iter().any(|broken| broken["table"] == "verdict"),
        "{report}"
    );
}

/// Every process takes all images in an order of its own, again and again, while `beside` goes on, which may forget
/// images.
fn index_beside(
    context: &Context,
    expected: &[String],
    forgets: bool,
    beside: &(dyn Fn(usize) + Sync),
) -> usize {
    let (done, turns) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let indexers: Vec<_> = (0..PROCESSES)
            .map(|process| {
                scope.spawn(move || {
                    for turn in 0..ROUNDS * IMAGES {
                        let image = (turn * (2 * process + 1) + process) % IMAGES;
                        let mut report = packages(context, "store.db", image);
                        // Forgotten and freed between its analysis and its report, which a grace prevents.
                        while forgets
                            && matches!(&report, Err(error) if error.contains("was removed from the store"))
                        {
                            report = packages(context, "store.db", image);
                        }
                        assert_eq!(report.as_ref(), Ok(&expected[image]), "image {image}");
                    }
                })
            })
            .collect();
        let other = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                beside(turns.fetch_add(1, Ordering::Relaxed));
            }
        });
        let results: Vec<_> = indexers.into_iter().map(|indexer| indexer.join()).collect();
        done.store(true, Ordering::Relaxed);
        other.join().unwrap();
        assert!(results.iter().all(Result::is_ok));
    });
    turns.into_inner()
}

fn expected(context: &Context) -> Vec<String> {
    (0..IMAGES).map(|image| packages(context, &format!("lone{image}.db"), image).unwrap()).collect()
}

#[test]
fn collections_take_nothing_from_processes_that_index() {
    let context = Context::new();
    images(&context, IMAGES, 10);
    let expected = expected(&context);
    // What is analysed but not yet stored is unused, and with no grace freed at once.
    let turns = index_beside(&context, &expected, false, &|_| {
        context.ok(&["store", "gc", "--grace", "0"]);
    });
    assert!(turns > 1);
    check(&context, "store.db");
    context.ok(&["store", "gc", "--grace", "0"]);
    index(&context, "never.db", 0..IMAGES);
    assert_eq!(rows(&context, "store.db"), rows(&context, "never.db"));
}

#[test]
fn images_that_are_forgotten_while_others_index_them_come_back() {
    let context = Context::new();
    images(&context, IMAGES, 10);
    let expected = expected(&context);
    index(&context, "store.db", 0..IMAGES);
    let freed = AtomicUsize::new(0);
    index_beside(&context, &expected, true, &|turn| {
        for image in [turn % IMAGES, (turn + 5) % IMAGES] {
            // It may be forgotten already.
            context.run(&["store", "forget", &format!("oci:{image}")]);
        }
        let text = context.ok(&["store", "gc", "--grace", "0"]);
        freed.fetch_add(usize::from(!text.starts_with("freed 0 layers, 0 nodes")), Ordering::Relaxed);
        check(&context, "store.db");
    });
    assert!(freed.into_inner() > 0);
    index(&context, "store.db", 0..IMAGES);
    context.ok(&["store", "gc", "--grace", "0"]);
    index(&context, "never.db", 0..IMAGES);
    assert_eq!(rows(&context, "store.db"), rows(&context, "never.db"));
}

#[test]
fn a_segment_whose_building_is_killed_is_whole_or_not_there() {
    const COPIES: u64 = 1500;
    const ROUNDS: u32 = 20;
    let context = Context::new();
    images(&context, 2, 40);
    index(&context, "template.db", 0..2);
    let open = |store: &str| SqliteStore::open(&context.path().join(store)).unwrap();
    let store = open("template.db");
    let (_, mut record) = store.image_by_reference("oci:0").unwrap().unwrap();
    for number in 0..COPIES {
        record.metadata.manifest_digest = limpid_model::Digest::of(&number.to_le_bytes());
        store.put_image(&record, "", 1_700_000_000).unwrap();
    }
    assert!(store.needs_tending().unwrap());
    let own: Vec<OccurrenceId> =
        store.occurrences_named("own0-7").unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(store.holding(&own).unwrap().len(), COPIES + 1);
    drop(store);
    let gc = || {
        let mut command = context.command(&["--store", "store.db", "store", "gc", "--grace", "0"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let copy = || {
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(context.path().join(format!("store.db{end}")));
        }
        std::fs::copy(context.path().join("template.db"), context.path().join("store.db")).unwrap();
    };
    copy();
    let began = Instant::now();
    assert!(gc().wait().unwrap().success());
    let window = began.elapsed();
    assert!(!open("store.db").needs_tending().unwrap());
    let mut cut_short = 0;
    for round in 0..ROUNDS {
        copy();
        let mut child = gc();
        std::thread::sleep(window.mul_f64(f64::from(round) / f64::from(ROUNDS)));
        child.kill().unwrap();
        child.wait().unwrap();
        check(&context, "store.db");
        let store = open("store.db");
        cut_short += u32::from(store.needs_tending().unwrap());
        assert_eq!(store.holding(&own).unwrap().len(), COPIES + 1);
        while store.tend().unwrap() {}
        assert_eq!(store.counts(std::slice::from_ref(&own), None).unwrap(), [COPIES + 1]);
        drop(store);
        check(&context, "store.db");
    }
    eprintln!("{cut_short} of {ROUNDS} were killed before the segment was there");
    assert!(cut_short > 0);
}

#[test]
fn a_collection_that_is_killed_leaves_a_sound_store() {
    let context = Context::new();
    images(&context, 40, 300);
    index(&context, "template.db", 0..40);
    index(&context, "rest.db", [0, 1].into_iter());
    let forgotten: Vec<String> = (2..40).map(|image| format!("oci:{image}")).collect();
    let mut forget = vec!["--store", "template.db", "store", "forget"];
    forget.extend(forgotten.iter().map(String::as_str));
    context.ok(&forget);
    let copy = |store: &str| {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(context.path().join(format!("{store}{end}")));
        }
        std::fs::copy(context.path().join("template.db"), context.path().join(store)).unwrap();
    };
    let gc = |store: &str| {
        let mut command = context.command(&["--store", store, "store", "gc", "--grace", "0"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    copy("whole.db");
    let began = Instant::now();
    assert!(gc("whole.db").wait().unwrap().success());
    let window = began.elapsed();
    let mut in_the_middle = 0;
    for round in 0..KILLS {
        copy("store.db");
        let mut child = gc("store.db");
        std::thread::sleep(window.mul_f64(f64::from(round) / f64::from(KILLS)));
        child.kill().unwrap();
        child.wait().unwrap();
        check(&context, "store.db");
        let nodes = rows(&context, "store.db")["nodes"].as_u64().unwrap();
        in_the_middle += u32::from(nodes > 4 && nodes < 43);
        assert!(gc("store.db").wait().unwrap().success());
        assert_eq!(rows(&context, "store.db"), rows(&context, "rest.db"), "round {round}");
        check(&context, "store.db");
    }
    eprintln!("{in_the_middle} of {KILLS} collections were killed while they freed nodes");
    assert!(in_the_middle > 0);
}

#[test]
fn a_backup_beside_writers_is_a_sound_store() {
    let context = Context::new();
    images(&context, IMAGES, 10);
    let expected = expected(&context);
    let store = |name: &str| context.path().join(name).exists();
    index_beside(&context, &expected, false, &|turn| {
        let name = format!("backup{turn}.db");
        context.ok(&["store", "backup", &name]);
        check(&context, &name);
    });
    assert!(store("backup0.db") && store("backup1.db"));
    let (code, error) = context.fails(&["store", "backup", "backup0.db"]);
    assert!(code == 5 && error.contains("exists already") && error.contains("hint:"), "{code}: {error}");
    context.ok(&["store", "backup", "last.db"]);
    let text = context.ok(&["--store", "restored.db", "store", "restore", "last.db"]);
    assert!(text.starts_with("everything holds"), "{text}");
    assert_eq!(rows(&context, "restored.db"), rows(&context, "store.db"));
    assert_eq!(packages(&context, "restored.db", 3).as_ref(), Ok(&expected[3]));
    let partial = |path: &Path| path.to_string_lossy().contains("partial");
    assert!(!context.path().read_dir().unwrap().any(|entry| partial(&entry.unwrap().path())));
}

#[test]
fn a_restore_that_is_killed_leaves_the_old_store_or_the_new_one() {
    let context = Context::new();
    images(&context, 8, 200);
    index(&context, "old.db", 0..2);
    index(&context, "new.db", 0..8);
    context.ok(&["--store", "new.db", "store", "backup", "backup.db"]);
    let (old, new) = (rows(&context, "old.db"), rows(&context, "new.db"));
    let restore = || {
        let mut command = context.command(&["store", "restore", "--force", "backup.db"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut window = Duration::ZERO;
    for round in 0..20 {
        std::fs::copy(context.path().join("old.db"), context.path().join("store.db")).unwrap();
        let began = Instant::now();
        let mut child = restore();
        if round == 0 {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            window = began.elapsed();
            assert_eq!(rows(&context, "store.db"), new);
            continue;
        }
        std::thread::sleep(window.mul_f64(f64::from(round) / 20.0));
        child.kill().unwrap();
        child.wait().unwrap();
        let now = rows(&context, "store.db");
        assert!(now == old || now == new, "{now}");
        check(&context, "store.db");
    }
    let (code, error) = context.fails(&["store", "restore", "backup.db"]);
    assert!(code == 5 && error.contains("exists already") && error.contains("--force"), "{code}: {error}");
}
