//! `limpid serve --role worker`: indexes what the queue asks for, and does the chores.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use limpid_image::{Image, OpenOptions, Reference};
use limpid_index::{Clock as _, ImageWork, Indexer, Quiet, Stop, Work, Worker, WorkerEvent};
use limpid_store::JobEnd;
use tracing::{error, info, warn};

use super::chores::Chores;
use super::log;
use crate::arguments::{Global, PlatformChoice};
use crate::error::{Error, Exit};
use crate::interrupt;
use crate::queue_arguments::Serve;
use crate::session::Session;

/// Jobs that are held at a time by a worker with one thread.
const JOBS_MIN: usize = 4;

pub(super) fn run(global: &Global, serve: &Serve) -> Result<Exit, Error> {
    serve.registry.refuse_for_many()?;
    let session = Session::open(global)?.without_progress();
    log::begin(serve.log, global.quiet);
    let stop = interrupt::stop_when_asked();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = serve.threads.unwrap_or(cores).max(1);
    let options = OpenOptions { registry: serve.registry.options(global.offline)?, ..OpenOptions::default() };
    let indexer = Indexer {
        store: session.store.as_ref(),
        clock: &session.clock,
        progress: &Quiet,
        limits: options.limits.clone(),
        threads,
        process: session.process(),
    };
    let dead = AtomicU64::new(0);
    let watch = |event: &WorkerEvent<'_>| {
        log::worker(event);
        if matches!(event, WorkerEvent::Ended { end: JobEnd::Dead { .. }, counts: true, .. }) {
            dead.fetch_add(1, Ordering::Relaxed);
        }
    };
    let worker = Worker {
        indexer,
        open: &|work| open(work, &options, global.offline),
        watch: &watch,
        stop,
        jobs_max: serve.jobs.unwrap_or((2 * threads).max(JOBS_MIN)).max(1),
        until_empty: serve.until_empty,
    };
    let name = session.process().name();
    info!(worker = name, threads, jobs = worker.jobs_max, "worker begins");
    let chores = Chores { session: &session, serve, stop };
    let ended = Stop::new();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| ends_in_time(&session, serve, stop, &ended));
        let by_the_way = scope.spawn(|| chores.run());
        let result = worker.run();
        let was_asked = stop.is_asked();
        if result.is_ok() && !was_asked {
            // The queue is empty: nobody asked, but the chores end too.
            chores.finish();
        }
        stop.ask();
        let _ = by_the_way.join();
        ended.ask();
        result
    });
    match &result {
        Ok(()) => info!(worker = name, "worker ends"),
        Err(reason) => error!(worker = name, %reason, "worker ends"),
    }
    result?;
    // Whoever waits for the end wants to know; a server goes on.
    let failed = serve.until_empty && dead.load(Ordering::Relaxed) > 0;
    Ok(if failed { Exit::Image } else { Exit::Success })
}

/// Gives back what is held and ends the process, if it does not end in time once it was asked to.
fn ends_in_time(session: &Session<'_>, serve: &Serve, stop: &Stop, ended: &Stop) {
    while !stop.wait(Duration::from_secs(3600)) {}
    if ended.wait(Duration::from_secs(serve.stop_grace.into())) {
        return;
    }
    match session.store.give_back(session.process().name(), session.clock.now()) {
        Ok(jobs) => info!(jobs, "worker ends; what it had not finished was given back"),
        Err(reason) => warn!(%reason, "worker ends; what it had not finished waits until its time is over"),
    }
    // As when it is interrupted: nothing needs to be finished.
    interrupt::end(0);
}

fn open(
    work: &Work,
    options: &OpenOptions,
    offline: bool,
) -> Result<Vec<Box<dyn Image>>, limpid_index::Error> {
    match work {
        Work::Image(image) => open_image(image, options.clone(), offline),
        Work::Manifest(manifest) => Ok(vec![limpid_image::open_clair_manifest(manifest, options)?]),
    }
}

fn open_image(
    image: &ImageWork,
    mut options: OpenOptions,
    offline: bool,
) -> Result<Vec<Box<dyn Image>>, limpid_index::Error> {
    let cannot = |error: &dyn std::fmt::Display| limpid_index::Error::Work(error.to_string());
    let reference: Reference = image.reference.parse().map_err(|error| cannot(&error))?;
    if !image.authorization.is_empty() {
        let authorized = options.registry.authorized(&image.authorization);
        options.registry = authorized.map_err(limpid_image::Error::from)?;
    }
    if image.insecure {
        options.registry.insecure_registries.extend(reference.registry_host());
    }
    options.engines =
        crate::engines::options(std::iter::once(&reference), offline).map_err(|error| cannot(&error))?;
    let platform = match image.platform.as_str() {
        "" => None,
        platform => Some(platform.parse::<PlatformChoice>().map_err(|error| cannot(&error))?),
    };
    if platform == Some(PlatformChoice::All) {
        return Ok(limpid_image::open_all(&reference, &options)?);
    }
    if let Some(PlatformChoice::One(platform)) = platform {
        options.platform = Some(platform);
    }
    Ok(vec![limpid_image::open(&reference, &options)?])
}
