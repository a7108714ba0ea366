//! The process that is killed. Each of its threads has a handle of its own, and says on standard output what it begins
//! (`begin image 7`) and what is durable (`done image 7`).

use std::ffi::OsString;
use std::io::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Context as _;
use clap::Args;
use limpid_index::indexer_state;
use limpid_store::Store;

use super::expected::{operator, unnumbered};
use crate::fleet::{Alone, HandClock, Images, Registry, World, manifest_digest, put};

/// Of so many images the oldest are forgotten as fast as new ones come, so that checks stay short.
const IMAGES_KEPT: u32 = 12_000;
/// Events are never old enough to be dropped: none must be missing.
const KEEP_EVENTS_SECONDS: i64 = 100 * 365 * 86_400;

#[derive(Debug, Args)]
pub(crate) struct KillChild {
    #[arg(long)]
    store: OsString,
    #[arg(long)]
    seed: u64,
    /// The first image that is stored
    #[arg(long)]
    from: u32,
    /// The first version of the operator's document that is imported
    #[arg(long)]
    version: u32,
    /// Seconds since the epoch
    #[arg(long)]
    time: i64,
}

impl KillChild {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let world = World::new(self.store.clone());
        let registry = super::registry()?;
        let time = AtomicI64::new(self.time);
        let process = Alone::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                end(world.open().and_then(|store| self.store_and_forget(store.as_ref(), &registry, &time)))
            });
            scope.spawn(|| end(world.open().and_then(|store| self.import(store.as_ref(), &time, &process))));
            scope.spawn(|| {
                end(world.open().and_then(|store| self.tend_and_collect(store.as_ref(), &time, &process)))
            });
        });
        Ok(())
    }

    fn store_and_forget(
        &self,
        store: &dyn Store,
        registry: &Registry,
        time: &AtomicI64,
    ) -> anyhow::Result<()> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let mut images = Images::whole(registry);
        let state = indexer_state();
        for build in registry.builds().skip(self.from as usize) {
            let image = images.image(&build);
            let distribution = registry.distribution(build.set).clone();
            time.fetch_max(image.seen_at, Ordering::Relaxed);
            acknowledged(&format!("image {}", build.number), || put(store, image, &distribution, &state))?;
            let forgotten = match build.number.checked_sub(IMAGES_KEPT) {
                Some(oldest) => Some(oldest),
                None if rng.u8(0..8) == 0 => Some(rng.u32(0..=build.number)),
                None => None,
            };
            if let Some(number) = forgotten {
                let Some((id, _)) = store.image(&manifest_digest(registry, number))? else { continue };
                acknowledged(&format!("forget {number}"), || {
                    Ok(store.forget(id, time.load(Ordering::Relaxed))?)
                })?;
            }
        }
        Ok(())
    }

    fn import(&self, store: &dyn Store, time: &AtomicI64, process: &Alone) -> anyhow::Result<()> {
        let mut rng = fastrand::Rng::with_seed(self.seed + 2);
        for version in self.version.. {
            let now = time.fetch_add(1, Ordering::Relaxed);
            acknowledged(&format!("operator {version}"), || operator(version).import(store, now))?;
            let clock = HandClock::at(now);
            acknowledged(&unnumbered("derive"), || Ok(limpid_index::derive_events(store, &clock, process)?))?;
            // Those of images come in between: whatever has a number by now stays.
            let last = store.last_event()?;
            acknowledged(&format!("events {last}"), || Ok(()))?;
            std::thread::sleep(std::time::Duration::from_millis(rng.u64(0..60)));
        }
        Ok(())
    }

    fn tend_and_collect(&self, store: &dyn Store, time: &AtomicI64, process: &Alone) -> anyhow::Result<()> {
        let mut rng = fastrand::Rng::with_seed(self.seed + 1);
        loop {
            let now = time.load(Ordering::Relaxed);
            match rng.u8(0..8) {
                0 => {
                    let clock = HandClock::at(now);
                    acknowledged(&unnumbered("collect"), || {
                        Ok(limpid_index::collect(store, &clock, process, 0, KEEP_EVENTS_SECONDS)?)
                    })?;
                }
                _ => drop(acknowledged(&unnumbered("tend"), || Ok(store.tend()?))?),
            }
            std::thread::sleep(std::time::Duration::from_millis(rng.u64(0..10)));
        }
    }
}

/// Each thread works for ever unless it fails, and then the whole process does.
#[allow(clippy::print_stderr, reason = "whoever looks for the reason reads it there")]
fn end(worked: anyhow::Result<()>) {
    if let Err(error) = worked {
        eprintln!("{error:#}");
        std::process::exit(1);
    }
}

/// Does something and tells that it begins, and that what it did is durable.
fn acknowledged<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    say(&format!("begin {what}"))?;
    let done = work().with_context(|| format!("{what} failed"))?;
    say(&format!("done {what}"))?;
    Ok(done)
}

/// One write a line: a line that is heard was said whole.
fn say(line: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(format!("{line}\n").as_bytes())?;
    Ok(output.flush()?)
}
