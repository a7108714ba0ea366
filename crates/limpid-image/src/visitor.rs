//! What a reader of layers is told, and what it answers.

use std::fs::File;

/// An entry of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Where it is: no leading `/` or `./`, no `.`, `..` or empty parts, bytes that are not UTF-8 replaced.
    /// Of a whiteout: what it hides. Of an opaque marker: the directory, empty for the root.
    pub path: &'a str,
    /// What it is.
    pub kind: EntryKind<'a>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind<'a> {
    /// A regular file.
    File {
        /// Bytes of its content, holes included.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link and its target as written.
    Symlink(&'a str),
    /// A hard link to a path of the tree, normalised as [`Entry::path`] is.
    Hardlink(&'a str),
    /// `.wh.NAME`: hides what lower layers have at the path.
    Whiteout,
    /// `.wh..wh..opq`: hides what lower layers have in the directory.
    Opaque,
    /// A device, a fifo, aufs's own files.
    Other,
}

/// What a visitor wants of an entry. Only the content of files can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Nothing more.
    Skip,
    /// Its content, if that is not larger than the limit.
    Read {
        /// Bytes that the visitor is ready to have in memory.
        limit_bytes: u64,
    },
    /// Its content, if that is not larger than the limit; a large one in a file ([`FileContent::Spooled`]).
    ReadInPieces {
        /// Bytes that the visitor is ready to have on disk.
        limit_bytes: u64,
    },
}

/// The content of a file that a visitor asked for.
#[derive(Debug, Clone, Copy)]
pub enum FileContent<'a> {
    /// All of it.
    Bytes(&'a [u8]),
    /// All of it, in a file that is gone after the call. For visitors that read in pieces.
    Spooled {
        /// Open for reading, its position anywhere.
        file: &'a File,
        /// Its size.
        size_bytes: u64,
    },
    /// Too much of it.
    TooLarge {
        /// Its size.
        size_bytes: u64,
        /// The limit that was given.
        limit_bytes: u64,
    },
}

/// Sees a layer go by. Calls come in the order of the archive; paths may repeat, the last one counts.
///
/// If reading ends in an error, whatever the visitor was given before is of no use: the layer's bytes were
/// not verified.
pub trait LayerVisitor {
    /// An entry; the answer says whether [`file`](Self::file) follows.
    fn entry(&mut self, entry: &Entry<'_>) -> Interest;

    /// The content of the file that was the last entry, if the visitor asked for it.
    fn file(&mut self, path: &str, content: FileContent<'_>);

    /// Something that could not be read; `path` is empty if it is the layer as a whole.
    fn problem(&mut self, path: &str, reason: String);
}
