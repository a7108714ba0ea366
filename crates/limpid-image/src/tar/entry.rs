//! From members of an archive to entries of a layer: normalised paths, whiteouts, problems.
//!
//! Source of truth: OCI image specification, "layer", section "Whiteouts"; for odd names, what containerd
//! and Docker do with them.

use std::borrow::Cow;

use super::{Member, Sink};
use crate::limits::Limits;
use crate::visitor::{Entry, EntryKind, FileContent, Interest, LayerVisitor};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
const AUFS: &str = ".wh..wh.";

/// Passes problems on, up to a number, and counts the others.
pub(crate) struct ProblemLog {
    limit: u64,
    seen: u64,
}

impl ProblemLog {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { limit: limits.problems, seen: 0 }
    }

    pub(crate) fn report(&mut self, visitor: &mut dyn LayerVisitor, path: &str, reason: String) {
        self.seen = self.seen.saturating_add(1);
        if self.seen <= self.limit {
            visitor.problem(&shortened(path), reason);
        }
    }

    /// Tells how many were held back.
    pub(crate) fn finish(&self, visitor: &mut dyn LayerVisitor) {
        if self.seen > self.limit {
            visitor.problem(
                "",
                format!("{} more problems of this layer are not listed", self.seen - self.limit),
            );
        }
    }
}

/// Hostile names may have a megabyte; a report shows their start.
fn shortened(path: &str) -> Cow<'_, str> {
    match path.char_indices().nth(200) {
        Some((end, _)) => Cow::Owned(format!("{}…", &path[..end])),
        None => Cow::Borrowed(path),
    }
}

/// How a name became a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cleaned {
    /// As usual.
    Plain,
    /// With `..` parts that stay in the tree.
    Dotted,
    /// Not: it leaves the tree.
    Escapes,
    /// Not: it has a NUL byte or is longer than a path may be.
    Impossible,
}

/// Writes the normalised form of `name` to `path`: what the runtime makes of it, relative to the root.
pub(crate) fn clean_path(name: &[u8], limit: usize, path: &mut String) -> Cleaned {
    path.clear();
    let mut cleaned = Cleaned::Plain;
    if name.contains(&0) {
        return Cleaned::Impossible;
    }
    for part in String::from_utf8_lossy(name).split('/') {
        match part {
            "" | "." => continue,
            ".." => {
                cleaned = Cleaned::Dotted;
                if path.is_empty() {
                    return Cleaned::Escapes;
                }
                path.truncate(path.rfind('/').unwrap_or(0));
            }
            part => {
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(part);
            }
        }
    }
    if path.len() > limit { Cleaned::Impossible } else { cleaned }
}

/// Turns members into entries for a visitor.
pub(crate) struct EntrySink<'a> {
    visitor: &'a mut dyn LayerVisitor,
    limits: &'a Limits,
    problems: ProblemLog,
    path: String,
    link: String,
}

impl<'a> EntrySink<'a> {
    pub(crate) fn new(visitor: &'a mut dyn LayerVisitor, limits: &'a Limits) -> Self {
        let problems = ProblemLog::new(limits);
        Self { visitor, limits, problems, path: String::new(), link: String::new() }
    }

    /// To be called after the last member.
    pub(crate) fn finish(&mut self) {
        self.problems.finish(self.visitor);
    }

    fn refuse(&mut self, name: &[u8], reason: &str) -> Interest {
        let name = &name[..name.len().min(1024)];
        self.problems.report(self.visitor, &String::from_utf8_lossy(name), reason.to_owned());
        Interest::Skip
    }

    /// A member whose name is a marker; `None` if it is none.
    fn marker(&mut self, name: &[u8]) -> Option<Interest> {
        let (directory, base) = match self.path.rfind('/') {
            Some(slash) => (&self.path[..slash], &self.path[slash + 1..]),
            None => ("", self.path.as_str()),
        };
        let rest = base.strip_prefix(WHITEOUT);
        let in_aufs = self.path.starts_with(AUFS) && !directory.is_empty();
        if rest.is_none() && !in_aufs {
            return None;
        }
        let kind = match rest {
            Some("" | "." | "..") => {
                return Some(self.refuse(name, "the whiteout hides nothing that has a name"));
            }
            _ if base == OPAQUE && !in_aufs => {
                self.visitor.entry(&Entry { path: directory, kind: EntryKind::Opaque });
                return Some(Interest::Skip);
            }
            Some(hidden) if !base.starts_with(AUFS) && !in_aufs => {
                let hidden =
                    if directory.is_empty() { hidden.to_owned() } else { format!("{directory}/{hidden}") };
                self.visitor.entry(&Entry { path: &hidden, kind: EntryKind::Whiteout });
                return Some(Interest::Skip);
            }
            _ => EntryKind::Other,
        };
        self.visitor.entry(&Entry { path: &self.path, kind });
        Some(Interest::Skip)
    }

    fn kind(&mut self, member: &Member<'_>) -> Result<EntryKind<'_>, &'static str> {
        Ok(match member.type_flag {
            b'0' => EntryKind::File { size: member.size },
            b'5' => EntryKind::Directory,
            b'1' => match clean_path(member.link, self.limits.path_bytes, &mut self.link) {
                Cleaned::Plain | Cleaned::Dotted => EntryKind::Hardlink(&self.link),
                Cleaned::Escapes => {
                    return Err("the hard link's target leaves the file system; it was left out");
                }
                Cleaned::Impossible => {
                    return Err("the hard link's target is no possible path; it was left out");
                }
            },
            b'2' if member.link.len() > self.limits.link_target_bytes => {
                return Err("the symbolic link's target is longer than the system allows; it was left out");
            }
            b'2' => {
                self.link.clear();
                self.link.push_str(&String::from_utf8_lossy(member.link));
                EntryKind::Symlink(&self.link)
            }
            _ => EntryKind::Other,
        })
    }
}

impl Sink for EntrySink<'_> {
    fn member(&mut self, member: &Member<'_>) -> Interest {
        match clean_path(member.name, self.limits.path_bytes, &mut self.path) {
            Cleaned::Plain => {}
            // Docker and containerd clean such names, so the file is really there.
            Cleaned::Dotted => {
                self.refuse(
                    member.name,
                    "the name has `..` parts; it was read as the path that they lead to",
                );
            }
            Cleaned::Escapes => {
                return self.refuse(member.name, "the name leaves the file system; the entry was left out");
            }
            Cleaned::Impossible => {
                return self.refuse(member.name, "the name is no possible path; the entry was left out");
            }
        }
        if self.path.is_empty() {
            // The root itself is in most archives, and says nothing.
            return match member.type_flag {
                b'5' => Interest::Skip,
                _ => self.refuse(member.name, "the name is that of the root; the entry was left out"),
            };
        }
        if let Some(interest) = self.marker(member.name) {
            return interest;
        }
        let path = std::mem::take(&mut self.path);
        let outcome = match self.kind(member) {
            Ok(EntryKind::Hardlink(_)) => {
                Ok(self.visitor.entry(&Entry { path: &path, kind: EntryKind::Hardlink(&self.link) }))
            }
            Ok(EntryKind::Symlink(_)) => {
                Ok(self.visitor.entry(&Entry { path: &path, kind: EntryKind::Symlink(&self.link) }))
            }
            Ok(EntryKind::File { size }) => {
                Ok(self.visitor.entry(&Entry { path: &path, kind: EntryKind::File { size } }))
            }
            Ok(EntryKind::Directory) => {
                Ok(self.visitor.entry(&Entry { path: &path, kind: EntryKind::Directory }))
            }
            Ok(_) => Ok(self.visitor.entry(&Entry { path: &path, kind: EntryKind::Other })),
            Err(reason) => Err(reason),
        };
        self.path = path;
        outcome.unwrap_or_else(|reason| self.refuse(member.name, reason))
    }

    fn content(&mut self, content: FileContent<'_>) {
        self.visitor.file(&self.path, content);
    }
}
