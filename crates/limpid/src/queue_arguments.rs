//! The command line of the queue and of those who work on it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::arguments::{PlatformChoice, ReportFormat, SettingsArguments};
use crate::registry_options::RegistryArguments;

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Have workers index images
    Add(QueueAdd),
    /// Have workers index the images of a list that Clair, Quay or Harbor gave
    ///
    /// What the list is shows in its content: references, one a line; manifests as Clair's API takes them and
    /// `clairctl manifest` prints them; artifacts as Harbor lists them; scan requests as Harbor sends them. JSON may
    /// be one value after the other or an array. An entry that cannot be read is named with its line, the others are
    /// taken, and the exit code is 1.
    Import(QueueImport),
    /// Show how many jobs stand where
    Status {
        /// How to print it
        #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
        format: ReportFormat,
    },
    /// List jobs
    List {
        /// Only those of one state
        #[arg(long, value_enum)]
        state: Option<StateChoice>,
        /// Only those after this one: the last of a list leads to the next
        #[arg(long, value_name = "JOB", default_value_t = 0)]
        after: i64,
        /// So many at most
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        /// How to print them
        #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
        format: ReportFormat,
    },
    /// Have jobs that failed for good tried again
    Retry(QueueJobs),
    /// Call off jobs that wait or run
    Cancel(QueueJobs),
    /// Forget jobs that are done or called off
    Clear {
        /// Those that failed for good too
        #[arg(long)]
        dead: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct QueueAdd {
    /// The images
    #[arg(value_name = "REF", required_unless_present = "from_file")]
    pub(crate) references: Vec<String>,
    /// Take references from FILE too, one a line; `#` begins a comment, `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) how: QueueHow,
}

#[derive(Debug, Args)]
pub(crate) struct QueueImport {
    /// The list; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The registry that artifacts of Harbor's are in, which it does not say
    #[arg(long, value_name = "HOST[:PORT]", default_value = "")]
    pub(crate) registry: String,
    /// The repository that artifacts of Harbor's are in, where it does not say that
    #[arg(long, value_name = "PROJECT/NAME", default_value = "")]
    pub(crate) repository: String,
    #[command(flatten)]
    pub(crate) how: QueueHow,
}

/// How jobs are done.
#[derive(Debug, Args)]
pub(crate) struct QueueHow {
    /// The platform to take from an index, for example linux/arm64, or `all` [default: linux on the worker's machine]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]|all")]
    pub(crate) platform: Option<PlatformChoice>,
    /// The higher, the earlier, from -100 to 100: one more counts as ten minutes of waiting
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i32,
}

#[derive(Debug, Args)]
pub(crate) struct QueueJobs {
    /// The jobs
    #[arg(value_name = "JOB", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) jobs: Vec<i64>,
    /// All that it can be done with
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateChoice {
    /// Waits for a worker
    Waiting,
    /// A worker has it
    Running,
    /// Is done
    Done,
    /// Failed for good
    Dead,
    /// Was called off
    Cancelled,
}

/// Under which `--help` lists what only workers heed.
const WORKERS: &str = "For --role worker";

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// What this process does. `indexer` takes images in and `matcher` keeps feeds fresh and reports, over HTTP; `all` is
    /// both; `worker` indexes the images that the queue names, keeps feeds fresh and looks after the store [default: all,
    /// or what CLAIR_MODE says if Clair's settings are read]
    #[arg(long, value_name = "ROLE", env = "LIMPID_ROLE")]
    pub(crate) role: Option<String>,
    #[command(flatten)]
    pub(crate) settings: SettingsArguments,
    /// End once no job waits or runs any more, whoever has it; with exit code 4 if one that this process had failed for
    /// good
    #[arg(help_heading = WORKERS, long, visible_alias = "drain")]
    pub(crate) until_empty: bool,
    /// Layers that are read at the same time [default: as many as there are cores]
    #[arg(help_heading = WORKERS, long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Jobs that are held at a time: what waits again if this process dies [default: twice the threads, 4 at least]
    #[arg(help_heading = WORKERS, long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// Leave feeds to others
    #[arg(help_heading = WORKERS, long)]
    pub(crate) no_update: bool,
    /// Update feeds that are so old
    #[arg(help_heading = WORKERS, long, value_name = "SECONDS", default_value_t = 6 * 3600)]
    pub(crate) update_interval: u32,
    /// Free what no image uses so often, one of all workers; 0 for never
    #[arg(help_heading = WORKERS, long, value_name = "SECONDS", default_value_t = 24 * 3600)]
    pub(crate) gc_interval: u32,
    /// Forget jobs that were done or called off so many days ago
    #[arg(help_heading = WORKERS, long, value_name = "DAYS", default_value_t = 7)]
    pub(crate) keep_jobs: u32,
    /// When asked to stop (SIGTERM, SIGINT), finish what is begun for so long; then give it back
    #[arg(help_heading = WORKERS, long, value_name = "SECONDS", default_value_t = 25)]
    pub(crate) stop_grace: u32,
    /// How to write the log, to standard error
    #[arg(help_heading = WORKERS, long, value_enum, default_value_t = LogFormat::Json)]
    pub(crate) log: LogFormat,
    #[command(flatten)]
    pub(crate) registry: RegistryArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// An object a line
    Json,
    /// For people
    Text,
}
