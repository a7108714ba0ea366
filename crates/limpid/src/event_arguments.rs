//! The command line of `limpid events`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, Args, Subcommand};
use limpid_notify::Start;
use limpid_store::{EventId, EventKind};

use crate::arguments::ReportFormat;

const DELIVERY: &str = "\
Each channel takes events in their order, at least once: a message that fails is tried again later and later, for nearly
a day; one that is refused for good, or fails for so long, becomes a dead letter and lets the others pass. `limpid events
channels` shows how each channel stands, `limpid events retry` sends dead letters once more.

A webhook gets one POST an event, signed as the Standard Webhooks specification says (docs/events.md).";

#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// List events, oldest first
    List(List),
    /// Show an event
    Show {
        /// The event
        #[arg(value_name = "ID|NUMBER")]
        event: EventName,
        /// How to print it
        #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
        format: ReportFormat,
    },
    /// List the images that an event is about, with the packages that make it so
    Images {
        /// The event
        #[arg(value_name = "ID|NUMBER")]
        event: EventName,
        /// Only what comes behind this cursor, which the page before names
        #[arg(long, value_name = "CURSOR")]
        after: Option<i64>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// How to print them
        #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
        format: ReportFormat,
    },
    /// Derive the events of what feeds changed since the last time; `feeds update`, `feeds import` and `scan` do it too
    Derive,
    /// Deliver events to a channel: a webhook, a file or standard output
    #[command(after_help = DELIVERY)]
    Deliver(Deliver),
    /// Show how each channel stands: its cursor, what waits, the last error, dead letters
    Channels {
        /// How to print them
        #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
        format: ReportFormat,
    },
    /// Have dead letters of a channel sent once more, with the next `limpid events deliver`
    Retry {
        /// The channel
        #[arg(value_name = "CHANNEL")]
        channel: String,
        /// The events [default: all dead letters of the channel]
        #[arg(value_name = "ID|NUMBER")]
        events: Vec<EventName>,
    },
    /// Forget a channel, its cursor and its dead letters; events wait for it no longer
    Forget {
        /// The channel
        #[arg(value_name = "CHANNEL")]
        channel: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only events behind this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) after: u64,
    /// Only events of this type, for example vulnerability.new; may be given several times
    #[arg(long = "type", value_name = "TYPE", value_parser = kind)]
    pub(crate) kinds: Vec<EventKind>,
    /// Events that are about kernels and their headers alone, too
    #[arg(long)]
    pub(crate) kernels: bool,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// How to print them
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("channel").required(true).args(["webhook", "file", "stdout"])))]
pub(crate) struct Deliver {
    /// Post each event to URL
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<String>,
    /// Append events to FILE, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Print events, one a line
    #[arg(long)]
    pub(crate) stdout: bool,
    /// Sign with the secret in FILE: `whsec_` and base64, or the text itself (also: LIMPID_WEBHOOK_SECRET)
    #[arg(long, value_name = "FILE", requires = "webhook")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Send a header with each request, for example `Authorization: Bearer …`; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE", requires = "webhook")]
    pub(crate) headers: Vec<String>,
    /// The channel's name, under which the store keeps how far it is [default: where it leads]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Where a new channel begins: `now`, `start`, or behind an event's number
    #[arg(long, value_name = "now|start|NUMBER", default_value = "now", value_parser = start)]
    pub(crate) from: Start,
    /// Events that are about kernels and their headers alone, too
    #[arg(long)]
    pub(crate) kernels: bool,
    /// Go on until interrupted
    #[arg(long)]
    pub(crate) follow: bool,
}

/// An event, by its id or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventName {
    Id(EventId),
    Number(u64),
}

impl FromStr for EventName {
    type Err = limpid_store::EventIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::Number).or_else(|_| text.parse().map(Self::Id))
    }
}

fn kind(text: &str) -> Result<EventKind, String> {
    let kind = EventKind::ALL.into_iter().find(|kind| kind.name() == text);
    kind.ok_or_else(|| {
        let names: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("it is one of {}", names.join(", "))
    })
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "now" => Ok(Start::Now),
        "start" => Ok(Start::After(0)),
        number => number.parse().map(Start::After).map_err(|_| "it is `now`, `start` or a number".to_owned()),
    }
}
