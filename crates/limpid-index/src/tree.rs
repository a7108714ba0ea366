//! The merged tree of a chain of layers, as far as findings speak of it: overlay rules and link resolution.
//!
//! Layers are applied as a container runtime unpacks them: an entry's parents are followed through the links
//! that are there at that moment, its last part is not; a whiteout hides what lower layers (and earlier
//! entries) put there; an opaque directory hides what lower layers put in it; whatever is no directory
//! replaces what was there, a directory replaces what is no directory and merges with what is.

use std::collections::BTreeMap;

use limpid_model::{TreeEntry, TreeEntryKind};

/// Links followed in one resolution: what Linux allows before it says ELOOP.
const LINKS_MAX: usize = 40;

/// Links that are looked at for other names of files, and directories down to which they are: merged directories
/// (`bin`, `lib64`, `var/run`) lie near the root, and real images have a few hundred links there.
const ALIASES_MAX: usize = 10_000;
const ALIAS_DEPTH_MAX: usize = 4;
/// Names that one directory has by links.
const ALIASES_OF_ONE_MAX: usize = 16;

/// A file's content: the layer and the path in that layer's archive which hold its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Content {
    /// Position of the layer; `None` for a hard link whose target no layer's findings show.
    pub(crate) layer: Option<usize>,
    /// Path in that layer's archive.
    pub(crate) path: String,
}

#[derive(Debug, Clone)]
enum Node {
    File(Content),
    Symlink(String),
    /// Known only where a layer says so; elsewhere directories are implied by what is in them.
    Directory,
}

/// A node and the layer that put it there.
#[derive(Debug, Clone)]
struct Placed {
    layer: usize,
    node: Node,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// The path without links.
    pub(crate) path: String,
    /// Whether a link was followed on the way.
    pub(crate) through_link: bool,
}

/// Links to directories, by where they lead.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    links: BTreeMap<String, Vec<String>>,
}

impl Aliases {
    /// Other names of what is at `path`, a path without links.
    pub(crate) fn of(&self, path: &str) -> Vec<String> {
        let mut names = Vec::new();
        for (slash, _) in path.match_indices('/') {
            let links = self.links.get(&path[..slash]).into_iter().flatten();
            names.extend(links.map(|link| format!("{link}{}", &path[slash..])));
        }
        names
    }
}

/// The merged tree.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: BTreeMap<String, Placed>,
}

impl Tree {
    /// Applies the entries of the layer at `layer`, in the order of its archive.
    pub(crate) fn apply(&mut self, layer: usize, entries: &[TreeEntry]) {
        for entry in entries {
            let Some(path) = self.unpack_path(&entry.path) else { continue };
            match &entry.kind {
                TreeEntryKind::Whiteout => self.remove(&path, |_| true),
                TreeEntryKind::Opaque => self.remove_below(&path, |placed| placed.layer < layer),
                TreeEntryKind::Directory => {
                    if !matches!(self.nodes.get(&path), None | Some(Placed { node: Node::Directory, .. })) {
                        self.nodes.insert(path, Placed { layer, node: Node::Directory });
                    }
                }
                TreeEntryKind::File => {
                    let content = Content { layer: Some(layer), path: entry.path.clone() };
                    self.put(path, layer, Node::File(content));
                }
                TreeEntryKind::Symlink(target) => self.put(path, layer, Node::Symlink(target.clone())),
                TreeEntryKind::Hardlink(target) => {
                    let content = self.link_content(target);
                    self.put(path, layer, Node::File(content));
                }
            }
        }
    }

    /// The content of the file at a path without links.
    pub(crate) fn file(&self, path: &str) -> Option<&Content> {
        match self.nodes.get(path) {
            Some(Placed { node: Node::File(content), .. }) => Some(content),
            _ => None,
        }
    }

    /// The names of what lies directly in the directory at a path without links, sorted.
    pub(crate) fn names_in(&self, directory: &str) -> Vec<&str> {
        let prefix = format!("{directory}/");
        let below = self.nodes.range(prefix.clone()..).map(|(path, _)| path);
        let below = below.take_while(|path| path.starts_with(&prefix));
        below.filter_map(|path| path.strip_prefix(&prefix)).filter(|name| !name.contains('/')).collect()
    }

    /// The paths of what is named `file` and lies `levels` directories below the directory at a path without links,
    /// sorted.
    pub(crate) fn named_below(&self, directory: &str, levels: usize, file: &str) -> Vec<&str> {
        let prefix = format!("{directory}/");
        let below = self.nodes.range(prefix.clone()..).map(|(path, _)| path);
        let below = below.take_while(|path| path.starts_with(&prefix));
        below
            .filter(|path| {
                let mut names = path[prefix.len()..].split('/');
                names.by_ref().take(levels).count() == levels
                    && names.next() == Some(file)
                    && names.next().is_none()
            })
            .map(String::as_str)
            .collect()
    }

    /// The links to directories by which files have other names.
    pub(crate) fn aliases(&self) -> Aliases {
        let mut aliases = Aliases::default();
        let links = self.nodes.iter().filter(|(path, placed)| {
            matches!(placed.node, Node::Symlink(_)) && path.matches('/').count() < ALIAS_DEPTH_MAX
        });
        for (link, _) in links.take(ALIASES_MAX) {
            let Some(resolved) = self.resolve(link) else { continue };
            let links = aliases.links.entry(resolved.path).or_default();
            if links.len() < ALIASES_OF_ONE_MAX {
                links.push(link.clone());
            }
        }
        aliases
    }

    /// Follows every link of `path`, the last one too; `None` for a loop.
    pub(crate) fn resolve(&self, path: &str) -> Option<Resolved> {
        self.follow(path, true)
    }

    /// Where an entry of a layer lands: parents followed, the last part as it is.
    pub(crate) fn unpack_path(&self, path: &str) -> Option<String> {
        self.follow(path, false).map(|resolved| resolved.path)
    }

    fn follow(&self, path: &str, last_too: bool) -> Option<Resolved> {
        let mut done: Vec<String> = Vec::new();
        let mut to_do: Vec<String> = parts(path).rev().map(str::to_owned).collect();
        let mut links = 0;
        while let Some(part) = to_do.pop() {
            if part == ".." {
                done.pop();
                continue;
            }
            done.push(part);
            if to_do.is_empty() && !last_too {
                break;
            }
            let Some(Placed { node: Node::Symlink(target), .. }) = self.nodes.get(&done.join("/")) else {
                continue;
            };
            links += 1;
            if links > LINKS_MAX {
                return None;
            }
            done.pop();
            if target.starts_with('/') {
                done.clear();
            }
            to_do.extend(parts(target).rev().map(str::to_owned));
        }
        Some(Resolved { path: done.join("/"), through_link: links > 0 })
    }

    fn link_content(&self, target: &str) -> Content {
        let path = self.unpack_path(target).unwrap_or_else(|| target.to_owned());
        match self.nodes.get(&path) {
            Some(Placed { node: Node::File(content), .. }) => content.clone(),
            _ => Content { layer: None, path },
        }
    }

    fn put(&mut self, path: String, layer: usize, node: Node) {
        // What is put into a directory shows that nothing else is there any more.
        let mut end = 0;
        while let Some(slash) = path[end..].find('/') {
            let ancestor = &path[..end + slash];
            if matches!(self.nodes.get(ancestor), Some(Placed { node: Node::File(_), .. })) {
                self.nodes.remove(ancestor);
            }
            end += slash + 1;
        }
        self.remove_below(&path, |_| true);
        self.nodes.insert(path, Placed { layer, node });
    }

    fn remove(&mut self, path: &str, which: impl Fn(&Placed) -> bool) {
        if self.nodes.get(path).is_some_and(&which) {
            self.nodes.remove(path);
        }
        self.remove_below(path, which);
    }

    fn remove_below(&mut self, path: &str, which: impl Fn(&Placed) -> bool) {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let below = self.nodes.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        let gone: Vec<String> =
            below.filter(|(_, placed)| which(placed)).map(|(path, _)| path.clone()).collect();
        for path in gone {
            self.nodes.remove(&path);
        }
    }
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: TreeEntryKind) -> TreeEntry {
        TreeEntry { path: path.to_owned(), kind }
    }

    fn link(path: &str, target: &str) -> TreeEntry {
        entry(path, TreeEntryKind::Symlink(target.to_owned()))
    }

    fn file(path: &str) -> TreeEntry {
        entry(path, TreeEntryKind::File)
    }

    fn content(tree: &Tree, path: &str) -> Option<(Option<usize>, String)> {
        let resolved = tree.resolve(path)?;
        tree.file(&resolved.path).map(|content| (content.layer, content.path.clone()))
    }

    #[test]
    fn links_resolve_across_layers_absolute_relative_and_in_the_middle() {
        let mut tree = Tree::default();
        tree.apply(0, &[file("usr/lib/sysimage/dpkg/status"), link("lib", "usr/lib")]);
        tree.apply(1, &[link("var/lib/dpkg", "../../lib/sysimage/dpkg")]);
        let expected = Some((Some(0), "usr/lib/sysimage/dpkg/status".to_owned()));
        assert_eq!(content(&tree, "var/lib/dpkg/status"), expected);
        tree.apply(2, &[link("srv/status", "/var/lib/dpkg/status")]);
        assert_eq!(content(&tree, "srv/status"), expected);
        // Unpacked through the link, as a runtime does.
        tree.apply(3, &[file("var/lib/dpkg/status")]);
        assert_eq!(
            tree.file("usr/lib/sysimage/dpkg/status").unwrap(),
            &Content { layer: Some(3), path: "var/lib/dpkg/status".to_owned() }
        );
    }

    #[test]
    fn files_are_found_at_their_depth_only() {
        let mut tree = Tree::default();
        let paths = ["var/db/pkg/a/b-1/PF", "var/db/pkg/a/PF", "var/db/pkg/a/b/c/PF", "var/db/pkgs/a/b/PF"];
        tree.apply(0, &paths.map(file));
        assert_eq!(tree.named_below("var/db/pkg", 2, "PF"), ["var/db/pkg/a/b-1/PF"]);
        assert_eq!(tree.named_below("var/db/pkg", 1, "PF"), ["var/db/pkg/a/PF"]);
    }

    #[test]
    fn a_path_has_the_names_that_links_give_it() {
        let mut tree = Tree::default();
        tree.apply(0, &[link("bin", "usr/bin"), link("lib", "/usr/lib"), link("loop", "loop")]);
        assert_eq!(tree.aliases().of("usr/bin/ls"), ["bin/ls"]);
        assert_eq!(tree.aliases().of("usr/share/x"), [""; 0]);
    }

    #[test]
    fn loops_end_and_parents_of_the_root_stay_in_the_root() {
        let mut tree = Tree::default();
        tree.apply(
            0,
            &[link("a", "b"), link("b", "a"), link("etc/os-release", "../../../usr/lib/os-release")],
        );
        assert_eq!(tree.resolve("a/x"), None);
        tree.apply(1, &[file("usr/lib/os-release")]);
        assert_eq!(content(&tree, "etc/os-release").unwrap().1, "usr/lib/os-release");
    }

    #[test]
    fn whiteouts_and_opaque_directories_hide_at_any_depth() {
        let mut tree = Tree::default();
        tree.apply(0, &[file("var/lib/dpkg/status"), file("var/lib/dpkg/status.d/a")]);
        let mut opaque = Tree { nodes: tree.nodes.clone() };
        tree.apply(1, &[entry("var/lib", TreeEntryKind::Whiteout)]);
        assert!(tree.nodes.is_empty());
        opaque.apply(1, &[file("var/lib/dpkg/status.d/b"), entry("var/lib/dpkg", TreeEntryKind::Opaque)]);
        assert_eq!(opaque.names_in("var/lib/dpkg/status.d"), ["b"]);
        assert_eq!(opaque.file("var/lib/dpkg/status"), None);
    }

    #[test]
    fn what_is_no_directory_replaces_one_and_the_other_way_round() {
        let mut tree = Tree::default();
        tree.apply(0, &[file("var/lib/dpkg/status")]);
        tree.apply(1, &[file("var/lib/dpkg")]);
        assert_eq!(tree.file("var/lib/dpkg/status"), None);
        tree.apply(2, &[entry("var/lib/dpkg", TreeEntryKind::Directory)]);
        assert_eq!(tree.file("var/lib/dpkg"), None);
        tree.apply(3, &[link("var/lib/dpkg", "/elsewhere")]);
        tree.apply(4, &[entry("var/lib/dpkg", TreeEntryKind::Directory), file("var/lib/dpkg/status")]);
        assert_eq!(content(&tree, "var/lib/dpkg/status"), Some((Some(4), "var/lib/dpkg/status".to_owned())));
    }

    #[test]
    fn hard_links_share_the_content_even_after_the_name_is_gone() {
        let mut tree = Tree::default();
        tree.apply(0, &[file("var/lib/dpkg/status")]);
        tree.apply(
            1,
            &[entry("var/lib/dpkg/status.hard", TreeEntryKind::Hardlink("var/lib/dpkg/status".into()))],
        );
        tree.apply(2, &[entry("var/lib/dpkg/status", TreeEntryKind::Whiteout)]);
        assert_eq!(content(&tree, "var/lib/dpkg/status.hard"), Some((Some(0), "var/lib/dpkg/status".into())));
        tree.apply(3, &[entry("x", TreeEntryKind::Hardlink("nowhere".into()))]);
        assert_eq!(content(&tree, "x"), Some((None, "nowhere".into())));
    }
}
