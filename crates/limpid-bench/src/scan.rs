//! A cold scan against its floors, and a scan of an image that is known.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::figure::{Figure, median, print};
use crate::measure::{Usage, measure};

/// Scans of a known image: they are short, so more of them are timed.
const KNOWN_RUNS: usize = 21;

#[derive(Debug, Args)]
pub(crate) struct Scan {
    /// The image, an OCI layout
    #[arg(long)]
    image: String,
    /// Measure the image through a docker-registry on loopback against the layout, and nothing else
    #[arg(long)]
    registry: bool,
    /// Advisories for the scan of the known image: a mirror, as `limpid --feeds-mirror` takes it
    #[arg(long)]
    feeds_mirror: Option<String>,
    /// Rounds; each measures the scan and both floors in turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// The program to measure [default: limpid beside this one]
    #[arg(long)]
    limpid: Option<PathBuf>,
}

struct Round {
    scan: Usage,
    own: Usage,
    igzip: Option<Usage>,
}

impl Scan {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let limpid = match &self.limpid {
            Some(limpid) => limpid.clone(),
            None => std::env::current_exe()?.with_file_name("limpid"),
        };
        anyhow::ensure!(limpid.is_file(), "{} is missing: cargo build --release", limpid.display());
        if self.registry {
            print(&crate::registry::figures(&limpid, &self.image, self.rounds)?, self.json);
            return Ok(());
        }
        let folder = tempfile::tempdir()?;
        let mut rounds = Vec::new();
        // The first round fills the machine's file cache and is not counted.
        for round in 0..=self.rounds {
            let store = folder.path().join(format!("{round}.db"));
            let measured = Round {
                scan: self.cold(&limpid, &store)?,
                own: self.floor("own")?,
                igzip: self.floor("igzip").map_err(|error| eprintln_skip(&error)).ok(),
            };
            if round > 0 {
                rounds.push(measured);
            }
        }
        let known = self.known(&limpid, &folder.path().join("known.db"))?;
        print(&figures(&rounds, &known), self.json);
        Ok(())
    }

    fn cold(&self, limpid: &Path, store: &Path) -> anyhow::Result<Usage> {
        measure([
            limpid.as_os_str(),
            "--store".as_ref(),
            store.as_os_str(),
            "--offline".as_ref(),
            "scan".as_ref(),
            self.image.as_ref(),
        ])
        .context("the cold scan failed")
    }

    fn floor(&self, decoder: &str) -> anyhow::Result<Usage> {
        let bench = std::env::current_exe()?;
        measure([
            bench.as_os_str(),
            "floor".as_ref(),
            "--image".as_ref(),
            self.image.as_ref(),
            "--decoder".as_ref(),
            decoder.as_ref(),
        ])
        .context("the floor could not be measured")
    }

    fn known(&self, limpid: &Path, store: &Path) -> anyhow::Result<Vec<Usage>> {
        let mut arguments: Vec<&OsStr> = vec![limpid.as_os_str(), OsStr::new("--store"), store.as_os_str()];
        match &self.feeds_mirror {
            Some(mirror) => arguments.extend(["--feeds-mirror", mirror].map(OsStr::new)),
            None => arguments.push(OsStr::new("--offline")),
        }
        arguments.extend(["scan", &self.image].map(OsStr::new));
        measure(&arguments)?;
        (0..KNOWN_RUNS).map(|_| measure(&arguments)).collect()
    }
}

#[allow(clippy::print_stderr, reason = "a plain word on what is not measured")]
fn eprintln_skip(error: &anyhow::Error) {
    eprintln!("the floor of igzip is not measured: {error:#}");
}

fn figures(rounds: &[Round], known: &[Usage]) -> Vec<Figure> {
    let figure = |name: &str, value, unit, target_max| Figure::new(name, value, unit).at_most(target_max);
    let of = |pick: fn(&Round) -> f64| median(rounds.iter().map(pick));
    let mut figures = vec![
        figure("cold scan, wall", of(|r| r.scan.wall_seconds), "s", None),
        figure("cold scan, processor", of(|r| r.scan.cpu_seconds), "s", None),
        figure("cold scan, peak memory", of(|r| r.scan.memory_mb), "MB", Some(100.0)),
        figure("own floor, wall", of(|r| r.own.wall_seconds), "s", None),
        figure("own floor, processor", of(|r| r.own.cpu_seconds), "s", None),
        figure("scan / own floor, wall", of(|r| r.scan.wall_seconds / r.own.wall_seconds), "x", Some(1.10)),
        figure(
            "scan / own floor, processor",
            of(|r| r.scan.cpu_seconds / r.own.cpu_seconds),
            "x",
            Some(1.10),
        ),
    ];
    if rounds.iter().all(|round| round.igzip.is_some()) {
        let ratio = |pick: fn(&Usage) -> f64| {
            median(rounds.iter().filter_map(|round| Some(pick(&round.scan) / pick(round.igzip.as_ref()?))))
        };
        let floor = |pick: fn(&Usage) -> f64| {
            median(rounds.iter().filter_map(|round| round.igzip.as_ref().map(pick)))
        };
        figures.extend([
            figure("floor (igzip + SHA-256), wall", floor(|u| u.wall_seconds), "s", None),
            figure("floor (igzip + SHA-256), processor", floor(|u| u.cpu_seconds), "s", None),
            figure("scan / floor, wall", ratio(|u| u.wall_seconds), "x", Some(1.5)),
            figure("scan / floor, processor", ratio(|u| u.cpu_seconds), "x", Some(1.5)),
        ]);
    }
    figures.push(figure(
        "scan of a known image, wall",
        median(known.iter().map(|usage| usage.wall_seconds)) * 1000.0,
        "ms",
        Some(20.0),
    ));
    figures
}
