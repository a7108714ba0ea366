//! The contract between extractors and those who run them.

use limpid_model::{FileOwner, Package, PackageType, Record};

use crate::read_at::ReadAt;

/// Reads one kind of file.
///
/// The record must follow from the bytes alone: a hard link to a file that was read takes over its record, so
/// two paths whose bytes mean different things belong to two extractors. `path` is there for messages.
pub trait Extractor: Send + Sync {
    /// Its name, unique, as findings and coverage show it.
    fn name(&self) -> &'static str;

    /// Raised whenever the output would change for the same bytes.
    fn version(&self) -> u32;

    /// The most bytes of one file that it reads; a longer file is reported as unreadable.
    fn limit(&self) -> u64;

    /// Whether it reads this (normalised) path whatever composition says. Cheap, no I/O.
    fn reads(&self, path: &str) -> bool;

    /// Where the ecosystem's own tools look: what composition resolves through the links of all layers.
    fn anchors(&self) -> &'static [Anchor];

    /// A name that it reads in the directories among its anchors: by it composition finds out whether it reads the
    /// directory that a link leads to.
    fn sample_name(&self) -> &'static str {
        "x"
    }

    /// What the file says.
    fn extract(&self, path: &str, content: &[u8]) -> Result<Extracted, ExtractError>;

    /// Whether it reads its files in pieces, so that a large one need not be in memory:
    /// [`extract_in_pieces`](Self::extract_in_pieces) is called then, and `extract` never.
    fn reads_in_pieces(&self) -> bool {
        false
    }

    /// What the file says, read in pieces.
    fn extract_in_pieces(&self, path: &str, content: &dyn ReadAt) -> Result<Extracted, ExtractError> {
        let length = usize::try_from(content.size_bytes().min(self.limit())).unwrap_or_default();
        let mut bytes = vec![0; length];
        content.read_exact_at(0, &mut bytes).map_err(|error| ExtractError::Damaged(error.to_string()))?;
        self.extract(path, &bytes)
    }

    /// The extractors whose file in the same directory takes the place of this one's if it lists any package: the
    /// ecosystem's own tools would then not look at this one.
    fn superseded_by(&self) -> &'static [&'static str] {
        &[]
    }

    /// Completes a package by where its file lies in the image, for databases whose directories carry a part of
    /// what they say. Composition asks, once it knows where the file stands.
    fn complete(&self, _path: &str, _package: &mut Package) {}

    /// Whether its files only list which files packages brought. Composition asks for them when somebody wants
    /// to know an owner, and not before.
    fn lists_files_only(&self) -> bool {
        false
    }

    /// Whose files the file at `path` lists, where its owners carry no name.
    fn lists_files_of(&self, _path: &str) -> Option<ListedFor> {
        None
    }

    /// The most bytes to read if it wants this path.
    fn wants(&self, path: &str) -> Option<u64> {
        self.reads(path).then(|| self.limit())
    }
}

/// A place where an ecosystem's own tools look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Anchor {
    /// This file.
    File(&'static str),
    /// Every file directly in this directory (that the extractor reads).
    Directory(&'static str),
    /// Every file of this name that many directories below this directory (`var/db/pkg`, 2, `PF`).
    Below(&'static str, usize, &'static str),
}

/// Whose files a file lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedFor {
    /// The package of this kind and name, and of this architecture if it is not empty.
    Package {
        /// Its kind.
        kind: PackageType,
        /// The package's name.
        name: String,
        /// Its architecture; empty for whichever is installed.
        arch: String,
    },
    /// The package that the file at this path lists.
    PackageIn(String),
}

impl Anchor {
    /// The file's or directory's path, normalised.
    pub const fn path(self) -> &'static str {
        match self {
            Self::File(path) | Self::Directory(path) | Self::Below(path, ..) => path,
        }
    }

    /// Whether a path is the anchor's file or lies where it says, in its directory.
    pub fn covers(self, path: &str) -> bool {
        match self {
            Self::File(file) => path == file,
            Self::Directory(directory) => {
                path.rsplit_once('/').is_some_and(|(parent, _)| parent == directory)
            }
            Self::Below(directory, levels, file) => path
                .strip_prefix(directory)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|rest| is_below(rest, levels, file)),
        }
    }
}

/// Whether a relative path is `levels` directories and then `file`.
fn is_below(path: &str, levels: usize, file: &str) -> bool {
    path.split('/').count() == levels + 1 && path.rsplit('/').next() == Some(file)
}

/// Whether a path ends with one of `directories`, then `levels` directories of any name, then `file`: for
/// databases that lie in one directory a package.
pub(crate) fn is_in_database(path: &str, directories: &[&str], levels: usize, file: &str) -> bool {
    let mut rest = path;
    if rest.rsplit('/').next() != Some(file) {
        return false;
    }
    for _ in 0..=levels {
        let Some((parent, _)) = rest.rsplit_once('/') else { return false };
        rest = parent;
    }
    directories.iter().any(|directory| {
        rest.strip_suffix(directory).is_some_and(|before| before.is_empty() || before.ends_with('/'))
    })
}

/// What an extractor made of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// The facts.
    pub record: Record,
    /// Which package put which files there, where the file says so.
    pub owners: Vec<FileOwner>,
    /// Parts of the file that could not be read (a bad stanza), one sentence each; few.
    pub problems: Vec<String>,
}

impl From<Record> for Extracted {
    fn from(record: Record) -> Self {
        Self { record, owners: Vec::new(), problems: Vec::new() }
    }
}

/// Why a file yields nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// The file does not look like what its path promises.
    #[error("the file is not {0}")]
    Unrecognised(&'static str),
    /// The file is what its path promises, and so damaged that nothing of it can be read.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// The file says something that its extractor cannot read; what, and what follows from it.
    #[error("{0}")]
    NotRead(&'static str),
}

/// How many problems of one file are told one by one.
const PROBLEMS_PER_FILE: usize = 20;

/// Collects the problems of one file; beyond a few they are only counted.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    told: Vec<String>,
    untold: usize,
}

impl Problems {
    pub(crate) fn push(&mut self, problem: impl FnOnce() -> String) {
        if self.told.len() < PROBLEMS_PER_FILE {
            self.told.push(problem());
        } else {
            self.untold += 1;
        }
    }

    pub(crate) fn into_vec(mut self) -> Vec<String> {
        if self.untold > 0 {
            self.told.push(format!("{} more problems of this kind", self.untold));
        }
        self.told
    }
}

/// The beginning of a text from a file, fit for a message: short, without control characters.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
