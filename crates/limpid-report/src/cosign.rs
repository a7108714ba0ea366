//! Cosign's vulnerability predicate, for `cosign attest --type vuln --predicate FILE`.
//!
//! Source: cosign's COSIGN_VULN_ATTESTATION_SPEC.md. Its `result` is a scanner's own report; policies in the wild read
//! Trivy's, so it is Trivy's shape.

use limpid_model::Report;
use serde_json::json;

use crate::format::{Format, Subject, Write};
use crate::json::document;

pub(crate) const FORMAT: Format = Format {
    name: "cosign-vuln",
    about: "cosign's predicate of a vulnerability scan, for `cosign attest --type vuln`",
    endings: &["cosign-vuln.json"],
    subject: Subject::Findings,
    write: Write::One(|report, _| predicate(report)),
};

fn predicate(report: &Report) -> String {
    let revision = report.revision.to_string();
    document(&json!({
        "invocation": { "parameters": null, "uri": "", "event_id": "", "builder.id": "" },
        "scanner": {
            "uri": format!("pkg:generic/{}@{}", crate::tool::NAME, crate::tool::VERSION),
            "version": crate::tool::VERSION,
            "db": { "uri": "", "version": revision },
            "result": crate::trivy::report(report),
        },
        "metadata": { "scanStartedOn": report.moment, "scanFinishedOn": report.moment },
    }))
}
