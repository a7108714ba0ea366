//! The tar walker: is fed an archive in chunks of any size and tells a [`Sink`] of every member.
//!
//! It reads what a container runtime would read, that is, it accepts and refuses what Go's `archive/tar`
//! does: V7, ustar, GNU (long names, base-256 numbers, old sparse files), star, PAX (and GNU's sparse files
//! in it). Nothing is copied but meta data and the content that the sink wants; what it does not want is
//! stepped over, a chunk at a time.
//!
//! Left out, as by Go: multi-volume archives, GNU directory dumps, applying PAX global headers.

mod content;
mod entry;
mod header;
mod pax;
mod sparse;

use std::io;

use crate::limits::Limits;
use crate::visitor::{FileContent, Interest};
use content::Content;
use header::{Format, Header};
use pax::{Records, SparseKind, padding};
use sparse::{MapReader, Region, SparseMap};

pub(crate) use entry::{EntrySink, ProblemLog, clean_path};

/// Bytes of a tar block.
pub(crate) const BLOCK: usize = 512;

/// A member of an archive, after long names, PAX records and sparse headers were applied.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) link: &'a [u8],
    /// As in the header, but `0` for the older and rarer ways to say "regular file".
    pub(crate) type_flag: u8,
    /// Logical size; zero for members without content.
    pub(crate) size: u64,
    /// Where its stored bytes start in the archive.
    pub(crate) data_offset: u64,
    /// Whether the stored bytes are not just the content.
    pub(crate) is_sparse: bool,
}

/// Is told what an archive holds.
pub(crate) trait Sink {
    /// A member; whether its content is wanted.
    fn member(&mut self, member: &Member<'_>) -> Interest;
    /// The content of the last member, if it is a file and was wanted.
    fn content(&mut self, content: FileContent<'_>);
}

/// Why a walk ended early.
#[derive(Debug)]
pub(crate) enum TarError {
    /// The archive breaks a rule.
    Malformed { offset: u64, reason: &'static str },
    /// The archive passes a bound.
    Limit { what: &'static str, limit: u64 },
    /// A large file could not be kept in a temporary one.
    Spool(io::Error),
}

impl From<io::Error> for TarError {
    fn from(error: io::Error) -> Self {
        Self::Spool(error)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a header block.
    Header,
    /// After one block of zeros.
    SecondZero,
    /// In the data of a long name (`L`), long link (`K`) or extended header (`x`, `g`).
    Meta(u8),
    /// Before an extension block of an old GNU sparse header.
    SparseExtension,
    /// In the sparse map at the start of a file's data.
    SparseMap,
    /// In the stored bytes of a member.
    Data,
    /// In the padding behind them.
    Padding,
    /// After the end of the archive.
    End,
}

/// What stands before a member and changes it.
#[derive(Debug, Default)]
struct Pending {
    records: Option<Records>,
    long_name: Vec<u8>,
    long_link: Vec<u8>,
}

/// The member at hand.
#[derive(Debug, Default)]
struct Current {
    name: Vec<u8>,
    link: Vec<u8>,
    type_flag: u8,
    size: u64,
    regions: Vec<Region>,
    /// Bytes of sparse headers seen so far.
    sparse_bytes: usize,
    map_reader: MapReader,
}

/// Reads an archive that is pushed into it.
pub(crate) struct Walker<'l> {
    limits: &'l Limits,
    state: State,
    /// Bytes taken so far.
    position: u64,
    block: [u8; BLOCK],
    filled: usize,
    /// Bytes of data that are still to come in this state, and the padding behind them.
    remaining: u64,
    padding: u64,
    meta: Vec<u8>,
    pending: Pending,
    current: Current,
    is_wanted: bool,
    content: Content,
    entries: u64,
}

impl<'l> Walker<'l> {
    pub(crate) fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            state: State::Header,
            position: 0,
            block: [0; BLOCK],
            filled: 0,
            remaining: 0,
            padding: 0,
            meta: Vec::new(),
            pending: Pending::default(),
            current: Current::default(),
            is_wanted: false,
            content: Content::default(),
            entries: 0,
        }
    }

    /// Members seen so far.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Whether the end-of-archive marker was seen; whatever follows it is of no meaning.
    pub(crate) fn has_ended(&self) -> bool {
        self.state == State::End
    }

    /// Bytes that may be left out with [`skip`](Self::skip) instead of being fed: first those of data, whose
    /// absence is an error, then those of padding, whose absence is not.
    pub(crate) fn skippable(&self) -> (u64, u64) {
        match self.state {
            State::Data if !self.is_wanted => (self.remaining, self.padding),
            State::Padding => (0, self.padding),
            _ => (0, 0),
        }
    }

    /// Leaves out all that [`skippable`](Self::skippable) counts.
    pub(crate) fn skip(&mut self) {
        let (data, padding) = self.skippable();
        if data + padding > 0 {
            self.position += data + padding;
            self.state = State::Header;
        }
    }

    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, mut chunk: &[u8], sink: &mut dyn Sink) -> Result<(), TarError> {
        while !chunk.is_empty() {
            let used = self.step(chunk, sink)?;
            chunk = &chunk[used..];
        }
        Ok(())
    }

    /// Says that there are no more bytes. Go takes an archive without end marker, or one that is cut in the
    /// padding of its last member, for complete.
    pub(crate) fn finish(&self) -> Result<(), TarError> {
        match self.state {
            State::Header | State::SecondZero if self.filled == 0 => Ok(()),
            State::Padding | State::End => Ok(()),
            _ => Err(self.malformed("it is cut short")),
        }
    }

    fn malformed(&self, reason: &'static str) -> TarError {
        TarError::Malformed { offset: self.position, reason }
    }

    /// Takes some of the chunk, at least one byte, and says how many.
    fn step(&mut self, chunk: &[u8], sink: &mut dyn Sink) -> Result<usize, TarError> {
        let part = |count: u64| usize::try_from(count).unwrap_or(usize::MAX).min(chunk.len());
        let used = match self.state {
            State::End => chunk.len(),
            State::Padding => part(self.padding),
            State::Data | State::Meta(_) => part(self.remaining),
            State::Header | State::SecondZero | State::SparseExtension | State::SparseMap => {
                return self.step_block(chunk, sink);
            }
        };
        self.position += used as u64;
        match self.state {
            State::Padding => self.padding -= used as u64,
            State::Data => {
                self.take_data(&chunk[..used], sink)?;
                self.remaining -= used as u64;
            }
            State::Meta(_) => {
                self.meta.extend_from_slice(&chunk[..used]);
                self.remaining -= used as u64;
            }
            _ => {}
        }
        self.settle(sink)?;
        Ok(used)
    }

    /// Like [`step`](Self::step), for states that look at whole blocks; takes them in place if it can.
    fn step_block(&mut self, chunk: &[u8], sink: &mut dyn Sink) -> Result<usize, TarError> {
        if self.filled == 0
            && let Some(block) = chunk.first_chunk::<BLOCK>()
        {
            self.take_block(block, sink)?;
            return Ok(BLOCK);
        }
        let used = chunk.len().min(BLOCK - self.filled);
        self.block[self.filled..self.filled + used].copy_from_slice(&chunk[..used]);
        self.filled += used;
        if self.filled == BLOCK {
            self.filled = 0;
            let block = self.block;
            self.take_block(&block, sink)?;
        }
        Ok(used)
    }

    fn take_block(&mut self, block: &[u8; BLOCK], sink: &mut dyn Sink) -> Result<(), TarError> {
        match self.state {
            State::Header | State::SecondZero => {
                let is_zero = block.iter().all(|&byte| byte == 0);
                match (self.state, is_zero) {
                    (State::Header, true) => self.state = State::SecondZero,
                    (_, true) => self.state = State::End,
                    (State::SecondZero, false) => {
                        return Err(self.malformed("a block of zeros stands before a header"));
                    }
                    (_, false) => {
                        let header = Header::parse(block).map_err(|reason| self.malformed(reason))?;
                        self.position += BLOCK as u64;
                        self.take_header(&header, block, sink)?;
                        return self.settle(sink);
                    }
                }
            }
            State::SparseExtension => self.take_sparse_extension(block, sink)?,
            State::SparseMap => {
                if self.remaining < BLOCK as u64 {
                    return Err(self.malformed("a sparse map does not end within its file"));
                }
                self.remaining -= BLOCK as u64;
                let limit = self.limits.extended_header_bytes;
                let regions = self.current.map_reader.take(block, limit);
                if let Some(regions) = regions.map_err(|reason| self.malformed(reason))? {
                    self.position += BLOCK as u64;
                    self.current.map_reader = MapReader::default();
                    self.current.regions = regions;
                    self.begin_sparse(sink)?;
                    return self.settle(sink);
                }
            }
            State::Meta(_) | State::Data | State::Padding | State::End => {}
        }
        self.position += BLOCK as u64;
        self.settle(sink)
    }

    fn take_header(
        &mut self,
        header: &Header<'_>,
        block: &[u8; BLOCK],
        sink: &mut dyn Sink,
    ) -> Result<(), TarError> {
        if matches!(header.type_flag, b'L' | b'K' | b'x' | b'g') {
            let limit = self.limits.extended_header_bytes as u64;
            if header.size > limit {
                return Err(TarError::Limit { what: "bytes of an extended header or long name", limit });
            }
            self.meta.clear();
            self.start_data(header.size);
            self.state = State::Meta(header.type_flag);
            return Ok(());
        }
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(TarError::Limit { what: "entries", limit: self.limits.entries });
        }
        let records = self.name_current(header);
        let has_data = !Header::is_header_only(header.type_flag);
        let size = records.size.unwrap_or(header.size);
        self.current.size = if has_data { size } else { 0 };
        self.start_data(self.current.size);
        if header.type_flag == b'S' {
            return self.take_old_sparse(header, block, sink);
        }
        match records.sparse.kind(self.limits.sparse_regions).map_err(|reason| self.malformed(reason))? {
            SparseKind::None => self.begin(None, sink)?,
            SparseKind::InRecords(_) | SparseKind::InData if !has_data => {
                return Err(self.malformed("a member without data is marked as a sparse file"));
            }
            kind => {
                let (name, size) = records.sparse.name_and_size().map_err(|reason| self.malformed(reason))?;
                if let Some(name) = name {
                    self.current.name = name.to_vec();
                }
                self.current.size = size.unwrap_or(self.current.size);
                if let SparseKind::InRecords(regions) = kind {
                    self.current.regions = regions;
                    return self.begin_sparse(sink);
                }
                self.state = State::SparseMap;
            }
        }
        Ok(())
    }

    /// Gives the current member its names and type; what stood before it is used up.
    fn name_current(&mut self, header: &Header<'_>) -> Records {
        let pending = std::mem::take(&mut self.pending);
        let mut records = pending.records.unwrap_or_default();
        let current = &mut self.current;
        current.name.clear();
        current.link.clear();
        if !pending.long_name.is_empty() {
            current.name = pending.long_name;
        } else if let Some(path) = records.path.take() {
            current.name = path;
        } else {
            if !header.prefix.is_empty() {
                current.name.extend_from_slice(header.prefix);
                current.name.push(b'/');
            }
            current.name.extend_from_slice(header.name);
        }
        if !pending.long_link.is_empty() {
            current.link = pending.long_link;
        } else if let Some(path) = records.link_path.take() {
            current.link = path;
        } else {
            current.link.extend_from_slice(header.link);
        }
        current.type_flag = match header.type_flag {
            // Only the oldest archives say "directory" with a slash; in others it is cleaned away.
            0 if current.name.ends_with(b"/") => b'5',
            0 | b'7' | b'S' => b'0',
            other => other,
        };
        records
    }

    fn start_data(&mut self, size: u64) {
        self.remaining = size;
        self.padding = padding(size);
    }

    fn take_old_sparse(
        &mut self,
        header: &Header<'_>,
        block: &[u8; BLOCK],
        sink: &mut dyn Sink,
    ) -> Result<(), TarError> {
        if header.format != Format::Gnu {
            return Err(self.malformed("a sparse file is in a dialect that no reader knows"));
        }
        let size = header::number(&block[483..495]).and_then(|size| u64::try_from(size).ok());
        self.current.size = size.ok_or_else(|| self.malformed("a sparse file's size is no number"))?;
        self.current.regions.clear();
        self.current.sparse_bytes = 0;
        self.take_sparse_table(block, false, sink)
    }

    fn take_sparse_extension(&mut self, block: &[u8; BLOCK], sink: &mut dyn Sink) -> Result<(), TarError> {
        self.current.sparse_bytes += BLOCK;
        if self.current.sparse_bytes > self.limits.extended_header_bytes {
            return Err(self.malformed("a sparse map is longer than readers accept"));
        }
        self.take_sparse_table(block, true, sink)
    }

    fn take_sparse_table(
        &mut self,
        block: &[u8; BLOCK],
        is_extension: bool,
        sink: &mut dyn Sink,
    ) -> Result<(), TarError> {
        let more = sparse::take_old_gnu(block, is_extension, &mut self.current.regions);
        if more.map_err(|reason| self.malformed(reason))? {
            self.state = State::SparseExtension;
            return Ok(());
        }
        self.begin_sparse(sink)
    }

    fn begin_sparse(&mut self, sink: &mut dyn Sink) -> Result<(), TarError> {
        let map = SparseMap::new(&self.current.regions, self.current.size, self.remaining);
        self.current.regions = Vec::new();
        let map = map.map_err(|reason| self.malformed(reason))?;
        self.begin(Some(&map), sink)
    }

    /// Tells the sink of the current member and prepares for its stored bytes.
    fn begin(&mut self, sparse: Option<&SparseMap>, sink: &mut dyn Sink) -> Result<(), TarError> {
        let current = &self.current;
        let is_file = current.type_flag == b'0';
        let interest = sink.member(&Member {
            name: &current.name,
            link: &current.link,
            type_flag: current.type_flag,
            size: current.size,
            data_offset: self.position,
            is_sparse: sparse.is_some(),
        });
        self.state = State::Data;
        self.is_wanted = false;
        let (limit_bytes, in_pieces) = match interest {
            Interest::Read { limit_bytes } if is_file => (limit_bytes, false),
            Interest::ReadInPieces { limit_bytes } if is_file => (limit_bytes, true),
            _ => return Ok(()),
        };
        if current.size > limit_bytes {
            sink.content(FileContent::TooLarge { size_bytes: current.size, limit_bytes });
            return Ok(());
        }
        self.is_wanted = true;
        self.content.begin(sparse, in_pieces && current.size > self.limits.spool_above_bytes)?;
        Ok(())
    }

    /// Keeps stored bytes of a wanted file.
    fn take_data(&mut self, data: &[u8], sink: &mut dyn Sink) -> Result<(), TarError> {
        if !self.is_wanted {
            return Ok(());
        }
        if data.len() as u64 == self.current.size && self.content.is_fresh() {
            // The whole of it is here: hand it over in place.
            self.is_wanted = false;
            sink.content(FileContent::Bytes(data));
            return Ok(());
        }
        Ok(self.content.take(data)?)
    }

    /// Leaves states that nothing more is to come in.
    fn settle(&mut self, sink: &mut dyn Sink) -> Result<(), TarError> {
        if self.remaining == 0 {
            match self.state {
                State::Meta(kind) => {
                    self.take_meta(kind)?;
                    self.state = State::Padding;
                }
                State::Data => {
                    if std::mem::take(&mut self.is_wanted) {
                        sink.content(self.content.finish(self.current.size)?);
                        self.content.release();
                    }
                    self.state = State::Padding;
                }
                _ => {}
            }
        }
        if self.state == State::Padding && self.padding == 0 {
            self.state = State::Header;
        }
        Ok(())
    }

    fn take_meta(&mut self, kind: u8) -> Result<(), TarError> {
        match kind {
            b'L' => self.pending.long_name = header::text(&self.meta).to_vec(),
            b'K' => self.pending.long_link = header::text(&self.meta).to_vec(),
            _ => {
                let records = Records::parse(&self.meta).map_err(|reason| self.malformed(reason))?;
                // Runtimes ignore global headers; that one forgets what stood before it is Go's way.
                self.pending = match kind {
                    b'g' => Pending::default(),
                    _ => Pending { records: Some(records), ..std::mem::take(&mut self.pending) },
                };
            }
        }
        Ok(())
    }
}
