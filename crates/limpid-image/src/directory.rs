//! `dir:PATH`: a root file system in a directory.
//!
//! Links are reported, never followed, so nothing outside the directory is read; of devices, pipes and sockets
//! only the name is looked at. The one layer is known by a digest over the paths and what was read of them.
//!
//! Of a system that runs, what its kernel has mounted at `proc`, `sys` and `dev` is no file that anybody installed, and
//! is another at each look: these are taken for the empty directories that they are mounted on.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use limpid_model::{Digest, Hasher, ImageMetadata, LayerMetadata};

use crate::compression::Compression;
use crate::image::{Image, LayerContent};
use crate::layer::LayerStats;
use crate::platform;
use crate::tar::ProblemLog;
use crate::{Entry, EntryKind, Error, FileContent, Interest, LayerVisitor, Limits};

pub(crate) struct Directory {
    path: PathBuf,
    metadata: ImageMetadata,
}

/// Opens a directory. Its digests are placeholders until it was walked.
pub(crate) fn open(path: &Path) -> Result<Directory, Error> {
    if !path.is_dir() {
        return Err(Error::not_found(format!("the directory {}", path.display())));
    }
    let placeholder = Digest::of(path.as_os_str().as_encoded_bytes());
    let metadata = ImageMetadata {
        manifest_digest: placeholder,
        config_digest: None,
        platform: platform::host(),
        os_version: String::new(),
        created: String::new(),
        environment: Vec::new(),
        labels: Vec::new(),
        layers: vec![LayerMetadata {
            digest: placeholder,
            diff_id: None,
            size_bytes: 0,
            command: String::new(),
            created: String::new(),
        }],
    };
    Ok(Directory { path: path.to_owned(), metadata })
}

impl Image for Directory {
    fn metadata(&self) -> &ImageMetadata {
        &self.metadata
    }

    fn layer(&self, _: usize) -> Result<LayerContent, Error> {
        Ok(LayerContent::Tree(self.path.clone()))
    }
}

/// Shows the directory to `visitor`, sorted by name, as an archive of it would be shown.
pub(crate) fn walk(
    root: &Path,
    limits: &Limits,
    visitor: &mut dyn LayerVisitor,
) -> Result<LayerStats, Error> {
    let problems = ProblemLog::new(limits);
    let device = fs::metadata(root).map_err(|error| Error::io(root.display().to_string(), error))?.dev();
    let mut walk = Walk { device, limits, visitor, problems, hasher: Hasher::new(), entries: 0, bytes: 0 };
    walk.directory(root, "", 0)?;
    walk.problems.finish(walk.visitor);
    Ok(LayerStats {
        digest: walk.hasher.finish(),
        size_bytes: walk.bytes,
        uncompressed_bytes: walk.bytes,
        entries: walk.entries,
        compression: Compression::None,
    })
}

/// Where a running system has what is its kernel's.
const KERNELS: [&str; 3] = ["dev", "proc", "sys"];

struct Walk<'a> {
    /// The device that the root is on.
    device: u64,
    limits: &'a Limits,
    visitor: &'a mut dyn LayerVisitor,
    problems: ProblemLog,
    hasher: Hasher,
    entries: u64,
    bytes: u64,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Path, prefix: &str, depth: usize) -> Result<(), Error> {
        if depth > self.limits.directory_depth {
            let reason = "directories are nested too deeply; what is below was not read".to_owned();
            self.problems.report(self.visitor, prefix, reason);
            return Ok(());
        }
        let read = fs::read_dir(directory).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let mut entries = match read {
            Ok(entries) => entries,
            // The root itself must be readable; of anything below the report says that it was not.
            Err(error) if prefix.is_empty() => return Err(Error::io(directory.display().to_string(), error)),
            Err(error) => {
                self.problems.report(self.visitor, prefix, format!("the directory cannot be read: {error}"));
                return Ok(());
            }
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(Error::limit(
                    directory.display().to_string(),
                    format!("{} entries", self.limits.entries),
                ));
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let path = if prefix.is_empty() { name.into_owned() } else { format!("{prefix}/{name}") };
            self.entry(&entry.path(), &path, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, real: &Path, path: &str, depth: usize) -> Result<(), Error> {
        let metadata = match fs::symlink_metadata(real) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.problems.report(self.visitor, path, format!("it cannot be looked at: {error}"));
                return Ok(());
            }
        };
        let kind = metadata.file_type();
        self.note(path);
        if kind.is_dir() {
            self.visitor.entry(&Entry { path, kind: EntryKind::Directory });
            if KERNELS.contains(&path) && metadata.dev() != self.device {
                return Ok(());
            }
            return self.directory(real, path, depth + 1);
        }
        if kind.is_symlink() {
            let target = fs::read_link(real).unwrap_or_default();
            let target = target.to_string_lossy();
            self.note(&target);
            self.visitor.entry(&Entry { path, kind: EntryKind::Symlink(&target) });
        } else if kind.is_file() {
            let size = metadata.len();
            match self.visitor.entry(&Entry { path, kind: EntryKind::File { size } }) {
                Interest::Skip => {}
                Interest::ReadInPieces { limit_bytes }
                    if size > self.limits.spool_above_bytes && size <= limit_bytes =>
                {
                    self.large_file(real, path, size);
                }
                Interest::Read { limit_bytes } | Interest::ReadInPieces { limit_bytes } => {
                    self.file(real, path, size, limit_bytes);
                }
            }
        } else {
            self.visitor.entry(&Entry { path, kind: EntryKind::Other });
        }
        Ok(())
    }

    fn file(&mut self, real: &Path, path: &str, size: u64, limit_bytes: u64) {
        if size > limit_bytes {
            self.visitor.file(path, FileContent::TooLarge { size_bytes: size, limit_bytes });
            return;
        }
        let mut content = Vec::new();
        let read = fs::File::open(real).and_then(|file| file.take(limit_bytes).read_to_end(&mut content));
        if let Err(error) = read {
            self.problems.report(self.visitor, path, format!("it cannot be read: {error}"));
            return;
        }
        self.bytes += content.len() as u64;
        self.hasher.update(&content);
        self.visitor.file(path, FileContent::Bytes(&content));
    }

    /// The file is its own spool.
    fn large_file(&mut self, real: &Path, path: &str, size_bytes: u64) {
        let hashed = fs::File::open(real).and_then(|file| {
            let bytes = io::copy(&mut (&file).take(size_bytes), &mut self.hasher)?;
            Ok((file, bytes))
        });
        match hashed {
            Ok((file, size_bytes)) => {
                self.bytes += size_bytes;
                self.visitor.file(path, FileContent::Spooled { file: &file, size_bytes });
            }
            Err(error) => self.problems.report(self.visitor, path, format!("it cannot be read: {error}")),
        }
    }

    fn note(&mut self, text: &str) {
        self.hasher.update(&(text.len() as u64).to_le_bytes());
        self.hasher.update(text.as_bytes());
    }
}
