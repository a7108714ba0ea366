//! Joins what a feed says of one id in several places.

use limpid_model::{Advisory, AdvisoryDetails};

/// Adds `other`, an advisory of the same feed and id, to `advisory`.
///
/// Lists are united and sorted. Of single values the first that is not empty stays, except that the severity
/// is the higher one, `published` the earliest, `modified` the latest: so the order of the parts matters for
/// the description alone. It counts as withdrawn only if both are.
pub fn merge(advisory: &mut Advisory, other: Advisory) {
    let Advisory { id: _, details, affected } = other;
    merge_details(&mut advisory.details, details);
    unite(&mut advisory.affected, affected);
}

fn merge_details(into: &mut AdvisoryDetails, other: AdvisoryDetails) {
    unite(&mut into.aliases, other.aliases);
    unite(&mut into.cvss, other.cvss);
    unite(&mut into.links, other.links);
    if into.description.is_empty() {
        into.description = other.description;
    }
    if other.severity > into.severity || into.severity_word.is_empty() {
        into.severity = other.severity;
        into.severity_word = other.severity_word;
    }
    if into.published.is_empty() || (!other.published.is_empty() && other.published < into.published) {
        into.published = other.published;
    }
    if other.modified > into.modified {
        into.modified = other.modified;
    }
    if other.withdrawn.is_empty() {
        into.withdrawn.clear();
    }
}

fn unite<T: Ord>(into: &mut Vec<T>, other: Vec<T>) {
    if other.is_empty() {
        return;
    }
    into.extend(other);
    into.sort();
    into.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;
    use limpid_model::{Affected, Severity};

    #[test]
    fn the_order_of_the_parts_does_not_matter() {
        let part = |alias: &str, date: &str, severity, package: &str| Advisory {
            id: "CVE-2014-0160".into(),
            details: AdvisoryDetails {
                aliases: vec![alias.into()],
                published: date.into(),
                severity,
                severity_word: if severity == Severity::Unknown {
                    String::new()
                } else {
                    severity.to_string()
                },
                ..AdvisoryDetails::default()
            },
            affected: vec![Affected { package: package.into(), ..Affected::default() }],
        };
        let a = part("DSA-2896-1", "2014-04-07", Severity::Unknown, "openssl");
        let b = part("DSA-2896-2", "2014-04-08", Severity::High, "openssl");
        let (mut ab, mut ba) = (a.clone(), b.clone());
        merge(&mut ab, b);
        merge(&mut ba, a);
        assert_eq!(ab, ba);
        assert_eq!(ab.details.aliases, ["DSA-2896-1", "DSA-2896-2"]);
        assert_eq!(ab.details.severity_word, "High");
        assert_eq!(ab.affected.len(), 1);
    }
}
