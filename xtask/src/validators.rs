//! Schemas and validators of output formats, from Python's and Node's package registries, in a folder of their own. They are
//! installed once: what is there in these versions is left as it is.

use std::path::Path;
use std::process::Command;

use crate::test::succeeded;

/// Python packages that judge documents, each with what it is for.
const PYTHON: &[(&str, &str)] = &[
    ("cyclonedx-python-lib[json-validation]==11.12.0", "CycloneDX's own schemas"),
    ("spdx-tools==0.8.5", "SPDX 2.3"),
    ("spdx-python-model==0.0.6", "SPDX 3.0, from its own model"),
    ("packageurl-python==0.17.6", "purl's reference implementation"),
    ("lib4vex==0.2.3", "a reader of OpenVEX"),
    ("junitparser==5.0.3", "a reader of JUnit"),
    ("html5lib==1.1", "a strict parser of HTML"),
    ("markdown-it-py==4.3.0", "a parser of Markdown"),
    ("jsonschema==4.26.0", "JSON Schema"),
];

/// Node packages: this one has the schema of SARIF.
const NODE: &str = "@microsoft/sarif-multitool-linux@5.7.0";

/// Installs what is not there yet, and says so where it cannot be had.
pub(crate) fn install(folder: &Path) -> anyhow::Result<bool> {
    let versions: Vec<&str> = PYTHON.iter().map(|(package, _)| *package).chain([NODE]).collect();
    let versions = versions.join("\n");
    // The versions that are there.
    let complete = folder.join("complete");
    if std::fs::read_to_string(&complete).is_ok_and(|there| there == versions) {
        return Ok(true);
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    let venv = folder.join("venv");
    let mut create = Command::new("python3");
    create.args(["-m", "venv"]).arg(&venv);
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"])
        .args(PYTHON.iter().map(|(package, _)| package));
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--force", "--prefix"])
        .arg(folder)
        .arg(NODE);
    for mut command in [create, pip, npm] {
        if let Err(error) = succeeded(&mut command) {
            if std::env::var_os("CI").is_some() {
                return Err(error);
            }
            println!("skipped: {error}; tests that need validators will say so");
            return Ok(false);
        }
    }
    std::fs::write(complete, versions)?;
    Ok(true)
}
