//! The queue of jobs. Each call is one transaction; the single writer keeps two workers from one job.

use rusqlite::types::Value;
use rusqlite::{
    Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params, params_from_iter,
};

use super::{SqliteStore, count};
use crate::queue::{
    Enqueued, JobCounts, JobEnd, JobId, JobRecord, JobState, LOST, NewJob, PRIORITY_STEP_SECONDS, Queue,
    REASON_BYTES_MAX, Taken, TakenJob, Taking, shortened, turn,
};
use crate::store::Lease;
use crate::{Error, Result};

impl Queue for SqliteStore {
    fn enqueue(&self, jobs: &[NewJob], now: i64) -> Result<Vec<Enqueued>> {
        jobs.iter().try_for_each(NewJob::check)?;
        self.writing(|transaction| jobs.iter().map(|job| enqueue(transaction, job, now)).collect())
    }

    fn take(&self, taking: &Taking<'_>, is_over: &dyn Fn(&Lease) -> bool) -> Result<Taken> {
        // Idle workers ask often: only who has something to do takes the writers' lock.
        let (lost, is_any) = self.reading(|connection| {
            Ok((lost_workers(connection, taking, is_over)?, !candidates(connection, taking)?.is_empty()))
        })?;
        if lost.is_empty() && !is_any {
            return Ok(Taken::default());
        }
        self.writing(|transaction| take(transaction, taking, &lost))
    }

    fn renew(&self, worker: &Lease) -> Result<bool> {
        let connection = self.connection();
        let mut statement =
            connection.prepare_cached("UPDATE worker SET expires_at = ?2 WHERE worker = ?1")?;
        Ok(statement.execute(params![worker.owner, worker.until])? > 0)
    }

    fn finish(&self, worker: &str, job: JobId, attempt: u32, end: &JobEnd, now: i64) -> Result<bool> {
        self.writing(|transaction| finish(transaction, worker, job, attempt, end, now))
    }

    fn give_back(&self, worker: &str, now: i64) -> Result<u64> {
        self.writing(|transaction| {
            let given = transaction
                .prepare_cached(
                    "UPDATE job SET state = 0, due_at = ?2, worker = '', again = 0
                     WHERE worker = ?1 AND state = 1",
                )?
                .execute(params![worker, now])?;
            transaction.prepare_cached("DELETE FROM worker WHERE worker = ?1")?.execute([worker])?;
            Ok(given as u64)
        })
    }

    fn job_counts(&self, now: i64) -> Result<JobCounts> {
        self.reading(|connection| job_counts(connection, now))
    }

    fn jobs(&self, state: Option<JobState>, after: JobId, limit: usize) -> Result<Vec<JobRecord>> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT job_id, kind, subject, state, priority, attempts, failures, added_at, due_at, begun_at, ended_at,
             worker, reason FROM job WHERE job_id > ?1 AND (?2 IS NULL OR state = ?2) ORDER BY job_id LIMIT ?3",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![after.0, state.map(|state| state as i64), limit])?;
        let mut jobs = Vec::new();
        while let Some(row) = rows.next()? {
            jobs.push(record(row)?);
        }
        Ok(jobs)
    }

    fn cancel(&self, jobs: Option<&[JobId]>, now: i64) -> Result<Vec<JobId>> {
        const SET: &str =
            "UPDATE job SET state = 4, ended_at = ?1, options = x'', worker = '', reason = '', again = 0
            WHERE state IN (0, 1)";
        self.writing(|transaction| change(transaction, SET, jobs, now))
    }

    fn retry(&self, jobs: Option<&[JobId]>, now: i64) -> Result<Vec<JobId>> {
        // Of two that were the same work the later one is tried: it has the newer options.
        let set = format!(
            "UPDATE job SET state = 0, failures = 0, lost = 0, due_at = ?1, ended_at = 0, worker = '',
             turn = ?1 - priority * {PRIORITY_STEP_SECONDS}
             WHERE state = 3 AND NOT EXISTS (SELECT 1 FROM job o WHERE o.kind = job.kind AND o.job_key = job.job_key
                AND (o.state IN (0, 1) OR o.state = 3 AND o.job_id > job.job_id))"
        );
        self.writing(|transaction| change(transaction, &set, jobs, now))
    }

    fn purge(&self, ended_before: i64, dead_too: bool, limit: usize) -> Result<u64> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.writing(|transaction| {
            let purged = transaction
                .prepare_cached(
                    "DELETE FROM job WHERE job_id IN (SELECT job_id FROM job WHERE state >= 2 AND ended_at < ?1
                        AND (?2 OR state != 3) LIMIT ?3)",
                )?
                .execute(params![ended_before, dead_too, limit])?;
            Ok(purged as u64)
        })
    }

    fn is_due(&self, task: &str, every_seconds: i64, now: i64) -> Result<bool> {
        // A time ahead of now: the clock was set back since.
        let due = |connection: &Connection| -> Result<bool> {
            let mut statement = connection.prepare_cached("SELECT begun_at FROM schedule WHERE task = ?1")?;
            let begun: Option<i64> = statement.query_row([task], |row| row.get(0)).optional()?;
            Ok(begun.is_none_or(|begun| begun > now || now - begun >= every_seconds))
        };
        if !due(&self.connection())? {
            return Ok(false);
        }
        self.writing(|transaction| {
            let is_due = due(transaction)?;
            if is_due {
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO schedule (task, begun_at) VALUES (?1, ?2)")?
                    .execute(params![task, now])?;
            }
            Ok(is_due)
        })
    }
}

impl SqliteStore {
    /// One transaction that writes, from its beginning on.
    fn writing<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }
}

fn enqueue(connection: &Connection, job: &NewJob, now: i64) -> Result<Enqueued> {
    let key = job.key.as_bytes().as_slice();
    let open: Option<i64> = connection
        .prepare_cached("SELECT job_id FROM job WHERE kind = ?1 AND job_key = ?2 AND state IN (0, 1)")?
        .query_row(params![job.kind, key], |row| row.get(0))
        .optional()?;
    if let Some(id) = open {
        // Only of one that runs (1) it matters that it was added again.
        connection
            .prepare_cached(&format!(
                "UPDATE job SET options = ?2, priority = max(priority, ?3), again = state,
                 turn = due_at - max(priority, ?3) * {PRIORITY_STEP_SECONDS} WHERE job_id = ?1"
            ))?
            .execute(params![id, job.options, job.priority])?;
        return Ok(Enqueued { job: JobId(id), is_new: false });
    }
    connection
        .prepare_cached(
            "INSERT INTO job (kind, subject, job_key, options, priority, state, attempts, failures, lost, again, turn,
             added_at, due_at, begun_at, ended_at, worker, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, 0, 0, ?6, ?7, ?7, 0, 0, '', '')",
        )?
        .execute(params![
            job.kind,
            job.subject,
            key,
            job.options,
            job.priority,
            turn(now, job.priority),
            now
        ])?;
    Ok(Enqueued { job: JobId(connection.last_insert_rowid()), is_new: true })
}

/// Workers that live no longer.
fn lost_workers(
    connection: &Connection,
    taking: &Taking<'_>,
    is_over: &dyn Fn(&Lease) -> bool,
) -> Result<Vec<Lease>> {
    let mut statement =
        connection.prepare_cached("SELECT worker, expires_at FROM worker WHERE worker != ?1")?;
    let workers = statement
        .query_map([&taking.worker.owner], |row| Ok(Lease { owner: row.get(0)?, until: row.get(1)? }))?;
    let mut workers = workers.collect::<Result<Vec<_>, _>>()?;
    workers.retain(is_over);
    Ok(workers)
}

/// The jobs whose turn it is, and whether each was lost.
fn candidates(connection: &Connection, taking: &Taking<'_>) -> Result<Vec<(i64, bool)>> {
    let kinds = vec!["?"; taking.kinds.len()].join(", ");
    let mut statement = connection.prepare_cached(&format!(
        "SELECT job_id, lost FROM job WHERE state = 0 AND due_at <= ? AND kind IN ({kinds})
         ORDER BY turn, job_id LIMIT ?"
    ))?;
    let mut values = vec![Value::from(taking.now)];
    values.extend(taking.kinds.iter().map(|kind| Value::from((*kind).to_owned())));
    values.push(Value::from(i64::try_from(taking.limit).unwrap_or(i64::MAX)));
    let rows = statement.query_map(params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn take(connection: &Connection, taking: &Taking<'_>, lost: &[Lease]) -> Result<Taken> {
    let mut taken = Taken::default();
    for worker in lost {
        taken.recovered += recover(connection, taking, worker)?;
    }
    let mut candidates = candidates(connection, taking)?;
    // A lost one alone, others up to the next lost one.
    let end = candidates.iter().position(|(_, lost)| *lost).map_or(candidates.len(), |at| at.max(1));
    candidates.truncate(end);
    if candidates.is_empty() {
        return Ok(taken);
    }
    connection
        .prepare_cached(
            "INSERT INTO worker (worker, expires_at) VALUES (?1, ?2)
             ON CONFLICT (worker) DO UPDATE SET expires_at = ?2",
        )?
        .execute(params![taking.worker.owner, taking.worker.until])?;
    let mut update = connection.prepare_cached(
        "UPDATE job SET state = 1, attempts = attempts + 1, worker = ?2, begun_at = ?3 WHERE job_id = ?1
         RETURNING attempts, failures, kind, subject, options",
    )?;
    for (id, _) in candidates {
        taken.jobs.push(update.query_row(params![id, taking.worker.owner, taking.now], |row| {
            Ok(TakenJob {
                id: JobId(id),
                attempt: row.get(0)?,
                failures: row.get(1)?,
                kind: row.get(2)?,
                subject: row.get(3)?,
                options: row.get(4)?,
            })
        })?);
    }
    Ok(taken)
}

/// Has what a worker held wait again, unless it said meanwhile that it lives.
fn recover(connection: &Connection, taking: &Taking<'_>, worker: &Lease) -> Result<u64> {
    let gone = connection
        .prepare_cached("DELETE FROM worker WHERE worker = ?1 AND expires_at = ?2")?
        .execute(params![worker.owner, worker.until])?;
    if gone == 0 {
        return Ok(0);
    }
    let given_up = connection
        .prepare_cached(
            "UPDATE job SET state = 3, failures = failures + 1, ended_at = ?2, reason = ?4
             WHERE worker = ?1 AND state = 1 AND failures + 1 >= ?3",
        )?
        .execute(params![worker.owner, taking.now, taking.failures_max, LOST])?;
    let waiting = connection
        .prepare_cached(
            "UPDATE job SET state = 0, failures = failures + 1, lost = 1, again = 0, due_at = ?2, worker = ''
             WHERE worker = ?1 AND state = 1",
        )?
        .execute(params![worker.owner, taking.now])?;
    Ok((given_up + waiting) as u64)
}

fn finish(
    connection: &Connection,
    worker: &str,
    job: JobId,
    attempt: u32,
    end: &JobEnd,
    now: i64,
) -> Result<bool> {
    let held: Option<(i64, bool, i32)> = connection
        .prepare_cached(
            "SELECT state, again, priority FROM job WHERE job_id = ?1 AND worker = ?2 AND attempts = ?3",
        )?
        .query_row(params![job.0, worker, attempt], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((state, again, priority)) = held else { return Ok(false) };
    if JobState::of(state)? != JobState::Running {
        // It was said before: whoever else ends, takes or calls off a job leaves another worker or attempt there.
        return Ok(true);
    }
    // The worker's name stays, so that saying the same again counts.
    let (sql, reason, at) = match end {
        JobEnd::Done if again => (
            "UPDATE job SET state = 0, again = 0, failures = 0, lost = 0, due_at = ?2, turn = ?4, reason = ?3
             WHERE job_id = ?1",
            "",
            now,
        ),
        JobEnd::Done => {
            let sql = "UPDATE job SET state = 2, lost = 0, ended_at = ?2, options = x'', reason = ?3 WHERE job_id = ?1";
            (sql, "", now)
        }
        JobEnd::Retry { reason, at } => (
            "UPDATE job SET state = 0, again = 0, failures = failures + 1, lost = 0, due_at = ?2, turn = ?4,
             reason = ?3 WHERE job_id = ?1",
            reason.as_str(),
            *at,
        ),
        JobEnd::Dead { reason } => (
            "UPDATE job SET state = 3, again = 0, failures = failures + 1, ended_at = ?2, reason = ?3 WHERE job_id = ?1",
            reason.as_str(),
            now,
        ),
        JobEnd::Returned => {
            ("UPDATE job SET state = 0, again = 0, due_at = ?2, worker = '' WHERE job_id = ?1", "", now)
        }
    };
    let reason = shortened(reason, REASON_BYTES_MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let values: [Value; 4] = [job.0.into(), at.into(), reason.to_owned().into(), turn(at, priority).into()];
    let wanted = statement.parameter_count();
    statement.execute(params_from_iter(values.into_iter().take(wanted)))?;
    Ok(true)
}

fn job_counts(connection: &Connection, now: i64) -> Result<JobCounts> {
    let number = |sql: &str| -> Result<u64> {
        Ok(count(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?))
    };
    let delayed: i64 = connection
        .prepare_cached("SELECT count(*) FROM job WHERE state = 0 AND due_at > ?1")?
        .query_row([now], |row| row.get(0))?;
    Ok(JobCounts {
        waiting: number("SELECT count(*) FROM job WHERE state = 0")?,
        delayed: count(delayed),
        running: number("SELECT count(*) FROM job WHERE state = 1")?,
        done: number("SELECT count(*) FROM job WHERE state >= 2 AND state = 2")?,
        dead: number("SELECT count(*) FROM job WHERE state >= 2 AND state = 3")?,
        cancelled: number("SELECT count(*) FROM job WHERE state >= 2 AND state = 4")?,
        workers: number("SELECT count(*) FROM worker")?,
        oldest_added_at: connection
            .prepare_cached("SELECT min(added_at) FROM job WHERE state = 0")?
            .query_row([], |row| row.get(0))?,
    })
}

/// Does `sql`, which ends in a condition, for the jobs that are named, or for all.
fn change(connection: &Connection, sql: &str, jobs: Option<&[JobId]>, now: i64) -> Result<Vec<JobId>> {
    let Some(jobs) = jobs else {
        let mut statement = connection.prepare(&format!("{sql} RETURNING job_id"))?;
        let rows = statement.query_map([now], |row| row.get(0).map(JobId))?;
        let mut changed = rows.collect::<Result<Vec<_>, _>>()?;
        changed.sort();
        return Ok(changed);
    };
    let mut statement = connection.prepare(&format!("{sql} AND job_id = ?2"))?;
    let mut changed = Vec::new();
    for job in jobs {
        if statement.execute(params![now, job.0])? > 0 {
            changed.push(*job);
        }
    }
    Ok(changed)
}

fn record(row: &Row<'_>) -> Result<JobRecord, Error> {
    Ok(JobRecord {
        id: JobId(row.get(0)?),
        kind: row.get(1)?,
        subject: row.get(2)?,
        state: JobState::of(row.get(3)?)?,
        priority: row.get(4)?,
        attempts: row.get(5)?,
        failures: row.get(6)?,
        added_at: row.get(7)?,
        due_at: row.get(8)?,
        begun_at: row.get(9)?,
        ended_at: row.get(10)?,
        worker: row.get(11)?,
        reason: row.get(12)?,
    })
}
