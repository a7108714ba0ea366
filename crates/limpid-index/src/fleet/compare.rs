//! The difference between two images: packages and what is found in them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{
    Comparison, Exposure, FleetImage, ImageDifference, Package, PackageType, Rated, Report, Standing,
    Verdict, VersionChange,
};
use limpid_store::{ImageId, ImageRecord, Store};

use crate::report::report;
use crate::{Error, Kernels, Moment};

/// What names a package whatever its version.
pub(crate) type Name = (PackageType, String, String);

/// A package version and what is found in it.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    pub(crate) package: Package,
    pub(crate) findings: Vec<(Verdict, Rated)>,
}

/// Packages by name; of one name there may be several versions (kernels, packages of several roots).
pub(crate) type Contents = BTreeMap<Name, Vec<Installed>>;

/// An image of the store, as a list names it and as it is.
#[derive(Debug, Clone)]
pub struct KnownImage {
    /// Its id.
    pub id: ImageId,
    /// What is kept of it.
    pub record: ImageRecord,
}

/// What is different in the second image.
pub fn difference(
    store: &dyn Store,
    before: &KnownImage,
    after: &KnownImage,
    moment: Moment<'_>,
    kernels: Kernels,
) -> Result<Comparison, Error> {
    let first = report(store, &before.record, "", moment, kernels)?;
    let second = report(store, &after.record, "", moment, kernels)?;
    Ok(Comparison {
        revision: first.revision,
        as_of: moment.as_of.to_owned(),
        before: named(store, before)?,
        after: named(store, after)?,
        is_answerable: is_answerable(&first) && is_answerable(&second),
        difference: compare(contents(&first, |_| true), contents(&second, |_| true)),
    })
}

pub(crate) fn named(store: &dyn Store, image: &KnownImage) -> Result<FleetImage, Error> {
    let summary = store.summaries(&[image.id])?.pop();
    Ok(summary.map(super::scope::fleet_image).unwrap_or_else(|| FleetImage {
        digest: image.record.metadata.manifest_digest,
        references: Vec::new(),
        release: image.record.release.clone(),
    }))
}

pub(crate) fn is_answerable(report: &Report) -> bool {
    report.coverage.standing != Standing::None
}

/// The packages of a report that were brought by layers that are wanted, with their findings.
pub(crate) fn contents(report: &Report, wanted: impl Fn(usize) -> bool) -> Contents {
    let mut findings: BTreeMap<usize, Vec<(Verdict, Rated)>> = BTreeMap::new();
    for finding in report.findings.iter().filter(|finding| finding.verdict.state.is_affected()) {
        let of_package = findings.entry(finding.package).or_default();
        of_package.push((finding.verdict.clone(), finding.rated.clone()));
    }
    let mut contents = Contents::new();
    for (index, installed) in report.packages.iter().enumerate().filter(|(_, package)| wanted(package.layer))
    {
        let package = installed.package.clone();
        let findings = findings.remove(&index).unwrap_or_default();
        contents.entry(name(&package)).or_default().push(Installed { package, findings });
    }
    contents
}

pub(crate) fn name(package: &Package) -> Name {
    (package.kind, package.name.clone(), package.arch.clone())
}

/// What is different in the second. A version that both have is no difference; of the rest, versions of the same name
/// stand for each other in their order.
pub(crate) fn compare(before: Contents, mut after: Contents) -> ImageDifference {
    let mut difference = ImageDifference::default();
    let mut names: BTreeSet<Name> = before.keys().cloned().collect();
    names.extend(after.keys().cloned());
    let mut before = before;
    for name in names {
        let first = before.remove(&name).unwrap_or_default();
        let second = after.remove(&name).unwrap_or_default();
        vulnerabilities(&first, &second, &mut difference);
        let (mut gone, mut fresh): (Vec<Package>, Vec<Package>) = (packages(first), packages(second));
        let both: BTreeSet<Package> =
            gone.iter().filter(|package| fresh.contains(package)).cloned().collect();
        gone.retain(|package| !both.contains(package));
        fresh.retain(|package| !both.contains(package));
        let changed = gone.len().min(fresh.len());
        for (from, to) in gone.drain(..changed).zip(fresh.drain(..changed)) {
            let scheme = limpid_match::scheme(to.kind);
            let order = scheme.map(|scheme| scheme.compare(&to.version, &from.version));
            let is_downgrade = order == Some(Ordering::Less);
            difference.changed.push(VersionChange { from, to, is_downgrade });
        }
        difference.removed.append(&mut gone);
        difference.added.append(&mut fresh);
    }
    let worst_first = |a: &Exposure, b: &Exposure| {
        let key = |exposure: &Exposure| {
            let (package, verdict) = (exposure.package.clone(), exposure.verdict.vulnerability.clone());
            (std::cmp::Reverse(exposure.rated.severity), package, verdict)
        };
        key(a).cmp(&key(b))
    };
    difference.introduced.sort_by(worst_first);
    difference.fixed.sort_by(worst_first);
    difference.remaining.sort_by(worst_first);
    difference
}

fn packages(installed: Vec<Installed>) -> Vec<Package> {
    let mut packages: Vec<Package> = installed.into_iter().map(|installed| installed.package).collect();
    packages.sort();
    packages.dedup();
    packages
}

/// A vulnerability counts once for a package's name, however many versions of it have it.
fn vulnerabilities(first: &[Installed], second: &[Installed], difference: &mut ImageDifference) {
    fn by_id(installed: &[Installed]) -> BTreeMap<&str, Exposure> {
        let mut found = BTreeMap::new();
        for installed in installed {
            for (verdict, rated) in &installed.findings {
                found.entry(verdict.vulnerability.as_str()).or_insert_with(|| Exposure {
                    package: installed.package.clone(),
                    verdict: verdict.clone(),
                    rated: rated.clone(),
                });
            }
        }
        found
    }
    let (first, second) = (by_id(first), by_id(second));
    for (id, exposure) in &first {
        match second.get(id) {
            Some(still) => difference.remaining.push(still.clone()),
            None => difference.fixed.push(exposure.clone()),
        }
    }
    let introduced = second.into_iter().filter(|(id, _)| !first.contains_key(id));
    difference.introduced.extend(introduced.map(|(_, exposure)| exposure));
}
