//! Archives of records: the files of a [tar archive](crate::tar), one held at a time.

use std::io::{self, BufRead};

use crate::FeedError;
use crate::limits::Limits;
use crate::tar::Members;

/// Walks an archive from its beginning to its end.
pub(crate) struct Archive<'a> {
    members: Members<'a>,
    document: &'a str,
    member_bytes_max: u64,
    modified_at: u64,
}

impl<'a> Archive<'a> {
    pub(crate) fn new(input: Box<dyn BufRead + 'a>, document: &'a str, limits: &Limits) -> Self {
        let member_bytes_max = limits.record_bytes_max as u64;
        Self { members: Members::new(input), document, member_bytes_max, modified_at: 0 }
    }

    /// When the file at hand was last modified, in seconds since the epoch; 0 if the archive does not say.
    pub(crate) const fn modified_at(&self) -> u64 {
        self.modified_at
    }

    /// The name of the next regular file, its bytes in `content`; `None` at the archive's end.
    pub(crate) fn next_file(&mut self, content: &mut Vec<u8>) -> Result<Option<String>, FeedError> {
        let member = self.members.next();
        let Some(member) = member.map_err(|source| self.failed(source))? else { return Ok(None) };
        let limit = self.member_bytes_max;
        if member.size_bytes > limit {
            let document = self.document.to_owned();
            return Err(FeedError::TooLarge { document, what: "bytes in one member", limit });
        }
        *content = self.members.read(limit).map_err(|source| self.failed(source))?;
        self.modified_at = member.modified_at;
        Ok(Some(member.path))
    }

    fn failed(&self, source: io::Error) -> FeedError {
        let document = self.document.to_owned();
        match source.kind() {
            io::ErrorKind::InvalidData => {
                let offset = self.members.offset();
                FeedError::Malformed { document, offset, reason: source.to_string() }
            }
            _ => FeedError::Read { document, source },
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: usize = 512;

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
        assert!(matches!(read(&name, &Limits::default()), Err(FeedError::Malformed { .. })));
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
