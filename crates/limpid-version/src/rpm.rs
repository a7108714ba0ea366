//! RPM's order. Source of truth: rpm-version(7) and what `rpmvercmp` says.
//!
//! A missing epoch is 0. A missing release orders below every release, which keeps the order total; a caller
//! that wants "any release" compares versions alone.

use std::cmp::Ordering;

use crate::{compare_numbers, take_number};

pub(crate) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (a_epoch, a_version, a_release) = split(a);
    let (b_epoch, b_version, b_release) = split(b);
    compare_numbers(a_epoch, b_epoch).then_with(|| compare_part(a_version, b_version)).then_with(|| {
        match (a_release, b_release) {
            (Some(a), Some(b)) => compare_part(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        }
    })
}

fn split(evr: &[u8]) -> (&[u8], &[u8], Option<&[u8]>) {
    let colon = evr.iter().position(|byte| *byte == b':');
    let (epoch, rest) = match colon {
        Some(colon) if evr[..colon].iter().all(u8::is_ascii_digit) => {
            (take_number(&mut &evr[..colon]), &evr[colon + 1..])
        }
        _ => (&[][..], evr),
    };
    match rest.iter().rposition(|byte| *byte == b'-') {
        Some(dash) => (epoch, &rest[..dash], Some(&rest[dash + 1..])),
        None => (epoch, rest, None),
    }
}

/// Runs of letters and of digits; everything else only separates, but for `~`, which sorts before the end, and
/// `^`, which sorts after the end and before all else.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        a = skip_separators(a);
        b = skip_separators(b);
        match (a.first() == Some(&b'~'), b.first() == Some(&b'~')) {
            (true, true) => {
                (a, b) = (&a[1..], &b[1..]);
                continue;
            }
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        match (a.first() == Some(&b'^'), b.first() == Some(&b'^')) {
            (true, true) => {
                (a, b) = (&a[1..], &b[1..]);
                continue;
            }
            (true, false) => return if b.is_empty() { Ordering::Greater } else { Ordering::Less },
            (false, true) => return if a.is_empty() { Ordering::Less } else { Ordering::Greater },
            (false, false) => {}
        }
        let (Some(x), Some(y)) = (a.first(), b.first()) else {
            return a.len().min(1).cmp(&b.len().min(1));
        };
        let order = match (x.is_ascii_digit(), y.is_ascii_digit()) {
            (true, true) => compare_numbers(take_number(&mut a), take_number(&mut b)),
            (false, false) => take_letters(&mut a).cmp(take_letters(&mut b)),
            // Digits are newer than letters.
            (x, y) => x.cmp(&y),
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn skip_separators(text: &[u8]) -> &[u8] {
    let separates = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != b'~' && *byte != b'^';
    let end = text.iter().position(|byte| !separates(byte)).unwrap_or(text.len());
    &text[end..]
}

fn take_letters<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(text.len());
    let (letters, rest) = text.split_at(end);
    *text = rest;
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_rpms() {
        let table = [
            ("1.0", "1.0", Ordering::Equal),
            ("1.0-1", "1.0-2", Ordering::Less),
            ("1:1.0-1", "2.0-1", Ordering::Greater),
            ("0:1-1", "1-1", Ordering::Equal),
            ("1.0~rc1-1", "1.0-1", Ordering::Less),
            ("1.0^git1-1", "1.0-1", Ordering::Greater),
            ("1.0^git1-1", "1.0.1-1", Ordering::Less),
            ("1.0~rc1^git1-1", "1.0~rc1-1", Ordering::Greater),
            ("1.a-1", "1.1-1", Ordering::Less),
            ("1.01-1", "1.1-1", Ordering::Equal),
            ("5.5p10-1", "5.5p2-1", Ordering::Greater),
            ("1..0-1", "1.0-1", Ordering::Equal),
            ("1.0", "1.0-1", Ordering::Less),
        ];
        for (a, b, expected) in table {
            assert_eq!(compare(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
            assert_eq!(compare(b.as_bytes(), a.as_bytes()), expected.reverse(), "{b} {a}");
        }
    }
}
