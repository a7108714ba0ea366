//! CVSS as the enrichment has it: NVD's JSON of a vector of version 3.
//!
//! Source: NVD's schema `cvss-v3.x.json`. Quay shows the entry with the highest `baseScore`, and fails where one is missing.

use limpid_model::{Rated, Vulnerability};
use serde::Serialize;

/// What the enrichment is called by claircore since 1.5.30.
pub(super) const ENRICHMENT: &str = "message/vnd.clair.map.vulnerability; enricher=clair.cvss \
                                     schema=https://csrc.nist.gov/schema/nvd/api/2.0/cve_api_json_2.0.schema";

/// A vector of version 3, spelled out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Score {
    version: &'static str,
    vector_string: String,
    attack_vector: &'static str,
    attack_complexity: &'static str,
    privileges_required: &'static str,
    user_interaction: &'static str,
    scope: &'static str,
    confidentiality_impact: &'static str,
    integrity_impact: &'static str,
    availability_impact: &'static str,
    base_score: f64,
    base_severity: &'static str,
}

/// Every vector of version 3 of a vulnerability that has a score, each once.
pub(super) fn scores(vulnerability: &Vulnerability) -> Vec<Score> {
    let mut scores: Vec<Score> = Vec::new();
    for score in vulnerability.ratings.iter().filter_map(score) {
        if !scores.iter().any(|known| known.vector_string == score.vector_string) {
            scores.push(score);
        }
    }
    scores
}

fn score(rated: &Rated) -> Option<Score> {
    let (prefix, metrics) = rated.vector.split_once('/')?;
    let version = match prefix {
        "CVSS:3.0" => "3.0",
        "CVSS:3.1" => "3.1",
        _ => return None,
    };
    let tenths = rated.score?.tenths();
    let value = |name: &str| {
        metrics.split('/').find_map(|metric| metric.split_once(':').filter(|(key, _)| *key == name))
    };
    let word = |name: &str, words: &[(&str, &'static str)]| {
        let (_, letter) = value(name)?;
        words.iter().find(|(of, _)| *of == letter).map(|(_, word)| *word)
    };
    let impact = [("N", "NONE"), ("L", "LOW"), ("H", "HIGH")];
    Some(Score {
        version,
        vector_string: rated.vector.clone(),
        attack_vector: word(
            "AV",
            &[("N", "NETWORK"), ("A", "ADJACENT_NETWORK"), ("L", "LOCAL"), ("P", "PHYSICAL")],
        )?,
        attack_complexity: word("AC", &[("L", "LOW"), ("H", "HIGH")])?,
        privileges_required: word("PR", &impact)?,
        user_interaction: word("UI", &[("N", "NONE"), ("R", "REQUIRED")])?,
        scope: word("S", &[("U", "UNCHANGED"), ("C", "CHANGED")])?,
        confidentiality_impact: word("C", &impact)?,
        integrity_impact: word("I", &impact)?,
        availability_impact: word("A", &impact)?,
        base_score: f64::from(tenths) / 10.0,
        base_severity: match tenths {
            0 => "NONE",
            1..=39 => "LOW",
            40..=69 => "MEDIUM",
            70..=89 => "HIGH",
            _ => "CRITICAL",
        },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use limpid_model::BaseScore;

    use super::*;

    fn rated(vector: &str, tenths: u8) -> Rated {
        Rated { vector: vector.to_owned(), score: BaseScore::from_tenths(tenths), ..Rated::default() }
    }

    #[test]
    fn vectors_of_version_3_are_spelled_out_once() {
        let vector = "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:L/A:N/E:P";
        let vulnerability = Vulnerability {
            ratings: vec![
                rated(vector, 71),
                rated(vector, 71),
                rated("AV:N/AC:L/Au:N/C:P/I:P/A:P", 75),
                rated("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 93),
                rated("CVSS:3.1/AV:N", 50),
                Rated::default(),
            ],
            ..Vulnerability::default()
        };
        let scores = serde_json::to_value(scores(&vulnerability)).unwrap();
        assert_eq!(
            scores,
            serde_json::json!([{
                "version": "3.1", "vectorString": vector, "attackVector": "NETWORK", "attackComplexity": "LOW",
                "privilegesRequired": "NONE", "userInteraction": "REQUIRED", "scope": "UNCHANGED",
                "confidentialityImpact": "HIGH", "integrityImpact": "LOW", "availabilityImpact": "NONE",
                "baseScore": 7.1, "baseSeverity": "HIGH",
            }])
        );
    }
}
