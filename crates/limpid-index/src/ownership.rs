//! Which package owns a file: what package databases say of their files, composed over all layers.
//!
//! Findings keep, for each package, hashes of the paths that something else could claim
//! (`limpid_extract::ownership`). Nothing of it is stored with an image: it is composed from the layers' findings when
//! somebody asks. A package that is not installed any more owns nothing, even if its list is still there.

use std::collections::{BTreeMap, BTreeSet};

use limpid_extract::ownership::{is_claimable, path_hash};
use limpid_extract::{EXTRACTORS, ListedFor};
use limpid_model::{FileOwner, LayerFindings, Package, PackageType};
use limpid_store::{ImageRecord, Store};

use crate::tree::{Aliases, Tree};
use crate::{Error, compose};

/// Which packages own which files of an image.
#[derive(Debug, Default)]
pub struct Ownership {
    /// Every installed package, with the database that lists it.
    packages: Vec<FilePackage>,
    /// Their positions, by kind and name and by database.
    by_name: BTreeMap<(PackageType, String), Vec<usize>>,
    by_database: BTreeMap<String, Vec<usize>>,
    /// By the hash of a path, positions in `packages`.
    owners: BTreeMap<u64, BTreeSet<usize>>,
    pub(crate) tree: Tree,
    /// Its links to directories.
    pub(crate) aliases: Aliases,
    /// Lists that links lead to and that were not read with their layers.
    pub(crate) unread: Vec<String>,
}

/// A package that owns a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePackage {
    /// The package.
    pub package: Package,
    /// The database that lists it.
    pub path: String,
}

/// Who owns a path.
#[derive(Debug, PartialEq, Eq)]
pub enum PathOwner<'a> {
    /// These packages say that they brought it, sorted.
    Packages(Vec<&'a FilePackage>),
    /// No package does.
    Nobody,
    /// Nothing is kept of paths of this kind, since nothing beside a package could claim them.
    NotKept,
}

/// Who owns which files of an image that is in the store.
pub fn ownership(store: &dyn Store, image: &ImageRecord) -> Result<Ownership, Error> {
    let mut findings: Vec<LayerFindings> = Vec::with_capacity(image.metadata.layers.len());
    for layer in &image.metadata.layers {
        let record = store.layer(&layer.digest)?.ok_or(Error::LayerGone(layer.digest))?;
        findings.push(record.findings);
    }
    Ok(compose::ownership(EXTRACTORS, &findings.iter().collect::<Vec<_>>()))
}

impl Ownership {
    /// Who owns the file at `path`, which may be named through links.
    pub fn owner(&self, path: &str) -> PathOwner<'_> {
        let names = names(path, &self.tree, &self.aliases);
        if !names.iter().any(|name| is_claimable(name)) {
            return PathOwner::NotKept;
        }
        let owners = self.owners_of(&names);
        if owners.is_empty() { PathOwner::Nobody } else { PathOwner::Packages(owners) }
    }

    /// Lists of files that could not be taken into account.
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// The packages that own the file at `path` in `tree`.
    pub(crate) fn owners_in(&self, path: &str, tree: &Tree, aliases: &Aliases) -> Vec<&FilePackage> {
        self.owners_of(&names(path, tree, aliases))
    }

    /// Takes in a database, with the files that it says its packages brought.
    pub(crate) fn add_database(&mut self, path: &str, packages: Vec<Package>, owners: &[FileOwner]) {
        let mut of_database: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for package in packages {
            let position = self.packages.len();
            of_database.entry(package.name.clone()).or_default().push(position);
            self.by_name.entry((package.kind, package.name.clone())).or_default().push(position);
            self.by_database.entry(path.to_owned()).or_default().push(position);
            self.packages.push(FilePackage { package, path: path.to_owned() });
        }
        for owner in owners {
            let positions = of_database.get(&owner.package).cloned().unwrap_or_default();
            self.add(&positions, owner);
        }
    }

    /// Takes in a list of the files of one package. Databases come first: what they do not list owns nothing.
    pub(crate) fn add_list(&mut self, listed_for: &ListedFor, owners: &[FileOwner]) {
        let positions = match listed_for {
            ListedFor::PackageIn(path) => self.by_database.get(path).cloned().unwrap_or_default(),
            ListedFor::Package { kind, name, arch } => {
                let named = self.by_name.get(&(*kind, name.clone())).into_iter().flatten().copied();
                let has_arch = |position: &usize| {
                    arch.is_empty() || self.packages.get(*position).is_some_and(|p| p.package.arch == *arch)
                };
                named.filter(has_arch).collect()
            }
        };
        for owner in owners {
            self.add(&positions, owner);
        }
    }

    fn add(&mut self, positions: &[usize], owner: &FileOwner) {
        for path in owner.paths.iter().filter(|_| !positions.is_empty()) {
            self.owners.entry(*path).or_default().extend(positions);
        }
    }

    fn owners_of(&self, names: &BTreeSet<String>) -> Vec<&FilePackage> {
        let positions: BTreeSet<usize> =
            names.iter().filter_map(|name| self.owners.get(&path_hash(name))).flatten().copied().collect();
        let owners: BTreeSet<&FilePackage> =
            positions.into_iter().filter_map(|position| self.packages.get(position)).collect();
        owners.into_iter().collect()
    }
}

/// Every name of a file: databases write `bin/ls` where `bin` has become a link to `usr/bin`.
fn names(path: &str, tree: &Tree, aliases: &Aliases) -> BTreeSet<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let mut names = BTreeSet::from([parts.join("/")]);
    if let Some(resolved) = tree.unpack_path(path) {
        names.extend(aliases.of(&resolved));
        names.insert(resolved);
    }
    names
}
