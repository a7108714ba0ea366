//! Tar archives of records, read as a stream: one member is held at a time.
//!
//! Source of the format: POSIX pax and ustar, and GNU's long names. This reader is for archives that feeds
//! publish, which hold plain files of some kilobytes; layers of images have other rules and a reader of their
//! own elsewhere. Left out: everything that is no regular file, and global pax headers.

use std::io::{self, BufRead, Read};

use crate::FeedError;
use crate::limits::Limits;

const BLOCK: usize = 512;
/// A long name or a pax header. Real ones have some hundred bytes.
const HEADER_BYTES_MAX: u64 = 64 << 10;

/// Walks an archive from its beginning to its end.
pub(crate) struct Archive<'a> {
    input: Box<dyn BufRead + 'a>,
    document: &'a str,
    offset: u64,
    member_bytes_max: u64,
}

impl<'a> Archive<'a> {
    pub(crate) fn new(input: Box<dyn BufRead + 'a>, document: &'a str, limits: &Limits) -> Self {
        Self { input, document, offset: 0, member_bytes_max: limits.record_bytes_max as u64 }
    }

    /// The name of the next regular file, its bytes in `content`; `None` at the archive's end.
    pub(crate) fn next_file(&mut self, content: &mut Vec<u8>) -> Result<Option<String>, FeedError> {
        let mut long_name: Option<Vec<u8>> = None;
        let mut long_size: Option<u64> = None;
        loop {
            let mut header = [0; BLOCK];
            self.fill(&mut header)?;
            if header.iter().all(|byte| *byte == 0) {
                // What follows is padding; reading it to its end shows whether the compression is whole.
                io::copy(&mut self.input, &mut io::sink()).map_err(|source| self.unreadable(source))?;
                return Ok(None);
            }
            if !checksum_is_right(&header) {
                return Err(self.malformed("a tar header's checksum is wrong"));
            }
            let own_size = number(&header[124..136]).ok_or_else(|| self.malformed("a size is no number"))?;
            let size = long_size.take().unwrap_or(own_size);
            match header[156] {
                b'0' | 0 => {
                    self.content(content, size, self.member_bytes_max, "bytes in one member")?;
                    let name = long_name.unwrap_or_else(|| short_name(&header));
                    return Ok(Some(String::from_utf8_lossy(&name).into_owned()));
                }
                b'L' => {
                    let mut name = Vec::new();
                    self.content(&mut name, own_size, HEADER_BYTES_MAX, "bytes in one name")?;
                    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
                    long_name = Some(name);
                }
                b'x' => {
                    let mut records = Vec::new();
                    self.content(&mut records, own_size, HEADER_BYTES_MAX, "bytes in one pax header")?;
                    for (key, value) in pax_records(&records) {
                        match key {
                            b"path" => long_name = Some(value.to_vec()),
                            b"size" => long_size = decimal(value),
                            _ => {}
                        }
                    }
                }
                _ => {
                    long_name = None;
                    self.skip(size)?;
                }
            }
        }
    }

    /// Reads a member's bytes and what fills its last block.
    fn content(
        &mut self,
        content: &mut Vec<u8>,
        size: u64,
        limit: u64,
        what: &'static str,
    ) -> Result<(), FeedError> {
        if size > limit {
            return Err(FeedError::TooLarge { document: self.document.to_owned(), what, limit });
        }
        content.clear();
        // `take` grows the buffer with what is there, whatever the header promises.
        let read = self.input.by_ref().take(size).read_to_end(content);
        let read = read.map_err(|source| self.unreadable(source))? as u64;
        self.offset += read;
        if read < size {
            return Err(self.malformed("it ends in the middle of a member"));
        }
        self.skip_padding(size)
    }

    fn skip(&mut self, size: u64) -> Result<(), FeedError> {
        let skipped = io::copy(&mut self.input.by_ref().take(size), &mut io::sink());
        let skipped = skipped.map_err(|source| self.unreadable(source))?;
        self.offset += skipped;
        if skipped < size {
            return Err(self.malformed("it ends in the middle of a member"));
        }
        self.skip_padding(size)
    }

    fn skip_padding(&mut self, size: u64) -> Result<(), FeedError> {
        let over = (size % BLOCK as u64) as usize;
        let mut block = [0; BLOCK];
        if over > 0 { self.fill(&mut block[over..]) } else { Ok(()) }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), FeedError> {
        match self.input.read_exact(buffer) {
            Ok(()) => {
                self.offset += buffer.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.malformed("it ends before the archive does"))
            }
            Err(error) => Err(self.unreadable(error)),
        }
    }

    fn malformed(&self, reason: &str) -> FeedError {
        FeedError::Malformed {
            document: self.document.to_owned(),
            offset: self.offset,
            reason: reason.to_owned(),
        }
    }

    fn unreadable(&self, source: io::Error) -> FeedError {
        FeedError::Read { document: self.document.to_owned(), source }
    }
}

/// The sum of all bytes of the header, its own field counted as blanks.
fn checksum_is_right(header: &[u8; BLOCK]) -> bool {
    let (before, field, after) = (&header[..148], &header[148..156], &header[156..]);
    let sum: u64 = before.iter().chain(after).map(|byte| u64::from(*byte)).sum();
    number(field) == Some(sum + 8 * u64::from(b' '))
}

/// An octal number between blanks and zero bytes, or GNU's binary one.
fn number(field: &[u8]) -> Option<u64> {
    if field.first().is_some_and(|byte| byte & 0x80 != 0) {
        let (high, low) = field.split_at(field.len().checked_sub(8)?);
        let fits = high.iter().enumerate().all(|(at, byte)| *byte == if at == 0 { 0x80 } else { 0 });
        return fits.then(|| low.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?;
    let text = text.trim_matches(|letter| letter == ' ' || letter == '\0');
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn short_name(header: &[u8; BLOCK]) -> Vec<u8> {
    let until_zero = |field: &[u8]| field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    let name = until_zero(&header[..100]);
    let prefix = until_zero(&header[345..500]);
    if prefix.is_empty() || &header[257..263] != b"ustar\0" {
        return name;
    }
    [prefix, name].join(&b'/')
}

/// `LENGTH KEY=VALUE\n`, where the length counts the whole record. What is no such record ends the list.
fn pax_records(mut bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut records = Vec::new();
    while let Some(blank) = bytes.iter().position(|byte| *byte == b' ') {
        let length = decimal(&bytes[..blank]).and_then(|length| usize::try_from(length).ok());
        let Some(record) = length.and_then(|length| bytes.get(blank + 1..length)) else { break };
        let Some(equals) = record.iter().position(|byte| *byte == b'=') else { break };
        let value = &record[equals + 1..];
        records.push((&record[..equals], value.strip_suffix(b"\n").unwrap_or(value)));
        bytes = &bytes[blank + 1 + record.len()..];
    }
    records
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An archive of regular files, as GNU tar and Python write small ones.
    pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = Vec::new();
        for (name, content) in files {
            member(&mut archive, name, b'0', content);
        }
        archive.extend([0; 2 * BLOCK]);
        archive
    }

    fn member(archive: &mut Vec<u8>, name: &str, kind: u8, content: &[u8]) {
        let mut header = [0; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = kind;
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend(header);
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }

    fn read(bytes: &[u8], limits: &Limits) -> Result<Vec<(String, Vec<u8>)>, FeedError> {
        let mut archive = Archive::new(Box::new(bytes), "x", limits);
        let (mut files, mut content) = (Vec::new(), Vec::new());
        while let Some(name) = archive.next_file(&mut content)? {
            files.push((name, content.clone()));
        }
        Ok(files)
    }

    #[test]
    fn files_come_out_with_their_names_and_other_members_do_not() {
        let mut bytes = Vec::new();
        let long = format!("{}/a.json", "d".repeat(200));
        member(&mut bytes, "d/", b'5', b"");
        member(&mut bytes, "././@LongLink", b'L', format!("{long}\0").as_bytes());
        member(&mut bytes, "cut", b'0', b"one");
        member(&mut bytes, "pax", b'x', b"19 path=d/two.json\n12 uid=1000\n");
        member(&mut bytes, "cut", b'0', &[7; 1024]);
        member(&mut bytes, "link", b'2', b"");
        bytes.extend(tar(&[("three", b"")]));
        let files = read(&bytes, &Limits::default()).unwrap();
        let expected = [
            (long, b"one".to_vec()),
            ("d/two.json".to_owned(), vec![7; 1024]),
            ("three".to_owned(), Vec::new()),
        ];
        assert_eq!(files, expected);
    }

    #[test]
    fn what_is_cut_damaged_or_too_large_is_refused() {
        let bytes = tar(&[("a", &[1; 600]), ("b", b"2")]);
        for length in [0, 100, 512, 700, 1400, 1536, 2000, 2560] {
            let refused = read(&bytes[..length], &Limits::default());
            assert!(matches!(refused, Err(FeedError::Malformed { .. })), "{length}");
        }
        let mut damaged = bytes.clone();
        damaged[0] = b'z';
        assert!(matches!(read(&damaged, &Limits::default()), Err(FeedError::Malformed { .. })));
        let limits = Limits { record_bytes_max: 599, ..Limits::default() };
        assert!(matches!(read(&bytes, &limits), Err(FeedError::TooLarge { limit: 599, .. })));
        let mut name = Vec::new();
        member(&mut name, "x", b'L', &vec![b'n'; 70_000]);
        assert!(matches!(read(&name, &Limits::default()), Err(FeedError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(at in 0_usize..2048, with in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut bytes = tar(&[("a", &[1; 600]), ("b", b"2")]);
            for (offset, byte) in with.iter().enumerate() {
                bytes[at + offset] = *byte;
            }
            let _ = read(&bytes, &Limits::default());
        }
    }
}
