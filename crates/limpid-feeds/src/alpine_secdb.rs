//! Alpine's security database: `{distroversion, reponame, packages: [{pkg: {name, secfixes: {version: [ids]}}}]}`.
//!
//! Source of truth: what the `secfixes` comments of the package recipes say, as Alpine publishes it. A name is
//! the *origin* (source) package's. The version key `"0"` means that the package was never affected. An id may
//! stand under several versions (a fix that was not complete): each is handed over. One string may hold several
//! ids: each CVE becomes an advisory of its own, with the others of the string that are not CVEs as aliases.
//! Alpine names no severity, and says nothing of what is not fixed.
//! Repositories are `main` and, since 3.4, `community`; `testing` is published for no branch.
//! Left out: ids that are placeholders (`CVE-2022-?????`), with their number.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use limpid_model::{Advisory, AdvisoryDetails, Affected, AffectedState, PackageKind};
use serde::Deserialize;

use crate::error::FeedError;
use crate::feed::{Document, Emitter, Feed, ParseSummary, Sink};
use crate::json::{JsonError, JsonWalker, Value};
use crate::limits::Limits;

const BASE: &str = "https://secdb.alpinelinux.org";
/// The newest branch known here; a newer one is asked for all the same when an image is of it.
const MINOR_MAX: u32 = 23;
/// Before this branch there was `main` alone.
const COMMUNITY_MINOR_MIN: u32 = 4;

/// Alpine's security database, one document for each branch and repository.
#[derive(Debug, Clone, Copy)]
pub struct AlpineSecdb;

impl Feed for AlpineSecdb {
    fn name(&self) -> &'static str {
        "alpine-secdb"
    }

    fn parser_version(&self) -> u32 {
        2
    }

    fn covers(&self, release: &str) -> bool {
        branch(release).is_some()
    }

    fn documents(&self, release: &str) -> Vec<Document> {
        branch(release).map(|branch| repositories(&branch)).unwrap_or_default()
    }

    fn all_documents(&self) -> Vec<Document> {
        let branches = (2..=MINOR_MAX).map(|minor| format!("v3.{minor}")).chain(["edge".to_owned()]);
        branches.flat_map(|branch| repositories(&branch)).collect()
    }

    fn parse(
        &self,
        document: &Document,
        input: &mut dyn Read,
        limits: &Limits,
        sink: &mut Sink<'_>,
    ) -> Result<ParseSummary, FeedError> {
        let mut emitter = Emitter::new(document, limits, sink);
        let fail = |error: JsonError| error.of(&document.name);
        let Some((branch, repository)) = document.name.split_once('/') else {
            return Err(emitter.malformed(0, "the document's name is not `BRANCH/REPOSITORY`"));
        };
        let release = format!("alpine:{}", branch.strip_prefix('v').unwrap_or(branch));
        let input = document.decoded(input, limits)?;
        let mut walker = JsonWalker::new(input, limits.record_bytes_max);
        // Another branch's document in this one's place would give wrong verdicts.
        let identity = [("distroversion", branch), ("reponame", repository)];
        let mut has_packages = false;
        walker.open(b'{').map_err(fail)?;
        while let Some(key) = walker.next_key().map_err(fail)? {
            if key == "packages" && walker.next_is(b'[').map_err(fail)? {
                has_packages = true;
                packages(&mut walker, &release, &mut emitter)?;
            } else if let Some((_, expected)) = identity.iter().find(|(name, _)| *name == key) {
                let offset = walker.offset();
                match walker.value::<Cow<'_, str>>().map_err(fail)? {
                    Value::Good(said) if said == *expected => {}
                    Value::Good(said) => {
                        let reason = format!("its {key} is `{said}`, not `{expected}`");
                        return Err(emitter.malformed(offset, reason));
                    }
                    Value::OtherShape => return Err(emitter.malformed(offset, format!("{key} is no string"))),
                }
            } else {
                walker.skip_value().map_err(fail)?;
            }
        }
        walker.end().map_err(fail)?;
        if !has_packages {
            return Err(emitter.malformed(walker.offset(), "it has no list of packages"));
        }
        // A new branch may have nothing to say of one repository.
        emitter.finish(true)
    }
}

/// `v3.20` for `alpine:3.20`.
fn branch(release: &str) -> Option<String> {
    let version = release.strip_prefix("alpine:")?;
    if version == "edge" {
        return Some(version.to_owned());
    }
    let minor = version.strip_prefix("3.")?;
    let plain = (1..=3).contains(&minor.len()) && minor.bytes().all(|byte| byte.is_ascii_digit());
    (plain && minor.parse::<u32>().is_ok_and(|minor| minor >= 2)).then(|| format!("v{version}"))
}

fn repositories(branch: &str) -> Vec<Document> {
    let has_community = branch
        .strip_prefix("v3.")
        .and_then(|minor| minor.parse::<u32>().ok())
        .is_none_or(|minor| minor >= COMMUNITY_MINOR_MIN);
    let names: &[&str] = if has_community { &["main", "community"] } else { &["main"] };
    names
        .iter()
        .map(|name| Document::new(format!("{branch}/{name}"), format!("{BASE}/{branch}/{name}.json")))
        .collect()
}

#[derive(Deserialize)]
struct Element<'a> {
    #[serde(borrow)]
    pkg: Package<'a>,
}

/// Fixed version to ids; either may be `null` in old files.
type Secfixes<'a> = BTreeMap<Cow<'a, str>, Option<Vec<Cow<'a, str>>>>;

#[derive(Deserialize)]
struct Package<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    secfixes: Option<Secfixes<'a>>,
}

fn packages(
    walker: &mut JsonWalker<'_>,
    release: &str,
    emitter: &mut Emitter<'_, '_>,
) -> Result<(), FeedError> {
    let document = emitter.document;
    let fail = |error: JsonError| error.of(document);
    walker.open(b'[').map_err(fail)?;
    while walker.next_element().map_err(fail)? {
        emitter.record()?;
        match walker.value::<Element<'_>>().map_err(fail)? {
            Value::Good(element) => package(&element.pkg, release, emitter)?,
            Value::OtherShape => emitter.skip("package is not of the known shape"),
        }
    }
    Ok(())
}

fn package(package: &Package<'_>, release: &str, emitter: &mut Emitter<'_, '_>) -> Result<(), FeedError> {
    if package.name.is_empty() {
        emitter.skip("package has no name");
        return Ok(());
    }
    // By id, for one id may stand under several versions.
    let mut advisories: BTreeMap<&str, Advisory> = BTreeMap::new();
    for (version, ids) in package.secfixes.iter().flatten() {
        if version.is_empty() {
            emitter.skip("version is empty");
            continue;
        }
        for text in ids.iter().flatten() {
            emitter.record()?;
            let ids: Vec<&str> = text
                .split_whitespace()
                .filter(|word| is_id(word))
                .map(whole_id)
                .take(emitter.limits.ids_per_record_max.saturating_add(1))
                .collect();
            if ids.len() > emitter.limits.ids_per_record_max {
                emitter.skip("more ids than are read of one fix");
                continue;
            }
            if ids.is_empty() {
                emitter.skip("id is a placeholder or none");
                continue;
            }
            let (mut own, mut aliases): (Vec<&str>, Vec<&str>) =
                ids.iter().copied().partition(|id| id.starts_with("CVE-"));
            if own.is_empty() {
                own = vec![aliases.remove(0)];
            }
            for id in own {
                let advisory = advisories.entry(id).or_insert_with(|| new_advisory(id));
                advisory.details.aliases.extend(aliases.iter().map(|alias| (*alias).to_owned()));
                advisory.affected.push(affected(&package.name, release, version));
            }
        }
    }
    for (_, mut advisory) in advisories {
        advisory.details.aliases.sort();
        advisory.details.aliases.dedup();
        advisory.affected.sort();
        advisory.affected.dedup();
        emitter.emit(advisory)?;
    }
    Ok(())
}

/// An upper-case name, a hyphen, and something that is no placeholder.
fn is_id(word: &str) -> bool {
    let Some((family, rest)) = word.split_once('-') else { return false };
    !family.is_empty()
        && family.bytes().all(|byte| byte.is_ascii_uppercase())
        && rest.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        && !rest.contains('?')
        && !rest.contains("XX")
}

/// A CVE's id without what some recipes put behind it: `CVE-2021-35940.patch`, `CVE-2017-17434-1`.
fn whole_id(word: &str) -> &str {
    let Some(number) = word.strip_prefix("CVE-").and_then(|rest| rest.get(5..)) else { return word };
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    let junk = number.as_bytes().get(digits);
    if digits >= 4 && junk.is_some_and(|byte| !byte.is_ascii_alphanumeric()) {
        &word[..word.len() - number.len() + digits]
    } else {
        word
    }
}

fn new_advisory(id: &str) -> Advisory {
    let links = vec![format!("https://security.alpinelinux.org/vuln/{id}")];
    Advisory {
        id: id.to_owned(),
        details: AdvisoryDetails { links, ..AdvisoryDetails::default() },
        ..Advisory::default()
    }
}

fn affected(package: &str, release: &str, version: &str) -> Affected {
    let never = version == "0";
    Affected {
        package: package.to_owned(),
        package_kind: PackageKind::Source,
        release: release.to_owned(),
        state: if never { AffectedState::NotAffected } else { AffectedState::Fixed },
        fixed: if never { String::new() } else { version.to_owned() },
        state_word: if never { "secfixes 0".to_owned() } else { "secfixes".to_owned() },
        ..Affected::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, text: &str) -> Result<(Vec<Advisory>, ParseSummary), FeedError> {
        let mut found = Vec::new();
        let document = Document::new(name, "");
        let summary =
            AlpineSecdb.parse(&document, &mut text.as_bytes(), &Limits::default(), &mut |advisory| {
                found.push(advisory);
                Ok(())
            })?;
        Ok((found, summary))
    }

    #[test]
    fn ids_versions_and_their_oddities_are_read() {
        let (found, summary) = parse(
            "v3.20/main",
            r#"{"distroversion":"v3.20","reponame":"main","urlprefix":"x","packages":[{"pkg":{"name":"a","secfixes":{
                "0":["CVE-2020-0001"],"1.9-r0":["CVE-2020-0002 GHSA-aaaa-bbbb-cccc","CVE-2022-?????","CVE-2025-XX"],
                "1.10-r0":["CVE-2020-0002","CVE-2021-35940.patch","CVE-2017-17434-1 CVE-2020-0003","XSA-7"],
                "2-r0":null}}},{"pkg":{"name":"b"}},{"pkg":7}]}"#,
        )
        .unwrap();
        let said: Vec<String> = found
            .iter()
            .map(|advisory| {
                let fixed: Vec<&str> = advisory.affected.iter().map(|row| row.fixed.as_str()).collect();
                format!("{} {} {}", advisory.id, advisory.details.aliases.join(","), fixed.join(","))
            })
            .collect();
        assert_eq!(
            said,
            [
                "CVE-2017-17434  1.10-r0",
                "CVE-2020-0001  ",
                "CVE-2020-0002 GHSA-aaaa-bbbb-cccc 1.10-r0,1.9-r0",
                "CVE-2020-0003  1.10-r0",
                "CVE-2021-35940  1.10-r0",
                "XSA-7  1.10-r0",
            ]
        );
        assert_eq!(found[1].affected[0].state, AffectedState::NotAffected);
        assert_eq!(summary.skipped["id is a placeholder or none"], 2);
        assert_eq!(summary.skipped["package is not of the known shape"], 1);
    }

    #[test]
    fn another_branch_or_repository_in_its_place_is_refused() {
        let of = |branch: &str, repository: &str| {
            format!(r#"{{"distroversion":"{branch}","reponame":"{repository}","packages":[]}}"#)
        };
        assert!(parse("v3.20/main", &of("v3.20", "main")).is_ok());
        for text in
            [of("v3.19", "main"), of("v3.20", "community"), "{}".to_owned(), of("v3.20", "main") + "x"]
        {
            assert!(matches!(parse("v3.20/main", &text), Err(FeedError::Malformed { .. })), "{text}");
        }
    }

    #[test]
    fn branches_have_the_repositories_of_their_time() {
        let names = |release: &str| {
            AlpineSecdb.documents(release).into_iter().map(|document| document.name).collect::<Vec<_>>()
        };
        assert_eq!(names("alpine:3.3"), ["v3.3/main"]);
        assert_eq!(names("alpine:3.24"), ["v3.24/main", "v3.24/community"]);
        assert_eq!(names("alpine:edge"), ["edge/main", "edge/community"]);
        assert!(
            names("alpine:3.1").is_empty() && names("alpine:3").is_empty() && names("debian:12").is_empty()
        );
        assert_eq!(AlpineSecdb.all_documents().len(), 44);
    }
}
