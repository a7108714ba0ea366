//! The same answers without an index: every image's packages as they were made up, every statement of every advisory
//! on them as the feeds' parsers hand it over, judged package by package by the distributions' rules.
//!
//! It shares with the store's way what says *whether a statement affects a package* (`limpid-match`, `limpid-version`,
//! and the feeds' parsers) and nothing of what finds, joins, keeps or counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use limpid_feeds::Mirror;
use limpid_match::{Products, Rules, Statement, Subject};
use limpid_model::{Advisory, AdvisoryDetails, Affected, Context, Package, VerdictState, vulnerability_id};

use super::images::packages;
use super::registry::{PackageSet, Registry};

/// What an advisory says of a package, and when it began to say so.
struct Said {
    feed: &'static str,
    id: String,
    affected: Affected,
    /// Between which times it does, in seconds since the epoch; the real feeds do all the time.
    during: Range<i64>,
}

/// A verdict, as far as answers show it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Judged {
    pub(crate) vulnerability: String,
    pub(crate) state: VerdictState,
    pub(crate) fixed: String,
}

/// A package version in a release.
pub(crate) struct Unique {
    pub(crate) release: usize,
    pub(crate) package: Package,
}

/// All images and all that is said.
pub(crate) struct BruteForce<'a> {
    pub(crate) registry: &'a Registry,
    /// The releases of images.
    pub(crate) releases: Vec<String>,
    /// The numbers of the images in the order in which they were stored.
    order: Vec<u32>,
    /// The package set of each image, by its position in `sets`.
    pub(crate) set_of: Vec<u32>,
    pub(crate) sets: Vec<PackageSet>,
    /// For each set its packages, by their positions in `unique`.
    pub(crate) members: Vec<Vec<u32>>,
    pub(crate) unique: Vec<Unique>,
    /// By name, then by release.
    said: HashMap<String, HashMap<String, Vec<Said>>>,
    details: HashMap<&'static str, HashMap<String, AdvisoryDetails>>,
    /// Under which names advisories speak of the packages, and of which.
    by_name: HashMap<String, Vec<u32>>,
    /// The names that advisories on a vulnerability name.
    named: HashMap<String, BTreeSet<String>>,
    /// The releases of which anything is said.
    pub(crate) answerable: BTreeSet<String>,
}

impl<'a> BruteForce<'a> {
    /// The first images, so many as are in `order`, which has their numbers in the order in which they were stored.
    pub(crate) fn new(registry: &'a Registry, order: Vec<u32>) -> Self {
        let images = order.len();
        let releases: Vec<String> = Registry::releases(&registry.bases).into_iter().collect();
        let release_of_base: Vec<usize> = registry
            .bases
            .iter()
            .map(|base| {
                let release = limpid_match::release(&base.distribution);
                releases.iter().position(|known| *known == release).unwrap_or_default()
            })
            .collect();
        let (mut positions, mut sets, mut members) = (HashMap::new(), Vec::new(), Vec::new());
        let (mut known, mut unique): (HashMap<(usize, Package), u32>, Vec<Unique>) = Default::default();
        let mut set_of = Vec::with_capacity(images);
        for build in registry.builds().take(images) {
            let position = *positions.entry(build.set).or_insert_with(|| {
                let release = release_of_base[registry.stacks[usize::from(build.set.stack)].base];
                let mut of_set: Vec<u32> = Vec::new();
                for package in packages(&registry.layers(build.set)) {
                    let next = unique.len() as u32;
                    of_set.push(*known.entry((release, package.clone())).or_insert_with(|| {
                        unique.push(Unique { release, package });
                        next
                    }));
                }
                of_set.sort_unstable();
                of_set.shrink_to_fit();
                members.push(of_set);
                sets.push(build.set);
                sets.len() as u32 - 1
            });
            set_of.push(position);
        }
        let (said, details, by_name, named, answerable) = Default::default();
        let mut all = Self {
            registry,
            releases,
            order,
            set_of,
            sets,
            members,
            unique,
            said,
            details,
            by_name,
            named,
            answerable,
        };
        let mut by_name: HashMap<String, Vec<u32>> = HashMap::new();
        for (position, unique) in all.unique.iter().enumerate() {
            let Some(rules) = all.rules(unique) else { continue };
            for name in names_of(rules, &unique.package) {
                by_name.entry(name).or_default().push(position as u32);
            }
        }
        all.by_name = by_name;
        all
    }

    /// Takes in what the real feeds say.
    pub(crate) fn read(&mut self, mirror: &Mirror) -> anyhow::Result<()> {
        let releases: BTreeSet<String> = self.releases.iter().cloned().collect();
        super::feeds::read(mirror, &releases, &mut |feed, advisory| {
            self.take(feed, advisory, &(i64::MIN..i64::MAX))
        })
    }

    /// Takes in advisories of the operator's own, which hold between two times.
    pub(crate) fn add_local(&mut self, advisories: impl IntoIterator<Item = Advisory>, during: &Range<i64>) {
        for advisory in advisories {
            self.take(limpid_feeds::LOCAL_FEED, advisory, during);
        }
    }

    fn take(&mut self, feed: &'static str, advisory: Advisory, during: &Range<i64>) {
        let mut is_wanted = false;
        for affected in advisory.affected {
            if !self.answerable.contains(&affected.release) {
                self.answerable.insert(affected.release.clone());
            }
            if self.by_name.contains_key(&affected.package) {
                is_wanted = true;
                let of_name = self.said.entry(affected.package.clone()).or_default();
                let of_release = of_name.entry(affected.release.clone()).or_default();
                of_release.push(Said { feed, id: advisory.id.clone(), affected, during: during.clone() });
            }
        }
        let details = self.details.entry(feed).or_default();
        match details.get_mut(&advisory.id) {
            Some(details) => details.merge(advisory.details),
            None if is_wanted => drop(details.insert(advisory.id, advisory.details)),
            None => {}
        }
    }

    /// To be called when all is taken in.
    pub(crate) fn seal(&mut self) {
        let mut named: HashMap<String, BTreeSet<String>> = HashMap::new();
        for (name, said) in &self.said {
            for said in said.values().flatten() {
                named.entry(self.vulnerability(said).to_owned()).or_default().insert(name.clone());
            }
        }
        self.named = named;
    }

    fn details(&self, said: &Said) -> Option<&AdvisoryDetails> {
        self.details.get(said.feed)?.get(&said.id)
    }

    fn vulnerability<'s>(&'s self, said: &'s Said) -> &'s str {
        let aliases = self.details(said).map(|details| details.aliases.as_slice());
        vulnerability_id(&said.id, aliases.unwrap_or_default())
    }

    fn rules(&self, unique: &Unique) -> Option<&'static dyn Rules> {
        limpid_match::rules_for(&self.releases[unique.release], unique.package.kind)
    }

    /// What is known of a package at a time: every vulnerability that affects it or may.
    pub(crate) fn judge(&self, unique: &Unique, at: i64) -> Vec<Judged> {
        let Some(rules) = self.rules(unique) else { return Vec::new() };
        let release = &self.releases[unique.release];
        let names = names_of(rules, &unique.package);
        let mut statements = Vec::new();
        for release in rules.releases(release) {
            for name in &names {
                let said = self.said.get(name).and_then(|said| said.get(&release));
                statements.extend(said.into_iter().flatten().filter(|said| said.during.contains(&at)));
            }
        }
        let statements: Vec<Statement<'_>> =
            statements.iter().filter_map(|said| self.statement(said)).collect();
        let context = Context { release: release.clone(), ..Context::default() };
        let products = Products::of(&context, &BTreeMap::new());
        let subject = Subject { package: &unique.package, context: &context, products: &products };
        let joined =
            limpid_match::join(rules.scheme(), limpid_match::verdicts_of(rules, &subject, &statements));
        let counting = joined.into_iter().map(|(counting, _)| counting.verdict);
        let counting = counting.filter(|verdict| verdict.state.is_affected());
        counting
            .map(|verdict| Judged {
                vulnerability: verdict.vulnerability,
                state: verdict.state,
                fixed: verdict.fixed,
            })
            .collect()
    }

    fn statement<'s>(&'s self, said: &'s Said) -> Option<Statement<'s>> {
        let details = self.details(said)?;
        details.withdrawn.is_empty().then(|| Statement {
            feed: said.feed,
            advisory: &said.id,
            vulnerability: self.vulnerability(said),
            severity: (details.severity, &details.severity_word),
            affected: &said.affected,
        })
    }

    /// The packages that a vulnerability affects at a time, by their positions in `unique`.
    pub(crate) fn affected(&self, vulnerability: &str, at: i64) -> BTreeMap<u32, Judged> {
        let names = self.named.get(vulnerability).into_iter().flatten();
        let candidates: BTreeSet<u32> =
            names.filter_map(|name| self.by_name.get(name)).flatten().copied().collect();
        let judged = candidates.into_iter().filter_map(|position| {
            let judged = self.judge(&self.unique[position as usize], at).into_iter();
            Some((position, { judged }.find(|judged| judged.vulnerability == vulnerability)?))
        });
        judged.collect()
    }

    /// The package set of an image.
    pub(crate) fn set(&self, image: u32) -> PackageSet {
        self.sets[self.set_of[image as usize] as usize]
    }

    /// The numbers of the images that hold any of the packages, in the order of the store.
    pub(crate) fn holding(&self, packages: &BTreeSet<u32>) -> Vec<u32> {
        let holds: Vec<bool> = self
            .members
            .iter()
            .map(|members| members.iter().any(|member| packages.contains(member)))
            .collect();
        let holds = |number: &&u32| holds[self.set_of[**number as usize] as usize];
        self.order.iter().filter(holds).copied().collect()
    }

    /// How many of the images that `is_asked` picks hold each of the packages.
    pub(crate) fn counts(
        &self,
        packages: &BTreeSet<u32>,
        is_asked: &dyn Fn(u32) -> bool,
    ) -> BTreeMap<u32, u64> {
        let mut images_of_set = vec![0_u64; self.sets.len()];
        for (_, set) in self.set_of.iter().enumerate().filter(|(number, _)| is_asked(*number as u32)) {
            images_of_set[*set as usize] += 1;
        }
        let mut counts: BTreeMap<u32, u64> = packages.iter().map(|package| (*package, 0)).collect();
        for (members, images) in self.members.iter().zip(images_of_set).filter(|(_, images)| *images > 0) {
            for member in members {
                if let Some(count) = counts.get_mut(member) {
                    *count += images;
                }
            }
        }
        counts
    }

    /// How many of the images that `is_asked` picks stand on a release of which something is said, and how many do not.
    pub(crate) fn answerable(&self, is_asked: &dyn Fn(u32) -> bool) -> (u64, u64) {
        let is_spoken_for = |set: &PackageSet| {
            let release = limpid_match::release(self.registry.distribution(*set));
            limpid_match::releases_for(&release).iter().any(|release| self.answerable.contains(release))
        };
        let spoken_for: Vec<bool> = self.sets.iter().map(is_spoken_for).collect();
        let (mut answerable, mut unanswerable) = (0, 0);
        for (_, set) in self.set_of.iter().enumerate().filter(|(number, _)| is_asked(*number as u32)) {
            *(if spoken_for[*set as usize] { &mut answerable } else { &mut unanswerable }) += 1;
        }
        (answerable, unanswerable)
    }

    /// How many images each vulnerability affects now, the most first; equal ones by their ids.
    pub(crate) fn widespread(&self, at: i64) -> Vec<(String, u64)> {
        let mut images_of_set = vec![0_u64; self.sets.len()];
        self.set_of.iter().for_each(|set| images_of_set[*set as usize] += 1);
        let mut ids: HashMap<String, u32> = HashMap::new();
        let mut names: Vec<String> = Vec::new();
        let judged: Vec<Vec<u32>> = self
            .unique
            .iter()
            .map(|unique| {
                let judged = self.judge(unique, at).into_iter().map(|judged| judged.vulnerability);
                let id = |name: String| {
                    *ids.entry(name.clone()).or_insert_with(|| {
                        names.push(name);
                        names.len() as u32 - 1
                    })
                };
                judged.map(id).collect()
            })
            .collect();
        let (mut counts, mut seen_in) = (vec![0_u64; names.len()], vec![u32::MAX; names.len()]);
        for (set, members) in self.members.iter().enumerate() {
            for id in members.iter().flat_map(|member| &judged[*member as usize]) {
                if std::mem::replace(&mut seen_in[*id as usize], set as u32) != set as u32 {
                    counts[*id as usize] += images_of_set[set];
                }
            }
        }
        let mut all: Vec<(String, u64)> = names.into_iter().zip(counts).collect();
        all.sort_by(|(a, most), (b, more)| more.cmp(most).then(a.cmp(b)));
        all
    }
}

/// Every name under which advisories may speak of a package.
fn names_of(rules: &dyn Rules, package: &Package) -> BTreeSet<String> {
    let own = rules.names(package).into_iter().map(|(_, name)| name.to_owned());
    own.chain(rules.signed(package).map(|code| code.source_name)).collect()
}
