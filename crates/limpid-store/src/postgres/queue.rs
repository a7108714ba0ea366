//! The queue of jobs. Each call is one transaction. Workers take jobs whose rows nobody else holds (`SKIP LOCKED`), so that
//! they do not wait for each other.

use limpid_model::Digest;
use postgres::Row;

use super::PostgresStore;
use super::connection::{Connection, column, text};
use super::ids::Counter;
use crate::column::count;
use crate::queue::{
    Enqueued, JobCounts, JobEnd, JobId, JobRecord, JobState, LOST, NewJob, PRIORITY_STEP_SECONDS, Queue,
    REASON_BYTES_MAX, Taken, TakenJob, Taking, shortened, turn,
};
use crate::store::Lease;
use crate::{Error, Result};

/// As the database computes it.
fn hash(text: &str) -> Vec<u8> {
    Digest::of(text.as_bytes()).as_bytes().to_vec()
}

impl Queue for PostgresStore {
    fn enqueue(&self, jobs: &[NewJob], now: i64) -> Result<Vec<Enqueued>> {
        jobs.iter().try_for_each(NewJob::check)?;
        self.pool.write(|connection| enqueue_all(connection, jobs, now))
    }

    fn take(&self, taking: &Taking<'_>, is_over: &dyn Fn(&Lease) -> bool) -> Result<Taken> {
        // Idle workers ask often: only who has something to do writes.
        let (lost, is_any) = self.pool.read(|connection| {
            let lost = lost_workers(connection, taking, is_over)?;
            Ok((lost, !candidates(connection, taking, "")?.is_empty()))
        })?;
        if lost.is_empty() && !is_any {
            return Ok(Taken::default());
        }
        self.pool.write(|connection| take(connection, taking, &lost))
    }

    fn renew(&self, worker: &Lease) -> Result<bool> {
        self.pool.write(|connection| {
            let known = connection.execute(
                "UPDATE worker SET expires_at = $2 WHERE hash = $1",
                &[&hash(&worker.owner), &worker.until],
            )?;
            Ok(known > 0)
        })
    }

    fn finish(&self, worker: &str, job: JobId, attempt: u32, end: &JobEnd, now: i64) -> Result<bool> {
        self.pool.write(|connection| finish(connection, worker, job, attempt, end, now))
    }

    fn give_back(&self, worker: &str, now: i64) -> Result<u64> {
        self.pool.write(|connection| {
            // Whoever finds the worker dead waits for this, and then finds none.
            connection.row("SELECT 1 FROM worker WHERE hash = $1 FOR UPDATE", &[&hash(worker)])?;
            let given = connection.execute(
                "UPDATE job SET state = 0, due_at = $2, worker = '', again = 0 WHERE worker_hash = $1 AND state = 1",
                &[&hash(worker), &now],
            )?;
            connection.execute("DELETE FROM worker WHERE hash = $1", &[&hash(worker)])?;
            Ok(given)
        })
    }

    fn job_counts(&self, now: i64) -> Result<JobCounts> {
        self.pool.read(|connection| {
            let row = connection.row(
                "SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 0 AND due_at > $1),
                    count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 2),
                    count(*) FILTER (WHERE state = 3), count(*) FILTER (WHERE state = 4),
                    (SELECT count(*) FROM worker), min(added_at) FILTER (WHERE state = 0) FROM job",
                &[&now],
            )?;
            let Some(row) = row else { return Ok(JobCounts::default()) };
            let number = |position| Ok::<_, Error>(count(column(&row, position)?));
            Ok(JobCounts {
                waiting: number(0)?,
                delayed: number(1)?,
                running: number(2)?,
                done: number(3)?,
                dead: number(4)?,
                cancelled: number(5)?,
                workers: number(6)?,
                oldest_added_at: column(&row, 7)?,
            })
        })
    }

    fn jobs(&self, state: Option<JobState>, after: JobId, limit: usize) -> Result<Vec<JobRecord>> {
        self.pool.read(|connection| {
            let rows = connection.query(
                "SELECT job_id, kind, subject, state, priority, attempts, failures, added_at, due_at, begun_at, ended_at,
                 worker, reason FROM job WHERE job_id > $1 AND ($2::bigint IS NULL OR state = $2)
                 ORDER BY job_id LIMIT $3",
                &[
                    &after.0,
                    &state.map(|state| state as i64),
                    &i64::try_from(limit).unwrap_or(i64::MAX),
                ],
            )?;
            rows.iter().map(record).collect()
        })
    }

    fn cancel(&self, jobs: Option<&[JobId]>, now: i64) -> Result<Vec<JobId>> {
        const SET: &str =
            "UPDATE job SET state = 4, ended_at = $1, options = '', worker = '', reason = '', again = 0
            WHERE state IN (0, 1)";
        self.pool.write(|connection| change(connection, SET, jobs, now))
    }

    fn retry(&self, jobs: Option<&[JobId]>, now: i64) -> Result<Vec<JobId>> {
        // Of two that were the same work the later one is tried: it has the newer options.
        let set = format!(
            "UPDATE job SET state = 0, failures = 0, lost = 0, due_at = $1, ended_at = 0, worker = '',
             turn = $1 - priority * {PRIORITY_STEP_SECONDS}
             WHERE state = 3 AND NOT EXISTS (SELECT 1 FROM job o WHERE o.kind_hash = job.kind_hash
                AND o.job_key = job.job_key AND (o.state IN (0, 1) OR o.state = 3 AND o.job_id > job.job_id))"
        );
        self.pool.write(|connection| change(connection, &set, jobs, now))
    }

    fn purge(&self, ended_before: i64, dead_too: bool, limit: usize) -> Result<u64> {
        self.pool.write(|connection| {
            connection.execute(
                "DELETE FROM job WHERE job_id IN (SELECT job_id FROM job WHERE state >= 2 AND ended_at < $1
                    AND ($2 OR state != 3) ORDER BY job_id LIMIT $3 FOR UPDATE SKIP LOCKED)",
                &[&ended_before, &dead_too, &i64::try_from(limit).unwrap_or(i64::MAX)],
            )
        })
    }

    fn is_due(&self, task: &str, every_seconds: i64, now: i64) -> Result<bool> {
        // A time ahead of now: the clock was set back since.
        let not_yet = self.pool.read(|connection| {
            connection.value::<bool>(
                "SELECT EXISTS (SELECT 1 FROM schedule WHERE hash = $1 AND begun_at <= $2 AND $2 - begun_at < $3)",
                &[&hash(task), &now, &every_seconds],
            )
        })?;
        if not_yet {
            return Ok(false);
        }
        self.pool.write(|connection| {
            let begun = connection.execute(
                "INSERT INTO schedule AS s (task, begun_at) VALUES ($1, $2)
                 ON CONFLICT (hash) DO UPDATE SET begun_at = $2 WHERE s.begun_at > $2 OR $2 - s.begun_at >= $3",
                &[&task.as_bytes(), &now, &every_seconds],
            )?;
            Ok(begun > 0)
        })
    }
}

/// Adds jobs in the order of their keys, as everybody does.
fn enqueue_all(connection: &mut Connection, jobs: &[NewJob], now: i64) -> Result<Vec<Enqueued>> {
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|place| jobs.get(*place).map(|job| (hash(&job.kind), job.key)));
    let mut added: Vec<Option<Enqueued>> = vec![None; jobs.len()];
    // Ids are given in the order of the list, which is that of turns.
    let wanted = i64::try_from(jobs.len()).unwrap_or(i64::MAX);
    let first = Counter::Job.next_of(connection, wanted)? - wanted + 1;
    for place in order {
        let Some(job) = jobs.get(place) else { continue };
        let id = first + i64::try_from(place).unwrap_or_default();
        let enqueued = enqueue(connection, job, id, now)?;
        if let Some(slot) = added.get_mut(place) {
            *slot = Some(enqueued);
        }
    }
    Ok(added.into_iter().flatten().collect())
}

fn enqueue(connection: &mut Connection, job: &NewJob, id: i64, now: i64) -> Result<Enqueued> {
    let priority = i64::from(job.priority);
    let row = connection.row(
        // Only of one that runs (1) it matters that it was added again.
        &format!(
            "INSERT INTO job AS j (job_id, kind, subject, job_key, options, priority, state, attempts, failures, lost,
                again, turn, added_at, due_at, begun_at, ended_at, worker, reason)
             VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, 0, 0, $7, $8, $8, 0, 0, '', '')
             ON CONFLICT (kind_hash, job_key) WHERE state IN (0, 1) DO UPDATE SET options = $5,
                priority = greatest(j.priority, $6), again = j.state,
                turn = j.due_at - greatest(j.priority, $6) * {PRIORITY_STEP_SECONDS}
             RETURNING job_id"
        ),
        &[
            &id,
            &job.kind.as_bytes(),
            &job.subject.as_bytes(),
            &job.key.as_bytes().as_slice(),
            &job.options,
            &priority,
            &turn(now, job.priority),
            &now,
        ],
    )?;
    let row = row.ok_or_else(|| Error::Corrupt("a job that was added is missing".to_owned()))?;
    let stored: i64 = column(&row, 0)?;
    Ok(Enqueued { job: JobId(stored), is_new: stored == id })
}

/// Workers that live no longer.
fn lost_workers(
    connection: &mut Connection,
    taking: &Taking<'_>,
    is_over: &dyn Fn(&Lease) -> bool,
) -> Result<Vec<Lease>> {
    let rows = connection.query(
        "SELECT worker, expires_at FROM worker WHERE hash != $1 ORDER BY hash",
        &[&hash(&taking.worker.owner)],
    )?;
    let read = |row: &Row| Ok(Lease { owner: text(row, 0)?, until: column(row, 1)? });
    let mut workers: Vec<Lease> = rows.iter().map(read).collect::<Result<_>>()?;
    workers.retain(is_over);
    Ok(workers)
}

/// The jobs whose turn it is, and whether each was lost.
fn candidates(connection: &mut Connection, taking: &Taking<'_>, locking: &str) -> Result<Vec<(i64, bool)>> {
    let kinds: Vec<Vec<u8>> = taking.kinds.iter().map(|kind| hash(kind)).collect();
    let rows = connection.query(
        &format!(
            "SELECT job_id, lost FROM job WHERE state = 0 AND due_at <= $1 AND kind_hash = ANY($2)
             ORDER BY turn, job_id LIMIT $3{locking}"
        ),
        &[&taking.now, &kinds, &i64::try_from(taking.limit).unwrap_or(i64::MAX)],
    )?;
    rows.iter().map(|row| Ok((column(row, 0)?, column::<i64>(row, 1)? != 0))).collect()
}

fn take(connection: &mut Connection, taking: &Taking<'_>, lost: &[Lease]) -> Result<Taken> {
    let mut taken = Taken::default();
    for worker in lost {
        taken.recovered += recover(connection, taking, worker)?;
    }
    let mut candidates = candidates(connection, taking, " FOR UPDATE SKIP LOCKED")?;
    // A lost one alone, others up to the next lost one.
    let end = candidates.iter().position(|(_, lost)| *lost).map_or(candidates.len(), |at| at.max(1));
    candidates.truncate(end);
    if candidates.is_empty() {
        return Ok(taken);
    }
    connection.execute(
        "INSERT INTO worker (worker, expires_at) VALUES ($1, $2) ON CONFLICT (hash) DO UPDATE SET expires_at = $2",
        &[&taking.worker.owner.as_bytes(), &taking.worker.until],
    )?;
    let small = |value: i64| {
        u32::try_from(value).map_err(|_| Error::Corrupt("a number of attempts is out of range".to_owned()))
    };
    for (id, _) in candidates {
        let row = connection.row(
            "UPDATE job SET state = 1, attempts = attempts + 1, worker = $2, begun_at = $3 WHERE job_id = $1
             RETURNING attempts, failures, kind, subject, options",
            &[&id, &taking.worker.owner.as_bytes(), &taking.now],
        )?;
        let row = row.ok_or_else(|| Error::Corrupt(format!("job {id} is missing")))?;
        taken.jobs.push(TakenJob {
            id: JobId(id),
            attempt: small(column(&row, 0)?)?,
            failures: small(column(&row, 1)?)?,
            kind: text(&row, 2)?,
            subject: text(&row, 3)?,
            options: column(&row, 4)?,
        });
    }
    Ok(taken)
}

/// Has what a worker held wait again, unless it said meanwhile that it lives.
fn recover(connection: &mut Connection, taking: &Taking<'_>, worker: &Lease) -> Result<u64> {
    let gone = connection.execute(
        "DELETE FROM worker WHERE hash = $1 AND expires_at = $2",
        &[&hash(&worker.owner), &worker.until],
    )?;
    if gone == 0 {
        return Ok(0);
    }
    let given_up = connection.execute(
        "UPDATE job SET state = 3, failures = failures + 1, ended_at = $2, reason = $4
         WHERE worker_hash = $1 AND state = 1 AND failures + 1 >= $3",
        &[&hash(&worker.owner), &taking.now, &i64::from(taking.failures_max), &LOST.as_bytes()],
    )?;
    let waiting = connection.execute(
        "UPDATE job SET state = 0, failures = failures + 1, lost = 1, again = 0, due_at = $2, worker = ''
         WHERE worker_hash = $1 AND state = 1",
        &[&hash(&worker.owner), &taking.now],
    )?;
    Ok(given_up + waiting)
}

fn finish(
    connection: &mut Connection,
    worker: &str,
    job: JobId,
    attempt: u32,
    end: &JobEnd,
    now: i64,
) -> Result<bool> {
    let held = connection.row(
        "SELECT state, again, priority FROM job WHERE job_id = $1 AND worker_hash = $2 AND attempts = $3 FOR UPDATE",
        &[&job.0, &hash(worker), &i64::from(attempt)],
    )?;
    let Some(held) = held else { return Ok(false) };
    if JobState::of(column(&held, 0)?)? != JobState::Running {
        // It was said before: whoever else ends, takes or calls off a job leaves another worker or attempt there.
        return Ok(true);
    }
    let again = column::<i64>(&held, 1)? != 0;
    let priority = i32::try_from(column::<i64>(&held, 2)?).unwrap_or_default();
    let reason = match end {
        JobEnd::Retry { reason, .. } | JobEnd::Dead { reason } => {
            shortened(reason, REASON_BYTES_MAX).as_bytes()
        }
        JobEnd::Done | JobEnd::Returned => b"",
    };
    // The worker's name stays, so that saying the same again counts.
    match end {
        JobEnd::Done if again => connection.execute(
            "UPDATE job SET state = 0, again = 0, failures = 0, lost = 0, due_at = $2, turn = $3, reason = ''
             WHERE job_id = $1",
            &[&job.0, &now, &turn(now, priority)],
        ),
        JobEnd::Done => connection.execute(
            "UPDATE job SET state = 2, lost = 0, ended_at = $2, options = '', reason = '' WHERE job_id = $1",
            &[&job.0, &now],
        ),
        JobEnd::Retry { at, .. } => connection.execute(
            "UPDATE job SET state = 0, again = 0, failures = failures + 1, lost = 0, due_at = $2, turn = $3,
             reason = $4 WHERE job_id = $1",
            &[&job.0, at, &turn(*at, priority), &reason],
        ),
        JobEnd::Dead { .. } => connection.execute(
            "UPDATE job SET state = 3, again = 0, failures = failures + 1, ended_at = $2, reason = $3
             WHERE job_id = $1",
            &[&job.0, &now, &reason],
        ),
        JobEnd::Returned => connection.execute(
            "UPDATE job SET state = 0, again = 0, due_at = $2, worker = '' WHERE job_id = $1",
            &[&job.0, &now],
        ),
    }?;
    Ok(true)
}

/// Does `sql`, which ends in a condition, for the jobs that are named, or for all.
fn change(connection: &mut Connection, sql: &str, jobs: Option<&[JobId]>, now: i64) -> Result<Vec<JobId>> {
    let Some(jobs) = jobs else {
        let mut changed: Vec<i64> = connection.values(&format!("{sql} RETURNING job_id"), &[&now])?;
        changed.sort_unstable();
        return Ok(changed.into_iter().map(JobId).collect());
    };
    let mut changed = Vec::new();
    for job in jobs {
        if connection.execute(&format!("{sql} AND job_id = $2"), &[&now, &job.0])? > 0 {
            changed.push(*job);
        }
    }
    Ok(changed)
}

fn record(row: &Row) -> Result<JobRecord> {
    let small = |position| {
        u32::try_from(column::<i64>(row, position)?)
            .map_err(|_| Error::Corrupt("a number of attempts is out of range".to_owned()))
    };
    Ok(JobRecord {
        id: JobId(column(row, 0)?),
        kind: text(row, 1)?,
        subject: text(row, 2)?,
        state: JobState::of(column(row, 3)?)?,
        priority: i32::try_from(column::<i64>(row, 4)?)
            .map_err(|_| Error::Corrupt("a priority is out of range".to_owned()))?,
        attempts: small(5)?,
        failures: small(6)?,
        added_at: column(row, 7)?,
        due_at: column(row, 8)?,
        begun_at: column(row, 9)?,
        ended_at: column(row, 10)?,
        worker: text(row, 11)?,
        reason: text(row, 12)?,
    })
}
