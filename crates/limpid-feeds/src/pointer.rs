//! Small files that say where a document is now.
//!
//! What they say is hostile like everything fetched: an address must stay at the publisher's own hosts, and a path
//! below the folder that it is relative to.

use crate::error::FeedError;
use crate::xml::{Event, XmlReader};

/// Bytes of such a file. The largest are `repomd.xml` files of some ten kilobytes.
pub const POINTER_BYTES_MAX: u64 = 1 << 20;

/// A file that leads to a document, or to the next such file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pointer {
    /// Amazon's `mirror.list`: one repository's address a line; the first is the nearest.
    MirrorList,
    /// A repository's `repodata/repomd.xml`, for its `updateinfo`.
    RepositoryMetadata,
    /// Red Hat's `archive_latest.txt`: the name of the archive beside it.
    ArchiveName,
}

impl Pointer {
    /// Where the file at `url` with this content leads; `None` if it leads to nothing, because the repository
    /// has no errata.
    pub fn follow(self, url: &str, content: &[u8]) -> Result<Option<String>, FeedError> {
        let malformed = |reason: &str| FeedError::Malformed {
            document: url.to_owned(),
            offset: 0,
            reason: reason.to_owned(),
        };
        match self {
            Self::MirrorList => {
                let text = str::from_utf8(content).map_err(|_| malformed("it is no text"))?;
                let line = text.lines().map(str::trim).find(|line| !line.is_empty());
                let line = line.ok_or_else(|| malformed("it names no repository"))?;
                let leads_up = line.split('/').any(|part| part == "..");
                if leads_up || publisher(line).is_none() || publisher(line) != publisher(url) {
                    return Err(malformed("it leads away from its publisher"));
                }
                Ok(Some(format!("{}/repodata/repomd.xml", line.trim_end_matches('/'))))
            }
            Self::RepositoryMetadata => {
                let base = url.strip_suffix("repodata/repomd.xml");
                let base = base.ok_or_else(|| malformed("its name is not repodata/repomd.xml"))?;
                match updateinfo(url, content)? {
                    None => Ok(None),
                    Some(path) if is_below(&path) => Ok(Some(format!("{base}{path}"))),
                    Some(_) => Err(malformed("its updateinfo is not below the repository")),
                }
            }
            Self::ArchiveName => {
                let name = str::from_utf8(content).map(str::trim).unwrap_or_default();
                if !is_below(name) || name.contains('/') {
                    return Err(malformed("it is not the name of a file"));
                }
                let (base, _) = url.rsplit_once('/').ok_or_else(|| malformed("its address has no folder"))?;
                Ok(Some(format!("{base}/{name}")))
            }
        }
    }
}

/// The last two labels of an address's host.
fn publisher(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let host = rest.split('/').next()?;
    let labels: Vec<&str> = host.split('.').collect();
    let is_plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    (is_plain && labels.len() >= 2).then(|| labels[labels.len() - 2..].join("."))
}

fn is_below(path: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/' | b'+' | b'~');
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    !path.is_empty() && path.bytes().all(plain) && path.split('/').all(part)
}

/// The path of `<data type="updateinfo"><location href="..."/></data>`.
fn updateinfo(url: &str, content: &[u8]) -> Result<Option<String>, FeedError> {
    let mut reader = XmlReader::new(content, url, POINTER_BYTES_MAX as usize);
    let mut is_wanted = false;
    while let Some(event) = reader.next()? {
        match event {
            Event::Open(element) if element.name == "data" => {
                is_wanted = element.attribute("type") == "updateinfo";
            }
            Event::Open(element) if element.name == "location" && is_wanted => {
                return Ok(Some(element.attribute("href").to_owned()));
            }
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_lead_where_they_say() {
        let list = "https://cdn.amazonlinux.com/2/core/latest/x86_64/mirror.list";
        let follow = |content: &str| Pointer::MirrorList.follow(list, content.as_bytes());
        assert_eq!(
            follow("https://cdn.amazonlinux.com/2/core/2.0/x86_64/abc/\n").unwrap().unwrap(),
            "https://cdn.amazonlinux.com/2/core/2.0/x86_64/abc/repodata/repomd.xml"
        );
        for bad in [
            "",
            "https://evil.example/x/",
            "file:///etc/",
            "https://amazonlinux.com@evil.example/x",
            "https://cdn.amazonlinux.com/../x",
        ] {
            assert!(follow(bad).is_err(), "{bad}");
        }
        let repomd = "https://h.example/9/BaseOS/x86_64/os/repodata/repomd.xml";
        let follow = |content: &str| Pointer::RepositoryMetadata.follow(repomd, content.as_bytes());
        let said = |href: &str| {
            follow(&format!(
                r#"<repomd><data type="primary"><location href="a"/></data>
                   <data type="updateinfo"><location href="{href}"/></data></repomd>"#
            ))
        };
        assert_eq!(
            said("repodata/1-updateinfo.xml.gz").unwrap().unwrap(),
            "https://h.example/9/BaseOS/x86_64/os/repodata/1-updateinfo.xml.gz"
        );
        for bad in ["../../x", "/etc/passwd", "http://evil.example/", "", "a//b", "a?b"] {
            assert!(said(bad).is_err(), "{bad}");
        }
        assert_eq!(follow(r#"<repomd><data type="primary"/></repomd>"#).unwrap(), None);
        assert!(follow("<repomd").is_err());
        let latest = "https://h.example/vex/archive_latest.txt";
        let follow = |content: &str| Pointer::ArchiveName.follow(latest, content.as_bytes());
        assert_eq!(follow("vex.tar.zst\n").unwrap().unwrap(), "https://h.example/vex/vex.tar.zst");
        assert!(follow("../x").is_err() && follow("").is_err());
    }
}
