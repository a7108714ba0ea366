//! Limpid's benchmarks: `cargo run --release -p limpid-bench -- scan --image oci:DIR`, `rpmdb`.
//!
//! Every figure is a ratio or is printed beside what it is compared with, from one run. With `--json` each
//! is one object a line: `{"figure", "value", "unit", "target", "met"}`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "figures are this program's output")]

mod feeds;
mod figure;
mod fleet;
mod floor;
mod kill;
mod measure;
mod registry;
mod rpmdb;
mod scan;
mod workers;

use clap::{Parser, Subcommand};

/// Measures Limpid.
#[derive(Debug, Parser)]
#[command(name = "limpid-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A cold scan against its floors, and a scan of a known image
    Scan(scan::Scan),
    /// rpm's database with ten thousand packages, in each of its forms
    Rpmdb(rpmdb::Rpmdb),
    /// Read one database of `rpmdb`
    #[command(hide = true)]
    ReadRpmdb(rpmdb::ReadRpmdb),
    /// Feeds, cold and unchanged: throughput, memory, and what the store takes for each affected range
    Feeds(feeds::Feeds),
    /// A backlog and several workers, some of them killed: what is lost or done twice, and how long it takes
    Workers(workers::Workers),
    /// A registry of many images: what the store takes, how fast it is filled and asked, and whether its answers are right
    Fleet(fleet::Fleet),
    /// Kill a process that works on a store, again and again: everything acknowledged must be there
    Kill(kill::Kill),
    /// Work on a store until killed
    #[command(hide = true)]
    KillChild(kill::KillChild),
    /// Hash and decode an image's layers and throw the result away: what `scan` compares with
    #[command(hide = true)]
    Floor(floor::Floor),
    /// Run one command and print what it used
    #[command(hide = true)]
    Measure(measure::Measure),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Scan(scan) => scan.run(),
        Command::Rpmdb(rpmdb) => rpmdb.run(),
        Command::ReadRpmdb(read) => read.run(),
        Command::Feeds(feeds) => feeds.run(),
        Command::Workers(workers) => workers.run(),
        Command::Fleet(fleet) => fleet.run(),
        Command::Kill(kill) => kill.run(),
        Command::KillChild(child) => child.run(),
        Command::Floor(floor) => floor.run(),
        Command::Measure(measure) => measure.run(),
    }
}
