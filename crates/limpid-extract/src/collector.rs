//! Collects the findings of one layer, driven by whoever walks it.
//!
//! Kept are the records of the files that extractors read, and of the tree what later questions need: every
//! link, whiteout and opaque marker, and the files and directories that could shadow or replace something on the
//! way to where an ecosystem's tools look.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use limpid_model::{
    ExtractorVersion, FileOwner, FileRecord, LayerFindings, Problem, Record, TreeEntry, TreeEntryKind,
};

use crate::extractor::{Anchor, ExtractError, Extracted, Extractor};
use crate::read_at::ReadAt;

/// Tree entries that are kept of one layer. Real layers have some ten thousand links; each entry costs up to two
/// paths.
const ENTRIES_MAX: usize = 1_000_000;

/// Directories that only layers for Windows have: Windows is told by them.
pub const WINDOWS_DIRECTORIES: [&str; 2] = ["Files/Windows", "UtilityVM"];

/// An entry of a layer, as a walker sees it. Hard link targets are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind<'a> {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link and its target as written.
    Symlink(&'a str),
    /// A hard link and its target.
    Hardlink(&'a str),
    /// The path is hidden.
    Whiteout,
    /// The directory is opaque.
    Opaque,
    /// A device, a pipe and the like.
    Other,
}

/// A file to read whatever extractors want: composition found a link that leads to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The file's path, or with a `/` at the end the directory whose files are meant.
    pub path: String,
    /// The extractor that is to read it.
    pub extractor: String,
}

/// Whether the extractor would read a file of this name in a directory of its own.
fn reads_in_directory(extractor: &dyn Extractor, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    extractor.anchors().iter().any(|anchor| match anchor {
        Anchor::Directory(directory) => extractor.reads(&format!("{directory}/{name}")),
        Anchor::File(_) | Anchor::Below(..) => false,
    })
}

impl Target {
    fn covers(&self, path: &str) -> bool {
        match self.path.strip_suffix('/') {
            Some(directory) => path.rsplit_once('/').is_some_and(|(parent, _)| parent == directory),
            None => self.path == path,
        }
    }
}

/// What is wanted of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// How many at most.
    pub limit_bytes: u64,
    /// Whether they are read in pieces, so that a large file may be handed over with
    /// [`LayerCollector::content_in_pieces`].
    pub in_pieces: bool,
}

/// Collects one layer's findings.
pub struct LayerCollector<'a> {
    extractors: &'a [&'a dyn Extractor],
    targets: &'a [Target],
    shadowing: Shadowing,
    entries: Vec<Option<TreeEntry>>,
    /// Where a path's entry stands: a later entry of the same path takes its place.
    places: HashMap<String, usize>,
    records: BTreeMap<(String, String), (Record, Vec<FileOwner>)>,
    problems: BTreeSet<Problem>,
    dropped: u64,
}

impl<'a> LayerCollector<'a> {
    /// A collector that has seen nothing.
    pub fn new(extractors: &'a [&'a dyn Extractor], targets: &'a [Target]) -> Self {
        Self {
            extractors,
            targets,
            shadowing: Shadowing::new(extractors),
            entries: Vec::new(),
            places: HashMap::new(),
            records: BTreeMap::new(),
            problems: BTreeSet::new(),
            dropped: 0,
        }
    }

    /// The next entry of the layer. If its bytes are wanted, [`content`](Self::content),
    /// [`content_in_pieces`](Self::content_in_pieces) or [`too_large`](Self::too_large) must follow before
    /// the next entry.
    pub fn entry(&mut self, path: &str, kind: EntryKind<'_>) -> Option<Wanted> {
        self.forget_records(path, kind);
        let limit = self.wanting(path).map(|extractor| extractor.limit()).max();
        let in_pieces = limit.is_some() && self.wanting(path).all(|extractor| extractor.reads_in_pieces());
        match kind {
            EntryKind::Symlink(target) => self.keep(path, TreeEntryKind::Symlink(target.to_owned())),
            EntryKind::Whiteout => self.keep(path, TreeEntryKind::Whiteout),
            EntryKind::Opaque => self.keep(path, TreeEntryKind::Opaque),
            EntryKind::Hardlink(target) => {
                if limit.is_some() || self.wanting(target).next().is_some() || self.shadowing.by_file(path) {
                    self.keep(path, TreeEntryKind::Hardlink(target.to_owned()));
                }
            }
            EntryKind::Directory => {
                if self.shadowing.by_directory(path) {
                    self.keep(path, TreeEntryKind::Directory);
                }
            }
            EntryKind::File => {
                if limit.is_some() || self.shadowing.by_file(path) {
                    self.keep(path, TreeEntryKind::File);
                }
                return limit.map(|limit_bytes| Wanted { limit_bytes, in_pieces });
            }
            EntryKind::Other => {
                if limit.is_some() || self.shadowing.by_file(path) {
                    self.keep(path, TreeEntryKind::File);
                    self.unreadable(path, "it is no regular file".to_owned());
                }
            }
        }
        None
    }

    /// The bytes of the last entry.
    pub fn content(&mut self, path: &str, bytes: &[u8]) {
        self.extract(path, bytes.len() as u64, |extractor| {
            if extractor.reads_in_pieces() {
                extractor.extract_in_pieces(path, &bytes)
            } else {
                extractor.extract(path, bytes)
            }
        });
    }

    /// The last entry, from where its bytes can be read.
    pub fn content_in_pieces(&mut self, path: &str, content: &dyn ReadAt) {
        self.extract(path, content.size_bytes(), |extractor| extractor.extract_in_pieces(path, content));
    }

    fn extract(
        &mut self,
        path: &str,
        size_bytes: u64,
        extract: impl Fn(&dyn Extractor) -> Result<Extracted, ExtractError>,
    ) {
        let wanting: Vec<&dyn Extractor> = self.wanting(path).collect();
        for extractor in wanting {
            let read = if size_bytes > extractor.limit() {
                self.problem(path, format!("it has more than {} bytes", extractor.limit()));
                (Record::Unreadable, Vec::new())
            } else {
                match extract(extractor) {
                    Ok(extracted) => {
                        for reason in extracted.problems {
                            self.problem(path, reason);
                        }
                        (extracted.record, extracted.owners)
                    }
                    Err(error) => {
                        self.problem(path, error.to_string());
                        (Record::Unreadable, Vec::new())
                    }
                }
            };
            // A list of files that nobody could claim says nothing; that it is there is kept as an entry.
            if read.0 != Record::Files || !read.1.is_empty() {
                self.records.insert((path.to_owned(), extractor.name().to_owned()), read);
            }
        }
    }

    /// The last entry has more bytes than were wanted.
    pub fn too_large(&mut self, path: &str, size_bytes: u64, limit_bytes: u64) {
        self.unreadable(path, format!("it has {size_bytes} bytes, at most {limit_bytes} are read"));
    }

    /// Something that the walker could not read.
    pub fn problem(&mut self, path: &str, reason: String) {
        self.problems.insert(Problem { path: path.to_owned(), reason });
    }

    /// Files that were passed by and that a later hard link at a wanted path turns out to mean. The layer is
    /// to be walked once more with these as targets.
    pub fn unresolved_hardlinks(&self) -> Vec<Target> {
        let mut unresolved = BTreeSet::new();
        for entry in self.entries.iter().flatten() {
            let TreeEntryKind::Hardlink(target) = &entry.kind else { continue };
            for extractor in self.wanting(&entry.path) {
                let read = self.records.contains_key(&(target.clone(), extractor.name().to_owned()));
                // Its target may be another link of the layer, or of a lower one; composition finds out.
                if !read && !self.places.contains_key(target) {
                    unresolved
                        .insert(Target { path: target.clone(), extractor: extractor.name().to_owned() });
                }
            }
        }
        unresolved.into_iter().collect()
    }

    /// What the layer says.
    pub fn finish(mut self) -> LayerFindings {
        if self.dropped > 0 {
            let reason = format!("{} links and markers beyond {ENTRIES_MAX} were left out", self.dropped);
            self.problem("", reason);
        }
        let mut extractors: Vec<ExtractorVersion> = self
            .extractors
            .iter()
            .map(|extractor| ExtractorVersion {
                name: extractor.name().to_owned(),
                version: extractor.version(),
            })
            .collect();
        extractors.sort();
        let records = self.records.into_iter().map(|((path, extractor), (record, owners))| FileRecord {
            path,
            extractor,
            record,
            owners,
        });
        LayerFindings {
            extractors,
            entries: self.entries.into_iter().flatten().collect(),
            records: records.collect(),
            problems: self.problems.into_iter().collect(),
        }
    }

    /// The extractors that are to read a path.
    fn wanting<'s>(&'s self, path: &'s str) -> impl Iterator<Item = &'a dyn Extractor> + 's {
        self.extractors.iter().copied().filter(move |extractor| {
            extractor.reads(path)
                || self.targets.iter().any(|target| {
                    target.extractor == extractor.name()
                        && target.covers(path)
                        && (!target.path.ends_with('/') || reads_in_directory(*extractor, path))
                })
        })
    }

    fn unreadable(&mut self, path: &str, reason: String) {
        self.problem(path, reason);
        let names: Vec<&str> = self.wanting(path).map(|extractor| extractor.name()).collect();
        for name in names {
            self.records.insert((path.to_owned(), name.to_owned()), (Record::Unreadable, Vec::new()));
        }
    }

    /// A path that comes again is another file: what was read of the first is gone.
    fn forget_records(&mut self, path: &str, kind: EntryKind<'_>) {
        let replaces = !matches!(kind, EntryKind::Opaque | EntryKind::Directory);
        if replaces && !self.records.is_empty() && self.places.contains_key(path) {
            self.records.retain(|(known, _), _| known != path);
        }
    }

    fn keep(&mut self, path: &str, kind: TreeEntryKind) {
        // An opaque marker and the directory itself are two statements on one path.
        let key = if kind == TreeEntryKind::Opaque { format!("{path}/") } else { path.to_owned() };
        if let Some(place) = self.places.get(&key) {
            self.entries[*place] = None;
        } else if self.places.len() >= ENTRIES_MAX {
            self.dropped += 1;
            return;
        }
        self.places.insert(key, self.entries.len());
        self.entries.push(Some(TreeEntry { path: path.to_owned(), kind }));
    }
}

/// Which files and directories could stand in the way of what extractors look for.
struct Shadowing {
    /// Anchors and the directories above them.
    ways: BTreeSet<&'static str>,
    /// The directories' own names: links lead to directories of the same name elsewhere.
    names: BTreeSet<&'static str>,
}

impl Shadowing {
    fn new(extractors: &[&dyn Extractor]) -> Self {
        let (mut ways, mut names) = (BTreeSet::new(), BTreeSet::new());
        for anchor in extractors.iter().flat_map(|extractor| extractor.anchors()) {
            let path = anchor.path();
            ways.insert(path);
            ways.extend(path.match_indices('/').map(|(end, _)| &path[..end]));
            let directory = match anchor {
                Anchor::Directory(path) | Anchor::Below(path, ..) => path,
                Anchor::File(path) => path.rsplit_once('/').map_or("", |(directory, _)| directory),
            };
            names.extend(directory.split('/').filter(|name| !name.is_empty()));
        }
        Self { ways, names }
    }

    fn by_directory(&self, path: &str) -> bool {
        WINDOWS_DIRECTORIES.contains(&path)
            || self.ways.contains(path)
            || self.names.contains(path.rsplit('/').next().unwrap_or(path))
    }

    fn by_file(&self, path: &str) -> bool {
        !path.contains('/') || self.by_directory(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EXTRACTORS;

    const STATUS: &[u8] = b"Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n";

    fn collector(targets: &[Target]) -> LayerCollector<'_> {
        LayerCollector::new(EXTRACTORS, targets)
    }

    fn packages(findings: &LayerFindings, path: &str) -> usize {
        let record = findings.records.iter().find(|record| record.path == path).unwrap();
        let Record::Packages(packages) = &record.record else { panic!("{record:?}") };
        packages.len()
    }

    #[test]
    fn wanted_files_are_read_and_others_passed_by() {
        let mut collector = collector(&[]);
        assert_eq!(collector.entry("usr/bin/ls", EntryKind::File), None);
        assert!(collector.entry("var/lib/dpkg/status", EntryKind::File).is_some());
        collector.content("var/lib/dpkg/status", STATUS);
        let findings = collector.finish();
        assert_eq!(packages(&findings, "var/lib/dpkg/status"), 1);
        assert_eq!(findings.entries.len(), 1);
    }

    #[test]
    fn a_hard_link_at_a_wanted_path_asks_for_its_target() {
        let mut first = collector(&[]);
        first.entry("root/status.copy", EntryKind::File);
        first.entry("var/lib/dpkg/status", EntryKind::Hardlink("root/status.copy"));
        let targets = first.unresolved_hardlinks();
        assert_eq!(targets, [Target { path: "root/status.copy".into(), extractor: "dpkg".into() }]);
        let mut second = collector(&targets);
        assert!(second.entry("root/status.copy", EntryKind::File).is_some());
        second.content("root/status.copy", STATUS);
        second.entry("var/lib/dpkg/status", EntryKind::Hardlink("root/status.copy"));
        assert!(second.unresolved_hardlinks().is_empty());
        assert_eq!(packages(&second.finish(), "root/status.copy"), 1);
    }

    #[test]
    fn the_last_of_several_entries_of_a_path_counts() {
        let mut collector = collector(&[]);
        collector.entry("var/lib/dpkg/status", EntryKind::File);
        collector.content("var/lib/dpkg/status", STATUS);
        collector.entry("var/lib/dpkg/status", EntryKind::Symlink("elsewhere"));
        let findings = collector.finish();
        assert!(findings.records.is_empty());
        assert_eq!(findings.entries[0].kind, TreeEntryKind::Symlink("elsewhere".into()));
    }

    #[test]
    fn what_is_too_large_or_no_file_is_said_and_hides_what_was_there() {
        let mut collector = collector(&[]);
        collector.entry("var/lib/dpkg/status", EntryKind::File);
        collector.too_large("var/lib/dpkg/status", 1 << 40, 1 << 28);
        collector.entry("lib/apk/db/installed", EntryKind::Other);
        let findings = collector.finish();
        assert!(findings.records.iter().all(|record| record.record == Record::Unreadable));
        assert_eq!((findings.records.len(), findings.problems.len()), (2, 2));
    }
}
