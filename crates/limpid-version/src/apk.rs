//! apk's order. Source of truth: apk-package(5), "Package versions", and the rules that Alpine's wiki gives:
//! `digits{.digits}{letter}{_suffix{digits}}{~hash}{-rdigits}`.
//!
//! The first number compares as a number; later ones too, unless either is written with a leading zero: then
//! both compare as texts, as fractions do. A letter sorts after its absence. Suffixes alpha, beta, pre and rc
//! sort before their absence, cvs, svn, git, hg and p after. A revision sorts after its absence.
//!
//! What apk refuses is ordered all the same: what is left where the grammar ends compares by bytes, after a
//! version that ends there.

use std::cmp::Ordering;

use crate::{compare_numbers, take_number};

/// Suffixes in their order; the absence of one stands between `rc` and `cvs`.
const SUFFIXES: [(&[u8], u8); 9] = [
    (b"alpha", 0),
    (b"beta", 1),
    (b"pre", 2),
    (b"rc", 3),
    (b"cvs", 5),
    (b"svn", 6),
    (b"git", 7),
    (b"hg", 8),
    (b"p", 9),
];
const NO_SUFFIX: u8 = 4;

pub(crate) fn compare(mut a: &[u8], mut b: &[u8]) -> Ordering {
    let order = compare_numbers(take_number(&mut a), take_number(&mut b));
    if order.is_ne() {
        return order;
    }
    loop {
        match (take_component(&mut a), take_component(&mut b)) {
            (Some(x), Some(y)) => {
                let order = compare_components(x, y);
                if order.is_ne() {
                    return order;
                }
            }
            (None, None) => break,
            // The longer one is newer, unless all that it has more is a suffix; that is looked at below.
            (x, y) => return x.is_some().cmp(&y.is_some()),
        }
    }
    take_letter(&mut a)
        .cmp(&take_letter(&mut b))
        .then_with(|| compare_suffixes(&mut a, &mut b))
        .then_with(|| take_hash(&mut a).cmp(take_hash(&mut b)))
        .then_with(|| compare_revisions(&mut a, &mut b))
        .then_with(|| a.cmp(b))
}

/// `.digits`, without the dot.
fn take_component<'a>(text: &mut &'a [u8]) -> Option<&'a [u8]> {
    let rest = text.strip_prefix(b".")?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    if end == 0 {
        return None;
    }
    let (digits, rest) = rest.split_at(end);
    *text = rest;
    Some(digits)
}

/// Components with leading zeros are fractions: they sort below those without, which all are at least a tenth,
/// and among each other as texts.
fn compare_components(a: &[u8], b: &[u8]) -> Ordering {
    let is_fraction = |digits: &[u8]| digits.len() > 1 && digits[0] == b'0';
    match (is_fraction(a), is_fraction(b)) {
        (false, false) => compare_numbers(take_number(&mut &*a), take_number(&mut &*b)),
        _ => a.cmp(b),
    }
}

fn take_letter(text: &mut &[u8]) -> Option<u8> {
    let (letter, rest) = text.split_first()?;
    if !letter.is_ascii_lowercase() {
        return None;
    }
    *text = rest;
    Some(*letter)
}

fn compare_suffixes(a: &mut &[u8], b: &mut &[u8]) -> Ordering {
    loop {
        let (x, y) = (take_suffix(a), take_suffix(b));
        let rank = |suffix: Option<(u8, &[u8])>| suffix.map_or(NO_SUFFIX, |(rank, _)| rank);
        let order = rank(x).cmp(&rank(y));
        if order.is_ne() {
            return order;
        }
        let (Some((_, x)), Some((_, y))) = (x, y) else { return Ordering::Equal };
        let order = compare_numbers(x, y);
        if order.is_ne() {
            return order;
        }
    }
}

/// `_suffix` and the number behind it, without leading zeros.
fn take_suffix<'a>(text: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let rest = text.strip_prefix(b"_")?;
    let (name, rank) = SUFFIXES.iter().find(|(name, _)| rest.starts_with(name))?;
    let mut rest = &rest[name.len()..];
    if rest.first().is_some_and(u8::is_ascii_lowercase) {
        return None;
    }
    let number = take_number(&mut rest);
    *text = rest;
    Some((*rank, number))
}

/// `~hash`, without the tilde; empty for none.
fn take_hash<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let Some(rest) = text.strip_prefix(b"~") else { return &[] };
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let end = rest.iter().position(|byte| !is_hex(byte)).unwrap_or(rest.len());
    let (hash, rest) = rest.split_at(end);
    *text = rest;
    hash
}

fn compare_revisions(a: &mut &[u8], b: &mut &[u8]) -> Ordering {
    match (take_revision(a), take_revision(b)) {
        (Some(a), Some(b)) => compare_numbers(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

fn take_revision<'a>(text: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = text.strip_prefix(b"-r")?;
    if !rest.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let number = take_number(&mut rest);
    *text = rest;
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_apks() {
        use Ordering::{Equal, Greater, Less};
        let table = [
            ("1", "1", Equal),
            ("1", "2", Less),
            ("10", "9", Greater),
            ("1.0", "1", Greater),
            ("1.0", "1.1", Less),
            ("1.10", "1.9", Greater),
            ("1.2.3", "1.2", Greater),
            ("1.2.3", "1.2.4", Less),
            // Leading zeros behind the first number: fractions.
            ("1.01", "1.1", Less),
            ("1.01", "1.02", Less),
            ("1.010", "1.01", Greater),
            ("1.09", "1.10", Less),
            ("1.0", "1.00", Less),
            ("0.12.0", "0.12.0", Equal),
            ("0.4_pre1", "0.4", Less),
            // Letters.
            ("1.0a", "1.0", Greater),
            ("1.0a", "1.0b", Less),
            ("1.0a", "1.0.1", Less),
            ("5.0.16a", "5.0.16", Greater),
            // Suffixes.
            ("1.0_alpha", "1.0_beta", Less),
            ("1.0_beta", "1.0_pre", Less),
            ("1.0_pre", "1.0_rc", Less),
            ("1.0_rc", "1.0", Less),
            ("1.0", "1.0_cvs", Less),
            ("1.0_cvs", "1.0_svn", Less),
            ("1.0_svn", "1.0_git", Less),
            ("1.0_git", "1.0_hg", Less),
            ("1.0_hg", "1.0_p", Less),
            ("1.0_p1", "1.0", Greater),
            ("1.0_p1", "1.0_p2", Less),
            ("1.0_p10", "1.0_p9", Greater),
            ("1.0_rc1", "1.0_rc", Greater),
            ("1.0_rc2_git20200101", "1.0_rc2", Greater),
            ("1.0_alpha1_p1", "1.0_alpha1", Greater),
            ("1.0_pre2", "1.0_pre10", Less),
            ("1.0_git20200101", "1.0_git20200102", Less),
            // Revisions.
            ("1.0-r0", "1.0-r1", Less),
            ("1.0-r10", "1.0-r9", Greater),
            ("1.0", "1.0-r0", Less),
            ("1.0_rc1-r5", "1.0-r0", Less),
            ("1.0_p1-r0", "1.0-r9", Greater),
            ("1.0.1-r0", "1.0-r9", Greater),
            ("1.2.3a-r1", "1.2.3-r2", Greater),
            // Real ones.
            ("1.1.1k-r0", "1.1.1l-r0", Less),
            ("3.1.4-r5", "3.1.4-r6", Less),
            ("1.36.1-r15", "1.36.1-r2", Greater),
            ("2.38.1-r8", "2.38.1-r10", Less),
            ("8.5.0-r0", "8.10.0-r0", Less),
            ("20230506-r0", "20220614-r0", Greater),
            ("0.2.5-r0", "0.2.5-r0", Equal),
            ("4.19.0-r0", "4.20-r0", Less),
            ("9.0.2127-r0", "9.0.0437-r0", Greater),
            ("2.12.7-r0", "2.12.7-r00", Equal),
            ("6.4_p20231125-r0", "6.4_p20230506-r0", Greater),
            ("5.1.16-r0", "5.1.16-r1", Less),
            ("1.0.0_git20200101-r0", "1.0.0-r0", Greater),
            ("3.20240705", "3.20240704", Greater),
            ("2.9.14-r2", "2.9.14_rc1-r2", Greater),
            ("1.24.0-r7", "1.24.0-r14", Less),
            ("7.1_p2-r0", "7.1_p1-r9", Greater),
            ("99999999999999999999999", "100000000000000000000000", Less),
        ];
        for (a, b, expected) in table {
            assert_eq!(compare(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
            assert_eq!(compare(b.as_bytes(), a.as_bytes()), expected.reverse(), "{b} {a}");
        }
    }
}
