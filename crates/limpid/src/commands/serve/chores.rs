//! What somebody has to do every so often, beside the queue: a line in [`CHORES`] each.
//!
//! Of all workers one has the turn at what is done for all; the store keeps whose that is. A chore that fails is told of
//! and done again at its next time.

use std::time::{Duration, Instant};

use limpid_index::{Clock as _, Outcome, Stop};
use tracing::{info, warn};

use crate::error::Error;
use crate::queue_arguments::Serve;
use crate::session::Session;

/// What chores need.
pub(super) struct Chores<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) serve: &'a Serve,
    pub(super) stop: &'a Stop,
}

/// Something to be done every so often.
struct Chore {
    name: &'static str,
    every: Duration,
    work: fn(&Chores<'_>) -> Result<(), Error>,
}

const CHORES: [Chore; 5] = [
    Chore { name: "tend the index", every: Duration::from_secs(5), work: tend },
    Chore { name: "update feeds", every: Duration::from_secs(15), work: update },
    Chore { name: "derive events", every: Duration::from_secs(2), work: derive },
    Chore { name: "free what no image uses", every: Duration::from_secs(60), work: collect },
    Chore { name: "forget old jobs", every: Duration::from_secs(60), work: purge },
];

/// How often one of all workers looks for feeds that are old, or that a new image needs.
const UPDATE_SECONDS: i64 = 60;
/// How often one of all workers forgets jobs.
const PURGE_SECONDS: i64 = 3600;
/// How long something must be unused before it is freed: see `limpid store gc --grace`.
const COLLECT_GRACE_SECONDS: u32 = 900;
/// How long events are kept: see `limpid store gc --keep-events-days`.
const KEEP_EVENTS_DAYS: i64 = 30;
/// Jobs that are forgotten in one transaction.
const PURGED_AT_ONCE: usize = 1000;
const SECONDS_PER_DAY: i64 = 24 * 3600;

impl Chores<'_> {
    /// Does what is due, until it is to stop.
    pub(super) fn run(&self) {
        let mut due: Vec<Instant> = CHORES.iter().map(|_| Instant::now()).collect();
        loop {
            for (chore, due) in CHORES.iter().zip(&mut due) {
                if *due > Instant::now() || self.stop.is_asked() {
                    continue;
                }
                self.does(chore);
                *due = Instant::now() + chore.every;
            }
            let next = due.iter().min().copied().unwrap_or_else(Instant::now);
            if self.stop.wait(next.saturating_duration_since(Instant::now())) {
                return;
            }
        }
    }

    /// After the last job: what came in is made ready for questions.
    pub(super) fn finish(&self) {
        self.does(&Chore { name: "update feeds", every: Duration::ZERO, work: update_now });
        self.does(&Chore { name: "derive events", every: Duration::ZERO, work: derive });
        self.does(&Chore { name: "tend the index", every: Duration::ZERO, work: tend });
    }

    fn does(&self, chore: &Chore) {
        if let Err(error) = (chore.work)(self) {
            warn!(chore = chore.name, reason = %error, "chore failed");
        }
    }

    fn is_turn(&self, task: &str, every_seconds: i64) -> Result<bool, Error> {
        Ok(self.session.store.is_due(task, every_seconds, self.session.clock.now())?)
    }
}

fn tend(chores: &Chores<'_>) -> Result<(), Error> {
    while chores.session.store.tend()? && !chores.stop.is_asked() {}
    Ok(())
}

fn update(chores: &Chores<'_>) -> Result<(), Error> {
    if chores.serve.no_update || !chores.is_turn("update", UPDATE_SECONDS)? {
        return Ok(());
    }
    update_now(chores)
}

fn update_now(chores: &Chores<'_>) -> Result<(), Error> {
    if chores.serve.no_update {
        return Ok(());
    }
    chores.session.update_for_fleet(i64::from(chores.serve.update_interval), &mut |updated| {
        let (feed, document) = (&updated.key.feed, &updated.key.document);
        match &updated.outcome {
            Outcome::Changed(stats, _) => {
                let (revision, added, removed) = (stats.revision, stats.added, stats.removed);
                info!(feed, document, revision, added, removed, "feed updated");
            }
            Outcome::Scored(scores, _) => info!(feed, document, scores, "feed updated"),
            Outcome::Unchanged => info!(feed, document, "feed has not changed"),
            Outcome::Failed(reason) => warn!(feed, document, reason, "feed could not be updated"),
        }
    })
}

fn derive(chores: &Chores<'_>) -> Result<(), Error> {
    let session = chores.session;
    let derived = limpid_index::derive_events(session.store.as_ref(), &session.clock, session.process())?;
    let events: u64 = derived.events.values().sum();
    if events > 0 {
        info!(revision = derived.revision, events, "events derived");
    }
    Ok(())
}

fn collect(chores: &Chores<'_>) -> Result<(), Error> {
    let every = i64::from(chores.serve.gc_interval);
    if every == 0 || !chores.is_turn("gc", every)? {
        return Ok(());
    }
    let session = chores.session;
    let freed = limpid_index::collect(
        session.store.as_ref(),
        &session.clock,
        session.process(),
        COLLECT_GRACE_SECONDS,
        KEEP_EVENTS_DAYS * SECONDS_PER_DAY,
    )?;
    let (layers, nodes, waiting) = (freed.layers, freed.nodes, freed.waiting);
    info!(layers, nodes, waiting, "freed what no image uses");
    Ok(())
}

fn purge(chores: &Chores<'_>) -> Result<(), Error> {
    if !chores.is_turn("purge", PURGE_SECONDS)? {
        return Ok(());
    }
    let before = chores.session.clock.now() - i64::from(chores.serve.keep_jobs) * SECONDS_PER_DAY;
    while chores.session.store.purge(before, false, PURGED_AT_ONCE)? == PURGED_AT_ONCE as u64 {}
    Ok(())
}
