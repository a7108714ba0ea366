//! The real feeds of the registry's distributions, read straight from the mirror: for names of packages and for the
//! brute force, never for the store, which gets them through its updater.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use limpid_feeds::{FetchOptions, Fetched, Fetcher, Layout, Limits, Mirror, Validators};
use limpid_model::{Advisory, AffectedState};

use super::random::rng;

/// How many names of packages a release's images draw from.
const POOL_MAX: usize = 400;

/// Fetches from a mirror alone.
pub(crate) fn fetcher(mirror: &Mirror) -> Fetcher {
    Fetcher::new(FetchOptions { mirror: Some(mirror.clone()), offline: true, ..FetchOptions::default() })
}

/// Hands over what the feeds of `releases` say, with each feed's name.
pub(crate) fn read(
    mirror: &Mirror,
    releases: &BTreeSet<String>,
    sink: &mut dyn FnMut(&'static str, Advisory),
) -> anyhow::Result<()> {
    let fetcher = fetcher(mirror);
    let mut documents = BTreeMap::new();
    for release in releases {
        for feed in limpid_feeds::feeds_for(release).filter(|feed| feed.layout() == Layout::Whole) {
            documents
                .extend(feed.documents(release).into_iter().map(|document| ((feed.name(), document), feed)));
        }
    }
    for ((name, document), feed) in documents {
        let fetched = fetcher.fetch(&document.url, &Validators::default());
        let fetched = fetched.with_context(|| format!("{name} {} is not in the mirror", document.name))?;
        let Fetched::Body { mut reader, .. } = fetched else { continue };
        feed.parse(&document, &mut reader, &Limits::default(), &mut |advisory| {
            sink(name, advisory);
            Ok(())
        })?;
    }
    Ok(())
}

/// Sources that images of a release may have, each with a version.
pub(crate) type Pool = Vec<(String, String)>;

/// For each release the sources that its feeds name a fix for, in an order of popularity that is made up, at the version
/// of a fix.
pub(crate) fn pools(
    mirror: Option<&Mirror>,
    releases: &BTreeSet<String>,
) -> anyhow::Result<BTreeMap<String, Pool>> {
    let mut fixes: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    if let Some(mirror) = mirror {
        read(mirror, releases, &mut |_, advisory| {
            for said in advisory.affected {
                let is_fix = said.state == AffectedState::Fixed && said.channel.is_empty();
                if is_fix
                    && said.fixed.ends_with(|last: char| last.is_ascii_digit())
                    && releases.contains(&said.release)
                {
                    let version = fixes.entry(said.release).or_default().entry(said.package).or_default();
                    // Any one, but the same in each run.
                    if said.fixed > *version {
                        *version = said.fixed;
                    }
                }
            }
        })?;
    }
    let pool = |release: &String| {
        let mut named: Pool = fixes.remove(release).unwrap_or_default().into_iter().collect();
        named.sort_by_key(|(name, _)| popularity(name));
        named.truncate(POOL_MAX);
        // Where no feed speaks, names are made up.
        for number in named.len()..POOL_MAX {
            named.push((format!("package-{number}"), format!("1.{}.{}-1", number % 17, number % 5)));
        }
        (release.clone(), named)
    };
    Ok(releases.iter().map(pool).collect())
}

fn popularity(name: &str) -> u64 {
    let bytes: Vec<u64> = name.bytes().map(u64::from).collect();
    rng(&bytes).u64(..)
}
