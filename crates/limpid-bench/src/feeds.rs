//! Feeds from a mirror into a store: each by itself, all core feeds at once, and again when nothing changed.
//!
//! The real program does the work, in processes of their own. *Core* feeds speak of packages; those on
//! vulnerabilities themselves are measured one by one, and not with the core. Bytes are those that a server
//! would transfer.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use clap::Args;
use limpid_feeds::{FEEDS, LOCAL_FEED, SCORE_FEEDS};
use limpid_store::{NEWEST, SqliteStore, Store as _};
use serde_json::Value;

use crate::figure::{Figure, print};
use crate::measure::{Usage, measure_accepting};

/// How `limpid` ends if a document could not be had: a mirror may lack some.
const EXIT_FEEDS: i32 = 6;

#[derive(Debug, Args)]
pub(crate) struct Feeds {
    /// A mirror, as `limpid --feeds-mirror` takes it
    #[arg(long)]
    feeds_mirror: OsString,
    /// Only these feeds, by name
    #[arg(long, value_name = "NAME")]
    feed: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// The program to measure [default: limpid beside this one]
    #[arg(long)]
    limpid: Option<PathBuf>,
}

/// What `feeds status` says of all documents in a store.
#[derive(Default)]
struct Loaded {
    documents: u64,
    failed: Vec<String>,
    transferred_mb: f64,
    records: f64,
    affected: f64,
}

impl Feeds {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let limpid = match &self.limpid {
            Some(limpid) => limpid.clone(),
            None => std::env::current_exe()?.with_file_name("limpid"),
        };
        ensure!(limpid.is_file(), "{} is missing: cargo build --release", limpid.display());
        let folder = tempfile::tempdir()?;
        let core = FEEDS.iter().filter(|feed| !feed.enriches()).map(|feed| feed.name());
        let core: Vec<&str> = core.filter(|name| *name != LOCAL_FEED && self.is_wanted(name)).collect();
        let others = FEEDS.iter().filter(|feed| feed.enriches()).map(|feed| feed.name());
        let others =
            others.chain(SCORE_FEEDS.iter().map(|feed| feed.name())).filter(|name| self.is_wanted(name));
        let mut figures = Vec::new();
        for name in core.iter().copied().chain(others) {
            let store = folder.path().join(format!("{name}.db"));
            let usage = self.update(&limpid, &store, &[name])?;
            let loaded = self.loaded(&limpid, &store)?;
            figures.extend(of_feed(name, &usage, &loaded));
        }
        if !core.is_empty() {
            let store = folder.path().join("core.db");
            let cold = self.update(&limpid, &store, &core)?;
            let loaded = self.loaded(&limpid, &store)?;
            let again = self.update(&limpid, &store, &core)?;
            figures.extend(of_core(&cold, &again, &loaded, &store)?);
        }
        print(&figures, self.json);
        Ok(())
    }

    fn is_wanted(&self, name: &str) -> bool {
        self.feed.is_empty() || self.feed.iter().any(|wanted| wanted == name)
    }

    fn arguments(&self, limpid: &Path, store: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![limpid.into(), "--store".into(), store.into()];
        arguments.extend([
            "--quiet".into(),
            "--feeds-mirror".into(),
            self.feeds_mirror.clone(),
            "feeds".into(),
        ]);
        arguments
    }

    fn update(&self, limpid: &Path, store: &Path, names: &[&str]) -> anyhow::Result<Usage> {
        let mut arguments = self.arguments(limpid, store);
        arguments.push("update".into());
        arguments.extend(names.iter().map(OsString::from));
        measure_accepting(&[EXIT_FEEDS], arguments).with_context(|| format!("{} failed", names.join(", ")))
    }

    fn loaded(&self, limpid: &Path, store: &Path) -> anyhow::Result<Loaded> {
        let mut arguments = self.arguments(limpid, store).into_iter();
        let program = arguments.next().context("there is no program")?;
        let output = Command::new(program).args(arguments).args(["status", "--format", "json"]).output()?;
        ensure!(output.status.success(), "feeds status failed: {}", String::from_utf8_lossy(&output.stderr));
        let status: Value = serde_json::from_slice(&output.stdout)?;
        let mut loaded = Loaded::default();
        for document in status["documents"].as_array().context("feeds status lists no documents")? {
            let number = |key: &str| document[key].as_f64().unwrap_or_default();
            if let Some(error) = document["error"].as_str() {
                loaded.failed.push(error.to_owned());
            }
            loaded.documents += 1;
            loaded.transferred_mb += number("sizeBytes") / 1e6;
            let severities = document["severities"].as_object().into_iter().flat_map(|all| all.values());
            // Advisories where nothing is affected, scores where there are no severities.
            loaded.records += number("records").max(severities.filter_map(Value::as_f64).sum());
            loaded.affected += number("records");
        }
        Ok(loaded)
    }
}

fn of_feed(name: &str, usage: &Usage, loaded: &Loaded) -> Vec<Figure> {
    let figure = |what: &str, value, unit| Figure::new(format!("{name}, {what}"), value, unit);
    vec![
        figure("documents", loaded.documents as f64, ""),
        figure("documents that failed", loaded.failed.len() as f64, ""),
        figure("transferred", loaded.transferred_mb, "MB"),
        figure("cold, wall", usage.wall_seconds, "s"),
        figure("throughput", loaded.transferred_mb / usage.wall_seconds, "MB/s"),
        figure("records", loaded.records, ""),
        figure("records a second", loaded.records / usage.wall_seconds, "/s"),
        figure("peak memory", usage.memory_mb, "MB"),
    ]
}

fn of_core(cold: &Usage, again: &Usage, loaded: &Loaded, store: &Path) -> anyhow::Result<Vec<Figure>> {
    let figure = |what: &str, value, unit, target_max| {
        Figure::new(format!("core feeds, {what}"), value, unit).at_most(target_max)
    };
    let described = described_bytes(store)?;
    let size: u64 = ["db", "db-wal"]
        .iter()
        .filter_map(|extension| std::fs::metadata(store.with_extension(extension)).ok())
        .map(|metadata| metadata.len())
        .sum();
    Ok(vec![
        figure("documents", loaded.documents as f64, "", None),
        figure("documents that failed", loaded.failed.len() as f64, "", None),
        figure("affected ranges", loaded.affected, "", None),
        figure("cold, wall", cold.wall_seconds, "s", Some(30.0)),
        figure("cold, processor", cold.cpu_seconds, "s", None),
        figure("cold, peak memory", cold.memory_mb, "MB", Some(300.0)),
        figure("unchanged, wall", again.wall_seconds, "s", Some(2.0)),
        figure("store", size as f64 / 1e6, "MB", None),
        figure("descriptions", described as f64 / 1e6, "MB", None),
        figure(
            "store besides descriptions / affected range",
            (size - described) as f64 / loaded.affected,
            "B",
            Some(250.0),
        ),
    ])
}

/// Bytes of all descriptions in a store.
fn described_bytes(store: &Path) -> anyhow::Result<u64> {
    let store = SqliteStore::open(store)?;
    let mut bytes = 0;
    store.changes(0, NEWEST, &mut |change| {
        let details = change.details.and_then(|(_, after)| after);
        bytes += details.map_or(0, |details| details.description.len() as u64);
        Ok(())
    })?;
    Ok(bytes)
}
