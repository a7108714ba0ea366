//! Composition: a fold over layers' findings that gives, after each layer, the packages of the image and what
//! the layer changed. It knows no file formats, only findings and where each ecosystem's tools look.

use std::collections::{BTreeMap, BTreeSet};

use limpid_extract::{Anchor, Extractor, Target};
use limpid_model::{
    Digest, Distribution, FileOwner, FileRecord, Hasher, LayerFindings, Occurrence, Owner, Package,
    PackageDiff, PackageFact, PackageType, PlacedOccurrence, Record,
};

use crate::ownership::Ownership;
use crate::tree::{Content, Tree};

/// Raised whenever the same findings would compose to something else.
pub const COMPOSER_VERSION: u32 = 2;

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
    /// Databases of the image as it stands that do not count, each with the one that does.
    pub(crate) left_over: Vec<(String, String)>,
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
    let all: Vec<&LayerFindings> = layers.iter().map(|(findings, _)| *findings).collect();
    // The packages of a layer come from the repositories that its image named, whatever later layers do to the
    // file that named them.
    let mut repositories = BTreeSet::new();
    for (position, (findings, findings_digest)) in layers.iter().enumerate() {
        let key = next_chain_key(chain_key, findings_digest);
        chain_key = Some(key);
        if findings.entries.is_empty() && findings.records.is_empty() {
            composition.steps.push((key, PackageDiff::default()));
            continue;
        }
        tree.apply(position, &findings.entries);
        let mut view =
            View { extractors, layers: &all, tree: &tree, position, searched, found: &mut composition };
        let statements = view.statements();
        let distribution = distribution(&statements);
        repositories.extend(named_repositories(&statements));
        let sorted: Vec<String> = repositories.iter().cloned().collect();
        let after = view.packages(&statements, distribution.as_ref(), &sorted);
        composition.distribution = distribution;
        composition.steps.push((key, diff(&before, &after)));
        before = after;
    }
    composition.has_packages = !before.is_empty();
    composition
}

/// Who owns which files in an image of these layers, base first.
pub(crate) fn ownership(extractors: &[&dyn Extractor], layers: &[&LayerFindings]) -> Ownership {
    let mut tree = Tree::default();
    for (position, findings) in layers.iter().enumerate() {
        tree.apply(position, &findings.entries);
    }
    let (searched, mut found) = (BTreeSet::new(), Composition::default());
    let position = layers.len().saturating_sub(1);
    let mut view = View { extractors, layers, tree: &tree, position, searched: &searched, found: &mut found };
    let statements = view.statements();
    let mut ownership = view.ownership(&statements);
    let unread = found.missing.into_iter().map(|missing| missing.target.path);
    ownership.unread = unread.collect::<BTreeSet<_>>().into_iter().collect();
    ownership.aliases = tree.aliases();
    ownership.tree = tree;
    ownership
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

/// What the files that an extractor read say.
type Statements<'a> = Vec<(&'a dyn Extractor, Vec<Found<'a>>)>;

/// A file that was found where the ecosystem's tools look.
struct Found<'a> {
    /// Its path without links; of a release file, where it was looked for.
    path: String,
    record: &'a FileRecord,
}

fn distribution(statements: &Statements<'_>) -> Option<Distribution> {
    let mut named: Vec<(&str, &Distribution)> = Vec::new();
    for found in statements.iter().flat_map(|(_, found)| found) {
        if let Record::Distribution(distribution) = &found.record.record {
            named.push((&found.path, distribution));
        }
    }
    limpid_extract::distribution::resolve(&named)
}

fn named_repositories(statements: &Statements<'_>) -> Vec<String> {
    let mut repositories = Vec::new();
    for found in statements.iter().flat_map(|(_, found)| found) {
        if let Record::Repositories(named) = &found.record.record {
            repositories.extend(named.iter().cloned());
        }
    }
    repositories
}

/// The package databases of an image.
struct Databases<'a> {
    /// Those that count.
    counting: Vec<Database<'a>>,
    /// Those that do not, each with the one that does.
    left_over: Vec<(String, String)>,
}

/// Which databases there are: what is left of one that another took the place of lists nothing and owns nothing.
fn databases<'s>(statements: &'s Statements<'_>) -> Databases<'s> {
    let mut all = Vec::new();
    for (extractor, found) in statements.iter().flat_map(|(e, found)| found.iter().map(move |f| (*e, f))) {
        let Record::Packages(packages) = &found.record.record else { continue };
        // As they are called where the file lies.
        let mut packages = packages.clone();
        packages.iter_mut().for_each(|package| extractor.complete(&found.path, package));
        all.push(Database { extractor, path: &found.path, packages, owners: &found.record.owners });
    }
    let mut left_over = Vec::new();
    let newer: Vec<Option<String>> = all
        .iter()
        .map(|database| {
            all.iter().find(|other| other.supersedes(database)).map(|other| other.path.to_owned())
        })
        .collect();
    let mut counting = Vec::with_capacity(all.len());
    for (database, newer) in all.into_iter().zip(newer) {
        match newer {
            Some(newer) => left_over.push((database.path.to_owned(), newer)),
            None => counting.push(database),
        }
    }
    Databases { counting, left_over }
}

/// The image after the layer at `position`.
struct View<'a> {
    extractors: &'a [&'a dyn Extractor],
    layers: &'a [&'a LayerFindings],
    tree: &'a Tree,
    position: usize,
    searched: &'a BTreeSet<Missing>,
    found: &'a mut Composition,
}

impl<'a> View<'a> {
    /// What all files say but those that only list which package brought which file.
    fn statements(&mut self) -> Statements<'a> {
        let extractors = self.extractors.iter().filter(|extractor| !extractor.lists_files_only());
        extractors.map(|extractor| (*extractor, self.records(*extractor))).collect()
    }

    fn packages(
        &mut self,
        statements: &Statements<'a>,
        distribution: Option<&Distribution>,
        repositories: &[String],
    ) -> PackageSet {
        let mut origins = BTreeMap::new();
        for found in statements.iter().flat_map(|(_, found)| found) {
            if let Record::Origins(of_file) = &found.record.record {
                origins.extend(of_file.iter().map(|(p, r)| (p.as_str(), r.as_str())));
            }
        }
        let mut set = PackageSet::new();
        let mut first: BTreeMap<(PackageType, String, String, String), &str> = BTreeMap::new();
        let mut kernels = PackageSet::new();
        let databases = databases(statements);
        self.found.left_over = databases.left_over;
        for database in &databases.counting {
            let name = database.extractor.name();
            for package in &database.packages {
                let package = with_origin(package.clone(), &origins);
                let context = limpid_match::context(distribution, &package, repositories);
                let key = (package.kind, package.name.clone(), package.version.clone(), package.arch.clone());
                let occurrence = Occurrence { package, context, owner: Owner::default() };
                if occurrence.package.kind == PackageType::Generic {
                    kernels.entry(occurrence).or_insert_with(|| database.path.to_owned());
                } else if *first.entry(key).or_insert(name) == name {
                    // Of two kinds of database that list a package, the one that comes first says more of it.
                    set.entry(occurrence).or_insert_with(|| database.path.to_owned());
                }
            }
        }
        if !kernels.is_empty() {
            let ownership = self.ownership(statements);
            let aliases = self.tree.aliases();
            kernels.retain(|_, path| ownership.owners_in(path, self.tree, &aliases).is_empty());
            set.append(&mut kernels);
        }
        set
    }

    /// Who owns which files.
    fn ownership(&mut self, statements: &Statements<'a>) -> Ownership {
        let mut ownership = Ownership::default();
        for database in databases(statements).counting {
            ownership.add_database(database.path, database.packages, database.owners);
        }
        for extractor in self.extractors.iter().filter(|extractor| extractor.lists_files_only()) {
            for found in self.records(*extractor) {
                if let Some(listed_for) = extractor.lists_files_of(&found.path) {
                    ownership.add_list(&listed_for, &found.record.owners);
                }
            }
        }
        ownership
    }

    /// What the files at the extractor's anchors say: each real file once, under its path without links.
    fn records(&mut self, extractor: &dyn Extractor) -> Vec<Found<'a>> {
        let mut seen = BTreeSet::new();
        let mut records = Vec::new();
        for anchor in extractor.anchors() {
            let files = match anchor {
                Anchor::File(path) => vec![(*path).to_owned()],
                Anchor::Directory(path) => self.files_in(path, extractor),
                Anchor::Below(path, levels, file) => self.files_below(path, *levels, file),
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
                let is_release = matches!(record.record, Record::Distribution(_));
                records.push(Found { path: if is_release { asked } else { resolved.path }, record });
            }
        }
        records
    }

    fn files_in(&mut self, anchor: &str, extractor: &dyn Extractor) -> Vec<String> {
        let Some(directory) = self.resolve(anchor) else { return Vec::new() };
        let sample = format!("{}/{}", directory.path, extractor.sample_name());
        if directory.through_link && extractor.wants(&sample).is_none() {
            self.miss(format!("{}/", directory.path), extractor);
        }
        let names = self.tree.names_in(&directory.path).into_iter();
        let read = names.filter(|name| extractor.reads(&format!("{anchor}/{name}")));
        read.map(|name| format!("{}/{name}", directory.path)).collect()
    }

    fn files_below(&mut self, anchor: &str, levels: usize, file: &str) -> Vec<String> {
        let Some(directory) = self.resolve(anchor) else { return Vec::new() };
        let files = self.tree.named_below(&directory.path, levels, file);
        files.into_iter().map(str::to_owned).collect()
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

    fn record(&mut self, content: &Content, extractor: &dyn Extractor) -> Option<&'a FileRecord> {
        let records = &self.layers.get(content.layer?)?.records;
        let key = (content.path.as_str(), extractor.name());
        // Findings are sorted so.
        let at =
            records.binary_search_by(|record| (record.path.as_str(), record.extractor.as_str()).cmp(&key));
        let record = at.ok().and_then(|at| records.get(at));
        // A list of files of which nothing was kept has no record.
        if record.is_none() && !(extractor.lists_files_only() && extractor.reads(&content.path)) {
            self.miss(content.path.clone(), extractor);
        }
        record
    }

    fn miss(&mut self, path: String, extractor: &dyn Extractor) {
        let target = Target { path, extractor: extractor.name().to_owned() };
        let missing = Missing { layer_max: self.position, target };
        if !self.searched.contains(&missing) {
            self.found.missing.insert(missing);
        }
    }
}

/// A package database of the image as it stands.
struct Database<'a> {
    extractor: &'a dyn Extractor,
    path: &'a str,
    packages: Vec<Package>,
    /// The files that it says its packages brought.
    owners: &'a [FileOwner],
}

impl Database<'_> {
    fn supersedes(&self, other: &Self) -> bool {
        let directory = |path: &str| path.rsplit_once('/').map(|(directory, _)| directory.to_owned());
        other.extractor.superseded_by().contains(&self.extractor.name())
            && !self.packages.is_empty()
            && directory(self.path) == directory(other.path)
    }
}

/// The package with the repository that it came from, where the package manager's history knows this very version.
fn with_origin(mut package: Package, origins: &BTreeMap<&str, &str>) -> Package {
    if package.kind != PackageType::Rpm || origins.is_empty() {
        return package;
    }
    // In histories an epoch of zero is none.
    let version = package.version.strip_prefix("0:").unwrap_or(&package.version);
    if let Some(repository) = origins.get(format!("{}-{version}.{}", package.name, package.arch).as_str()) {
        package.facts.push((PackageFact::Repository, (*repository).to_owned()));
        package.facts.sort_unstable();
    }
    package
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

#[cfg(test)]
#[path = "compose_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
