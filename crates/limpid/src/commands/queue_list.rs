//! How `limpid queue` tells what is in the queue.

use std::fmt::Write as _;

use limpid_report::terminal::printable;
use limpid_store::{JobCounts, JobRecord};
use serde_json::{Value, json};

use crate::arguments::ReportFormat;
use crate::clock::rfc3339;
use crate::error::{Error, Exit};
use crate::session::print;

/// So many jobs, and what is to be said of one or of several.
pub(super) fn jobs(count: u64, one: &str, several: &str) -> String {
    if count == 1 { format!("1 job {one}") } else { format!("{count} jobs {several}") }
}

pub(super) fn status(counts: &JobCounts, format: ReportFormat) -> Result<Exit, Error> {
    let rows = [
        ("waiting", counts.waiting),
        ("delayed", counts.delayed),
        ("running", counts.running),
        ("done", counts.done),
        ("dead", counts.dead),
        ("cancelled", counts.cancelled),
        ("workers", counts.workers),
    ];
    let mut text = String::new();
    match format {
        ReportFormat::Table => {
            for (name, count) in rows {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{name:<10} {count:>10}");
            }
            if let Some(added_at) = counts.oldest_added_at {
                let _ = writeln!(text, "the oldest that waits was added {}", rfc3339(added_at));
            }
        }
        ReportFormat::Json => {
            let mut document = json!({ "schema": "limpid-queue/1" });
            for (name, count) in rows {
                document[name] = json!(count);
            }
            document["oldestAdded"] = json!(counts.oldest_added_at.map(rfc3339));
            text = format!("{document:#}\n");
        }
    }
    print(&text)?;
    Ok(Exit::Success)
}

pub(super) fn list(jobs: &[JobRecord], limit: usize, format: ReportFormat) -> Result<Exit, Error> {
    // A full page may have another after it.
    let next = jobs.last().filter(|_| jobs.len() == limit).map(|job| job.id.0);
    print(&match format {
        ReportFormat::Table => table(jobs, next),
        ReportFormat::Json => {
            let jobs: Vec<Value> = jobs.iter().map(document).collect();
            let document = json!({ "schema": "limpid-jobs/1", "jobs": jobs, "next": next });
            format!("{document:#}\n")
        }
    })?;
    Ok(Exit::Success)
}

fn table(jobs: &[JobRecord], next: Option<i64>) -> String {
    let mut text = String::new();
    for job in jobs {
        let tries = if job.attempts > 1 { format!(", taken {} times", job.attempts) } else { String::new() };
        let reason = if job.reason.is_empty() { String::new() } else { format!(": {}", job.reason) };
        let line = format!("{:>8} {:<9} {}{tries}{reason}", job.id.0, job.state.name(), job.subject);
        let _ = writeln!(text, "{}", printable(&line));
    }
    if let Some(next) = next {
        let _ = writeln!(text, "there may be more: --after {next}");
    }
    text
}

fn document(job: &JobRecord) -> Value {
    let time = |seconds: i64| (seconds != 0).then(|| rfc3339(seconds));
    json!({
        "id": job.id.0,
        "kind": job.kind,
        "subject": job.subject,
        "state": job.state.name(),
        "priority": job.priority,
        "attempts": job.attempts,
        "failures": job.failures,
        "added": time(job.added_at),
        "due": time(job.due_at),
        "begun": time(job.begun_at),
        "ended": time(job.ended_at),
        "worker": job.worker,
        "reason": job.reason,
    })
}
