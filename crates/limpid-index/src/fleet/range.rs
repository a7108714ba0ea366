//! Ranges of versions, as people write them: `>=1.2,<1.3`.

use std::cmp::Ordering;
use std::str::FromStr;

use limpid_model::{Package, PackageType};

/// Terms that a range has at most.
const TERMS_MAX: usize = 16;

/// A range of versions: all terms must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionRange {
    terms: Vec<(Relation, String)>,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

/// The longer signs first: `<` begins `<=`.
const SIGNS: [(&str, Relation); 6] = [
    ("<=", Relation::LessOrEqual),
    (">=", Relation::GreaterOrEqual),
    ("==", Relation::Equal),
    ("<", Relation::Less),
    (">", Relation::Greater),
    ("=", Relation::Equal),
];

/// The text is no range of versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no range of versions; write terms like >=1.2 or =1.2-3, several separated by commas")]
pub struct RangeError(String);

impl FromStr for VersionRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let error = || RangeError(text.chars().take(60).collect());
        let term = |term: &str| {
            let term = term.trim();
            let sign =
                SIGNS.into_iter().find_map(|(sign, relation)| Some((term.strip_prefix(sign)?, relation)));
            let (version, relation) = sign.unwrap_or((term, Relation::Equal));
            let version = version.trim();
            let is_version = !version.is_empty() && !version.contains(['<', '>', '=']);
            is_version.then(|| (relation, version.to_owned())).ok_or_else(error)
        };
        let terms = text.split(',').map(term).collect::<Result<Vec<_>, _>>()?;
        if terms.len() > TERMS_MAX {
            return Err(error());
        }
        Ok(Self { terms, text: text.to_owned() })
    }
}

impl VersionRange {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a version of the package is in it, in its ecosystem's own order; `None` if that has no order here.
    pub(crate) fn holds(&self, kind: PackageType, version: &str) -> Option<bool> {
        if self.terms.is_empty() {
            return Some(true);
        }
        let scheme = limpid_match::scheme(kind)?;
        let holds = |(relation, bound): &(Relation, String)| {
            let order = scheme.compare(version, bound);
            match relation {
                Relation::Less => order == Ordering::Less,
                Relation::LessOrEqual => order != Ordering::Greater,
                Relation::Equal => order == Ordering::Equal,
                Relation::GreaterOrEqual => order != Ordering::Less,
                Relation::Greater => order == Ordering::Greater,
            }
        };
        Some(self.terms.iter().all(holds))
    }
}

/// The version of a package that a name speaks of: its own, or its source's if only that has the name.
pub(crate) fn version_of<'a>(package: &'a Package, name: &str) -> &'a str {
    if package.name == name { &package.version } else { &package.source_version }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_in_the_ecosystems_order() {
        let holds = |range: &str, kind, version| range.parse::<VersionRange>().unwrap().holds(kind, version);
        assert_eq!(holds(">=1.2,<1.10", PackageType::Deb, "1.9-1"), Some(true));
        assert_eq!(holds(">=1.2, <1.10", PackageType::Deb, "1.10"), Some(false));
        assert_eq!(holds("<1.0", PackageType::Deb, "1.0~rc1"), Some(true));
        assert_eq!(holds("<1.0", PackageType::Deb, "1:0.1"), Some(false));
        assert_eq!(holds("1.0", PackageType::Rpm, "1.0"), Some(true));
        assert_eq!(holds("<1.2-r3", PackageType::Apk, "1.2_rc1-r9"), Some(true));
        assert_eq!(holds(">1", PackageType::Ebuild, "2"), None);
        assert_eq!(VersionRange::default().holds(PackageType::Ebuild, "2"), Some(true));
        for bad in ["", ">=", "1.0,", "=>1", ">=1<2"] {
            assert!(bad.parse::<VersionRange>().is_err(), "{bad}");
        }
    }
}
