//! Archives that hold images: an index of their members, which are then read in place.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::compression::{Compression, Decoded};
use crate::tar::{Member, Sink, TarError, Walker, clean_path};
use crate::visitor::{FileContent, Interest};
use crate::{Error, Limits};

/// Links from member to member that are followed.
const LINKS_MAX: usize = 8;
/// The name of standard input.
const STANDARD_INPUT: &str = "-";

/// An archive whose members can be read in any order, from several threads at once.
#[derive(Debug, Clone)]
pub(crate) struct Archive {
    name: String,
    file: Arc<File>,
    members: Arc<HashMap<String, Place>>,
}

#[derive(Debug, Clone)]
enum Place {
    Stored { offset: u64, size: u64 },
    Link(String),
}

impl Archive {
    /// Opens the archive and lists its members. One that is compressed is decompressed to a temporary file
    /// without a name, since its members come in any order, and so is one that cannot be read in any order:
    /// standard input, a pipe.
    pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Self, Error> {
        let is_input = path == Path::new(STANDARD_INPUT);
        let name = if is_input { "standard input".to_owned() } else { path.display().to_string() };
        let io = |error| Error::io(name.as_str(), error);
        let mut file = if is_input {
            spool(Decoded::new(std::io::stdin().lock(), &name, limits)?)?
        } else {
            File::open(path).map_err(io)?
        };
        if !is_input {
            let is_file = file.metadata().map_err(io)?.is_file();
            let decoded = Decoded::new(&mut file, &name, limits)?;
            if !is_file || decoded.compression() != Compression::None {
                file = spool(decoded)?;
            }
        }
        let members = list(&mut file, &name, limits)?;
        Ok(Self { name, file: Arc::new(file), members: Arc::new(members) })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A member's content and its size.
    pub(crate) fn member(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), Error> {
        let mut path = path.to_owned();
        for _ in 0..LINKS_MAX {
            match self.members.get(&path) {
                Some(Place::Stored { offset, size }) => {
                    let slice = Slice { file: Arc::clone(&self.file), position: *offset, end: offset + size };
                    return Ok((Box::new(slice), *size));
                }
                Some(Place::Link(target)) => path.clone_from(target),
                None => break,
            }
        }
        Err(Error::not_found(format!("{path} in {}", self.name)))
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.members.contains_key(path)
    }
}

/// Whether there is an archive of this name.
pub(crate) fn exists(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT) || std::fs::metadata(path).is_ok_and(|found| !found.is_dir())
}

/// Writes all that comes to a temporary file without a name.
fn spool(mut decoded: Decoded<impl Read>) -> Result<File, Error> {
    let failed = |error| Error::io("a temporary file", error);
    let mut spooled = tempfile::tempfile().map_err(failed)?;
    loop {
        let chunk = decoded.fill()?;
        if chunk.is_empty() {
            return Ok(spooled);
        }
        spooled.write_all(chunk).map_err(failed)?;
    }
}

/// A part of a file, read without moving the file's own position.
struct Slice {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl Read for Slice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let part = left.min(buffer.len());
        let read = self.file.read_at(&mut buffer[..part], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

fn list(file: &mut File, name: &str, limits: &Limits) -> Result<HashMap<String, Place>, Error> {
    let io = |error| Error::io(name, error);
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let limits = Limits { entries: limits.archive_entries, ..limits.clone() };
    let mut walker = Walker::new(&limits);
    let mut members = Members { places: HashMap::new(), path_bytes: limits.path_bytes };
    let mut buffer = vec![0; 64 << 10];
    let mut position = 0;
    let broken = |error| match error {
        TarError::Malformed { offset, reason } => {
            Error::malformed(name, format!("the archive breaks at byte {offset}: {reason}"))
        }
        TarError::Limit { what, limit } => Error::limit(name, format!("{limit} {what}")),
        TarError::Spool(error) => Error::io("a temporary file", error),
    };
    while !walker.has_ended() {
        // Members' contents are stepped over, not read.
        let (data, padding) = walker.skippable();
        if data > 0 && position + data <= size {
            walker.skip();
            position += data + padding;
        }
        let read = file.read_at(&mut buffer, position).map_err(io)?;
        if read == 0 {
            break;
        }
        // A header at a time, so that the content behind it can be stepped over.
        let used = read.min(crate::tar::BLOCK);
        walker.feed(&buffer[..used], &mut members).map_err(broken)?;
        position += used as u64;
    }
    // What is missing behind the cut must not be taken for what was never there.
    walker.finish().map_err(broken)?;
    Ok(members.places)
}

struct Members {
    places: HashMap<String, Place>,
    path_bytes: usize,
}

impl Sink for Members {
    fn member(&mut self, member: &Member<'_>) -> Interest {
        let mut path = String::new();
        clean_path(member.name, self.path_bytes, &mut path);
        let place = match member.type_flag {
            b'0' if !member.is_sparse => Place::Stored { offset: member.data_offset, size: member.size },
            b'1' => {
                let mut target = String::new();
                clean_path(member.link, self.path_bytes, &mut target);
                Place::Link(target)
            }
            b'2' => {
                // Relative to the folder that the link is in.
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let joined = [folder.as_bytes(), b"/", member.link].concat();
                let mut target = String::new();
                clean_path(&joined, self.path_bytes, &mut target);
                Place::Link(target)
            }
            _ => return Interest::Skip,
        };
        self.places.insert(path, place);
        Interest::Skip
    }

    fn content(&mut self, _: FileContent<'_>) {}
}
