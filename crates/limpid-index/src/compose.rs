//! Composition: a fold over layers' findings that gives, after each layer, the packages of the image and what
//! the layer changed. It knows no file formats, only findings and where each ecosystem's tools look.

use std::collections::{BTreeMap, BTreeSet};

use limpid_extract::{Anchor, Extractor, Target};
use limpid_model::{
    Digest, Distribution, Hasher, LayerFindings, Occurrence, Owner, PackageDiff, PlacedOccurrence, Record,
};

use crate::tree::{Content, Tree};

/// Raised whenever the same findings would compose to something else.
pub const COMPOSER_VERSION: u32 = 1;

/// The packages of an image after a layer, each with its database file.
pub(crate) type PackageSet = BTreeMap<Occurrence, String>;

/// A file that composition needs and that no findings hold: somewhere in the layers up to `layer_max`, the
/// uppermost that has it counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Missing {
    pub(crate) layer_max: usize,
    pub(crate) target: Target,
}

/// What a chain of layers comes to.
#[derive(Debug, Default)]
pub(crate) struct Composition {
    /// For each layer the key of the chain that ends with it, and what it changed.
    pub(crate) steps: Vec<(Digest, PackageDiff)>,
    /// The distribution of the image as it stands.
    pub(crate) distribution: Option<Distribution>,
    /// Whether the image as it stands has any package.
    pub(crate) has_packages: bool,
    /// What has to be read again before the composition is right.
    pub(crate) missing: BTreeSet<Missing>,
    /// Links that lead nowhere or in circles, for the report.
    pub(crate) loops: Vec<String>,
}

/// Composes layers, base first. `searched` are the files that were looked for already; if still unknown,
/// they are not there.
pub(crate) fn compose(
    extractors: &[&dyn Extractor],
    layers: &[(&LayerFindings, Digest)],
    searched: &BTreeSet<Missing>,
) -> Composition {
    let mut composition = Composition::default();
    let mut tree = Tree::default();
    let mut before = PackageSet::new();
    let mut chain_key: Option<Digest> = None;
    for (position, (findings, findings_digest)) in layers.iter().enumerate() {
        let key = next_chain_key(chain_key, findings_digest);
        chain_key = Some(key);
        if findings.entries.is_empty() && findings.records.is_empty() {
            composition.steps.push((key, PackageDiff::default()));
            continue;
        }
        tree.apply(position, &findings.entries);
        let mut view = View { extractors, layers, tree: &tree, position, searched, found: &mut composition };
        let distribution = view.distribution();
        let after = view.packages(distribution.as_ref());
        composition.distribution = distribution;
        composition.steps.push((key, diff(&before, &after)));
        before = after;
    }
    composition.has_packages = !before.is_empty();
    composition
}

fn next_chain_key(parent: Option<Digest>, findings: &Digest) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(&COMPOSER_VERSION.to_le_bytes());
    if let Some(parent) = parent {
        hasher.update(parent.as_bytes());
    }
    hasher.update(findings.as_bytes());
    hasher.finish()
}

/// The image after the layer at `position`.
struct View<'a> {
    extractors: &'a [&'a dyn Extractor],
    layers: &'a [(&'a LayerFindings, Digest)],
    tree: &'a Tree,
    position: usize,
    searched: &'a BTreeSet<Missing>,
    found: &'a mut Composition,
}

impl View<'_> {
    fn distribution(&mut self) -> Option<Distribution> {
        let mut named = Vec::new();
        for extractor in self.extractors {
            for (anchor, record) in self.records(*extractor) {
                if let Record::Distribution(distribution) = record {
                    named.push((anchor, distribution.clone()));
                }
            }
        }
        let named: Vec<(&str, &Distribution)> =
            named.iter().map(|(anchor, distribution)| (anchor.as_str(), distribution)).collect();
        limpid_extract::distribution::resolve(&named)
    }

    fn packages(&mut self, distribution: Option<&Distribution>) -> PackageSet {
        let mut set = PackageSet::new();
        for extractor in self.extractors {
            for (path, record) in self.records(*extractor) {
                let Record::Packages(packages) = record else { continue };
                for package in packages {
                    let context = limpid_match::context(distribution, &package, &[]);
                    let occurrence = Occurrence { package, context, owner: Owner::default() };
                    set.entry(occurrence).or_insert_with(|| path.clone());
                }
            }
        }
        set
    }

    /// What the files at the extractor's anchors say: each real file once, under its path without links.
    fn records(&mut self, extractor: &dyn Extractor) -> Vec<(String, Record)> {
        let mut seen = BTreeSet::new();
        let mut records = Vec::new();
        for anchor in extractor.anchors() {
            let files = match anchor {
                Anchor::File(path) => vec![(*path).to_owned()],
                Anchor::Directory(path) => self.files_in(path, extractor),
            };
            for asked in files {
                let Some(resolved) = self.resolve(&asked) else { continue };
                let Some(content) = self.content(&resolved.path, resolved.through_link, extractor) else {
                    continue;
                };
                if !seen.insert(content.clone()) {
                    continue;
                }
                let Some(record) = self.record(&content, extractor) else { continue };
                // A distribution's file is known by where it was asked for: that decides precedence.
                let path = if matches!(record, Record::Distribution(_)) { asked } else { resolved.path };
                records.push((path, record));
            }
        }
        records
    }

    fn files_in(&mut self, anchor: &str, extractor: &dyn Extractor) -> Vec<String> {
        let Some(directory) = self.resolve(anchor) else { return Vec::new() };
        let sample = format!("{}/x", directory.path);
        if directory.through_link && extractor.wants(&sample).is_none() {
            self.miss(format!("{}/", directory.path), extractor);
        }
        let names = self.tree.names_in(&directory.path);
        names.into_iter().map(|name| format!("{}/{name}", directory.path)).collect()
    }

    fn resolve(&mut self, path: &str) -> Option<crate::tree::Resolved> {
        let resolved = self.tree.resolve(path);
        if resolved.is_none() && !self.found.loops.iter().any(|known| known == path) {
            self.found.loops.push(path.to_owned());
        }
        resolved
    }

    fn content(&mut self, path: &str, through_link: bool, extractor: &dyn Extractor) -> Option<Content> {
        match self.tree.file(path) {
            Some(content) => match content.layer {
                Some(_) => Some(content.clone()),
                None => {
                    let target = content.path.clone();
                    self.miss(target, extractor);
                    None
                }
            },
            // Whatever the extractor wants would have been found in its layer.
            None if !through_link || extractor.wants(path).is_some() => None,
            None => {
                self.miss(path.to_owned(), extractor);
                None
            }
        }
    }

    fn record(&mut self, content: &Content, extractor: &dyn Extractor) -> Option<Record> {
        let layer = content.layer?;
        let findings = self.layers.get(layer)?.0;
        let record = findings
            .records
            .iter()
            .find(|record| record.path == content.path && record.extractor == extractor.name());
        match record {
            Some(record) => Some(record.record.clone()),
            None => {
                self.miss(content.path.clone(), extractor);
                None
            }
        }
    }

    fn miss(&mut self, path: String, extractor: &dyn Extractor) {
        let target = Target { path, extractor: extractor.name().to_owned() };
        let missing = Missing { layer_max: self.position, target };
        if !self.searched.contains(&missing) {
            self.found.missing.insert(missing);
        }
    }
}

/// What leads from one package set to the next.
fn diff(before: &PackageSet, after: &PackageSet) -> PackageDiff {
    let placed = |occurrence: &Occurrence, path: &String| PlacedOccurrence {
        occurrence: occurrence.clone(),
        path: path.clone(),
    };
    let mut gone: Vec<&Occurrence> =
        before.keys().filter(|occurrence| !after.contains_key(occurrence)).collect();
    let mut fresh: Vec<(&Occurrence, &String)> =
        after.iter().filter(|(occurrence, _)| !before.contains_key(occurrence)).collect();
    let mut diff = PackageDiff::default();
    for (occurrence, path) in after {
        if before.get(occurrence).is_some_and(|old| old != path) {
            diff.reassigned.push((occurrence.clone(), placed(occurrence, path)));
        }
    }
    let same_version = |a: &Occurrence, b: &Occurrence| a.package == b.package;
    for (from, (to, path)) in pair(&mut gone, &mut fresh, same_version) {
        diff.reassigned.push((from.clone(), placed(to, path)));
    }
    let same_package = |a: &Occurrence, b: &Occurrence| {
        let (a, b) = (&a.package, &b.package);
        a.kind == b.kind && a.name == b.name && a.arch == b.arch
    };
    for (from, (to, path)) in pair(&mut gone, &mut fresh, same_package) {
        diff.upgraded.push((from.clone(), placed(to, path)));
    }
    diff.installed = fresh.into_iter().map(|(occurrence, path)| placed(occurrence, path)).collect();
    diff.removed = gone.into_iter().cloned().collect();
    diff.reassigned.sort();
    diff.upgraded.sort();
    diff
}

type Fresh<'a> = (&'a Occurrence, &'a String);

/// Takes out of both sorted lists, one to one, what belongs together. Both are sorted by package name, so
/// that what belongs together is near.
fn pair<'a>(
    gone: &mut Vec<&'a Occurrence>,
    fresh: &mut Vec<Fresh<'a>>,
    together: impl Fn(&Occurrence, &Occurrence) -> bool,
) -> Vec<(&'a Occurrence, Fresh<'a>)> {
    let mut by_name: BTreeMap<(limpid_model::PackageType, &str), Vec<Fresh<'a>>> = BTreeMap::new();
    for (occurrence, path) in fresh.drain(..) {
        let package = &occurrence.package;
        by_name.entry((package.kind, &package.name)).or_default().push((occurrence, path));
    }
    let mut pairs = Vec::new();
    gone.retain(|from| {
        let Some(candidates) = by_name.get_mut(&(from.package.kind, from.package.name.as_str())) else {
            return true;
        };
        let Some(at) = candidates.iter().position(|(to, _)| together(from, to)) else { return true };
        pairs.push((*from, candidates.remove(at)));
        false
    });
    *fresh = by_name.into_values().flatten().collect();
    fresh.sort();
    pairs
}
