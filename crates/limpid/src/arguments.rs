//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use limpid_index::Kernels;
use limpid_model::Platform;
use limpid_report::Format;
use limpid_version::Scheme;

use crate::as_of::AsOf;
use crate::event_arguments::Events;
use crate::fleet_arguments::{AFFECTED_EXAMPLES, Affected, FLEET_EXAMPLES, Fleet};
use crate::gate::Gate;
use crate::outputs::FormatParser;
use crate::queue_arguments::{QueueCommand, Serve};
use crate::registry_options::RegistryArguments;

const REFERENCES: &str = "\
References:
  NAME[:TAG|@DIGEST]         an image in a registry, also docker://NAME (debian:12, host:5000/a/b)
  oci:DIR[:TAG|@DIGEST]      an OCI image layout
  oci-archive:FILE[:NAME]    the same in a tar archive, also what containerd exports
  docker-archive:FILE[:NAME] what `docker save` or `podman save` writes
  docker-daemon:NAME         an image that Docker has, by name, digest or id
  podman:NAME                the same of Podman
  dir:PATH                   a root file system

A FILE of - is standard input. Docker is asked where DOCKER_HOST or its context says, Podman where
CONTAINER_HOST says, else at the usual sockets.";

const SERVE: &str = "\
Settings come from --config, then from LIMPID_SERVE_… variables; `limpid config defaults` prints every key. Without any,
the APIs are at 127.0.0.1:6060, and /healthz, /readyz and /metrics at 127.0.0.1:8089. Elsewhere than on loopback the
service starts only with `auth`: a shared key, or `none`.";

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed for a reason without a code of its own
  2  the gate of --fail-on closed
  3  the command line is wrong
  4  the image cannot be found or read
  5  the store cannot be used, or `store check` found that something in it is broken
  6  advisories could not be had, and the store has none to go by
  130  interrupted
With several images: that of the worst, in the order 5, 6, 4, 3, 1, 2, 0.";

/// Which known vulnerabilities are in container images, from their static content alone.
#[derive(Debug, Parser)]
#[command(name = "limpid", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "For every command")]
pub(crate) struct Global {
    /// The store: a file, `:memory:` to keep nothing, or a PostgreSQL database (postgres://USER@HOST/DATABASE)
    /// [default: limpid/limpid.db in the user's data directory]
    #[arg(long, global = true, value_name = "PATH|URL", env = "LIMPID_STORE", hide_env_values = true)]
    pub(crate) store: Option<PathBuf>,
    /// Use no network: images and advisories come from what is here
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// Take feeds from URL or DIR, under which HOST/PATH of each upstream address lies
    #[arg(long, global = true, value_name = "URL|DIR", env = "LIMPID_FEEDS_MIRROR")]
    pub(crate) feeds_mirror: Option<String>,
    /// Fetch nothing beside the distributions' feeds: no scores, no list of exploited vulnerabilities, no
    /// CVE records
    #[arg(long, global = true)]
    pub(crate) no_enrich: bool,
    /// Print no progress, notes and warnings
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Use no colours (also: NO_COLOR)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what is vulnerable in images
    ///
    /// Several are analysed at the same time. Each gets its report, in the order given; one that fails does not
    /// keep the others from theirs.
    #[command(after_help = REFERENCES)]
    Scan(Scan),
    /// List the packages of images
    ///
    /// Several are analysed at the same time. Each gets its list, in the order given; one that fails does not
    /// keep the others from theirs.
    #[command(after_help = REFERENCES)]
    Packages(Packages),
    /// Show what each layer of an image did to its packages and vulnerabilities
    #[command(after_help = REFERENCES)]
    Layers(Layers),
    /// Show why an image has, or does not have, a vulnerability
    #[command(after_help = REFERENCES)]
    Explain(Explain),
    /// Show which package of an image brought a file
    #[command(after_help = REFERENCES)]
    Owner(Owner),
    /// Show which images in the store have a vulnerability, and what share
    ///
    /// No image is looked at again: the answer comes from what the store knows of package versions.
    #[command(after_help = AFFECTED_EXAMPLES)]
    Affected(Affected),
    /// Ask about all images in the store: the most widespread, who has a package, which layers, newer bases
    #[command(subcommand, after_help = FLEET_EXAMPLES)]
    Fleet(Fleet),
    /// Update feeds, or show their state
    #[command(subcommand)]
    Feeds(Feeds),
    /// Tell what became of images and vulnerabilities, and deliver it: webhook, file, standard output
    #[command(subcommand)]
    Events(Events),
    /// Images that workers are to index: adding them, lists of Clair's and Harbor's, how far it is
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Stay and answer over HTTP, as Clair does for registries; or `--role worker`: index what the queue names
    #[command(after_help = SERVE)]
    Serve(Serve),
    /// Look after the store: what it holds, whether it is sound, forgetting images, backups
    #[command(subcommand)]
    Store(StoreCommand),
    /// Check the settings of `serve`, or print every one with its default
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Compare versions as an ecosystem's own tool does
    #[command(subcommand)]
    Version(Version),
    /// Print what this Limpid knows: distributions, package databases, feeds, and how each was tested (Markdown)
    Coverage,
    /// Scan three example images offline and ask which have GHOST
    Demo,
}

/// Which image, and which of its platforms.
#[derive(Debug, Args)]
pub(crate) struct ImageArguments {
    /// The image
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// The platform to take from an index, for example linux/arm64 [default: linux on this machine]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<Platform>,
    #[command(flatten)]
    pub(crate) registry: RegistryArguments,
}

/// Which moment a question is about.
#[derive(Debug, Args)]
pub(crate) struct MomentArguments {
    /// Answer by what the store knew at a moment: YYYY-MM-DD, an RFC 3339 time, or revision:N
    #[arg(long, value_name = "MOMENT")]
    pub(crate) as_of: Option<AsOf>,
}

/// What to do with kernels.
#[derive(Debug, Args)]
pub(crate) struct KernelArguments {
    /// Whether to list what is found in kernels and their headers or only to count it, since a container runs on
    /// its host's kernel [default: hide, but show for images that say they are to boot from]
    #[arg(long, value_enum, value_name = "show|hide", hide_possible_values = true)]
    kernel: Option<KernelChoice>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KernelChoice {
    /// List it
    Show,
    /// Count it
    Hide,
}

impl KernelArguments {
    pub(crate) fn kernels(&self) -> Kernels {
        match self.kernel {
            None => Kernels::ByImage,
            Some(KernelChoice::Show) => Kernels::Show,
            Some(KernelChoice::Hide) => Kernels::Hide,
        }
    }
}

/// Which images, and which of their platforms.
#[derive(Debug, Args)]
pub(crate) struct ImagesArguments {
    /// The images
    #[arg(value_name = "REF", required_unless_present = "from_file")]
    pub(crate) references: Vec<String>,
    /// Take references from FILE too, one a line; `#` begins a comment, `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,
    /// The platform to take from an index, for example linux/arm64, or `all` [default: linux on this machine]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]|all")]
    pub(crate) platform: Option<PlatformChoice>,
    #[command(flatten)]
    pub(crate) registry: RegistryArguments,
}

impl ImagesArguments {
    /// Whether one image is meant, so that what is printed need not say which.
    pub(crate) fn is_one(&self) -> bool {
        self.references.len() == 1 && self.from_file.is_none() && self.platform != Some(PlatformChoice::All)
    }
}

/// Which image of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PlatformChoice {
    /// Every one.
    All,
    /// That for one platform.
    One(Platform),
}

impl FromStr for PlatformChoice {
    type Err = limpid_model::PlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" { Ok(Self::All) } else { text.parse().map(Self::One) }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Scan {
    #[command(flatten)]
    pub(crate) images: ImagesArguments,
    #[command(flatten)]
    pub(crate) moment: MomentArguments,
    #[command(flatten)]
    pub(crate) kernel: KernelArguments,
    /// How to print the report [default: table]
    #[arg(long, value_name = "FORMAT", value_parser = FormatParser { packages_only: false })]
    pub(crate) format: Option<&'static Format>,
    /// Write the report to FILE instead of standard output, any number of times; `-` is standard output, `{image}` in
    /// FILE the image. FORMAT is one of --format's; without it --format's or what FILE's name means counts (.sarif,
    /// .cdx.json, .spdx.json, .html, .csv, .md, .junit.xml and others)
    #[arg(long, short, value_name = "[FORMAT=]FILE")]
    pub(crate) output: Vec<String>,
    /// Exit with 2 if a term holds: a severity (that or worse was found), `coverage` (the answer is not
    /// complete); several separated by commas
    #[arg(long, value_name = "EXPR")]
    pub(crate) fail_on: Option<Gate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Packages {
    #[command(flatten)]
    pub(crate) images: ImagesArguments,
    /// How to print the packages [default: table]
    #[arg(long, value_name = "FORMAT", value_parser = FormatParser { packages_only: true })]
    pub(crate) format: Option<&'static Format>,
    /// Write the packages to FILE instead of standard output, any number of times, as `scan` does
    #[arg(long, short, value_name = "[FORMAT=]FILE")]
    pub(crate) output: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Layers {
    #[command(flatten)]
    pub(crate) image: ImageArguments,
    #[command(flatten)]
    pub(crate) moment: MomentArguments,
    #[command(flatten)]
    pub(crate) kernel: KernelArguments,
    /// How to print the layers
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) image: ImageArguments,
    #[command(flatten)]
    pub(crate) moment: MomentArguments,
    /// The vulnerability, for example CVE-2015-0235
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Owner {
    #[command(flatten)]
    pub(crate) image: ImageArguments,
    /// The file in the image, for example /usr/bin/openssl
    #[arg(value_name = "PATH")]
    pub(crate) path: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Feeds {
    /// Fetch what changed, for the distributions of the images in the store or what is named
    Update(FeedsUpdate),
    /// Show each feed's last attempt, last success, revision, records by severity, size and error
    Status {
        /// How to print the state
        #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
        format: ReportFormat,
    },
    /// Show what changed in the advisories between two moments
    Changes {
        /// From when on: YYYY-MM-DD, an RFC 3339 time, or revision:N
        #[arg(long, value_name = "MOMENT")]
        since: AsOf,
        /// Until when [default: now]
        #[arg(long, value_name = "MOMENT")]
        until: Option<AsOf>,
        /// How to print the changes
        #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
        format: ReportFormat,
    },
    /// Read advisories of your own, in OSV format, from a folder or file; they replace those read from there before
    Import {
        /// A file, or a folder whose *.json files are read
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct FeedsUpdate {
    /// Releases, for example debian:12, and feeds, for example kev [default: the releases of the images in
    /// the store]
    #[arg(value_name = "RELEASE|FEED")]
    pub(crate) names: Vec<String>,
    /// The feeds on vulnerabilities themselves too: CVE records, NVD, exploited vulnerabilities, EPSS
    #[arg(long)]
    pub(crate) enrich: bool,
    /// Every document of every feed, for a server
    #[arg(long, conflicts_with = "names")]
    pub(crate) all: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Show how much the store holds
    Status {
        /// How to print it
        #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
        format: ReportFormat,
    },
    /// Verify that everything in the store fits together; exits with 5 if something does not
    Check {
        /// How to print what was found
        #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
        format: ReportFormat,
    },
    /// Forget images and all their references; `limpid store gc` then frees what only they used
    Forget {
        /// References as they were scanned, each for the image that it named last, or digests of manifests
        #[arg(value_name = "REF|DIGEST", required = true)]
        images: Vec<String>,
    },
    /// Free what no image uses; other processes may go on using the store
    Gc {
        /// First forget the images that nobody asked for in the last N days
        #[arg(long, value_name = "N")]
        keep_days: Option<u32>,
        /// Drop events that are older than N days, once every channel has delivered them or given them up
        #[arg(long, value_name = "N", default_value_t = 30)]
        keep_events_days: u32,
        /// Free only what was unused for so long; with 0, others may have to do again what they have in hand
        #[arg(long, value_name = "SECONDS", default_value_t = 900)]
        grace: u32,
    },
    /// Write all that the store holds to a new file, while others may write to the store
    Backup {
        /// The file, which must not be there yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Copy everything to another store, of whichever engine, that has nothing in it
    ///
    /// What is copied is what the source holds when it begins. Ended in the middle, the target stays empty. Others
    /// should not write to the source meanwhile: what they write is not copied.
    Copy {
        /// The store to copy: a file, or the address of a database
        #[arg(value_name = "SOURCE")]
        source: PathBuf,
        /// The store to copy to; made if there is none
        #[arg(value_name = "TARGET")]
        target: PathBuf,
    },
    /// Make the store what a backup holds, if the backup is sound
    Restore {
        /// The backup
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replace the store that is there
        #[arg(long)]
        force: bool,
    },
}

/// Where the settings of the service are.
#[derive(Debug, Args)]
pub(crate) struct SettingsArguments {
    /// The service's settings (YAML)
    #[arg(long, value_name = "FILE", env = "LIMPID_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Clair's own config.yaml, for the keys that mean something here; --config and the environment come after it
    #[arg(long, value_name = "FILE", env = "CLAIR_CONF")]
    pub(crate) clair_config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read the settings as `serve` does, and say what is wrong with them or has no meaning
    Check {
        #[command(flatten)]
        settings: SettingsArguments,
    },
    /// Print every key with its default and what it means
    Defaults,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Version {
    /// Print `<`, `=` or `>` for A and B, or for each line of standard input (two versions and a tab)
    Compare {
        /// Whose order: dpkg, apk or rpm
        #[arg(long, value_name = "SCHEME")]
        scheme: Scheme,
        /// One version
        #[arg(requires = "b")]
        a: Option<String>,
        /// The other
        b: Option<String>,
    },
}
