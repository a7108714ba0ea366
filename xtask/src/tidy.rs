//! House rules that a program can check.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Which house crates each may use (besides `limpid-testkit` in tests). Arrows point down only.
const ARROWS: &[(&str, &[&str])] = &[
    ("limpid-model", &[]),
    ("limpid-version", &[]),
    ("limpid-inflate", &[]),
    ("limpid-image", &["limpid-inflate", "limpid-model"]),
    ("limpid-extract", &["limpid-model"]),
    ("limpid-feeds", &["limpid-model"]),
    ("limpid-match", &["limpid-model", "limpid-version"]),
    ("limpid-store", &["limpid-model"]),
    ("limpid-report", &["limpid-model"]),
    ("limpid-notify", &["limpid-index", "limpid-model", "limpid-store"]),
    (
        "limpid-index",
        &["limpid-extract", "limpid-feeds", "limpid-image", "limpid-match", "limpid-model", "limpid-store"],
    ),
    (
        "limpid-server",
        &["limpid-feeds", "limpid-image", "limpid-index", "limpid-match", "limpid-model", "limpid-store"],
    ),
    (
        "limpid",
        &[
            "limpid-feeds",
            "limpid-image",
            "limpid-index",
            "limpid-match",
            "limpid-model",
            "limpid-notify",
            "limpid-report",
            "limpid-server",
            "limpid-store",
            "limpid-version",
        ],
    ),
    ("limpid-testkit", &["limpid-model"]),
    (
        "limpid-bench",
        &[
            "limpid-extract",
            "limpid-feeds",
            "limpid-image",
            "limpid-index",
            "limpid-match",
            "limpid-model",
            "limpid-store",
            "limpid-testkit",
        ],
    ),
];

/// A file longer than this should have been two.
const LINES_MAX: usize = 600;

/// Words for work that is not finished, and paths of one machine. Written in halves, so that this file is tidy.
const FORBIDDEN: &[(&str, &str)] = &[
    ("todo", "!("),
    ("unimplemented", "!("),
    ("FIX", "ME"),
    ("XX", "X"),
    ("HA", "CK"),
    ("#[ign", "ore"),
    ("/wo", "rk/"),
    ("/var/t", "mp"),
    ("/ro", "ot/"),
];

/// Checks every rule and lists what breaks one.
pub(crate) fn run() -> anyhow::Result<()> {
    let root = crate::root();
    let mut broken = Vec::new();
    check_arrows(&root, &mut broken)?;
    check_files(&root, &mut broken)?;
    broken.extend(
        crate::examples::stale()?.into_iter().map(|path| format!("{path}: stale; run cargo xtask examples")),
    );
    for rule in &broken {
        eprintln!("{rule}");
    }
    if !broken.is_empty() {
        bail!("{} house rules are broken", broken.len());
    }
    println!("tidy");
    Ok(())
}

fn check_arrows(root: &Path, broken: &mut Vec<String>) -> anyhow::Result<()> {
    let readme = fs::read_to_string(root.join("crates/README.md")).context("crates/README.md")?;
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for entry in fs::read_dir(root.join("crates"))? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !readme.contains(&format!("`{name}`")) {
            broken.push(format!("{name}: crates/README.md has no sentence on it"));
        }
        let Some(allowed) = arrows.get(name.as_str()) else {
            broken.push(format!("{name}: xtask knows no arrows of this crate"));
            continue;
        };
        let manifest = fs::read_to_string(path.join("Cargo.toml"))?;
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let used = line.split([' ', '=', '.']).next().unwrap_or_default();
            let is_house = used == "limpid" || used.starts_with("limpid-");
            let in_tests = section == "[dev-dependencies]" && used == "limpid-testkit";
            if section.contains("dependencies]") && is_house && !in_tests && !allowed.contains(&used) {
                broken.push(format!("{name}: must not use {used}"));
            }
        }
    }
    Ok(())
}

fn check_files(root: &Path, broken: &mut Vec<String>) -> anyhow::Result<()> {
    let mut folders: Vec<PathBuf> =
        ["crates", "xtask", "examples"].iter().map(|name| root.join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let shown = path.strip_prefix(root).unwrap_or(&path).display();
            if path.extension().is_some_and(|extension| extension == "rs") && text.lines().count() > LINES_MAX
            {
                broken.push(format!("{shown}: more than {LINES_MAX} lines"));
            }
            for (a, b) in FORBIDDEN {
                if text.contains(&format!("{a}{b}")) {
                    broken.push(format!("{shown}: has `{a}{b}`"));
                }
            }
        }
    }
    Ok(())
}
