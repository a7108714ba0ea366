//! `limpid queue`

use std::path::Path;

use limpid_index::{Clock as _, ImageList, ListOptions, ListProblem, Work, read_list};
use limpid_store::{JobId, NewJob};

use super::queue_list;
use crate::arguments::{Global, PlatformChoice};
use crate::error::{Error, Exit, eprint_line};
use crate::images::read_bounded;
use crate::queue_arguments::{QueueAdd, QueueCommand, QueueHow, QueueImport, QueueJobs, StateChoice};
use crate::session::{Session, print};

/// The largest list, in bytes: Harbor writes some kilobytes for an artifact.
const LIST_BYTES_MAX: u64 = 256 << 20;
/// Jobs that are added, and forgotten, in one transaction.
const JOBS_AT_ONCE: usize = 1000;

pub(crate) fn run(global: &Global, command: &QueueCommand) -> Result<Exit, Error> {
    let session = Session::open(global)?;
    let store = session.store.as_ref();
    match command {
        QueueCommand::Add(arguments) => add(&session, arguments),
        QueueCommand::Import(arguments) => import(&session, arguments),
        QueueCommand::Status { format } => {
            let now = session.clock.now();
            queue_list::status(&store.job_counts(now)?, *format)
        }
        QueueCommand::List { state, after, limit, format } => {
            let jobs = store.jobs(state.map(StateChoice::state), JobId(*after), *limit)?;
            queue_list::list(&jobs, *limit, *format)
        }
        QueueCommand::Retry(named) => {
            let tried = store.retry(jobs(named).as_deref(), session.clock.now())?;
            changed(
                named,
                &tried,
                "waits again",
                "wait again",
                "has not failed for good, or waits already as another job",
            )
        }
        QueueCommand::Cancel(named) => {
            let cancelled = store.cancel(jobs(named).as_deref(), session.clock.now())?;
            changed(named, &cancelled, "was called off", "were called off", "neither waits nor runs")
        }
        QueueCommand::Clear { dead } => {
            let mut forgotten = 0;
            loop {
                // What ended this very second too.
                let purged = store.purge(session.clock.now() + 1, *dead, JOBS_AT_ONCE)?;
                forgotten += purged;
                if purged < JOBS_AT_ONCE as u64 {
                    break;
                }
            }
            print(&format!("{}\n", queue_list::jobs(forgotten, "was forgotten", "were forgotten")))?;
            Ok(Exit::Success)
        }
    }
}

fn jobs(named: &QueueJobs) -> Option<Vec<JobId>> {
    (!named.all).then(|| named.jobs.iter().copied().map(JobId).collect())
}

/// Tells what was done with jobs; that something could not be done with one that was named is a failure.
fn changed(named: &QueueJobs, changed: &[JobId], one: &str, several: &str, not: &str) -> Result<Exit, Error> {
    print(&format!("{}\n", queue_list::jobs(changed.len() as u64, one, several)))?;
    let mut exit = Exit::Success;
    for job in named.jobs.iter().filter(|job| !changed.contains(&JobId(**job))) {
        eprint_line(&format!("limpid: job {job} {not}"));
        exit = Exit::Failure;
    }
    Ok(exit)
}

fn options(how: &QueueHow) -> ListOptions {
    let platform = match &how.platform {
        None => String::new(),
        Some(PlatformChoice::All) => "all".to_owned(),
        Some(PlatformChoice::One(platform)) => platform.to_string(),
    };
    ListOptions { platform, ..ListOptions::default() }
}

fn add(session: &Session<'_>, arguments: &QueueAdd) -> Result<Exit, Error> {
    let options = options(&arguments.how);
    let named: String =
        arguments.references.iter().map(|reference| format!("{}\n", reference.trim())).collect();
    if arguments.references.iter().any(|reference| reference.contains('\n')) {
        return Err(Error::Usage { message: "a reference is one line".to_owned() });
    }
    let given = limpid_index::read_reference_list(&named, &options);
    // Nothing is added if one that was typed is a mistake.
    if let Some(wrong) = given.wrong.first() {
        return Err(Error::Usage { message: wrong.reason.clone() });
    }
    let mut work = given.work;
    let mut exit = Exit::Success;
    if let Some(path) = &arguments.from_file {
        let list = limpid_index::read_reference_list(&read(path)?, &options);
        exit = tell_problems(path, &list);
        work.extend(list.work);
    }
    enqueue(session, &work, arguments.how.priority)?;
    Ok(exit)
}

fn import(session: &Session<'_>, arguments: &QueueImport) -> Result<Exit, Error> {
    let options = ListOptions {
        registry: arguments.registry.trim_start_matches("https://").trim_end_matches('/').to_owned(),
        repository: arguments.repository.clone(),
        ..options(&arguments.how)
    };
    let list = read_list(&read(&arguments.file)?, &options);
    let exit = tell_problems(&arguments.file, &list);
    enqueue(session, &list.work, arguments.how.priority)?;
    Ok(exit)
}

fn read(path: &Path) -> Result<String, Error> {
    read_bounded(path, LIST_BYTES_MAX)
}

/// Names what could not be taken; whether that is a failure.
fn tell_problems(path: &Path, list: &ImageList) -> Exit {
    let tell = |what: &str, problems: &[ListProblem], count: u64| {
        for ListProblem { line, reason } in problems {
            let text = format!("{what}{}:{line}: {reason}", path.display());
            eprint_line(&limpid_report::terminal::printable(&text));
        }
        if count > problems.len() as u64 {
            let more = count - problems.len() as u64;
            eprint_line(&format!("{what}{more} more are not listed"));
        }
    };
    tell("limpid: ", &list.wrong, list.wrong_count);
    tell("note: ", &list.left_out, list.left_out_count);
    if list.wrong_count > 0 { Exit::Failure } else { Exit::Success }
}

fn enqueue(session: &Session<'_>, work: &[Work], priority: i32) -> Result<(), Error> {
    let (mut new, mut known) = (0, 0);
    for work in work.chunks(JOBS_AT_ONCE) {
        let jobs: Result<Vec<NewJob>, _> = work.iter().map(|work| work.job(priority)).collect();
        let jobs = jobs.map_err(|error| Error::Usage { message: error.to_string() })?;
        for enqueued in session.store.enqueue(&jobs, session.clock.now())? {
            if enqueued.is_new { new += 1 } else { known += 1 }
        }
    }
    let known = match known {
        0 => String::new(),
        known => format!(", {known} {} there already", if known == 1 { "was" } else { "were" }),
    };
    print(&format!("{}{known}\n", queue_list::jobs(new, "was added", "were added")))
}

impl StateChoice {
    fn state(self) -> limpid_store::JobState {
        match self {
            Self::Waiting => limpid_store::JobState::Waiting,
            Self::Running => limpid_store::JobState::Running,
            Self::Done => limpid_store::JobState::Done,
            Self::Dead => limpid_store::JobState::Dead,
            Self::Cancelled => limpid_store::JobState::Cancelled,
        }
    }
}
