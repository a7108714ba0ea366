//! A sample of answers against the brute force: of all kinds of questions, in turn.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use fastrand::Rng;
use limpid_index::fleet::{self, PackageQuestion, Scope, VerdictFilter};
use limpid_index::{Kernels, report};
use limpid_model::{AffectedImage, Digest, Package};
use limpid_store::Store;

use super::brute_force::{BruteForce, Judged, Unique};
use super::images::{layer_of_set, manifest_digest, repository, seen_at, time};
use super::questions::{most_widespread, past, present};
use super::random::rng;
use super::registry::LAYERS;
use super::updates::{History, RARE};
use crate::figure::Figure;

/// Images that a list is compared of, from its beginning.
const LISTED_MAX: usize = 200;

/// Compares so many answers; fails at the first that differs.
pub(crate) fn measure(
    store: &dyn Store,
    all: &BruteForce<'_>,
    history: &History,
    samples: usize,
    seed: u64,
) -> anyhow::Result<Figure> {
    let (now, moments) = (history.now(), history.moments());
    let widespread = all.widespread(now);
    ensure!(!widespread.is_empty(), "no image has a vulnerability");
    let sample = Sample { store, all, now };
    let mut rng = rng(&[seed, 1000]);
    for number in 0..samples {
        let image = rng.u32(0..all.set_of.len() as u32);
        let of_image = sample.vulnerability_of(image, &mut rng);
        let (any, _) = &widespread[rng.usize(0..widespread.len())];
        let id = match rng.u8(0..8) {
            0 => RARE,
            1..=4 => of_image.as_deref().unwrap_or(any),
            _ => any,
        };
        let before = moments[rng.usize(0..moments.len())];
        let as_of = time(before);
        let set = all.sets[all.set_of[image as usize] as usize];
        let compared = match number % 6 {
            0 => sample.affected(id, present(), now, &|_| true),
            1 => {
                let mut scope = present();
                scope.filter.repository = repository(all.registry, set);
                sample.affected(id, scope, now, &|other| all.set(other).repository == set.repository)
            }
            2 => {
                let mut scope = present();
                let team = all.registry.stacks[usize::from(set.stack)].team;
                scope.filter.labels.push(("team".to_owned(), format!("team-{team}")));
                let is_of = |other| all.registry.stacks[usize::from(all.set(other).stack)].team == team;
                sample.affected(id, scope, now, &is_of)
            }
            3 => past(store, before, &as_of)
                .and_then(|scope| sample.affected(id, scope, before, &|other| seen_at(other) <= before)),
            4 => sample.package(image, &mut rng),
            _ => sample.report(image),
        };
        compared
            .with_context(|| format!("answer {number}, {id}, image {image} differs from the brute force"))?;
    }
    let most = sample.most_widespread(&widespread)?;
    Ok(Figure::new("answers equal to the brute force's", (samples + most) as f64, ""))
}

struct Sample<'a> {
    store: &'a dyn Store,
    all: &'a BruteForce<'a>,
    now: i64,
}

impl Sample<'_> {
    /// A vulnerability that the image has.
    fn vulnerability_of(&self, image: u32, rng: &mut Rng) -> Option<String> {
        let members = &self.all.members[self.all.set_of[image as usize] as usize];
        let member = members.get(rng.usize(0..members.len().max(1)))?;
        let mut judged = self.all.judge(&self.all.unique[*member as usize], self.now);
        (!judged.is_empty()).then(|| judged.swap_remove(rng.usize(0..judged.len())).vulnerability)
    }

    /// Who is affected at a time, of the images that `is_asked` picks.
    fn affected(
        &self,
        id: &str,
        scope: Scope<'_>,
        at: i64,
        is_asked: &dyn Fn(u32) -> bool,
    ) -> anyhow::Result<()> {
        let judged = self.all.affected(id, at);
        let packages: BTreeSet<u32> = judged.keys().copied().collect();
        let mut expected = self.all.holding(&packages);
        expected.retain(|image| is_asked(*image));
        let mut answer = fleet::affected(self.store, id, &scope, &VerdictFilter::default(), None)?;
        let head = &answer.head;
        ensure!(
            head.affected == expected.len() as u64,
            "{} images instead of {}",
            head.affected,
            expected.len()
        );
        let (answerable, unanswerable) = self.all.answerable(is_asked);
        let basis = (head.basis.answerable, head.basis.unanswerable);
        ensure!(
            basis == (answerable, unanswerable),
            "{basis:?} images have an answer or none, not {answerable}, {unanswerable}"
        );
        if head.packages_left_out == 0 {
            let found: BTreeMap<(&str, &Package), u64> =
                head.packages.iter().map(|v| ((v.release.as_str(), &v.package), v.images)).collect();
            for (package, images) in self.all.counts(&packages, is_asked) {
                let unique = &self.all.unique[package as usize];
                let found = found.get(&(self.all.releases[unique.release].as_str(), &unique.package));
                ensure!(
                    found.copied().unwrap_or(0) == images,
                    "{:?} is in {images} images, not {found:?}",
                    unique.package
                );
            }
        }
        let mut listed: Vec<AffectedImage> = Vec::new();
        while listed.len() < LISTED_MAX.min(expected.len()) {
            let page = answer.take(self.store, LISTED_MAX - listed.len())?;
            ensure!(!page.is_empty(), "the list ends after {} images", listed.len());
            listed.extend(page);
        }
        for (found, number) in listed.iter().zip(expected) {
            self.image(found, number, &judged).with_context(|| format!("image {number} of the list"))?;
        }
        Ok(())
    }

    /// One image of a list: the packages that make it affected, and the layers that brought them.
    fn image(
        &self,
        found: &AffectedImage,
        number: u32,
        judged: &BTreeMap<u32, Judged>,
    ) -> anyhow::Result<()> {
        let registry = self.all.registry;
        ensure!(found.image.digest == manifest_digest(registry, number), "another image is in its place");
        let set = self.all.set(number);
        let layers = registry.layers(set);
        let mut expected: BTreeSet<(&Package, &str, Digest, String)> = BTreeSet::new();
        for member in &self.all.members[self.all.set_of[number as usize] as usize] {
            let Some(verdict) = judged.get(member) else { continue };
            let package = &self.all.unique[*member as usize].package;
            let brought = |position: &usize| layers[*position].iter().any(|(_, after)| after == package);
            let position = (0..LAYERS).rev().find(brought).context("no layer brought it")?;
            let (digest, command) = layer_of_set(registry, set, position);
            expected.insert((package, &verdict.fixed, digest, command));
        }
        let packages = found.packages.iter();
        let found: BTreeSet<_> = packages
            .map(|p| (&p.package, p.verdict.fixed.as_str(), p.layer.digest, p.layer.command.clone()))
            .collect();
        ensure!(found == expected, "{found:?} instead of {expected:?}");
        Ok(())
    }

    /// Which images have one of the packages of an image, in any version.
    fn package(&self, image: u32, rng: &mut Rng) -> anyhow::Result<()> {
        let members = &self.all.members[self.all.set_of[image as usize] as usize];
        let name = &self.all.unique[members[rng.usize(0..members.len())] as usize].package.name;
        let is_named = |unique: &Unique| unique.package.name == *name || unique.package.source_name == *name;
        let packages = self.all.unique.iter().enumerate().filter(|(_, unique)| is_named(unique));
        let packages: BTreeSet<u32> = packages.map(|(position, _)| position as u32).collect();
        let expected = self.all.holding(&packages);
        let asked = PackageQuestion { name: name.clone(), ..PackageQuestion::default() };
        let mut answer = fleet::package(self.store, &asked, &present(), None)?;
        let images = answer.head.images;
        ensure!(images == expected.len() as u64, "{images} images have {name}, not {}", expected.len());
        let listed = answer.take(self.store, LISTED_MAX)?;
        for (found, number) in listed.iter().zip(expected) {
            let digest = manifest_digest(self.all.registry, number);
            ensure!(found.image.digest == digest, "image {number} has {name} and is not listed");
        }
        Ok(())
    }

    /// The hundred most widespread, each with how many images have it.
    fn most_widespread(&self, expected: &[(String, u64)]) -> anyhow::Result<usize> {
        let found = fleet::vulnerabilities(self.store, &present(), &most_widespread())?.vulnerabilities;
        let found: Vec<(String, u64)> = found.into_iter().map(|share| (share.id, share.images)).collect();
        let expected = &expected[..expected.len().min(found.len().max(100))];
        ensure!(
            found == expected,
            "other vulnerabilities are the most widespread: {found:?}, not {expected:?}"
        );
        Ok(found.len())
    }

    /// All that one image is affected by.
    fn report(&self, number: u32) -> anyhow::Result<()> {
        let digest = manifest_digest(self.all.registry, number);
        let (_, record) = self.store.image(&digest)?.context("the image is not there")?;
        let report = report(self.store, &record, "", present().moment, Kernels::Show)?;
        let members = &self.all.members[self.all.set_of[number as usize] as usize];
        ensure!(
            report.packages.len() == members.len(),
            "{} packages instead of {}",
            report.packages.len(),
            members.len()
        );
        let mut expected = BTreeSet::new();
        for member in members {
            let unique = &self.all.unique[*member as usize];
            let judged = self.all.judge(unique, self.now).into_iter();
            expected.extend(
                judged.map(|judged| (unique.package.name.clone(), judged.vulnerability, judged.fixed)),
            );
        }
        let findings = report.findings.iter().filter(|finding| finding.verdict.state.is_affected());
        let name = |package: usize| report.packages.get(package).map(|package| package.package.name.clone());
        let found: BTreeSet<_> = findings
            .map(|f| {
                (
                    name(f.package).unwrap_or_default(),
                    f.verdict.vulnerability.clone(),
                    f.verdict.fixed.clone(),
                )
            })
            .collect();
        let missing: Vec<_> = expected.difference(&found).take(3).collect();
        let more: Vec<_> = found.difference(&expected).take(3).collect();
        ensure!(found == expected, "the report lacks {missing:?} and has {more:?}");
        Ok(())
    }
}
