//! What moving to a newer known build of the same base would fix.
//!
//! Images do not say what they were built from. The base is told from what is known: of all images of which every layer
//! is one of the first layers of this one, the one with the most. If there is none, the image is looked at as a
//! base itself. A newer build is what one of the base's references names now, if that is another image of the
//! same release and platform that was seen later; else the newest such image of one of the base's repositories that
//! does not stand on the base itself. Folders and archives have no repositories.

use limpid_image::Reference;
use limpid_model::{BaseEvidence, NewerBuild, Package, Rebase};
use limpid_store::{ImageFilter, ImageRecord, Store};

use super::compare::{Contents, KnownImage, compare, contents, is_answerable, named};
use crate::report::report;
use crate::{Error, Kernels, Moment};

/// Images that are looked at as bases for each node of the image, at most: those that were stored first.
const CANDIDATES_MAX: usize = 1000;
/// Images of a repository that are looked at as newer builds, at most: those that were stored last.
const BUILDS_MAX: usize = 1000;

/// What moving `image` to a newer build of its base would fix.
pub fn rebase(
    store: &dyn Store,
    image: &KnownImage,
    moment: Moment<'_>,
    kernels: Kernels,
) -> Result<Rebase, Error> {
    let (found, is_bounded) = base(store, image)?;
    let (base, evidence) = match found {
        Some(base) => (base, BaseEvidence::Layers),
        None => (image.clone(), BaseEvidence::Itself),
    };
    let now = report(store, &image.record, "", moment, kernels)?;
    let newer = match newer(store, image, &base)? {
        None => None,
        Some((build, reference, repository)) => {
            let base_layers = base.record.metadata.layers.len();
            let on_newer = report(store, &build.record, "", moment, kernels)?;
            let on_base = report(store, &base.record, "", moment, kernels)?;
            let rebased = rebased(
                contents(&on_base, |_| true),
                contents(&now, |_| true),
                contents(&on_newer, |_| true),
                &contents(&now, |layer| layer >= base_layers),
            );
            Some(NewerBuild {
                image: named(store, &build)?,
                reference,
                repository,
                is_answerable: is_answerable(&now) && is_answerable(&on_newer),
                difference: compare(contents(&now, |_| true), rebased),
            })
        }
    };
    Ok(Rebase {
        revision: now.revision,
        as_of: moment.as_of.to_owned(),
        image: named(store, image)?,
        base: named(store, &base)?,
        base_layers: base.record.metadata.layers.len() as u64,
        evidence,
        is_bounded,
        newer,
    })
}

/// The image with the most layers of which all are the first layers of this one, and whether there may be another.
fn base(store: &dyn Store, image: &KnownImage) -> Result<(Option<KnownImage>, bool), Error> {
    let layers = &image.record.metadata.layers;
    let mut best: Option<KnownImage> = None;
    let mut is_bounded = false;
    let mut nodes = image.record.nodes.clone();
    nodes.dedup();
    for node in nodes.into_iter().rev() {
        let candidates = store.images_at(node, CANDIDATES_MAX)?;
        is_bounded |= candidates.len() == CANDIDATES_MAX;
        for id in candidates.into_iter().filter(|id| *id != image.id) {
            let Some(record) = store.image_by_id(id)? else { continue };
            let theirs = &record.metadata.layers;
            let is_shorter = theirs.len() < layers.len();
            let is_base = is_shorter && theirs.iter().zip(layers).all(|(a, b)| a.digest == b.digest);
            let known = best.as_ref().map_or(0, |best| best.record.metadata.layers.len());
            if is_base && theirs.len() > known {
                best = Some(KnownImage { id, record });
            }
        }
        // Images that end in older nodes have fewer layers.
        if best.is_some() {
            break;
        }
    }
    Ok((best, is_bounded))
}

/// The newer build of a base, with the reference by which it was told, if it was one, and the repository.
fn newer(
    store: &dyn Store,
    image: &KnownImage,
    base: &KnownImage,
) -> Result<Option<(KnownImage, String, String)>, Error> {
    let is_build = |record: &ImageRecord| {
        let same = record.release == base.record.release
            && record.metadata.platform == base.record.metadata.platform;
        same && !record.release.is_empty()
            && record.metadata.manifest_digest != base.record.metadata.manifest_digest
    };
    let references = store.summaries(&[base.id])?.pop().map(|summary| summary.references).unwrap_or_default();
    for reference in references.iter().filter(|reference| !reference.contains('@')) {
        if let Some((id, record)) = store.image_by_reference(reference)?
            && id > base.id
            && is_build(&record)
        {
            return Ok(Some((
                KnownImage { id, record },
                reference.clone(),
                repository(reference).to_owned(),
            )));
        }
    }
    let layers = &base.record.metadata.layers;
    let stands_on_base = |record: &ImageRecord| {
        let theirs = &record.metadata.layers;
        theirs.len() >= layers.len() && theirs.iter().zip(layers).all(|(a, b)| a.digest == b.digest)
    };
    for reference in references.iter().filter(|reference| is_named(reference)) {
        let repository = repository(reference);
        let release = base.record.release.clone();
        let filter = ImageFilter { repository: repository.to_owned(), release, ..ImageFilter::default() };
        let images = store.select(&filter)?;
        let later = images.iter().filter(|id| *id > base.id).collect::<Vec<_>>();
        for id in later.into_iter().rev().take(BUILDS_MAX) {
            if let Some(record) = store.image_by_id(id)?.filter(&is_build)
                && id != image.id
                && !stands_on_base(&record)
            {
                return Ok(Some((KnownImage { id, record }, String::new(), repository.to_owned())));
            }
        }
    }
    Ok(None)
}

/// Whether a reference names an image of a repository: of a registry's or an engine's.
fn is_named(reference: &str) -> bool {
    let named = reference.parse();
    matches!(named, Ok(Reference::Registry(_) | Reference::DockerDaemon(_) | Reference::Podman(_)))
}

/// A reference without its tag and digest.
fn repository(reference: &str) -> &str {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') && !repository.is_empty() => repository,
        _ => name,
    }
}

/// The image on the newer base: what that has, with what the image's own layers did to the old one done again. A package
/// of their own stays as it is, unless the newer base has a newer version of it.
fn rebased(base: Contents, now: Contents, newer: Contents, own: &Contents) -> Contents {
    let mut rebased = newer;
    // What the image's own layers removed stays removed.
    for name in base.keys().filter(|name| !now.contains_key(*name)) {
        rebased.remove(name);
    }
    for (name, installed) in own {
        let theirs = rebased.get(name).map(Vec::as_slice).unwrap_or_default();
        let newest =
            installed.iter().all(|own| theirs.iter().all(|their| !is_newer(&their.package, &own.package)));
        if newest {
            rebased.insert(name.clone(), installed.clone());
        }
    }
    rebased
}

fn is_newer(package: &Package, than: &Package) -> bool {
    let scheme = limpid_match::scheme(package.kind);
    scheme.is_some_and(|scheme| scheme.compare(&package.version, &than.version).is_gt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_references_without_tag_and_digest() {
        for (reference, expected) in [
            ("debian:12", "debian"),
            ("host:5000/a/b", "host:5000/a/b"),
            ("host:5000/a/b:1", "host:5000/a/b"),
            ("host/a@sha256:00", "host/a"),
            ("host/a:1@sha256:00", "host/a"),
            ("oci:folder", "oci"),
        ] {
            assert_eq!(repository(reference), expected);
        }
    }
}
