//! Version orders, one file each.
//!
//! Every order is exact against its ecosystem's own tool where that tool accepts the versions, and total for any
//! other text: advisory data is dirty, and a version that does not parse must still have a place. No order
//! allocates, and each takes time linear in the length of its arguments.
//!
//! ```
//! use std::cmp::Ordering;
//! use limpid_version::Scheme;
//!
//! assert_eq!(Scheme::Dpkg.compare("2.13-38+deb7u6", "2.13-38+deb7u7"), Ordering::Less);
//! ```
#![forbid(unsafe_code)]

mod apk;
mod dpkg;
mod rpm;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// An order of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// Debian's: `[epoch:]upstream[-revision]`.
    Dpkg,
    /// Alpine's.
    Apk,
    /// RPM's: `[epoch:]version[-release]`.
    Rpm,
}

impl Scheme {
    /// Every order.
    pub const ALL: [Self; 3] = [Self::Dpkg, Self::Apk, Self::Rpm];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dpkg => "dpkg",
            Self::Apk => "apk",
            Self::Rpm => "rpm",
        }
    }

    /// Compares two versions.
    pub fn compare(self, a: &str, b: &str) -> Ordering {
        match self {
            Self::Dpkg => dpkg::compare(a.as_bytes(), b.as_bytes()),
            Self::Apk => apk::compare(a.as_bytes(), b.as_bytes()),
            Self::Rpm => rpm::compare(a.as_bytes(), b.as_bytes()),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownScheme(String);

impl fmt::Display for UnknownScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no version scheme; use one of dpkg, apk, rpm", self.0)
    }
}

impl std::error::Error for UnknownScheme {}

impl FromStr for Scheme {
    type Err = UnknownScheme;

    fn from_str(text: &str) -> Result<Self, UnknownScheme> {
        let found = Self::ALL.into_iter().find(|scheme| scheme.name() == text);
        found.ok_or_else(|| UnknownScheme(text.chars().take(40).collect()))
    }
}

/// Takes the run of digits off the front, without its leading zeros.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    let zeros = digits.iter().position(|byte| *byte != b'0').unwrap_or(digits.len());
    &digits[zeros..]
}

/// Compares numbers of any size, given without leading zeros.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}
