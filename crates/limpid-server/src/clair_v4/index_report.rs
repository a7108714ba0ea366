//! What is in an image, in Clair's words.

use std::collections::BTreeMap;

use limpid_model::{Distribution, ImageMetadata, InstalledPackage, PackageFact};
use limpid_store::{ImageRecord, Store};

use super::wire;

/// The id of the one distribution that an image has.
const DISTRIBUTION_ID: &str = "1";

/// The report of an image that is in the store.
pub(super) fn finished(
    store: &dyn Store,
    record: &ImageRecord,
) -> Result<wire::IndexReport, limpid_index::Error> {
    let (layers, occurrences) = store.contents(&record.nodes)?;
    let installed = limpid_index::installed(&layers, &occurrences);
    let packages: Vec<InstalledPackage> = installed.into_iter().map(|(_, package)| package).collect();
    Ok(wire::IndexReport {
        manifest_hash: record.metadata.manifest_digest.to_string(),
        state: "IndexFinished",
        contents: contents(&record.metadata, record.distribution.as_ref(), &packages),
        success: true,
        err: String::new(),
    })
}

/// The report of an image that cannot be read, whoever asks again.
pub(super) fn failed(manifest_hash: String, reason: String) -> wire::IndexReport {
    wire::IndexReport {
        manifest_hash,
        state: "IndexError",
        contents: wire::Contents::default(),
        success: false,
        err: reason,
    }
}

/// Packages with where they were found. A package's id is its place in the list, a source's follows all of those.
pub(super) fn contents(
    metadata: &ImageMetadata,
    distribution: Option<&Distribution>,
    packages: &[InstalledPackage],
) -> wire::Contents {
    let mut contents = wire::Contents::default();
    if let Some(distribution) = distribution {
        contents.distributions.insert(DISTRIBUTION_ID.to_owned(), self::distribution(distribution));
    }
    let mut sources: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut repositories: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, installed) in packages.iter().enumerate() {
        let package = &installed.package;
        let next = packages.len() + sources.len() + 1;
        let source = *sources.entry((&package.source_name, &package.source_version)).or_insert(next);
        let source = wire::Package {
            id: source.to_string(),
            name: package.source_name.clone(),
            version: package.source_version.clone(),
            kind: "source",
            ..wire::Package::default()
        };
        let mut repository_ids = Vec::new();
        for name in &installed.context.repositories {
            let next = repositories.len() + 1;
            let id = repositories.entry(name).or_insert(next).to_string();
            contents.repository.entry(id.clone()).or_insert_with(|| wire::Repository {
                id: id.clone(),
                name: name.clone(),
                ..wire::Repository::default()
            });
            repository_ids.push(id);
        }
        let id = package_id(index);
        // A package of another world than the distribution's is not the distribution's.
        let of_distribution = distribution.is_some() && !installed.context.release.is_empty();
        let layer = metadata.layers.get(installed.layer).map(|layer| layer.digest.to_string());
        let environment = wire::Environment {
            package_db: installed.path.clone(),
            introduced_in: layer.unwrap_or_default(),
            distribution_id: if of_distribution { DISTRIBUTION_ID.to_owned() } else { String::new() },
            repository_ids,
        };
        contents.environments.insert(id.clone(), vec![environment]);
        let package = wire::Package {
            id: id.clone(),
            name: package.name.clone(),
            version: package.version.clone(),
            kind: "binary",
            source: Some(Box::new(source)),
            module: module(installed),
            arch: package.arch.clone(),
            ..wire::Package::default()
        };
        contents.packages.insert(id, package);
    }
    contents
}

/// A package's id in a report, by its place among the report's packages.
pub(super) fn package_id(index: usize) -> String {
    (index + 1).to_string()
}

/// A module's name and stream; its label has version and context after them.
fn module(installed: &InstalledPackage) -> String {
    let label = installed.package.facts.iter().find(|(fact, _)| *fact == PackageFact::Module);
    let label = label.map_or(installed.context.module.as_str(), |(_, label)| label);
    label.splitn(3, ':').take(2).collect::<Vec<_>>().join(":")
}

/// A distribution with its nine fields. os-release's `NAME` and `VERSION` are not kept: they are what stands before the
/// version in `PRETTY_NAME`, and from there on.
pub(super) fn distribution(distribution: &Distribution) -> wire::Distribution {
    let pretty = distribution.pretty_name.as_str();
    let version_at = Some(distribution.version_id.as_str())
        .filter(|version| !version.is_empty())
        .and_then(|version| pretty.find(version))
        .filter(|at| *at > 0);
    let (name, version) =
        version_at.map_or((pretty, distribution.version_id.as_str()), |at| pretty.split_at(at));
    let name = if name.is_empty() { distribution.id.as_str() } else { name };
    wire::Distribution {
        id: DISTRIBUTION_ID.to_owned(),
        did: distribution.id.clone(),
        name: name.trim().to_owned(),
        version: version.trim().to_owned(),
        version_code_name: distribution.code_name.clone(),
        version_id: distribution.version_id.clone(),
        arch: String::new(),
        cpe: distribution.cpe_name.clone(),
        pretty_name: pretty.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distributions_name_and_version_are_found_in_its_pretty_name() {
        for (id, version_id, pretty, name, version) in [
            ("debian", "12", "Debian GNU/Linux 12 (bookworm)", "Debian GNU/Linux", "12 (bookworm)"),
            ("alpine", "3.20.3", "Alpine Linux v3.20", "Alpine Linux v3.20", "3.20.3"),
            ("ubuntu", "22.04", "Ubuntu 22.04.4 LTS", "Ubuntu", "22.04.4 LTS"),
            ("debian", "", "Debian GNU/Linux trixie/sid", "Debian GNU/Linux trixie/sid", ""),
            ("other", "7", "", "other", "7"),
        ] {
            let wire = distribution(&Distribution {
                id: id.to_owned(),
                version_id: version_id.to_owned(),
                pretty_name: pretty.to_owned(),
                ..Distribution::default()
            });
            assert_eq!((wire.name.as_str(), wire.version.as_str()), (name, version));
        }
    }
}
