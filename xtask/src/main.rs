//! `cargo xtask tidy | examples | coverage | validators | test`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for developers")]

mod coverage;
mod examples;
mod test;
mod tidy;
mod validators;

use std::path::PathBuf;

use anyhow::bail;

/// The workspace's root.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy::run(),
        ["examples"] => examples::write(),
        ["coverage"] => coverage::write(),
        ["validators"] => validators::install(&root().join("target/validators")).map(drop),
        ["test"] => test::run(),
        _ => bail!(
            "usage: cargo xtask tidy      check the house rules\n       cargo xtask examples  make the example images from their facts\n       cargo xtask coverage  write docs/coverage.md from the code's own lists\n       cargo xtask validators  install validators of output formats into target/\n       cargo xtask test      install what tests need, check everything, run all tests"
        ),
    }
}
