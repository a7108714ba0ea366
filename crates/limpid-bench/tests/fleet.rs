//! Small rounds of what is measured at large: the answers about a made-up registry, and a store whose users are killed.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limpid-bench"));
    // Without feeds: reading them takes longer than all the rest.
    command.args(arguments).env("LIMPID_FEEDS_DATA", "/nowhere");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The value of a figure.
fn value(output: &Output, figure: &str) -> f64 {
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut figures = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    figures.find(|known| known["figure"] == figure).unwrap()["value"].as_f64().unwrap()
}

#[test]
fn answers_about_a_registry_are_those_of_looking_at_every_image() {
    let output = bench(&["fleet", "--images", "1200", "--sizes", "400", "--samples", "90", "--json"]);
    assert!(value(&output, "answers equal to the brute force's") >= 90.0);
    let share = value(&output, "1200 images, share of the answerable images that have the widespread one");
    assert!((40.0..80.0).contains(&share), "{share} %");
}

#[test]
fn what_was_acknowledged_survives_kills() {
    let output = bench(&["kill", "--rounds", "4", "--life", "400", "--json"]);
    assert!(value(&output, "acknowledgements") > 4.0);
}
