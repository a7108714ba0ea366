//! The shape of a registry, made up so that any image of it can be made again from its number alone.
//!
//! What is shared is drawn by Zipf's law, as in registries: few bases stand under most images, each team has stacks (a
//! runtime and a framework) on one base, and few repositories have most images. An image has ten layers: four of its base,
//! three of its stack, three of its own. New images are builds of known repositories for the most part: their topmost
//! layer is new and changes no package. A new repository, a newer build of the base, or packages installed anew make a
//! package set of its own, in which the repository's own layer changes [`OWN_CHANGES`] packages.
//!
//! Left out: several platforms of an image, images that share more than a base and a stack, and bases that are deleted.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use limpid_model::{Distribution, Package};

use super::feeds::Pool;
use super::lists::BaseList;
use super::random::{Zipf, rng};

/// Layers of an image.
pub(crate) const LAYERS: usize = 10;
/// Builds of each base that come out while the registry grows.
const BUILDS: u32 = 24;
/// Stacks, over all teams.
const STACKS: usize = 80;
/// Packages that a repository's own layer installs or upgrades.
pub(crate) const OWN_CHANGES: usize = 20;
/// Packages that the third layer of a base installs, of those that the base has.
const BASE_EXTRAS: usize = 6;
/// One in so many images begins a repository, stands on a newer build of its base, or has its packages installed anew.
const NEW_REPOSITORY_IN: u32 = 25;
const NEWER_BASE_IN: u32 = 50;
const NEW_PACKAGES_IN: u32 = 50;
/// So many repositories are there from the beginning, or the first few would have most images.
const FIRST_REPOSITORIES: u32 = 250;
/// One in so many has its dependencies, a layer without packages, built anew.
const NEW_DEPENDENCIES_IN: u32 = 4;

/// What decides the packages of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PackageSet {
    pub(crate) stack: u16,
    /// The build of the stack's base.
    pub(crate) build: u16,
    pub(crate) repository: u32,
    /// The number of the image that had it first.
    pub(crate) since: u32,
}

/// An image, as far as it differs from others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Build {
    /// Its number, from 0.
    pub(crate) number: u32,
    pub(crate) set: PackageSet,
    /// Whether no image before had the set.
    pub(crate) is_new_set: bool,
    /// The number of the image that had its layer of dependencies first.
    pub(crate) dependencies: u32,
    /// How many images of the repository came before.
    pub(crate) nth: u32,
}

/// A team's runtime and framework on a base.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stack {
    pub(crate) base: usize,
    pub(crate) team: usize,
    runtime: usize,
    framework: usize,
}

/// What one layer does to packages: the package as it was, if it was there, and as it is.
pub(crate) type Changes = Vec<(Option<Package>, Package)>;

/// The registry.
pub(crate) struct Registry {
    pub(crate) seed: u64,
    pub(crate) bases: Vec<BaseList>,
    /// For each base, the sources that stacks and repositories install.
    pools: Vec<Pool>,
    popular: Zipf,
    pub(crate) stacks: Vec<Stack>,
}

impl Registry {
    /// A registry over real bases; `pools` has sources by release.
    pub(crate) fn new(seed: u64, bases: Vec<BaseList>, pools: &BTreeMap<String, Pool>) -> Self {
        let pool = |base: &BaseList| pools.get(&limpid_match::release(&base.distribution)).cloned();
        let pools: Vec<Pool> = bases.iter().map(|base| pool(base).unwrap_or_default()).collect();
        let by_base = Zipf::new(bases.len(), 0.9);
        let stack = |number: usize| {
            let mut rng = rng(&[seed, 1, number as u64]);
            // Every base has at least one.
            let base = if number < bases.len() { number } else { by_base.draw(&mut rng) };
            let large = if bases[base].packages.len() < 20 { 4 } else { 1 };
            let (runtime, framework) = (rng.usize(20..90) / large, rng.usize(8..40) / large);
            Stack { base, team: rng.usize(0..30), runtime, framework }
        };
        let stacks = (0..STACKS).map(stack).collect();
        let popular = Zipf::new(pools.iter().map(Vec::len).max().unwrap_or_default(), 0.8);
        Self { seed, bases, pools, popular, stacks }
    }

    /// A registry whose packages beyond the bases' are made up, for what asks nothing of feeds.
    pub(crate) fn without_feeds(seed: u64) -> anyhow::Result<Self> {
        let bases = super::lists::bases();
        let pools = super::feeds::pools(None, &Self::releases(&bases))?;
        Ok(Self::new(seed, bases, &pools))
    }

    /// The distribution of images with this set.
    pub(crate) fn distribution(&self, set: PackageSet) -> &Distribution {
        &self.bases[self.stacks[usize::from(set.stack)].base].distribution
    }

    /// A source of the base's pool that no stack has: the least popular one of these.
    pub(crate) fn rare_source(&self, base: usize) -> Option<&str> {
        let in_stacks: BTreeSet<usize> = (0..self.stacks.len())
            .filter(|stack| self.stacks[*stack].base == base)
            .flat_map(|stack| self.stack_sources(stack).0)
            .collect();
        let pool = self.pools[base].iter().enumerate().rev();
        pool.filter(|(position, _)| !in_stacks.contains(position)).map(|(_, (name, _))| name.as_str()).next()
    }

    /// Sources that images on the base may have.
    pub(crate) fn sources(&self, base: usize) -> BTreeSet<&str> {
        let own = self.bases[base].packages.iter().map(|package| package.source_name.as_str());
        own.chain(self.pools[base].iter().map(|(name, _)| name.as_str())).collect()
    }

    fn stack_sources(&self, stack: usize) -> (BTreeSet<usize>, Rng) {
        let mut rng = self.rng([4, stack as u64, 0]);
        let Stack { base, runtime, framework, .. } = self.stacks[stack];
        (self.draw(&mut rng, base, runtime + framework), rng)
    }

    /// The releases of its bases.
    pub(crate) fn releases(bases: &[BaseList]) -> BTreeSet<String> {
        bases.iter().map(|base| limpid_match::release(&base.distribution)).collect()
    }

    /// All images, in the order in which they come.
    pub(crate) fn builds(&self) -> Builds<'_> {
        let (by_base, by_stack) = (Zipf::new(self.bases.len(), 0.9), Zipf::new(STACKS, 0.7));
        Builds { registry: self, by_base, by_stack, repositories: Vec::new(), of_image: Vec::new() }
    }

    fn rng(&self, parts: [u64; 3]) -> Rng {
        rng(&[self.seed, parts[0], parts[1], parts[2]])
    }

    /// The base's newest build when so many images had been built: they come out more seldom as the registry grows, so
    /// that large and small ones have several.
    fn newest_build(&self, base: usize, images: u32) -> u16 {
        let phase = self.rng([2, base as u64, 0]).f64();
        let build = (f64::from(images) / 100.0 + 1.0).log2() * 1.7 + phase;
        (build as u32).min(BUILDS - 1) as u16
    }

    /// The packages of a base's build: each build raises some versions of the one before.
    fn base_packages(&self, base: usize, build: u16) -> Vec<Package> {
        let mut packages = self.bases[base].packages.clone();
        for build in 1..=build {
            let mut rng = self.rng([3, base as u64, u64::from(build)]);
            for _ in 0..packages.len().div_ceil(12) {
                let Some(chosen) = packages.get(rng.usize(0..packages.len().max(1))) else { continue };
                // All packages of a source are built together.
                let source = (chosen.source_name.clone(), chosen.source_version.clone());
                for package in packages.iter_mut() {
                    if (&package.source_name, &package.source_version) == (&source.0, &source.1) {
                        raise(package, 1);
                    }
                }
            }
        }
        packages
    }

    /// What each of the ten layers of images with this set does to packages.
    pub(crate) fn layers(&self, set: PackageSet) -> [Changes; LAYERS] {
        let stack = self.stacks[usize::from(set.stack)];
        let mut packages: BTreeMap<(String, String), Package> = BTreeMap::new();
        let mut layers: [Changes; LAYERS] = Default::default();
        let mut base = self.base_packages(stack.base, set.build);
        let extras = base.split_off(base.len().saturating_sub(BASE_EXTRAS.min(base.len() / 2)));
        let mut put = |layer: usize, package: Package| {
            let key = (package.name.clone(), package.arch.clone());
            let before = packages.insert(key, package.clone());
            if before.as_ref() != Some(&package) {
                layers[layer].push((before, package));
            }
        };
        base.iter().for_each(|package| put(0, package.clone()));
        extras.iter().for_each(|package| put(2, package.clone()));
        let raised = u32::from(set.build) / 4;
        let (names, mut rng) = self.stack_sources(usize::from(set.stack));
        for (position, source) in names.iter().enumerate() {
            let layer = if position < stack.runtime { 4 } else { 5 };
            put(layer, self.installed(stack.base, *source, raised, &mut rng));
        }
        // Of a package that the layer both upgrades and installs the last counts.
        let own = self.own_changes(set, &base).into_iter();
        let own: BTreeMap<_, _> =
            own.map(|package| ((package.name.clone(), package.arch.clone()), package)).collect();
        own.into_values().for_each(|package| put(7, package));
        layers
    }

    /// What the repository's own layer installs or upgrades.
    fn own_changes(&self, set: PackageSet, base: &[Package]) -> Vec<Package> {
        let stack = self.stacks[usize::from(set.stack)];
        let mut of_repository = self.rng([5, u64::from(set.repository), 0]);
        let upgrades = of_repository.usize(4..12).min(base.len() / 2);
        let names = self.draw(&mut of_repository, stack.base, OWN_CHANGES - upgrades);
        let mut of_set = self.rng([6, u64::from(set.repository), u64::from(set.since)]);
        let mut changes: Vec<Package> = names
            .iter()
            .map(|source| self.installed(stack.base, *source, of_set.u32(0..4), &mut of_set))
            .collect();
        for position in of_set.choose_multiple(0..base.len(), upgrades) {
            let mut package = base[position].clone();
            raise(&mut package, of_set.u32(1..4));
            changes.push(package);
        }
        changes
    }

    /// So many positions of the base's pool, each once.
    fn draw(&self, rng: &mut Rng, base: usize, count: usize) -> BTreeSet<usize> {
        let pool = self.pools[base].len();
        let mut drawn = BTreeSet::new();
        for _ in 0..count * 8 {
            if drawn.len() < count.min(pool) {
                drawn.insert(self.popular.draw(rng).min(pool.saturating_sub(1)));
            }
        }
        drawn
    }

    /// A package of the pool, in most cases at a version that has the fix.
    fn installed(&self, base: usize, source: usize, raised: u32, rng: &mut Rng) -> Package {
        let (name, version) = &self.pools[base][source];
        let version = if rng.u8(0..10) < 3 { lowered(version) } else { version.clone() };
        let kind = self.bases[base].database.kind;
        let mut package = Package {
            kind,
            name: name.clone(),
            version: version.clone(),
            arch: if kind == limpid_model::PackageType::Deb { "amd64" } else { "x86_64" }.to_owned(),
            source_name: name.clone(),
            source_version: version,
            facts: Vec::new(),
        };
        raise(&mut package, raised);
        package
    }
}

/// The images one after the other.
pub(crate) struct Builds<'a> {
    registry: &'a Registry,
    by_base: Zipf,
    by_stack: Zipf,
    repositories: Vec<Repository>,
    /// The repository of each image so far. A new image is of the same one as any earlier image, so those that have
    /// many get more.
    of_image: Vec<u32>,
}

struct Repository {
    set: PackageSet,
    dependencies: u32,
    images: u32,
}

impl Builds<'_> {
    fn repository(&mut self, number: u32, rng: &mut Rng) -> (usize, bool) {
        let known = self.of_image.get(rng.usize(0..self.of_image.len().max(1))).copied();
        match known {
            Some(known) if number >= FIRST_REPOSITORIES && rng.u32(0..NEW_REPOSITORY_IN) > 0 => {
                (known as usize, false)
            }
            _ => {
                let base = self.by_base.draw(rng);
                // The first of the popular stacks that stands on this base.
                let first = self.by_stack.draw(rng);
                let mut stacks = (0..STACKS).map(|after| (first + after) % STACKS);
                let stack = stacks.find(|stack| self.registry.stacks[*stack].base == base).unwrap_or(first);
                let repository = self.repositories.len();
                let set = PackageSet {
                    stack: stack as u16,
                    build: self.registry.newest_build(base, number),
                    repository: repository as u32,
                    since: number,
                };
                self.repositories.push(Repository { set, dependencies: number, images: 0 });
                (repository, true)
            }
        }
    }
}

impl Iterator for Builds<'_> {
    type Item = Build;

    fn next(&mut self) -> Option<Build> {
        let number = u32::try_from(self.of_image.len()).ok()?;
        let mut rng = self.registry.rng([7, u64::from(number), 0]);
        let (position, mut is_new_set) = self.repository(number, &mut rng);
        self.of_image.push(position as u32);
        let repository = &mut self.repositories[position];
        let base = self.registry.stacks[usize::from(repository.set.stack)].base;
        let newest = self.registry.newest_build(base, number);
        if rng.u32(0..NEWER_BASE_IN) == 0 && newest > repository.set.build {
            repository.set.build = newest;
            is_new_set = true;
        } else if rng.u32(0..NEW_PACKAGES_IN) == 0 {
            is_new_set = true;
        }
        if is_new_set {
            repository.set.since = number;
        }
        if is_new_set || rng.u32(0..NEW_DEPENDENCIES_IN) == 0 {
            repository.dependencies = number;
        }
        let nth = repository.images;
        repository.images += 1;
        Some(Build { number, set: repository.set, is_new_set, dependencies: repository.dependencies, nth })
    }
}

/// Raises the last number of a package's version and its source's.
fn raise(package: &mut Package, by: u32) {
    package.version = raised(&package.version, i64::from(by));
    package.source_version = raised(&package.source_version, i64::from(by));
}

fn lowered(version: &str) -> String {
    raised(version, -1)
}

/// The version with its last number changed; the same if it has none, or that would be negative.
fn raised(version: &str, by: i64) -> String {
    let Some(last) = version.rfind(|c: char| c.is_ascii_digit()) else { return version.to_owned() };
    let first = version[..last].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |before| before + 1);
    match version[first..=last].parse::<i64>() {
        Ok(number) if number + by >= 0 => {
            format!("{}{}{}", &version[..first], number + by, &version[last + 1..])
        }
        _ => version.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::fleet::lists::bases;

    #[test]
    fn versions_are_raised_in_their_last_number() {
        assert_eq!(raised("2.13-38+deb7u6", 1), "2.13-38+deb7u7");
        assert_eq!(raised("1:9", 2), "1:11");
        assert_eq!(raised("1.0-0", -1), "1.0-0");
        assert_eq!(raised("é", 1), "é");
    }

    #[test]
    fn the_same_images_come_in_every_run_and_share_what_registries_share() {
        let bases = bases();
        let pools = super::super::feeds::pools(None, &Registry::releases(&bases)).unwrap();
        let registry = Registry::new(1, bases.clone(), &pools);
        let again = Registry::new(1, bases, &pools);
        let builds: Vec<Build> = registry.builds().take(5000).collect();
        let sets: BTreeSet<PackageSet> = builds.iter().map(|build| build.set).collect();
        assert!(builds.iter().zip(again.builds()).all(|(one, other)| one.set == other.set));
        assert!((500..900).contains(&sets.len()), "{} sets", sets.len());
        let set = builds[4999].set;
        assert_eq!(registry.layers(set), again.layers(set));
        let own = registry.layers(set)[7].len();
        assert!((OWN_CHANGES - 6..=OWN_CHANGES).contains(&own), "{own} changes");
    }
}
