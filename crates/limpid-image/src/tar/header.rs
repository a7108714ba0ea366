//! One 512-byte header block: V7, ustar, GNU and star.
//!
//! Source of truth: POSIX.1-1988 (ustar), the GNU tar manual ("Basic Tar Format"), and for what is accepted
//! the rules of Go's `archive/tar`, which containerd, Docker and Podman read layers with.

use super::BLOCK;

/// The dialect that a block's magic names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    V7,
    Ustar,
    Star,
    Gnu,
}

/// What a walker needs of a header block.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) format: Format,
    pub(super) type_flag: u8,
    /// To be put before the name, with a slash; empty for none.
    pub(super) prefix: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) link: &'a [u8],
    /// Never negative.
    pub(super) size: u64,
}

impl<'a> Header<'a> {
    /// Reads a block that is not all zeros. The error says which rule it breaks.
    pub(super) fn parse(block: &'a [u8; BLOCK]) -> Result<Self, &'static str> {
        if !checksum_fits(block) {
            return Err("the checksum of a header is wrong");
        }
        let format = match (&block[257..263], &block[263..265]) {
            (b"ustar\0", _) if &block[508..512] == b"tar\0" => Format::Star,
            (b"ustar\0", _) => Format::Ustar,
            (b"ustar ", b" \0") => Format::Gnu,
            _ => Format::V7,
        };
        let size = number(&block[124..136]).ok_or("the size in a header is no number")?;
        // Mode, user, group and time are of no interest, but Go refuses the archive if they are no numbers.
        for field in [100..108, 108..116, 116..124, 136..148] {
            number(&block[field]).ok_or("a field in a header is no number")?;
        }
        let mut prefix: &[u8] = &[];
        if format != Format::V7 {
            for field in [329..337, 337..345] {
                number(&block[field]).ok_or("a device number in a header is no number")?;
            }
        }
        match format {
            Format::V7 => {}
            Format::Ustar => prefix = text(&block[345..500]),
            Format::Star => {
                prefix = text(&block[345..476]);
                for field in [476..488, 488..500] {
                    number(&block[field]).ok_or("a time in a header is no number")?;
                }
            }
            Format::Gnu => prefix = misplaced_prefix(block),
        }
        Ok(Self {
            format,
            type_flag: block[156],
            prefix,
            name: text(&block[..100]),
            link: text(&block[157..257]),
            size: u64::try_from(size).map_err(|_| "the size in a header is negative")?,
        })
    }

    /// Whether entries of this type have no data, whatever their size says.
    pub(super) fn is_header_only(type_flag: u8) -> bool {
        matches!(type_flag, b'1'..=b'6')
    }
}

/// Go before 1.8 wrote a ustar prefix into GNU headers, where the times belong. Its readers take it as such
/// if the times are no numbers and the prefix is ASCII.
fn misplaced_prefix(block: &[u8; BLOCK]) -> &[u8] {
    let is_time = |field: &[u8]| field[0] == 0 || number(field).is_some();
    if is_time(&block[345..357]) && is_time(&block[357..369]) {
        return &[];
    }
    let prefix = text(&block[345..500]);
    if prefix.is_ascii() { prefix } else { &[] }
}

/// POSIX sums unsigned bytes, old Sun tars signed ones; both are accepted.
fn checksum_fits(block: &[u8; BLOCK]) -> bool {
    let Some(claimed) = octal(&block[148..156]) else { return false };
    let mut unsigned: u32 = 8 * u32::from(b' ');
    let mut high: u32 = 0;
    for part in [&block[..148], &block[156..]] {
        for &byte in part {
            unsigned += u32::from(byte);
            high += u32::from(byte >> 7);
        }
    }
    claimed == i64::from(unsigned) || claimed == i64::from(unsigned) - 256 * i64::from(high)
}

/// A field up to its first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// A number in octal or in GNU's base-256; `None` if it is neither or does not fit.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    let invert = if first & 0x40 == 0 { 0 } else { 0xff };
    let mut value: u64 = 0;
    for (index, &byte) in field.iter().enumerate() {
        let byte = byte ^ invert;
        let byte = if index == 0 { byte & 0x7f } else { byte };
        if value >> 56 != 0 {
            return None;
        }
        value = value << 8 | u64::from(byte);
    }
    let value = i64::try_from(value).ok()?;
    Some(if invert == 0 { value } else { !value })
}

/// A number in octal, padded with spaces and NULs on both sides; empty is zero.
fn octal(field: &[u8]) -> Option<i64> {
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let Some(start) = field.iter().position(|byte| !is_padding(byte)) else { return Some(0) };
    let end = field.iter().rposition(|byte| !is_padding(byte)).map_or(start, |last| last + 1);
    let mut value: i64 = 0;
    for &digit in text(&field[start..end]) {
        if !matches!(digit, b'0'..=b'7') {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_go_reads_them() {
        // The table of Go's own test for parseNumeric, as facts: input and value, or refusal.
        let cases: [(&[u8], Option<i64>); 16] = [
            (b"", None),
            (b"\x80", Some(0)),
            (b"\x80\x00\x00", Some(0)),
            (b"\x80\x00\x00\x01", Some(1)),
            (b"\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xfe", Some(-2)),
            (b"\xc0", Some(-64)),
            (b"\x87\x76\xa2\x22\xeb\x8a\x72\x61", Some(537_795_476_381_659_745)),
            (b"\x80\x00\x00\x00\x07\x76\xa2\x22\xeb\x8a\x72\x61", Some(537_795_476_381_659_745)),
            (b"\x80\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\x80\x00\x00\x00\x00\x00\x00\x00", None),
            (b"\0 0000644\0", Some(0o644)),
            (b"0000123\0", Some(0o123)),
            (b" 1 2 ", None),
            (b"0129\0", None),
            (b"12\x0034", Some(0o12)),
        ];
        for (field, expected) in cases {
            assert_eq!(number(field), expected, "{field:?}");
        }
    }
}
