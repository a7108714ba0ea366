//! From a header to a package, and to the files that it owns.

use limpid_model::{FileOwner, Package, PackageFact, PackageType};

use super::header::{Header, Tag};
use super::signature;
use crate::damage::Damage;
use crate::dpkg::is_printable_word;
use crate::extractor::excerpt;
use crate::ownership;

/// Bytes of a vendor's name or a module's label.
const FACT_BYTES_MAX: usize = 1024;

/// Directories of one package. The largest, sources of the kernel, have some twenty thousand.
const DIRECTORIES_MAX: usize = 500_000;

/// Files of one package that could be claimed. Those with the most programs have some thousand.
const CLAIMABLE_MAX: usize = 200_000;

/// What a header says.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) package: Package,
    pub(crate) owner: Option<FileOwner>,
    /// What of the header could not be read.
    pub(crate) problem: Option<Damage>,
}

/// The package of a header; `None` if it stands for something else: a key of a package's signer
/// (`gpg-pubkey`) is kept as if it were a package.
pub(crate) fn installed(blob: &[u8]) -> Result<Option<Installed>, Damage> {
    let header = Header::parse(blob)?;
    let name = word(&header, Tag::Name)?.ok_or_else(|| Damage::new("it has no name"))?;
    if name == "gpg-pubkey" {
        return Ok(None);
    }
    let of_package = |damage: Damage| Damage::new(format!("package `{}`: {damage}", excerpt(&name)));
    let package = package(&header, name.clone()).map_err(of_package)?;
    let (owner, problem) = match owner(&header, &name) {
        Ok(owner) => (owner, None),
        Err(damage) => (None, Some(of_package(Damage::new(format!("its list of files: {damage}"))))),
    };
    Ok(Some(Installed { package, owner, problem }))
}

fn package(header: &Header<'_>, name: String) -> Result<Package, Damage> {
    let required = |tag: Tag| word(header, tag)?.ok_or_else(|| Damage::new(format!("it has no {tag:?}")));
    let (version, release) = (required(Tag::Version)?, required(Tag::Release)?);
    let version = match header.numbers(Tag::Epoch)?.next() {
        Some(epoch) => format!("{epoch}:{version}-{release}"),
        None => format!("{version}-{release}"),
    };
    let arch = word(header, Tag::Arch)?.unwrap_or_default();
    let source = word(header, Tag::SourceRpm)?.unwrap_or_default();
    let (source_name, source_version) = source_of(&source).unwrap_or_default();
    let (source_name, source_version) = (source_name.to_owned(), source_version.to_owned());
    let mut facts = Vec::new();
    for (tag, fact) in [(Tag::Vendor, PackageFact::Vendor), (Tag::ModularityLabel, PackageFact::Module)] {
        facts.extend(fact_text(header, tag)?.map(|text| (fact, text)));
    }
    facts.extend(signing_key(header).map(|key| (PackageFact::SigningKey, key)));
    facts.sort_unstable();
    Ok(Package { kind: PackageType::Rpm, name, version, arch, source_name, source_version, facts })
}

/// A text that must be one word. `(none)` is how rpm writes that there is none.
fn word(header: &Header<'_>, tag: Tag) -> Result<Option<String>, Damage> {
    let Some(text) = header.text(tag)? else { return Ok(None) };
    let text = String::from_utf8_lossy(text).into_owned();
    if text.is_empty() || text == "(none)" {
        return Ok(None);
    }
    if !is_printable_word(&text) {
        return Err(Damage::new(format!("its {tag:?} is not a word")));
    }
    Ok(Some(text))
}

fn fact_text(header: &Header<'_>, tag: Tag) -> Result<Option<String>, Damage> {
    let text = header.text(tag)?.map(|text| String::from_utf8_lossy(text).trim().to_owned());
    Ok(text.filter(|text| !text.is_empty() && text != "(none)" && text.len() <= FACT_BYTES_MAX))
}

/// The key that signed the package; the signatures in the order in which `rpm -qi` looks for one. rpm 6 has them in
/// a tag of their own, the first of several counts.
fn signing_key(header: &Header<'_>) -> Option<String> {
    let tags = [Tag::DsaHeader, Tag::RsaHeader, Tag::SigGpg, Tag::SigPgp];
    let key = tags.into_iter().find_map(|tag| signature::issuer(header.bytes(tag).ok()??));
    key.or_else(|| signature::issuer_of_base64(header.text(Tag::OpenPgp).ok()??))
}

/// `NAME-VERSION-RELEASE.src.rpm`: the name, and version and release. An epoch is not part of it.
pub(crate) fn source_of(file: &str) -> Option<(&str, &str)> {
    let stem = file.strip_suffix(".src.rpm").or_else(|| file.strip_suffix(".nosrc.rpm"))?;
    let (release, _) = stem.rmatch_indices('-').next()?;
    let (version, _) = stem[..release].rmatch_indices('-').next()?;
    (version > 0).then(|| (&stem[..version], &stem[version + 1..]))
}

/// Those of a package's files that something else could claim to have brought.
fn owner(header: &Header<'_>, name: &str) -> Result<Option<FileOwner>, Damage> {
    let mut paths = Vec::new();
    let unended = |()| Damage::new("a name in it does not end");
    let mut take = |directory: &[u8], base: &[u8]| {
        let path = [directory, base].concat();
        let path = String::from_utf8_lossy(&path);
        let path = path.trim_start_matches('/');
        if ownership::is_claimable(path) && paths.len() <= CLAIMABLE_MAX {
            paths.push(ownership::path_hash(path));
        }
    };
    // Databases of rpm before 4.0 have whole paths.
    for path in header.texts(Tag::OldFileNames)? {
        take(b"", path.map_err(unended)?);
    }
    let mut directories = Vec::new();
    for directory in header.texts(Tag::DirNames)? {
        let directory = directory.map_err(unended)?;
        if directories.len() >= DIRECTORIES_MAX {
            return Err(Damage::new(format!("it has more than {DIRECTORIES_MAX} directories")));
        }
        let all = ownership::all_claimable_in(&String::from_utf8_lossy(directory));
        directories.push((directory, all));
    }
    let mut indexes = header.numbers(Tag::DirIndexes)?;
    for base in header.texts(Tag::BaseNames)? {
        let base = base.map_err(unended)?;
        let directory = indexes.next().and_then(|index| directories.get(index as usize));
        let (directory, all) = directory.ok_or_else(|| Damage::new("a file in it has no directory"))?;
        if *all || ownership::may_be_claimable(base) {
            take(directory, base);
        }
    }
    if paths.len() > CLAIMABLE_MAX {
        return Err(Damage::new(format!("it has more than {CLAIMABLE_MAX} programs and the like")));
    }
    paths.sort_unstable();
    paths.dedup();
    Ok((!paths.is_empty()).then(|| FileOwner { package: name.to_owned(), paths }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_split_from_the_right() {
        assert_eq!(source_of("glibc-2.28-225.el8.src.rpm"), Some(("glibc", "2.28-225.el8")));
        assert_eq!(source_of("a-b-c-1~rc1-2^3.nosrc.rpm"), Some(("a-b-c", "1~rc1-2^3")));
        for odd in ["", "a.src.rpm", "a-1.src.rpm", "-1-2.src.rpm", "a-1-2.rpm", "a-1-2.x86_64.rpm"] {
            assert_eq!(source_of(odd), None, "{odd}");
        }
    }
}
