//! A campaign against the store's durability: a process that stores images, imports advisories, forgets, collects and
//! tends, all at once, is killed (`SIGKILL`) at random moments. Each time the store must open, be sound, and have
//! everything that the process had acknowledged.
//!
//! Left out: power cuts. The store's promise there is another one (see docs/store.md).

mod child;
mod expected;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;

pub(crate) use self::child::KillChild;
use self::expected::Expected;
use crate::figure::{Figure, print};
use crate::fleet::{Registry, World};

/// A child that says nothing for so long does not work.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// What a round's registry is made from: without feeds, so that rounds are short.
const SEED: u64 = 7;

#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// How often
    #[arg(long, default_value_t = 200)]
    rounds: u32,
    /// The store: a file that is not there yet, or postgres://… with an empty database [default: a temporary file]
    #[arg(long)]
    store: Option<OsString>,
    /// The longest that a process lives, in milliseconds after its first acknowledgement
    #[arg(long, default_value_t = 800)]
    life: u64,
    /// Other moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Kill {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let place = self.store.clone().unwrap_or_else(|| folder.path().join("kill.db").into_os_string());
        let world = World::new(place.clone());
        let registry = registry()?;
        let mut expected = Expected::new(&registry);
        let mut moments = fastrand::Rng::with_seed(self.seed);
        let mut cut: BTreeMap<String, u64> = BTreeMap::new();
        let (mut opened, mut acknowledged) = (Duration::ZERO, 0);
        for round in 0..self.rounds {
            let child = self.child(&place, round, &expected)?;
            let lines = self.let_live(child, Duration::from_millis(moments.u64(1..self.life.max(2))))?;
            for line in lines {
                acknowledged += u64::from(expected.hear(&line)?);
            }
            for work in expected.unfinished() {
                *cut.entry(work).or_default() += 1;
            }
            let begun = Instant::now();
            let store = world.open()?;
            opened = opened.max(begun.elapsed());
            if let Err(error) = expected.verify(store.as_ref()) {
                let kept = folder.keep();
                return Err(
                    error.context(format!("after round {round}; the store is kept in {}", kept.display()))
                );
            }
        }
        let figure = |name: &str, value, unit| Figure::new(name, value, unit);
        let mut figures = vec![
            figure("killed, opened, sound, and nothing acknowledged missing", f64::from(self.rounds), ""),
            figure("acknowledgements", acknowledged as f64, ""),
            figure("images in the end", expected.images() as f64, ""),
            figure("opening after a kill, at most", opened.as_secs_f64() * 1e3, "ms"),
        ];
        for (work, times) in cut {
            figures.push(Figure::new(format!("killed in the middle of: {work}"), times as f64, ""));
        }
        print(&figures, self.json);
        Ok(())
    }

    fn child(&self, place: &OsString, round: u32, expected: &Expected<'_>) -> anyhow::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("kill-child").arg("--store").arg(place);
        command.args(["--seed", &(self.seed.wrapping_mul(1000) + u64::from(round)).to_string()]);
        command.args(["--from", &expected.next_image().to_string()]);
        command.args(["--version", &expected.next_version().to_string()]);
        command.args(["--time", &expected.time().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("this program cannot be run")
    }

    /// Lets the process work for a while after its first word, kills it, and says everything that it had said.
    fn let_live(&self, mut child: Child, life: Duration) -> anyhow::Result<Vec<String>> {
        let output = child.stdout.take().context("the process has no output")?;
        let (heard, first) = std::sync::mpsc::channel();
        let listener = std::thread::spawn(move || {
            let mut lines = Vec::new();
            for line in BufReader::new(output).lines() {
                // The last line may have been cut by the end.
                let Ok(line) = line else { break };
                lines.push(line);
                // Nobody listens any more after the first.
                let _ = heard.send(());
            }
            lines
        });
        let is_ready = first.recv_timeout(READY_WITHIN).is_ok();
        std::thread::sleep(life);
        let ended = child.try_wait()?;
        child.kill().context("the process cannot be killed")?;
        child.wait()?;
        let Ok(lines) = listener.join() else { bail!("listening to the process failed") };
        if !is_ready || ended.is_some() {
            bail!("the process ended by itself ({ended:?}) after {} lines", lines.len());
        }
        Ok(lines)
    }
}

/// The registry that all rounds' images are of.
fn registry() -> anyhow::Result<Registry> {
    Registry::without_feeds(SEED)
}
