//! docs/coverage.md, from the code's own lists: it is what `limpid coverage` prints.

use std::process::Command;

use anyhow::{Context as _, bail};

/// Writes the page. A test of the command keeps it true.
pub(crate) fn write() -> anyhow::Result<()> {
    let root = crate::root();
    let mut limpid = Command::new("cargo");
    limpid.args(["run", "--quiet", "-p", "limpid", "--", "coverage"]).current_dir(&root);
    let output = limpid.output().context("cargo cannot be run")?;
    if !output.status.success() {
        bail!("limpid coverage failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let folder = root.join("docs");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("coverage.md"), output.stdout).context("docs/coverage.md")
}
