//! Which distribution an image is: what its release files say, weighed.
//!
//! os-release(5) comes first, `etc` before `usr/lib`; then the files that one distribution alone has, then those
//! that derivatives copy from their parents (`redhat-release`, `debian_version`), then apt's sources. The first
//! that names a distribution decides; others that name the same one fill in what it leaves open.
//!
//! Debian's testing and unstable have the same os-release (`forky/sid`, no `VERSION_ID`); apt's sources tell
//! them apart. Without them it is the release in preparation if it is named, else `sid`.

use limpid_model::Distribution;

use crate::extractor::Anchor;
use crate::{EXTRACTORS, releases};

/// Where the release files lie, in the order of their weight.
static PRECEDENCE: &[Anchor] = &[
    Anchor::File("etc/os-release"),
    Anchor::File("usr/lib/os-release"),
    Anchor::File("etc/alpine-release"),
    Anchor::File("etc/photon-release"),
    Anchor::File("etc/mariner-release"),
    Anchor::File("etc/azurelinux-release"),
    Anchor::File("etc/openEuler-release"),
    Anchor::File("etc/oracle-release"),
    Anchor::File("etc/enterprise-release"),
    Anchor::File("etc/rocky-release"),
    Anchor::File("etc/almalinux-release"),
    Anchor::File("etc/centos-release"),
    Anchor::File("etc/fedora-release"),
    Anchor::File("etc/mageia-release"),
    Anchor::File("etc/SuSE-release"),
    Anchor::File("etc/gentoo-release"),
    Anchor::File("etc/slackware-version"),
    Anchor::File("etc/arch-release"),
    Anchor::File("etc/system-release"),
    Anchor::File("etc/redhat-release"),
    Anchor::File("etc/lsb-release"),
    Anchor::File("etc/debian_version"),
    Anchor::File("etc/apt/sources.list"),
    Anchor::Directory("etc/apt/sources.list.d"),
];

/// Where the release files lie, in the order of their weight.
pub fn anchors() -> &'static [Anchor] {
    PRECEDENCE
}

/// Whether an extractor's records are distributions.
pub fn is_release_extractor(name: &str) -> bool {
    EXTRACTORS
        .iter()
        .filter(|extractor| extractor.name() == name)
        .any(|extractor| extractor.anchors().iter().all(|anchor| PRECEDENCE.contains(anchor)))
}

/// The distribution that the records name, each given with the anchor that it was found at (for a file of a
/// directory: its path in that directory). `None` if they name none. A distribution that has a name for people
/// but no id is `linux`, the default of os-release(5).
pub fn resolve(records: &[(&str, &Distribution)]) -> Option<Distribution> {
    let mut ranked: Vec<(usize, &str, &Distribution)> =
        records.iter().filter_map(|(path, distribution)| Some((rank(path)?, *path, *distribution))).collect();
    ranked.sort_by_key(|(rank, path, _)| (*rank, *path));
    let apt: Vec<&Distribution> =
        ranked.iter().filter(|(rank, ..)| is_apt(*rank)).map(|(_, _, distribution)| *distribution).collect();

    let mut position = ranked.iter().position(|(.., distribution)| !distribution.id.is_empty());
    // Ubuntu's debian_version says `wheezy/sid` too; then the archive that it installs from decides.
    if let Some((rank, _, first)) = position.and_then(|index| ranked.get(index))
        && is_debian_version(*rank)
        && first.version_id.is_empty()
        && let Some(other) = apt.iter().find(|other| !other.id.is_empty() && other.id != first.id)
    {
        position = ranked.iter().position(|(.., distribution)| std::ptr::eq(*distribution, *other));
    }
    let Some((_, _, first)) = position.and_then(|index| ranked.get(index)) else {
        let (_, _, named) = ranked.iter().find(|(.., distribution)| !distribution.pretty_name.is_empty())?;
        return Some(Distribution { id: "linux".into(), ..(*named).clone() });
    };
    let mut resolved = (*first).clone();
    for (rank, _, other) in &ranked {
        if other.id == resolved.id && !is_apt(*rank) {
            fill(&mut resolved, other);
        }
    }
    settle_release(&mut resolved, &apt);
    Some(resolved)
}

fn rank(path: &str) -> Option<usize> {
    PRECEDENCE.iter().position(|anchor| anchor.covers(path))
}

fn is_apt(rank: usize) -> bool {
    PRECEDENCE.get(rank).is_some_and(|anchor| anchor.path().starts_with("etc/apt/"))
}

fn is_debian_version(rank: usize) -> bool {
    PRECEDENCE.get(rank).is_some_and(|anchor| anchor.path() == "etc/debian_version")
}

/// Takes from another file of the same distribution what is still open. Version and code name go together: a
/// file that speaks of another release says nothing about this one.
fn fill(resolved: &mut Distribution, other: &Distribution) {
    let same = |mine: &str, theirs: &str| mine.is_empty() || theirs.is_empty() || mine == theirs;
    let open = resolved.version_id.is_empty() && resolved.code_name.is_empty();
    let agrees = !open
        && (resolved.version_id == other.version_id && !other.version_id.is_empty()
            || resolved.code_name == other.code_name && !other.code_name.is_empty())
        && same(&resolved.version_id, &other.version_id)
        && same(&resolved.code_name, &other.code_name);
    if open || agrees {
        take(&mut resolved.version_id, &other.version_id);
        take(&mut resolved.code_name, &other.code_name);
    }
    take(&mut resolved.id_like, &other.id_like);
    take(&mut resolved.pretty_name, &other.pretty_name);
    take(&mut resolved.cpe_name, &other.cpe_name);
    take(&mut resolved.variant_id, &other.variant_id);
}

fn take(mine: &mut String, theirs: &str) {
    if mine.is_empty() {
        theirs.clone_into(mine);
    }
}

/// Tells Debian's testing from unstable, and completes version and code name from each other.
fn settle_release(resolved: &mut Distribution, apt: &[&Distribution]) {
    let apt_says: Vec<&str> = apt
        .iter()
        .filter(|source| source.id == resolved.id && !source.code_name.is_empty())
        .map(|source| source.code_name.as_str())
        .collect();
    if resolved.version_id.is_empty() {
        let fixed = apt_says.iter().find(|name| **name != "testing" && **name != "sid");
        if resolved.id == "debian" && (apt_says.contains(&"sid") || resolved.code_name == "sid") {
            resolved.code_name = "sid".into();
            return;
        }
        match fixed.or(apt_says.first()) {
            Some(name) if resolved.code_name.is_empty() => resolved.code_name = (*name).to_owned(),
            None if resolved.code_name.is_empty() && resolved.id == "debian" => {
                resolved.code_name = "sid".into();
            }
            _ => {}
        }
    }
    if resolved.code_name.is_empty() {
        let known = releases::code_name(&resolved.id, &resolved.version_id);
        resolved.code_name = known.unwrap_or_default().to_owned();
    }
    if resolved.version_id.is_empty() {
        let known = releases::version(&resolved.id, &resolved.code_name);
        resolved.version_id = known.unwrap_or_default().to_owned();
    }
}

#[cfg(test)]
#[path = "distribution_tests.rs"]
mod tests;
