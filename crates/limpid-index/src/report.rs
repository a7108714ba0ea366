//! The report of one image, from what the store holds of it.

use std::collections::{BTreeMap, BTreeSet};

use limpid_extract::EXTRACTORS;
use limpid_match::Provenance;
use limpid_model::{
    Coverage, Distribution, ExtractorVersion, FeedUse, Finding, InstalledPackage, LayerChange, LayerProblem,
    Occurrence, PackageType, Problem, Report, Severity, Standing, Support, Unmatched, Verdict,
};
use limpid_store::{FeedState, ImageRecord, LayerContents, NEWEST, OccurrenceId, Store};

use crate::Error;
use crate::kernels::{self, Kernels};
use crate::verdicts::verdicts;
use crate::vulnerabilities::Vulnerabilities;

/// The feed of CVE records, which is asked for severities that nobody else names.
const CVE_FEED: &str = "cve";

type Verdicts = BTreeMap<OccurrenceId, Vec<Verdict>>;

/// Where an occurrence of the image as it stands came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Position of the layer that brought it.
    pub layer: usize,
    /// Its database file.
    pub path: String,
}

/// The moment that a report speaks of.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The revision of the advisories; [`NEWEST`] for the present.
    pub revision: u64,
    /// The day (`YYYY-MM-DD`): what is still supported.
    pub today: &'a str,
    /// The moment (RFC 3339) if it is not the present, else empty.
    pub as_of: &'a str,
    /// The present (RFC 3339), to date the report with if it speaks of the present.
    pub now: &'a str,
}

/// The report of `image`, which was asked for as `reference`, at a moment. What is found in kernels and their headers
/// is listed or counted as `kernels` says.
pub fn report(
    store: &dyn Store,
    image: &ImageRecord,
    reference: &str,
    moment: Moment<'_>,
    kernels: Kernels,
) -> Result<Report, Error> {
    let revision = if moment.revision == NEWEST { store.revision()? } else { moment.revision };
    let (layers, occurrences) = store.contents(&image.nodes)?;
    let mut verdicts = verdicts(store, &occurrences, moment.revision)?;
    let placements = placements(&layers);
    let hidden = match kernels.hides(&image.metadata) {
        true => kernels::take_out(&mut verdicts, &occurrences, |id| placements.contains_key(id)),
        false => Vec::new(),
    };
    let installed = installed(&layers, &occurrences);
    let reported = |id: &OccurrenceId| verdicts.get(id).into_iter().flatten();
    let named =
        installed.iter().flat_map(|(id, _)| reported(id)).map(|verdict| verdict.vulnerability.as_str());
    let vulnerabilities = Vulnerabilities::new(store, &named.collect(), moment.revision)?;
    let findings = findings(installed.iter().map(|(id, _)| reported(id)), &vulnerabilities);
    let packages: Vec<InstalledPackage> = installed.into_iter().map(|(_, package)| package).collect();
    Ok(Report {
        reference: reference.to_owned(),
        image: image.metadata.clone(),
        layers: changes(&layers, &verdicts),
        coverage: coverage(store, image, &packages, &findings, moment)?,
        packages,
        findings,
        hidden,
        vulnerabilities: vulnerabilities.into_report(),
        revision,
        as_of: moment.as_of.to_owned(),
        moment: if moment.as_of.is_empty() { moment.now } else { moment.as_of }.to_owned(),
    })
}

/// The packages of an image as it stands, sorted, from what its layers did.
pub fn installed(
    layers: &[LayerContents],
    occurrences: &BTreeMap<OccurrenceId, Occurrence>,
) -> Vec<(OccurrenceId, InstalledPackage)> {
    let mut installed: Vec<(OccurrenceId, InstalledPackage)> = Vec::new();
    for (id, placement) in placements(layers) {
        let Some(occurrence) = occurrences.get(&id) else { continue };
        let package = InstalledPackage {
            package: occurrence.package.clone(),
            class: limpid_match::class(&occurrence.package),
            context: occurrence.context.clone(),
            layer: placement.layer,
            path: placement.path,
        };
        installed.push((id, package));
    }
    installed.sort_by(|(_, a), (_, b)| (&a.package, &a.path).cmp(&(&b.package, &b.path)));
    installed
}

/// The findings of packages, given as each package's verdicts, the worst first.
fn findings<'a>(
    packages: impl Iterator<Item = impl Iterator<Item = &'a Verdict>>,
    vulnerabilities: &Vulnerabilities,
) -> Vec<Finding> {
    let positions = vulnerabilities.positions();
    let mut findings = Vec::new();
    for (package, verdicts) in packages.enumerate() {
        for verdict in verdicts {
            let Some(position) = positions.get(verdict.vulnerability.as_str()) else { continue };
            findings.push(Finding {
                package,
                vulnerability: *position,
                verdict: verdict.clone(),
                rated: vulnerabilities.rate(verdict),
            });
        }
    }
    // Packages and vulnerabilities are sorted, so their indices stand for their names.
    findings.sort_by_key(|finding| {
        (std::cmp::Reverse(finding.rated.severity), finding.package, finding.vulnerability)
    });
    findings
}

/// The occurrences of the image as it stands, each with the layer that brought it and its database file.
pub fn placements(layers: &[LayerContents]) -> BTreeMap<OccurrenceId, Placement> {
    let mut placements: BTreeMap<OccurrenceId, Placement> = BTreeMap::new();
    for (layer, contents) in layers.iter().enumerate() {
        for removed in &contents.removed {
            placements.remove(removed);
        }
        let mut taken: Vec<(usize, &limpid_store::PlacedId)> = Vec::new();
        for (from, to) in &contents.reassigned {
            let brought = placements.remove(from).map_or(layer, |placement| placement.layer);
            taken.push((brought, to));
        }
        for (from, to) in &contents.upgraded {
            placements.remove(from);
            taken.push((layer, to));
        }
        taken.extend(contents.installed.iter().map(|placed| (layer, placed)));
        for (layer, placed) in taken {
            placements.insert(placed.occurrence, Placement { layer, path: placed.path.clone() });
        }
    }
    placements
}

/// What each layer did, in numbers.
fn changes(layers: &[LayerContents], verdicts: &Verdicts) -> Vec<LayerChange> {
    let affecting = |id: &OccurrenceId| -> BTreeSet<&str> {
        let verdicts = verdicts.get(id).into_iter().flatten();
        verdicts
            .filter(|verdict| verdict.state.is_affected())
            .map(|verdict| verdict.vulnerability.as_str())
            .collect()
    };
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let changes = layers.iter().map(|contents| {
        let mut change = LayerChange {
            installed: count(contents.installed.len()),
            upgraded: count(contents.upgraded.len()),
            removed: count(contents.removed.len()),
            ..LayerChange::default()
        };
        for placed in &contents.installed {
            change.introduced += count(affecting(&placed.occurrence).len());
        }
        for id in &contents.removed {
            change.fixed += count(affecting(id).len());
        }
        for (from, to) in contents.upgraded.iter().chain(&contents.reassigned) {
            let (before, after) = (affecting(from), affecting(&to.occurrence));
            change.introduced += count(after.difference(&before).count());
            change.fixed += count(before.difference(&after).count());
        }
        change
    });
    changes.collect()
}

fn coverage(
    store: &dyn Store,
    image: &ImageRecord,
    packages: &[InstalledPackage],
    findings: &[Finding],
    moment: Moment<'_>,
) -> Result<Coverage, Error> {
    let mut feeds: BTreeMap<(String, String), FeedUse> = BTreeMap::new();
    let mut unmatched: BTreeMap<String, u64> = BTreeMap::new();
    let mut spoken_for: BTreeMap<(String, PackageType), Result<(), String>> = BTreeMap::new();
    let mentioned = mentioned(store, packages, moment.revision)?;
    let known = image.distribution.as_ref();
    for package in packages {
        let key = (package.context.release.clone(), package.package.kind);
        if !spoken_for.contains_key(&key) {
            let verdict = feeds_for(store, known, &key.0, key.1, moment.revision, &mut feeds)?;
            spoken_for.insert(key.clone(), verdict);
        }
        let foreign = || foreign(package, mentioned.contains(&package.package.source_name));
        let reason = match spoken_for.get(&key) {
            Some(Err(reason)) => Some(reason.clone()),
            _ => foreign(),
        };
        if let Some(reason) = reason {
            *unmatched.entry(reason).or_default() += 1;
        }
    }
    let enrichment = enrichment(store, moment.revision)?;
    // Whoever gates on a severity must know that one is missing because it could not be asked for.
    let is_unrated = findings.iter().any(|finding| finding.rated.severity == Severity::Unknown)
        && enrichment.iter().any(|feed| feed.name == CVE_FEED && !feed.error.is_empty());
    let problems = image.problems.clone();
    let answered = feeds.values().any(|feed| feed.revision > 0);
    let is_whole = problems.is_empty() && unmatched.is_empty() && !is_unrated;
    let standing = if packages.is_empty() || image.distribution.is_none() || !answered {
        Standing::None
    } else if is_whole && feeds.values().all(|feed| feed.error.is_empty()) {
        Standing::Complete
    } else {
        Standing::Partial
    };
    Ok(Coverage {
        distribution: image.distribution.clone(),
        support: support(image, moment.today),
        standing,
        feeds: feeds.into_values().chain(enrichment).collect(),
        extractors: extractors(),
        unmatched: unmatched.into_iter().map(|(reason, packages)| Unmatched { reason, packages }).collect(),
        problems,
    })
}

fn support(image: &ImageRecord, today: &str) -> Support {
    let release = image.distribution.as_ref().map(limpid_match::release);
    release.map_or(Support::Unknown, |release| limpid_match::support(&release, today))
}

/// Of the packages that somebody else than the distribution maintains, the sources that a feed has spoken of.
fn mentioned(store: &dyn Store, packages: &[InstalledPackage], at: u64) -> Result<BTreeSet<String>, Error> {
    let mut asked: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages.iter().filter(|package| !package.package.facts.is_empty()) {
        if limpid_match::provenance(&package.package, false) == Provenance::Unclear {
            asked.entry(&package.context.release).or_default().insert(&package.package.source_name);
        }
    }
    let mut mentioned = BTreeSet::new();
    for (release, names) in asked {
        let said = store.affected(release, &names.into_iter().collect::<Vec<_>>(), at)?;
        mentioned.extend(said.into_iter().map(|said| said.affected.package));
    }
    Ok(mentioned)
}

/// Why the feed of the distribution does not speak for a package of its kind, if it does not.
fn foreign(package: &InstalledPackage, mentioned: bool) -> Option<String> {
    let release = &package.context.release;
    match limpid_match::provenance(&package.package, mentioned) {
        Provenance::Own => None,
        Provenance::ThirdParty => {
            Some(format!("packages of third parties: the feeds of {release} do not speak for them"))
        }
        Provenance::Unclear => Some(format!(
            "packages that may be a third party's: neither their maintainers nor the feeds of {release} know them"
        )),
    }
}

/// Notes the documents that speak for packages of a kind in a release, or says why none does.
fn feeds_for(
    store: &dyn Store,
    distribution: Option<&Distribution>,
    release: &str,
    kind: PackageType,
    at: u64,
    feeds: &mut BTreeMap<(String, String), FeedUse>,
) -> Result<Result<(), String>, Error> {
    if kind == PackageType::Generic {
        return Ok(Err("kernels that no package brought: no feed speaks for them".to_owned()));
    }
    if release.is_empty()
        && let Some(distribution) = distribution
    {
        let title = limpid_match::title(distribution);
        return Ok(Err(format!("{kind} packages: {title} has none of its own, no feed speaks for them")));
    }
    if release.is_empty() {
        return Ok(Err(format!("{kind} packages of an unknown distribution: no feed speaks for them")));
    }
    let Some(rules) = limpid_match::rules_for(release, kind) else {
        let parents = distribution.map(limpid_match::parents).unwrap_or_default();
        let parents = if parents.is_empty() {
            String::new()
        } else {
            format!("; it stands on {}, whose feeds speak of their own packages only", parents.join(" and "))
        };
        return Ok(Err(format!(
            "{kind} packages of {release}: Limpid has no feed that speaks for them{parents}"
        )));
    };
    let (mut own, mut published) = (false, false);
    let mut states = Vec::new();
    for release in limpid_match::releases_for(release) {
        states.extend(store.feeds_for(&release, at)?);
    }
    for state in states {
        let feed = state.key.feed.as_str();
        if rules.feeds().contains(&feed) {
            published = true;
        } else if feed == limpid_feeds::LOCAL_FEED {
            own = true;
        } else {
            continue;
        }
        feeds.insert((feed.to_owned(), state.key.document.clone()), feed_use(&state));
    }
    for state in never_read(store, release, rules)? {
        feeds.insert((state.key.feed.clone(), state.key.document.clone()), feed_use(&state));
    }
    Ok(match (published, own) {
        (true, _) => match rules.blind_spot(release) {
            Some(blind_spot) => Err(format!("{kind} packages of {release}: {blind_spot}")),
            None => Ok(()),
        },
        (false, true) => {
            Err(format!("{kind} packages of {release}: only advisories of your own speak for them"))
        }
        (false, false) => {
            Err(format!("{kind} packages of {release}: no feed in the store has advisories for them"))
        }
    })
}

/// The feeds on vulnerabilities themselves, each in one line however many documents it has. Without them no
/// vulnerability is missing, so an error of theirs leaves the answer complete as long as every severity is known.
fn enrichment(store: &dyn Store, at: u64) -> Result<Vec<FeedUse>, Error> {
    // What is known of documents is their present state.
    if at != NEWEST {
        return Ok(Vec::new());
    }
    let mut uses: BTreeMap<String, FeedUse> = BTreeMap::new();
    for state in store.feeds()? {
        let feed = state.key.feed.as_str();
        let enriches = limpid_feeds::feed_named(feed).is_some_and(|feed| feed.enriches());
        if !enriches && limpid_feeds::score_feed_named(feed).is_none() {
            continue;
        }
        let one = FeedUse { name: feed.to_owned(), ..feed_use(&state) };
        match uses.get_mut(feed) {
            None => drop(uses.insert(feed.to_owned(), one)),
            Some(all) => {
                all.revision = all.revision.max(one.revision);
                if one.date > all.date {
                    all.date = one.date;
                }
                if all.error.is_empty() {
                    all.error = one.error;
                }
            }
        }
    }
    Ok(uses.into_values().collect())
}

/// The documents that are wanted for the release and could not be read, not even once: what they say is missing.
fn never_read(
    store: &dyn Store,
    release: &str,
    rules: &dyn limpid_match::Rules,
) -> Result<Vec<FeedState>, Error> {
    let mut states = store.feeds()?;
    states.retain(|state| {
        let Some(feed) = limpid_feeds::feed_named(&state.key.feed) else { return false };
        let name = state.key.document.as_str();
        let is_listed = || feed.documents(release).iter().any(|document| document.name == name);
        // What a catalog names lies beside it.
        let is_catalogued = || {
            let catalog = feed.catalog(release);
            catalog.is_some_and(|catalog| catalog.name.split('/').next() == name.split('/').next())
        };
        state.succeeded_at == 0
            && !state.error.is_empty()
            && rules.feeds().contains(&feed.name())
            && (is_listed() || is_catalogued())
    });
    Ok(states)
}

fn feed_use(state: &FeedState) -> FeedUse {
    FeedUse {
        name: format!("{} {}", state.key.feed, state.key.document),
        revision: state.revision,
        date: match (state.date.as_str(), state.succeeded_at) {
            ("", 0) => String::new(),
            ("", succeeded_at) => rfc3339(succeeded_at),
            (date, _) => date.to_owned(),
        },
        error: state.error.clone(),
    }
}

/// The extractors that this Limpid has.
pub(crate) fn extractors() -> Vec<ExtractorVersion> {
    let versions = EXTRACTORS.iter().map(|extractor| ExtractorVersion {
        name: extractor.name().to_owned(),
        version: extractor.version(),
    });
    let mut versions: Vec<ExtractorVersion> = versions.collect();
    versions.sort();
    versions
}

/// A problem of the image as a whole.
pub(crate) fn image_problem(path: &str, reason: String) -> LayerProblem {
    LayerProblem { layer: None, problem: Problem { path: path.to_owned(), reason } }
}

/// Seconds since the epoch as RFC 3339; empty for what is no time.
fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}
