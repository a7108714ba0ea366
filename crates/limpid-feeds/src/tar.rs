//! The members of a tar archive, one after the other, as feeds publish them: plain files with names of modest length.
//!
//! Source of truth: POSIX.1-2001, `pax`, "ustar interchange format", and GNU tar's long names. Archives of feeds are
//! made by a few well-behaved programs; what a container layer may do (sparse files, links) makes no sense here and
//! is passed over. Only the bytes of the member at hand are held.

use std::io::{self, BufRead, Read};

const BLOCK_BYTES: usize = 512;
/// A long name or a pax header. Names in feeds have at most some hundred bytes.
const HEADER_BYTES_MAX: u64 = 64 << 10;

/// A plain file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) path: String,
    pub(crate) size_bytes: u64,
    /// Seconds since the epoch; 0 for none.
    pub(crate) modified_at: u64,
}

/// Walks an archive. Errors are of kind `InvalidData` where the archive is not well-formed.
pub(crate) struct Members<'a> {
    input: Box<dyn BufRead + 'a>,
    offset: u64,
    /// Bytes of the member at hand that were not read, and the padding after them.
    left_bytes: u64,
    padding_bytes: u64,
}

impl<'a> Members<'a> {
    pub(crate) fn new(input: Box<dyn BufRead + 'a>) -> Self {
        Self { input, offset: 0, left_bytes: 0, padding_bytes: 0 }
    }

    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next plain file, or `None` at the archive's end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Member>> {
        let mut long_path: Option<String> = None;
        let mut long_size: Option<u64> = None;
        loop {
            self.skip(self.left_bytes.saturating_add(self.padding_bytes))?;
            (self.left_bytes, self.padding_bytes) = (0, 0);
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header[156];
            let size = match kind {
                b'0' | 0 | b'7' => long_size.take().map_or_else(|| number(&header[124..136]), Ok)?,
                _ => number(&header[124..136])?,
            };
            self.left_bytes = size;
            self.padding_bytes = (BLOCK_BYTES as u64 - size % BLOCK_BYTES as u64) % BLOCK_BYTES as u64;
            match kind {
                b'0' | 0 | b'7' => {
                    let path = long_path.take().unwrap_or_else(|| path(&header));
                    let modified_at = number(&header[136..148]).unwrap_or(0);
                    return Ok(Some(Member { path, size_bytes: size, modified_at }));
                }
                b'L' => {
                    let bytes = self.read(HEADER_BYTES_MAX)?;
                    long_path = Some(text(&bytes));
                }
                b'x' => {
                    for (key, value) in pax(&self.read(HEADER_BYTES_MAX)?)? {
                        match key.as_str() {
                            "path" => long_path = Some(value),
                            "size" => {
                                long_size = Some(value.parse().map_err(|_| invalid("a size is no number"))?)
                            }
                            _ => {}
                        }
                    }
                }
                _ => (long_path, long_size) = (None, None),
            }
        }
    }

    /// The bytes of the member at hand; an error if there are more than `limit`.
    pub(crate) fn read(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        if self.left_bytes > limit {
            return Err(invalid("a member is larger than what is read of one"));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.input).take(self.left_bytes).read_to_end(&mut bytes)? as u64;
        self.offset += read;
        if read < self.left_bytes {
            return Err(cut());
        }
        self.left_bytes = 0;
        Ok(bytes)
    }

    fn header(&mut self) -> io::Result<Option<[u8; BLOCK_BYTES]>> {
        let mut block = [0; BLOCK_BYTES];
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match self.input.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.offset += filled as u64;
        if filled < BLOCK_BYTES {
            return Err(cut());
        }
        if block.iter().all(|byte| *byte == 0) {
            // What follows the first block of zeros is padding; it is read, so that a checksum behind it is seen.
            io::copy(&mut self.input, &mut io::sink())?;
            return Ok(None);
        }
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        let field: u64 = block[148..156].iter().map(|byte| u64::from(*byte)).sum();
        if number(&block[148..156])? != sum + 8 * u64::from(b' ') - field {
            return Err(invalid("the checksum of a header is wrong"));
        }
        Ok(Some(block))
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.input).take(bytes), &mut io::sink())?;
        self.offset += skipped;
        if skipped < bytes { Err(cut()) } else { Ok(()) }
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn cut() -> io::Error {
    invalid("the archive ends in the middle")
}

/// A number in octal digits, or in GNU's binary form.
fn number(field: &[u8]) -> io::Result<u64> {
    if let Some((first, binary)) = field.split_first().filter(|(first, _)| **first & 0x80 != 0) {
        let out_of_range = || invalid("a number is out of range");
        let begin = u64::from(first & 0x7f);
        return binary.iter().try_fold(begin, |value, byte| {
            value.checked_mul(256).map(|value| value | u64::from(*byte)).ok_or_else(out_of_range)
        });
    }
    let digits = field.iter().skip_while(|byte| **byte == b' ').take_while(|byte| !matches!(byte, b' ' | 0));
    digits.copied().try_fold(0_u64, |value, byte| match byte {
        // Twelve digits at most: it cannot overflow.
        b'0'..=b'7' => Ok(value << 3 | u64::from(byte - b'0')),
        _ => Err(invalid("a number is not octal")),
    })
}

fn path(header: &[u8; BLOCK_BYTES]) -> String {
    let name = text(&header[..100]);
    let prefix = text(&header[345..500]);
    if header[257..262] != *b"ustar" || header[262] == b' ' || prefix.is_empty() {
        return name;
    }
    format!("{prefix}/{name}")
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// The records of a pax header: `LENGTH KEY=VALUE\n`.
fn pax(mut rest: &[u8]) -> io::Result<Vec<(String, String)>> {
    let bad = || invalid("a pax header is not well-formed");
    let mut records = Vec::new();
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(bad)?;
        let length: usize =
            std::str::from_utf8(&rest[..space]).ok().and_then(|n| n.parse().ok()).ok_or_else(bad)?;
        let record = rest.get(space + 1..length).ok_or_else(bad)?;
        let record = record.strip_suffix(b"\n").ok_or_else(bad)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
        records.push((text(&record[..equals]), text(&record[equals + 1..])));
        rest = &rest[length..];
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Name and content of each file of an archive that the `tar` crate wrote.
    fn walk(bytes: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut members = Members::new(Box::new(bytes));
        let mut found = Vec::new();
        while let Some(member) = members.next()? {
            // Every second one is passed over unread.
            let content = if found.len() % 2 == 0 { members.read(1 << 20)? } else { Vec::new() };
            found.push((member.path, content));
        }
        Ok(found)
    }

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut builder = ::tar::Builder::new(Vec::new());
        builder.append_pax_extensions([("comment", b"a commit".as_slice())]).unwrap();
        for name in names {
            let mut header = ::tar::Header::new_gnu();
            header.set_size(name.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, name.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn files_of_another_writer_are_found_whatever_the_length_of_their_names() {
        let long = format!("a/{}", "x".repeat(300));
        let names = ["a", long.as_str(), "b/c.json", &long[..150]];
        let found = walk(&archive(&names)).unwrap();
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
        assert_eq!(found[2].1, b"b/c.json");
    }

    #[test]
    fn a_cut_archive_is_an_error_wherever_it_is_cut() {
        let bytes = archive(&["a", "b"]);
        let end = bytes.len() - 2 * BLOCK_BYTES;
        for length in 0..end {
            assert!(walk(&bytes[..length]).is_err(), "{length}");
        }
        let mut members = Members::new(Box::new(bytes.as_slice()));
        members.next().unwrap();
        assert!(members.read(0).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fall_over(mut bytes in proptest::collection::vec(any::<u8>(), 0..2000), at in 0_usize..1536) {
            let _ = walk(&bytes);
            let mut damaged = archive(&["a", "b"]);
            damaged[at] = damaged[at].wrapping_add(1);
            damaged.append(&mut bytes);
            let _ = walk(&damaged);
        }
    }
}
