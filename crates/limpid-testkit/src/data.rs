//! Data that tests use where it is, and do without where it is not.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The shared data: `LIMPID_SHARED`, else the folder `shared` beside the repository.
pub fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let path = std::env::var_os("LIMPID_SHARED").map_or(beside, PathBuf::from);
    path.is_dir().then_some(path)
}

/// Real images with truth files: `LIMPID_IMAGES`, else `target/corpus`; `cargo xtask test` builds them.
pub fn corpus() -> Option<PathBuf> {
    folder("LIMPID_IMAGES", "../../target/corpus")
}

/// Feeds laid out as a mirror: `LIMPID_FEEDS_DATA`, else `target/feeds`; `cargo xtask test` lays them out.
pub fn feeds_mirror() -> Option<PathBuf> {
    folder("LIMPID_FEEDS_DATA", "../../target/feeds")
}

/// Validators of output formats: `LIMPID_VALIDATORS`, else `target/validators`; `cargo xtask test` installs them.
pub fn validators() -> Option<PathBuf> {
    folder("LIMPID_VALIDATORS", "../../target/validators").filter(|folder| folder.join("complete").is_file())
}

/// Has every file `NAME.FORMAT` of a folder judged by the format's own schema or validator. Returns how many of each
/// format were judged, as a JSON object, or nothing if the validators are not here.
pub fn validate(documents: &Path) -> Option<String> {
    let validators = require_or_skip(validators(), "validators of output formats")?;
    let program = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(program.path(), include_str!("validate.py")).unwrap();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas/limpid.schema.json");
    let sarif = validators.join("node_modules/@microsoft/sarif-multitool-linux/sarif-2.1.0.json");
    let output = Command::new(validators.join("venv/bin/python"))
        .arg(program.path())
        .args([documents, &schema, &sarif])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn folder(variable: &str, default: &str) -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join(default);
    let path = std::env::var_os(variable).map_or(default, PathBuf::from);
    path.is_dir().then_some(path)
}

/// What is there, or a plain word that the test skips; with `LIMPID_REQUIRE_DATA=1` that is a failure.
pub fn require_or_skip<T>(found: Option<T>, what: &str) -> Option<T> {
    if found.is_none() {
        assert!(std::env::var_os("LIMPID_REQUIRE_DATA").is_none(), "{what} is missing");
        eprintln!("skipped: {what} is not here");
    }
    found
}
