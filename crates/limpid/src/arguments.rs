//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use limpid_model::Platform;
use limpid_version::Scheme;

use crate::gate::Gate;

const REFERENCES: &str = "\
References:
  oci:DIR[:TAG|@DIGEST]      an OCI image layout
  oci-archive:FILE           the same in a tar archive
  docker-archive:FILE[:TAG]  what `docker save` or `podman save` writes
  dir:PATH                   a root file system";

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed for a reason without a code of its own
  2  the gate of --fail-on closed
  3  the command line is wrong
  4  the image cannot be found or read
  5  the store cannot be used
  6  advisories could not be had, and the store has none to go by
  130  interrupted";

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
pub(crate) struct Global {
    /// The store's file [default: limpid/limpid.db in the user's data directory]
    #[arg(long, global = true, value_name = "PATH", env = "LIMPID_STORE")]
    pub(crate) store: Option<PathBuf>,
    /// Use no network: images and advisories come from what is here
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// Take feeds from URL or DIR, under which HOST/PATH of each upstream address lies
    #[arg(long, global = true, value_name = "URL|DIR", env = "LIMPID_FEEDS_MIRROR")]
    pub(crate) feeds_mirror: Option<String>,
    /// Print no progress and no warnings
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Use no colours (also: NO_COLOR)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what is vulnerable in an image
    #[command(after_help = REFERENCES)]
    Scan(Scan),
    /// List the packages of an image
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
    Affected(Affected),
    /// Update feeds, or show their state
    #[command(subcommand)]
    Feeds(Feeds),
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
}

#[derive(Debug, Args)]
pub(crate) struct Scan {
    #[command(flatten)]
    pub(crate) image: ImageArguments,
    /// How to print the report
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) format: ReportFormat,
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
    pub(crate) image: ImageArguments,
    /// How to print the packages
    #[arg(long, value_enum, default_value_t = PackageFormat::Table)]
    pub(crate) format: PackageFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PackageFormat {
    /// For people
    Table,
    /// Tab-separated, without a header: type, name, version, arch, source name, source version, layer, path
    Tsv,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Layers {
    #[command(flatten)]
    pub(crate) image: ImageArguments,
    /// How to print the layers
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) image: ImageArguments,
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

#[derive(Debug, Args)]
pub(crate) struct Affected {
    /// The vulnerability, for example CVE-2015-0235
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Feeds {
    /// Fetch what changed, for the distributions of the images in the store or those named
    Update {
        /// Releases, for example debian:12 [default: those of the images in the store]
        #[arg(value_name = "RELEASE")]
        releases: Vec<String>,
    },
    /// Show each feed's last attempt, last success, revision, records and error
    Status,
    /// Read advisories of your own, in OSV format, from a folder or file; they replace those read before
    Import {
        /// A file, or a folder whose *.json files are read
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Version {
    /// Print `<`, `=` or `>` for A and B, or for each line of standard input (two versions and a tab)
    Compare {
        /// The order
        #[arg(long, value_name = "SCHEME")]
        scheme: Scheme,
        /// One version
        #[arg(requires = "b")]
        a: Option<String>,
        /// The other
        b: Option<String>,
    },
}
