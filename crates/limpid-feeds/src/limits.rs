//! What is read of a feed at most. Feeds are hostile input like any other.

use limpid_model::{Advisory, AdvisoryDetails};

/// Bounds on one document. Each is far above what upstream serves and far below what would hurt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a document after decompression. It bounds time, not memory: nothing keeps them.
    /// Debian's tracker is 70 MB, Ubuntu's archive some gigabytes, Red Hat's some twenty.
    pub decoded_bytes_max: u64,
    /// Bytes of one record (one JSON value, one archive member): what is held at once. The largest that
    /// upstreams publish are kernel records of a few megabytes, and Red Hat's on what is in every product, of some
    /// tens.
    pub record_bytes_max: usize,
    /// Records of a document. Ubuntu has some 60,000, Debian's tracker 200,000.
    pub records_max: u64,
    /// Names that one record may give itself (aliases, related ids). The largest kernel notices name hundreds.
    pub ids_per_record_max: usize,
    /// Statements on packages that one record may make. Red Hat's on the kernel make some thousands.
    pub affected_per_record_max: usize,
    /// Links, vectors and kinds of weakness of one record, each. CVE records may have 512 references.
    pub links_per_record_max: usize,
    /// Bytes of one record's description. CVE's schema allows 4,096 characters, GitHub's advisories 65,536.
    pub description_bytes_max: usize,
    /// Memory that an LZMA dictionary or a zstd window may ask for. `xz -9` asks for 65 MiB.
    pub window_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            decoded_bytes_max: 64 << 30,
            record_bytes_max: 64 << 20,
            records_max: 10_000_000,
            ids_per_record_max: 10_000,
            affected_per_record_max: 1_000_000,
            links_per_record_max: 1_000,
            description_bytes_max: 256 << 10,
            window_bytes_max: 128 << 20,
        }
    }
}

impl Limits {
    /// Why an advisory is not taken at all: what a verdict rests on is never cut.
    pub(crate) fn refusal(&self, advisory: &Advisory) -> Option<&'static str> {
        if advisory.details.aliases.len() > self.ids_per_record_max {
            Some("more aliases than are read of one record")
        } else if advisory.affected.len() > self.affected_per_record_max {
            Some("more packages than are read of one record")
        } else {
            None
        }
    }

    /// Cuts what is for readers alone to what is kept of one record, and says what was cut.
    pub(crate) fn cut(&self, details: &mut AdvisoryDetails) -> Vec<&'static str> {
        let mut cut = Vec::new();
        if details.description.len() > self.description_bytes_max {
            let mut end = self.description_bytes_max;
            while !details.description.is_char_boundary(end) {
                end -= 1;
            }
            details.description.truncate(end);
            cut.push("end of a description that is too long");
        }
        let links_max = self.links_per_record_max;
        if details.links.len() > links_max || details.weaknesses.len() > links_max {
            details.links.truncate(links_max);
            details.weaknesses.truncate(links_max);
            cut.push("links or weaknesses beyond those that are kept of one record");
        }
        if details.cvss.len() > links_max {
            details.cvss.truncate(links_max);
            cut.push("vectors beyond those that are kept of one record");
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_alone_needs_is_cut_and_what_a_verdict_needs_is_not() {
        let limits = Limits {
            ids_per_record_max: 1,
            links_per_record_max: 1,
            description_bytes_max: 4,
            ..Limits::default()
        };
        let mut advisory = Advisory::default();
        advisory.details.description = "abcé".to_owned();
        advisory.details.links = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(limits.cut(&mut advisory.details).len(), 2);
        assert_eq!((advisory.details.description.as_str(), advisory.details.links.len()), ("abc", 1));
        assert!(limits.refusal(&advisory).is_none());
        advisory.details.aliases = vec!["a".to_owned(), "b".to_owned()];
        assert!(limits.refusal(&advisory).is_some());
    }
}
