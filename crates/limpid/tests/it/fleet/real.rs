//! The same over real images and feeds: every answer is recomputed from `scan`, `layers` and `packages` of each image.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use limpid_testkit::{corpus, feeds_mirror, require_or_skip};
use serde_json::Value;

use super::{by_name, json, list, text};
use crate::Context;

const SEVERITIES: [&str; 7] = ["Unknown", "Negligible", "Low", "Medium", "High", "Critical", "Defcon1"];

struct Real {
    context: Context,
    /// The reports of all images, by reference.
    reports: BTreeMap<String, Value>,
}

fn real() -> Option<Real> {
    let corpus = require_or_skip(corpus(), "the corpus of real images")?;
    let mirror = require_or_skip(feeds_mirror(), "the feeds' data")?;
    let context = Context::new();
    let mut folders: Vec<_> =
        std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path().join("oci")).collect();
    folders.retain(|folder| folder.join("index.json").is_file());
    folders.sort();
    let references: Vec<String> = folders.iter().map(|folder| format!("oci:{}", folder.display())).collect();
    let names: Vec<&str> = references.iter().map(String::as_str).collect();
    context.run(&[&["--offline", "packages", "--format", "json"][..], &names].concat());
    context.run(&["--feeds-mirror", mirror.to_str().unwrap(), "feeds", "update"]);
    let scan = ["scan", "--no-enrich", "--kernel", "show"];
    let answer = json(&context, &[&scan[..], &names].concat());
    let reports = list(&answer["reports"]).iter().map(|report| (text(&report["reference"]), report.clone()));
    let reports: BTreeMap<String, Value> = reports.collect();
    assert_eq!(reports.len(), references.len());
    assert!(reports.len() > 10, "{}", reports.len());
    Some(Real { context, reports })
}

impl Real {
    fn answerable(&self) -> usize {
        self.reports.values().filter(|report| report["coverage"]["answer"] != "none").count()
    }

    /// The findings that count as vulnerable, with the image's reference.
    fn findings(&self) -> impl Iterator<Item = (&String, &Value)> {
        let all = self.reports.iter();
        let all =
            all.flat_map(|(name, report)| list(&report["findings"]).iter().map(move |found| (name, found)));
        all.filter(|(_, finding)| finding["affected"] == true)
    }

    /// A layer's command, by image and digest.
    fn command(&self, name: &str, layer: &Value) -> String {
        let layers = list(&self.reports[name]["image"]["layers"]).iter();
        text(&layers.into_iter().find(|other| other["digest"] == *layer).unwrap()["command"])
    }
}

/// One test for all, since the images are analysed once.
#[test]
fn answers_over_real_images_are_what_their_reports_add_up_to() {
    let Some(real) = real() else { return };
    who_is_affected_is_what_the_reports_say(&real);
    the_most_widespread_and_the_status_are_what_the_reports_add_up_to(&real);
    who_has_a_package_is_what_dpkg_says_of_its_versions(&real);
    layers_and_differences_are_what_the_images_say(&real);
    assert!(real.context.ok(&["store", "check"]).contains("everything holds"));
}

fn severity(name: &Value) -> usize {
    SEVERITIES.iter().position(|severity| *name == **severity).unwrap()
}

fn who_is_affected_is_what_the_reports_say(real: &Real) {
    let ids: BTreeSet<String> = real.findings().map(|(_, finding)| text(&finding["id"])).collect();
    assert!(ids.len() > 300, "{}", ids.len());
    // Every fortieth, and one of which nobody has heard.
    let mut asked: Vec<String> = ids.iter().step_by(40).cloned().collect();
    asked.push("CVE-1999-99999".to_owned());
    for (number, id) in asked.iter().enumerate() {
        let filters: &[&str] = match number % 4 {
            0 => &[],
            1 => &["--state", "fixable"],
            2 => &["--severity", "high"],
            _ => &["--release", "debian:12"],
        };
        let counts = |name: &str, finding: &Value| match number % 4 {
            0 => true,
            1 => finding["state"] == "fixable",
            2 => severity(&finding["severity"]) >= 4,
            _ => {
                text(&real.reports[name]["coverage"]["distribution"]["id"]) == "debian"
                    && real.reports[name]["coverage"]["distribution"]["version"] == "12"
            }
        };
        let expected = by_name(
            real.findings().filter(|(name, finding)| finding["id"] == **id && counts(name, finding)).map(
                |(name, finding)| {
                    let package = &finding["package"];
                    let fields = [
                        &package["name"],
                        &package["version"],
                        &package["arch"],
                        &finding["state"],
                        &finding["fixedIn"],
                        &finding["channel"],
                        &finding["severity"],
                        &package["layer"],
                    ];
                    let row: Vec<String> = fields.into_iter().map(|field| field.to_string()).collect();
                    (name.clone(), format!("{} {}", row.join(" "), real.command(name, &package["layer"])))
                },
            ),
        );
        let answer = json(&real.context, &[&["affected", id][..], filters].concat());
        let found = by_name(list(&answer["images"]).iter().flat_map(|image| {
            let name = text(&image["references"][0]);
            list(&image["packages"]).iter().map(move |package| {
                let fields = ["name", "version", "arch", "state", "fixedIn", "channel", "severity", "layer"];
                let row: Vec<String> = fields.iter().map(|field| package[*field].to_string()).collect();
                (name.clone(), format!("{} {}", row.join(" "), text(&package["command"])))
            })
        }));
        assert_eq!(found, expected, "{id} {filters:?}");
        assert_eq!(answer["affected"], expected.len());
        if number % 4 != 3 {
            assert_eq!(answer["answerable"], real.answerable(), "{id}");
            assert_eq!(answer["unanswerable"], real.reports.len() - real.answerable(), "{id}");
        }
        // By package version, the same.
        let mut versions: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
        for (name, rows) in &expected {
            for row in rows {
                let key: Vec<&str> = row.split(' ').take(3).collect();
                versions.entry(key.join(" ")).or_default().insert(name);
            }
        }
        for package in list(&answer["packages"]) {
            let key = ["name", "version", "arch"].map(|field| package[field].to_string()).join(" ");
            assert!(package["images"].as_u64().unwrap() as usize <= versions[&key].len(), "{id} {key}");
        }
        let known: BTreeSet<String> = list(&answer["packages"])
            .iter()
            .map(|package| ["name", "version", "arch"].map(|field| package[field].to_string()).join(" "))
            .collect();
        assert_eq!(known, versions.keys().cloned().collect(), "{id}");
    }
}

fn the_most_widespread_and_the_status_are_what_the_reports_add_up_to(real: &Real) {
    for filters in [&[][..], &["--severity", "high"], &["--state", "fixable"], &["--release", "debian:12"]] {
        let counts = |name: &str, finding: &Value| match filters.first() {
            Some(&"--severity") => severity(&finding["severity"]) >= 4,
            Some(&"--state") => finding["state"] == "fixable",
            Some(_) => {
                let distribution = &real.reports[name]["coverage"]["distribution"];
                distribution["id"] == "debian" && distribution["version"] == "12"
            }
            None => true,
        };
        let mut images: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
        let mut fixable: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
        let mut worst: BTreeMap<String, usize> = BTreeMap::new();
        for (name, finding) in real.findings().filter(|(name, finding)| counts(name, finding)) {
            let id = text(&finding["id"]);
            images.entry(id.clone()).or_default().insert(name);
            let worst = worst.entry(id.clone()).or_default();
            *worst = severity(&finding["severity"]).max(*worst);
            if finding["state"] == "fixable" {
                fixable.entry(id).or_default().insert(name);
            }
        }
        let mut expected: Vec<(usize, String)> =
            images.iter().map(|(id, names)| (names.len(), id.clone())).collect();
        expected.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let rows: Vec<String> = expected
            .iter()
            .map(|(number, id)| {
                let fixable = fixable.get(id).map_or(0, BTreeSet::len);
                format!("{id} {number} {fixable} {}", SEVERITIES[worst[id]])
            })
            .collect();
        assert!(rows.len() > 20);
        for limit in ["10", "100", "10000"] {
            let question = ["fleet", "vulnerabilities", "--kernels", "--limit", limit];
            let answer = json(&real.context, &[&question[..], filters].concat());
            let found: Vec<String> = list(&answer["vulnerabilities"])
                .iter()
                .map(|row| {
                    format!(
                        "{} {} {} {}",
                        text(&row["id"]),
                        row["images"],
                        row["fixable"],
                        text(&row["severity"])
                    )
                })
                .collect();
            let limit: usize = limit.parse().unwrap();
            assert_eq!(found, rows[..rows.len().min(limit)], "{filters:?}");
        }
    }
    // Kernels aside there are fewer, as reports have it.
    let hidden = json(&real.context, &["fleet", "vulnerabilities", "--limit", "10000"]);
    let ordinary = real.findings().filter(|(_, finding)| finding["package"]["class"] == "ordinary");
    let ordinary: BTreeSet<String> = ordinary.map(|(_, finding)| text(&finding["id"])).collect();
    let found: BTreeSet<String> =
        list(&hidden["vulnerabilities"]).iter().map(|row| text(&row["id"])).collect();
    assert_eq!(found, ordinary);
    let mut worst: BTreeMap<&String, usize> = BTreeMap::new();
    for (name, finding) in real.findings() {
        let worst = worst.entry(name).or_default();
        *worst = severity(&finding["severity"]).max(*worst);
    }
    let status = json(&real.context, &["fleet", "status", "--kernels"]);
    for (number, name) in SEVERITIES.iter().enumerate() {
        let expected = worst.values().filter(|worst| **worst == number).count();
        assert_eq!(status["bySeverity"][name], expected, "{name}");
    }
    assert_eq!(status["withoutFindings"], real.answerable() - worst.len());
    let ids: BTreeSet<String> = real.findings().map(|(_, finding)| text(&finding["id"])).collect();
    assert_eq!(status["vulnerabilities"], ids.len());
    let fixable: BTreeSet<&String> =
        real.findings().filter(|(_, finding)| finding["state"] == "fixable").map(|(name, _)| name).collect();
    assert_eq!(status["withFixable"], fixable.len());
}

fn who_has_a_package_is_what_dpkg_says_of_its_versions(real: &Real) {
    let names: Vec<&str> = real.reports.keys().map(String::as_str).collect();
    let answer = json(&real.context, &[&["packages"][..], &names].concat());
    let installed: Vec<(String, Value)> = list(&answer["reports"])
        .iter()
        .flat_map(|one| {
            list(&one["packages"]).iter().map(|package| (text(&one["reference"]), package.clone()))
        })
        .collect();
    let Ok(_) = Command::new("dpkg").arg("--version").output() else {
        assert!(require_or_skip(None::<()>, "dpkg").is_none());
        return;
    };
    let is_less = |a: &str, b: &str| {
        Command::new("dpkg").args(["--compare-versions", a, "lt", b]).status().unwrap().success()
    };
    let mut found = 0;
    for (name, below) in [
        ("libc6", "2.36"),
        ("openssl", "3.0.22-1~deb12u2"),
        ("gcc-12", "13"),
        ("perl-base", "5.30"),
        ("bash", "5.2.15-2+b8"),
    ] {
        let expected = by_name(installed.iter().filter(|(_, package)| package["type"] == "deb").filter_map(
            |(image, package)| {
                let own = package["name"] == name;
                if !own && package["source"]["name"] != name {
                    return None;
                }
                let version = text(if own { &package["version"] } else { &package["source"]["version"] });
                let row = ["name", "version", "arch", "layer"].map(|field| text(&package[field])).join(" ");
                is_less(&version, below).then_some((image.clone(), row))
            },
        ));
        let range = format!("<{below}");
        let question = ["fleet", "package", name, "--version", &range, "--type", "deb"];
        let answer = json(&real.context, &question);
        let got = by_name(list(&answer["images"]).iter().flat_map(|image| {
            let reference = text(&image["references"][0]);
            list(&image["packages"]).iter().map(move |package| {
                let row = ["name", "version", "arch", "layer"].map(|field| text(&package[field])).join(" ");
                (reference.clone(), row)
            })
        }));
        assert_eq!(got, expected, "{name}");
        assert_eq!(answer["having"], expected.len());
        found += expected.len();
        // What is not below is the rest.
        let all = json(&real.context, &["fleet", "package", name, "--type", "deb", "--count"]);
        let range = format!(">={below}");
        let rest =
            json(&real.context, &["fleet", "package", name, "--version", &range, "--type", "deb", "--count"]);
        let number = |answer: &Value| list(&answer["versions"]).len();
        assert_eq!(number(&all), number(&rest) + number(&answer), "{name}");
    }
    assert!(found > 5, "{found}");
}

fn layers_and_differences_are_what_the_images_say(real: &Real) {
    let answer = json(&real.context, &["fleet", "layers", "--kernels", "--limit", "1000"]);
    // What each layer did, by image and digest; and how many images begin with the same layers up to it.
    let mut chains: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut did: BTreeMap<(String, String), (String, String)> = BTreeMap::new();
    for name in real.reports.keys() {
        let layers = json(&real.context, &["layers", "--kernel", "show", name]);
        let mut chain = String::new();
        for layer in list(&layers["layers"]) {
            // Whatever a layer's bytes, its archive is the same.
            chain.push_str(&format!(" {}", layer["diffId"]));
            let packages = layer["packages"]["installed"].as_u64().unwrap()
                + layer["packages"]["upgraded"].as_u64().unwrap();
            let vulnerabilities = &layer["vulnerabilities"];
            let numbers =
                format!("{packages} {} {}", vulnerabilities["introduced"], vulnerabilities["fixed"]);
            did.insert((name.clone(), text(&layer["digest"])), (chain.clone(), numbers));
            chains.entry(chain.clone()).or_default().insert(name.clone());
        }
    }
    let mut total = 0;
    for row in list(&answer["layers"]) {
        let (chain, numbers) = &did[&(text(&row["example"]["references"][0]), text(&row["digest"]))];
        assert_eq!(format!("{} {} {}", row["packages"], row["introduced"], row["fixed"]), *numbers);
        assert!(row["images"].as_u64().unwrap() as usize >= chains[chain].len(), "{row}");
        total += row["introduced"].as_u64().unwrap() * row["images"].as_u64().unwrap();
    }
    // Every image's every layer is in one of the rows.
    let introduced: u64 =
        did.values().map(|(_, numbers)| numbers.split(' ').nth(1).unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(total, introduced);
    let [one, two] = ["debian-bookworm-min", "debian-bookworm-upgraded"].map(|wanted| {
        real.reports.keys().find(|name| name.ends_with(&format!("/{wanted}/oci"))).unwrap().clone()
    });
    let answer = json(&real.context, &["fleet", "diff", "--kernel", "show", &one, &two]);
    let pairs = |name: &str| -> BTreeSet<String> {
        let findings =
            list(&real.reports[name]["findings"]).iter().filter(|finding| finding["affected"] == true);
        findings.map(|f| format!("{} {} {}", f["id"], f["package"]["name"], f["package"]["arch"])).collect()
    };
    let (before, after) = (pairs(&one), pairs(&two));
    let said = |kind: &str| -> BTreeSet<String> {
        let findings = list(&answer["findings"][kind]).iter();
        findings.map(|finding| format!("{} {} {}", finding["id"], finding["name"], finding["arch"])).collect()
    };
    assert_eq!(said("fixed"), before.difference(&after).cloned().collect());
    assert_eq!(said("introduced"), after.difference(&before).cloned().collect());
    assert_eq!(said("remaining"), before.intersection(&after).cloned().collect());
    assert!(!said("introduced").is_empty() && !said("remaining").is_empty());
    let versions = |name: &str| -> BTreeSet<String> {
        let packages = json(&real.context, &["packages", name]);
        list(&packages["packages"]).iter().map(|p| format!("{} {}", p["name"], p["version"])).collect()
    };
    let (before, after) = (versions(&one), versions(&two));
    let changed = list(&answer["packages"]["changed"]);
    let mut gone: BTreeSet<String> =
        changed.iter().map(|c| format!("{} {}", c["from"]["name"], c["from"]["version"])).collect();
    let mut come: BTreeSet<String> =
        changed.iter().map(|c| format!("{} {}", c["to"]["name"], c["to"]["version"])).collect();
    gone.extend(
        list(&answer["packages"]["removed"]).iter().map(|p| format!("{} {}", p["name"], p["version"])),
    );
    come.extend(list(&answer["packages"]["added"]).iter().map(|p| format!("{} {}", p["name"], p["version"])));
    assert_eq!(gone, before.difference(&after).cloned().collect());
    assert_eq!(come, after.difference(&before).cloned().collect());
}
