//! What a command uses: wall and processor time and peak memory of it and its children, by the operating
//! system's own account.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// What a command used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) wall_seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) memory_mb: f64,
}

#[derive(Debug, Args)]
pub(crate) struct Measure {
    /// Exit codes that are no failure, beside 0
    #[arg(long, value_delimiter = ',')]
    accept: Vec<i32>,
    #[arg(trailing_var_arg = true, required = true)]
    command: Vec<String>,
}

impl Measure {
    /// Runs the command with its output thrown away and prints three numbers.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let [program, arguments @ ..] = self.command.as_slice() else { bail!("there is no command") };
        let begun = Instant::now();
        let status = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .with_context(|| format!("cannot run {program}"))?;
        let wall = begun.elapsed();
        if !status.success() && !status.code().is_some_and(|code| self.accept.contains(&code)) {
            bail!("{program} ended with {status}");
        }
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let cpu = usage.user_time() + usage.system_time();
        println!(
            "{} {} {}",
            wall.as_secs_f64(),
            cpu.num_microseconds() as f64 / 1e6,
            usage.max_rss() as f64 / 1e3
        );
        Ok(())
    }
}

/// Runs a command in a process of its own that runs nothing else, so that its account is its alone.
pub(crate) fn measure<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> anyhow::Result<Usage> {
    measure_accepting(&[], arguments)
}

/// The same for a command that may end with one of these exit codes.
pub(crate) fn measure_accepting<I: AsRef<OsStr>>(
    accept: &[i32],
    arguments: impl IntoIterator<Item = I>,
) -> anyhow::Result<Usage> {
    let accept = accept.iter().map(|code| format!("--accept={code}"));
    let output = Command::new(std::env::current_exe()?)
        .arg("measure")
        .args(accept)
        .arg("--")
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("a measured command failed");
    }
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [wall_seconds, cpu_seconds, memory_mb] = numbers[..] else { bail!("unexpected output {text:?}") };
    Ok(Usage { wall_seconds, cpu_seconds, memory_mb })
}
