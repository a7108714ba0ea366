//! The log of a process that stays: a line for each thing that happened, to standard error.

use limpid_index::WorkerEvent;
use limpid_store::JobEnd;
use tracing::{Level, info, warn};

use crate::queue_arguments::LogFormat;

/// Begins the log of this process; only what is wrong, if it is to be quiet.
pub(super) fn begin(format: LogFormat, quiet: bool) {
    let level = if quiet { Level::WARN } else { Level::INFO };
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).with_target(false);
    // It fails only if a process begins it twice.
    let _ = match format {
        LogFormat::Json => tracing::subscriber::set_global_default(log.json().flatten_event(true).finish()),
        LogFormat::Text => tracing::subscriber::set_global_default(log.with_ansi(false).finish()),
    };
}

/// A worker's line.
pub(super) fn worker(event: &WorkerEvent<'_>) {
    match event {
        WorkerEvent::Recovered(jobs) => warn!(jobs, "jobs of workers that ended wait again"),
        WorkerEvent::Took(job) => {
            info!(job = job.id.0, attempt = job.attempt, kind = job.kind, subject = job.subject, "job taken");
        }
        WorkerEvent::Ended { job, counts: false, .. } => {
            warn!(job = job.id.0, attempt = job.attempt, subject = job.subject, "job was no longer ours");
        }
        WorkerEvent::Ended { job, end, images, seconds, .. } => {
            let (job, attempt, subject) = (job.id.0, job.attempt, &job.subject);
            match end {
                JobEnd::Done => info!(job, attempt, subject, images, seconds, "job done"),
                JobEnd::Returned => info!(job, attempt, subject, "job given back"),
                JobEnd::Retry { reason, .. } => {
                    warn!(job, attempt, subject, reason, "job failed, and waits again")
                }
                JobEnd::Dead { reason } => warn!(job, attempt, subject, reason, "job failed for good"),
            }
        }
        WorkerEvent::StoreFailed { error, pause } => {
            let milliseconds = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            warn!(reason = %error, milliseconds, "the store failed, and is tried again");
        }
        WorkerEvent::StoreIsBack => info!("the store answers again"),
    }
}
