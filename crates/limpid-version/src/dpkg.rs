//! dpkg's order. Source of truth: deb-version(7), Debian Policy 5.6.12, and what `dpkg --compare-versions` says.
//!
//! What dpkg refuses is ordered all the same: an epoch is what stands before the first colon if that is digits
//! only, of any size; any byte may stand anywhere and orders as dpkg orders punctuation.

use std::cmp::Ordering;

use crate::{compare_numbers, take_number};

pub(crate) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (a_epoch, a_upstream, a_revision) = split(a);
    let (b_epoch, b_upstream, b_revision) = split(b);
    compare_numbers(a_epoch, b_epoch)
        .then_with(|| compare_part(a_upstream, b_upstream))
        .then_with(|| compare_part(a_revision, b_revision))
}

/// Epoch (without leading zeros; none is 0), upstream version and revision.
fn split(version: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let version = version.trim_ascii();
    let colon = version.iter().position(|byte| *byte == b':');
    let (epoch, rest) = match colon {
        Some(colon) if colon > 0 && version[..colon].iter().all(u8::is_ascii_digit) => {
            (take_number(&mut &version[..colon]), &version[colon + 1..])
        }
        _ => (&[][..], version),
    };
    match rest.iter().rposition(|byte| *byte == b'-') {
        Some(dash) => (epoch, &rest[..dash], &rest[dash + 1..]),
        None => (epoch, rest, &[]),
    }
}

/// Alternating runs of non-digits and digits. A tilde sorts before the end, letters before all else.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        loop {
            let (x, y) = (a.first().copied(), b.first().copied());
            let is_digit = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_digit());
            if is_digit(x) && is_digit(y) {
                break;
            }
            let order = weight(x).cmp(&weight(y));
            if order.is_ne() {
                return order;
            }
            // Equal weights that are no digits are equal bytes, so both have one to take.
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let order = compare_numbers(take_number(&mut a), take_number(&mut b));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn weight(byte: Option<u8>) -> i32 {
    match byte {
        None => 0,
        Some(b'~') => -1,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(byte),
        Some(byte) => i32::from(byte) + 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_dpkgs() {
        let table = [
            ("1", "1", Ordering::Equal),
            ("1.0-0", "1.0", Ordering::Equal),
            ("0:1", "1", Ordering::Equal),
            ("00:1", "1", Ordering::Equal),
            ("1:0", "2", Ordering::Greater),
            ("1~rc1", "1", Ordering::Less),
            ("1~~", "1~", Ordering::Less),
            ("1.0a", "1.0+", Ordering::Less),
            ("1.0a", "1.0", Ordering::Greater),
            ("1.2-3", "1.2-3+b1", Ordering::Less),
            ("1.09", "1.9", Ordering::Equal),
            ("2.13-38+deb7u6", "2.13-38+deb7u7", Ordering::Less),
            ("99999999999999999999999", "100000000000000000000000", Ordering::Less),
            ("a-b-c", "a-b", Ordering::Greater),
        ];
        for (a, b, expected) in table {
            assert_eq!(compare(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
            assert_eq!(compare(b.as_bytes(), a.as_bytes()), expected.reverse(), "{b} {a}");
        }
    }
}
