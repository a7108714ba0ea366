//! A backlog and several workers, of which some are killed in the middle: that nothing is lost or done twice, and how
//! long it takes.
//!
//! The registry is in this process, on loopback. The workers are real processes; one is killed with SIGKILL each time
//! another part of the backlog is done.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use limpid_store::{JobCounts, JobId, JobState, Store};
use limpid_testkit::{Postgres, Server, SmallFleet};

use crate::figure::{Figure, print};

/// Bytes of an image's own layer; those below are larger.
const FILLER_BYTES: usize = 50_000;
/// The longest that the backlog may take: that it does not end is a failure.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Jobs that are listed at a time.
const PAGE: usize = 1000;

#[derive(Debug, Args)]
pub(crate) struct Workers {
    /// Images in the backlog
    #[arg(long, default_value_t = 2000)]
    images: usize,
    /// Workers
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// So many of them are killed
    #[arg(long, default_value_t = 1)]
    kill: usize,
    /// Keep the store in a PostgreSQL server that is started for this
    #[arg(long)]
    postgres: bool,
    /// Cut all connections to it so many times, one after each further part of the backlog
    #[arg(long, default_value_t = 0, requires = "postgres")]
    cut: usize,
    /// Kill it and start it again so many times, after these
    #[arg(long, default_value_t = 0, requires = "postgres")]
    crash: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// The program to measure [default: limpid beside this one]
    #[arg(long)]
    limpid: Option<PathBuf>,
}

/// Workers that end with this value.
struct Processes(Vec<Child>);

impl Drop for Processes {
    fn drop(&mut self) {
        for process in &mut self.0 {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Workers {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        ensure!(self.kill < self.workers, "one worker must be left");
        let limpid = match &self.limpid {
            Some(limpid) => limpid.clone(),
            None => std::env::current_exe()?.with_file_name("limpid"),
        };
        ensure!(limpid.is_file(), "{} is missing: cargo build --release", limpid.display());
        let folder = tempfile::tempdir()?;
        // Durable as an operator's would be: what was acknowledged outlives a crash.
        let cluster = if self.postgres {
            Some(Postgres::start(&[]).context("PostgreSQL is not installed")?)
        } else {
            None
        };
        let database = cluster.as_ref().map(Postgres::database);
        let path = database.as_ref().map_or_else(|| folder.path().join("store.db"), PathBuf::from);
        let SmallFleet { content, images, layers } = SmallFleet::new(self.images, FILLER_BYTES);
        let server = Server::start(move |request| content.answer(request));
        let references: Vec<String> =
            images.iter().map(|(name, _)| format!("{}/{name}", server.address())).collect();
        let list = folder.path().join("images.txt");
        std::fs::write(&list, references.join("\n"))?;
        let added = Command::new(&limpid)
            .args(["queue", "add", "--from-file"])
            .arg(&list)
            .env("LIMPID_STORE", &path)
            .stdout(Stdio::null())
            .status()?;
        ensure!(added.success(), "the backlog could not be added");

        let store = limpid_store::open(&path)?;
        let began = Instant::now();
        let workers = (0..self.workers).map(|number| worker(&limpid, &path, folder.path(), number));
        let mut workers = Processes(workers.collect::<anyhow::Result<_>>()?);
        let lost = std::thread::scope(|scope| {
            if let (Some(cluster), Some(database)) = (&cluster, &database) {
                scope.spawn(|| self.disturb(cluster, database, store.as_ref()));
            }
            self.kill_some(store.as_ref(), &mut workers)
        })?;
        for worker in &mut workers.0[self.kill..] {
            ensure!(worker.wait()?.success(), "a worker failed");
        }
        let seconds = began.elapsed().as_secs_f64();

        let mut missing = 0;
        for (reference, (_, digest)) in references.iter().zip(&images) {
            let known = store.image_by_reference(reference)?;
            missing +=
                usize::from(known.is_none_or(|(_, record)| record.metadata.manifest_digest != *digest));
        }
        let mut unread = 0;
        let mut read_again = 0;
        for layer in &layers {
            match store.readings(layer)? {
                0 => unread += 1,
                1 => {}
                _ => read_again += 1,
            }
        }
        let counts = store.job_counts(0)?;
        let (doubled, untold) = ends(folder.path(), self.workers, self.images)?;
        let figure = |name: &str, value: f64, unit, target_max: Option<f64>| {
            Figure::new(name, value, unit).at_most(target_max)
        };
        let none = |name: &str, count: usize| figure(name, count as f64, "", Some(0.0));
        print(
            &[
                figure("backlog", seconds, "s", None),
                figure("images a second, all workers", self.images as f64 / seconds, "", None),
                figure("jobs that the killed workers held", lost as f64, "", None),
                none("images that are missing", missing),
                none("layers that were not read", unread),
                none("layers that were read more than once", read_again),
                none("jobs that are not done", self.images - usize::try_from(counts.done)?),
                none("jobs that ended more than once", doubled),
                // A worker that is killed between an end and its line leaves none.
                figure("ends that nobody told of", untold as f64, "", Some(lost as f64)),
            ],
            self.json,
        );
        Ok(())
    }

    /// Cuts connections and crashes the server, one after each further part of the backlog.
    fn disturb(&self, cluster: &Postgres, database: &str, store: &dyn Store) {
        let all = self.cut + self.crash;
        for number in 0..all {
            let due = self.images * (number + 1) / (all + 1);
            loop {
                match store.job_counts(0) {
                    Ok(counts) if counts.open() == 0 => return,
                    Ok(counts) if counts.done >= due as u64 => break,
                    // It was cut off itself, and asks again.
                    _ => std::thread::sleep(Duration::from_millis(5)),
                }
            }
            if number < self.cut { cluster.cut(database) } else { cluster.crash() }
        }
    }

    /// Kills workers, one after each further part of the backlog, while they hold jobs. How many jobs they held.
    fn kill_some(&self, store: &dyn Store, workers: &mut Processes) -> anyhow::Result<usize> {
        let mut lost = 0;
        let began = Instant::now();
        for number in 0..self.kill {
            let done = self.images * (number + 1) / (self.kill + 1);
            let victim = &mut workers.0[number];
            let name = format!(" {} ", victim.id());
            loop {
                let counts: JobCounts = store.job_counts(0)?;
                if usize::try_from(counts.done)? >= done {
                    signal(victim, "STOP")?;
                    let jobs = store.jobs(Some(JobState::Running), JobId(0), PAGE)?;
                    let held = jobs.iter().filter(|job| job.worker.contains(&name)).count();
                    if held > 0 {
                        victim.kill()?;
                        lost += held;
                        break;
                    }
                    signal(victim, "CONT")?;
                }
                ensure!(counts.open() > 0, "the backlog was done before a worker could be killed");
                ensure!(began.elapsed() < PATIENCE, "the backlog is not done");
                std::thread::sleep(Duration::from_millis(5));
            }
            victim.wait()?;
        }
        Ok(lost)
    }
}

fn signal(process: &Child, signal: &str) -> anyhow::Result<()> {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(process.id().to_string()).status()?;
    if sent.success() { Ok(()) } else { bail!("a worker ended before it was killed") }
}

fn worker(limpid: &Path, store: &Path, folder: &Path, number: usize) -> anyhow::Result<Child> {
    let log = File::create(folder.join(format!("{number}.log")))?;
    let mut command = Command::new(limpid);
    command.args(["serve", "--role", "worker", "--no-update", "--until-empty"]).env("LIMPID_STORE", store);
    command.stdout(Stdio::null()).stderr(log).spawn().context("a worker cannot be started")
}

/// By the logs, how many jobs ended more than once, and how many ends are not told of.
fn ends(folder: &Path, workers: usize, images: usize) -> anyhow::Result<(usize, usize)> {
    let mut ends: BTreeMap<i64, usize> = BTreeMap::new();
    for number in 0..workers {
        let log = std::fs::read_to_string(folder.join(format!("{number}.log")))?;
        // Who was killed may have been writing its last line.
        for line in log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
            if line["message"] == "job done" {
                *ends.entry(line["job"].as_i64().context("a line without a job")?).or_default() += 1;
            }
        }
    }
    Ok((ends.values().filter(|ends| **ends > 1).count(), images - ends.len()))
}
