//! What an engine exports, read as a stream: a tar archive in the form of `docker save`.
//!
//! Its members come in any order: the list of layers (`manifest.json`) may stand before the layers or behind
//! them, and a layer may be a link to an earlier one. So every member that is no JSON document is read as a
//! layer while it passes, once, and hashed on the way; at the end `manifest.json` says which members were
//! layers, and what was seen of the others is dropped. Nothing is written to disk, and of a layer nothing is in
//! memory but what its visitor keeps.
//!
//! What makes an evil stream harmless: a member counts under the digest of the bytes that came; a member that is
//! named as a layer and cannot be read as one is an error, never a layer without packages; a document that is
//! named as a layer is read as a layer, from memory.

mod contents;

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::layer::read_blob;
use crate::manifest::DOCUMENT_BYTES_MAX;
use crate::stream::{StreamVisitor, StreamedImage};
use crate::tar::{BLOCK, Member, Sink, TarError, Walker, clean_path};
use crate::visitor::{FileContent, Interest};
use crate::{Error, Limits};
use contents::Contents;
pub(crate) use contents::Wanted;

/// Reads an export to its end; `what` names it in errors.
pub(crate) fn read_export(
    reader: impl Read,
    what: &str,
    wanted: &Wanted<'_>,
    limits: &Limits,
    visitor: &mut dyn StreamVisitor,
    progress: &dyn Fn(u64),
) -> Result<StreamedImage, Error> {
    let source =
        Source { inner: reader, bytes: 0, bytes_max: limits.uncompressed_bytes, failure: None, progress };
    let mut export = Export { what, limits, source, contents: Contents::default() };
    export.walk(visitor)?;
    export.contents.image(what, wanted, limits, visitor)
}

/// The stream's bytes, counted.
struct Source<'a, R> {
    inner: R,
    bytes: u64,
    bytes_max: u64,
    failure: Option<String>,
    progress: &'a dyn Fn(u64),
}

impl<R: Read> Read for Source<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(failure) = &self.failure {
            return Err(io::Error::other(failure.clone()));
        }
        if self.bytes > self.bytes_max {
            return Err(io::Error::other("more bytes than an image may have"));
        }
        let read = match self.inner.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                self.failure = Some(error.to_string());
                return Err(error);
            }
            other => other?,
        };
        self.bytes += read as u64;
        (self.progress)(self.bytes);
        Ok(read)
    }
}

/// A stream being read.
struct Export<'a, R> {
    what: &'a str,
    limits: &'a Limits,
    source: Source<'a, R>,
    contents: Contents,
}

impl<R: Read> Export<'_, R> {
    fn walk(&mut self, visitor: &mut dyn StreamVisitor) -> Result<(), Error> {
        let limits = Limits { entries: self.limits.archive_entries, ..self.limits.clone() };
        let mut walker = Walker::new(&limits);
        let mut headers = Headers { limits: &limits, file: None, links: BTreeMap::new() };
        let mut block = [0; BLOCK];
        while !walker.has_ended() {
            let (data, padding) = walker.skippable();
            if let Some(name) = headers.file.take() {
                self.member(name, data, visitor)?;
            } else if data > 0 {
                self.pass(data)?;
            }
            if data + padding > 0 {
                walker.skip();
                io::copy(&mut (&mut self.source).take(padding), &mut io::sink()).map_err(|_| self.cut())?;
            }
            let read = self.block(&mut block)?;
            if read == 0 {
                break;
            }
            walker.feed(&block[..read], &mut headers).map_err(|error| self.broken(error))?;
        }
        self.contents.links = headers.links;
        walker.finish().map_err(|_| self.cut())
    }

    /// Fills the block; less only at the end.
    fn block(&mut self, block: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < block.len() {
            match self.source.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(self.cut()),
            }
        }
        Ok(filled)
    }

    /// Reads over bytes that must be there.
    fn pass(&mut self, bytes: u64) -> Result<(), Error> {
        let passed = io::copy(&mut (&mut self.source).take(bytes), &mut io::sink());
        if passed.is_ok_and(|passed| passed == bytes) { Ok(()) } else { Err(self.cut()) }
    }

    /// Reads a member of `size` bytes: keeps it if it is a document, else shows it as a layer.
    fn member(&mut self, name: String, size: u64, visitor: &mut dyn StreamVisitor) -> Result<(), Error> {
        let mut first = [0];
        let head = self.block(&mut first[..usize::from(size > 0)])?;
        let is_document = head > 0 && b"{[ \t\r\n".contains(&first[0]) && size <= DOCUMENT_BYTES_MAX;
        let mut content = first[..head].chain((&mut self.source).take(size - head as u64));
        if is_document {
            self.contents.make_room(size, self.what)?;
            let mut bytes = Vec::new();
            let read = content.read_to_end(&mut bytes);
            if read.is_err() || bytes.len() as u64 != size {
                return Err(self.cut());
            }
            self.contents.document_came(name, bytes);
            return Ok(());
        }
        let what = format!("{name} of {}", self.what);
        let result = read_blob(&mut content, &what, None, self.limits, visitor.member(&name), &|_| {});
        // Whatever came of it, the rest has to pass. What is missing then explains every other failure.
        let rest = io::copy(&mut content, &mut io::sink());
        let missing = content.get_ref().1.limit();
        if rest.is_err() || missing > 0 {
            return Err(self.cut());
        }
        self.contents.layer(name, result, self.what, visitor)
    }

    /// Why the stream ended.
    fn cut(&self) -> Error {
        if self.source.bytes > self.source.bytes_max {
            return Error::limit(self.what, format!("{} bytes of one image", self.source.bytes_max));
        }
        let reason = self.source.failure.clone().unwrap_or_else(|| "there is no more".to_owned());
        Error::StreamCut { what: self.what.to_owned(), got: self.source.bytes, reason }
    }

    fn broken(&self, error: TarError) -> Error {
        match error {
            TarError::Malformed { offset, reason } => {
                Error::malformed(self.what, format!("the archive breaks at byte {offset}: {reason}"))
            }
            TarError::Limit { what, limit } => Error::limit(self.what, format!("{limit} {what}")),
            TarError::Spool(error) => Error::io("a temporary file", error),
        }
    }
}

/// Notes the name of each file, and the links.
struct Headers<'a> {
    limits: &'a Limits,
    file: Option<String>,
    links: BTreeMap<String, String>,
}

impl Sink for Headers<'_> {
    fn member(&mut self, member: &Member<'_>) -> Interest {
        let (mut path, mut target) = (String::new(), String::new());
        clean_path(member.name, self.limits.path_bytes, &mut path);
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        match member.type_flag {
            b'0' if !member.is_sparse => {
                // Of members with the same name the last one counts.
                self.links.remove(&path);
                self.file = Some(path);
            }
            b'1' => {
                clean_path(member.link, self.limits.path_bytes, &mut target);
                self.links.insert(path, target);
            }
            b'2' => {
                // Relative to the folder that the link is in.
                let joined = [folder.as_bytes(), b"/", member.link].concat();
                clean_path(&joined, self.limits.path_bytes, &mut target);
                self.links.insert(path, target);
            }
            _ => {}
        }
        Interest::Skip
    }

    fn content(&mut self, _: FileContent<'_>) {}
}
