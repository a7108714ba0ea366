//! GitHub's dependency snapshot, for `POST /repos/OWNER/REPO/dependency-graph/snapshots`: packages by manifest, of which
//! each database of an image is one.
//!
//! Which commit and job it is of, says the job's environment. Several images may stand in one snapshot.

use std::collections::BTreeMap;

use limpid_model::Report;
use serde_json::{Map, Value, json};

use crate::bom::Bom;
use crate::format::{Document, Edition, Format, Job, Subject, Write};
use crate::json::document;

pub(crate) const FORMAT: Format = Format {
    name: "github",
    about: "GitHub's dependency snapshot: packages",
    endings: &["github-snapshot.json"],
    subject: Subject::Either,
    write: Write::Many(|edition: &Edition| {
        Box::new(Snapshot { job: edition.job.clone(), manifests: Map::new(), moment: String::new() })
    }),
};

struct Snapshot {
    job: Job,
    manifests: Map<String, Value>,
    moment: String,
}

impl Document for Snapshot {
    fn add(&mut self, reports: &[Report]) -> String {
        for report in reports {
            self.manifests.extend(manifests(report));
            self.moment = std::mem::take(&mut self.moment).max(report.moment.clone());
        }
        String::new()
    }

    fn end(&mut self, _: &[(String, String)]) -> String {
        let job = &self.job;
        document(&json!({
            "version": 0,
            "sha": if job.sha.is_empty() { "0".repeat(40) } else { job.sha.clone() },
            "ref": if job.reference.is_empty() { "refs/heads/main" } else { &job.reference },
            "job": {
                "id": if job.run.is_empty() { "0" } else { &job.run },
                "correlator": if job.correlator.is_empty() { crate::tool::NAME } else { &job.correlator },
            },
            "detector": { "name": crate::tool::NAME, "version": crate::tool::VERSION, "url": crate::tool::URL },
            "scanned": self.moment,
            "manifests": std::mem::take(&mut self.manifests),
        }))
    }
}

fn manifests(report: &Report) -> BTreeMap<String, Value> {
    let bom = Bom::of(report);
    let mut resolved: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (index, installed) in report.packages.iter().enumerate() {
        let package = json!({
            "package_url": bom.purls[index],
            "relationship": "direct",
            "scope": "runtime",
            "dependencies": [],
        });
        resolved.entry(&installed.path).or_default().insert(bom.references[index].clone(), package);
    }
    let manifest = |(path, resolved): (&str, Map<String, Value>)| {
        let name = format!("{} {} {path}", report.reference, report.image.platform);
        let value = json!({
            "name": name,
            "metadata": { "image": report.reference, "digest": report.image.manifest_digest.to_string() },
            "resolved": resolved,
        });
        (name, value)
    };
    resolved.into_iter().map(manifest).collect()
}
