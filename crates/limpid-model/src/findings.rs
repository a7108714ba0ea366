//! What one layer says, taken by itself: the first memo table (layer digest × extractor versions → findings).
//!
//! Findings know nothing of parents: links are unresolved and whiteouts unapplied. Composition folds them.

use serde::{Deserialize, Serialize};

use crate::{Distribution, Package};

/// Everything that was kept of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LayerFindings {
    /// Which extractors ran, in which version; sorted by name. Findings of an older version are stale.
    pub extractors: Vec<ExtractorVersion>,
    /// The tree entries that later questions need, in the order of the archive.
    pub entries: Vec<TreeEntry>,
    /// What extractors read, sorted by path and extractor.
    pub records: Vec<FileRecord>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// An extractor's name and version, the key of what it found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExtractorVersion {
    /// The extractor's name (`dpkg`, `os-release`).
    pub name: String,
    /// Raised whenever its output would change for the same bytes.
    pub version: u32,
}

/// An entry of the layer's tree. Paths are normalised: no leading `/` or `./`, no `.`, `..` or empty parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TreeEntry {
    /// Where it is. Of a whiteout: what it hides; of an opaque marker: the directory.
    pub path: String,
    /// What it is.
    pub kind: TreeEntryKind,
}

/// What a tree entry is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TreeEntryKind {
    /// A file that an extractor read or that could shadow something of interest.
    File,
    /// A directory that could replace a link or file of interest.
    Directory,
    /// A symbolic link and its target, as written.
    Symlink(String),
    /// A hard link to a path of the tree, normalised.
    Hardlink(String),
    /// The path is hidden: nothing of lower layers shows there.
    Whiteout,
    /// The directory is opaque: nothing of lower layers shows in it.
    Opaque,
}

/// What an extractor made of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The file's path in this layer, normalised.
    pub path: String,
    /// The extractor's name.
    pub extractor: String,
    /// What the file says.
    pub record: Record,
    /// Which package put which files there, where the file says so.
    pub owners: Vec<FileOwner>,
}

/// The files of one package that something else could claim to have brought (see
/// `limpid_extract::ownership`): by hash, since only the question "who owns this path?" is ever asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileOwner {
    /// Name of the package, empty if the database names its files after its packages (dpkg's `NAME.list`).
    pub package: String,
    /// Hashes of the paths, sorted.
    pub paths: Vec<u64>,
}

/// The facts of a file.
///
/// Stored results hold the position in this list: new kinds go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Record {
    /// The file names a distribution; a file of lower precedence may name it too.
    Distribution(Distribution),
    /// The file is a package database and lists these as installed, sorted.
    Packages(Vec<Package>),
    /// The file could not be read; the reason is in the layer's problems. Whatever a lower layer's file of
    /// the same path said is gone all the same.
    Unreadable,
    /// The file names repositories that the image's packages come from (Red Hat's content sets), sorted.
    Repositories(Vec<String>),
    /// The file says which repository each package came from: (package as the file names it, repository), sorted.
    Origins(Vec<(String, String)>),
    /// The file says only which files a package brought: see the owners beside it.
    Files,
}

/// Something that could not be read, for the report's coverage block.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Problem {
    /// The file, or empty if it is the layer as a whole.
    pub path: String,
    /// One sentence.
    pub reason: String,
}
