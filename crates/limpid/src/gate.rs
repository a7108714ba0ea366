//! `--fail-on`: what closes the gate.

use std::str::FromStr;

use limpid_model::{Report, Severity, Standing};

/// Terms, of which any closes the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gate {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Term {
    /// A vulnerability of this severity or worse.
    Severity(Severity),
    /// The answer is not complete.
    Coverage,
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let term = |term: &str| match term.trim() {
            "coverage" => Ok(Term::Coverage),
            term => term.parse().map(Term::Severity).map_err(|error| format!("{error}, or `coverage`")),
        };
        Ok(Self { terms: text.split(',').map(term).collect::<Result<_, _>>()? })
    }
}

impl Gate {
    /// Why the gate is closed for this report, if it is.
    pub(crate) fn closed(&self, report: &Report) -> Option<String> {
        self.terms.iter().find_map(|term| match term {
            Term::Severity(severity) => {
                let worst = report.worst_severity()?;
                (worst >= *severity).then(|| format!("the worst severity found is {worst}"))
            }
            Term::Coverage => (report.coverage.standing != Standing::Complete)
                .then(|| format!("the answer is {}", report.coverage.standing.name())),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_severities_and_coverage() {
        let gate: Gate = "High, coverage".parse().unwrap();
        assert_eq!(gate.terms, [Term::Severity(Severity::High), Term::Coverage]);
        assert!("high,,".parse::<Gate>().is_err());
        assert!("bad".parse::<Gate>().unwrap_err().contains("coverage"));
    }
}
