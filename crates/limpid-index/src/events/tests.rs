//! Deriving on a store of its own, with feeds that say what a test wants.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use limpid_model::{
    Advisory, AdvisoryDetails, Affected, AffectedState, Context, Cvss, Digest, ImageMetadata, LayerFindings,
    LayerMetadata, Occurrence, Owner, Package, PackageDiff, PackageType, PlacedOccurrence, Severity, Verdict,
    VerdictState,
};
use limpid_store::{
    Channels as _, Event, EventSubject, Events as _, FeedKey, FeedOutcome, Fleet as _, ImageRecord,
    LayerRecord, SqliteStore, Store as _, Upkeep as _, VulnerabilityChange,
};

use super::*;
use crate::lease::ProcessState;

const NOW: i64 = 1_700_000_000;
const DEBIAN: &str = "debian-tracker";
const CRITICAL: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> i64 {
        NOW
    }

    fn wait(&self, _: std::time::Duration) {}
}

impl Process for Fixed {
    fn name(&self) -> &str {
        "this"
    }

    fn state_of(&self, _: &str) -> ProcessState {
        ProcessState::Dead
    }
}

struct World(SqliteStore);

/// An advisory that says something of a package in Debian 12.
fn says(id: &str, package: &str, state: AffectedState, fixed: &str, severity: Severity) -> Advisory {
    Advisory {
        id: id.to_owned(),
        details: AdvisoryDetails {
            severity,
            severity_word: severity.name().to_owned(),
            ..Default::default()
        },
        affected: vec![Affected {
            package: package.to_owned(),
            release: "debian:12".to_owned(),
            state,
            fixed: fixed.to_owned(),
            ..Affected::default()
        }],
    }
}

fn open(id: &str, package: &str) -> Advisory {
    says(id, package, AffectedState::Open, "", Severity::Low)
}

/// What an enriching feed says.
fn rates(id: &str, vector: &str) -> Advisory {
    let details = AdvisoryDetails { cvss: vec![Cvss::own(vector)], ..Default::default() };
    Advisory { id: id.to_owned(), details, affected: Vec::new() }
}

impl World {
    fn new() -> Self {
        Self(SqliteStore::open(Path::new(":memory:")).unwrap())
    }

    fn image(&self, name: &str, packages: &[(&str, &str)]) -> ImageId {
        let store = &self.0;
        let layer = Digest::of(format!("layer of {name}").as_bytes());
        let record = LayerRecord {
            digest: layer,
            size_bytes: 1,
            uncompressed_bytes: 1,
            findings: LayerFindings::default(),
            searched: Default::default(),
        };
        store.put_layer(&record).unwrap();
        let occurrence = |(name, version): &(&str, &str)| {
            let package = Package {
                kind: PackageType::Deb,
                name: (*name).to_owned(),
                version: (*version).to_owned(),
                arch: "amd64".to_owned(),
                source_name: (*name).trim_start_matches("lib").to_owned(),
                source_version: (*version).to_owned(),
                facts: Vec::new(),
            };
            let context = Context { release: "debian:12".to_owned(), ..Context::default() };
            let occurrence = Occurrence { package, context, owner: Owner::default() };
            PlacedOccurrence { occurrence, path: "var/lib/dpkg/status".to_owned() }
        };
        let diff = PackageDiff { installed: packages.iter().map(occurrence).collect(), ..Default::default() };
        let chain = Digest::of(format!("{name} {packages:?}").as_bytes());
        let node = store.put_node(&chain, None, &diff).unwrap();
        let metadata = ImageMetadata {
            manifest_digest: Digest::of(name.as_bytes()),
            config_digest: None,
            platform: "linux/amd64".parse().unwrap(),
            os_version: String::new(),
            created: String::new(),
            environment: Vec::new(),
            labels: Vec::new(),
            layers: vec![LayerMetadata {
                digest: layer,
                diff_id: None,
                size_bytes: 1,
                command: String::new(),
                created: String::new(),
            }],
        };
        let record = ImageRecord {
            metadata,
            nodes: vec![node],
            distribution: None,
            release: "debian:12".to_owned(),
            problems: Vec::new(),
            indexer_state: String::new(),
        };
        store.put_image(&record, name, NOW).unwrap()
    }

    /// Updates a document; each time it says all that it says.
    fn update(&self, feed: &str, document: &str, advisories: &[Advisory]) {
        self.update_by(feed, document, advisories, 1);
    }

    fn update_by(&self, feed: &str, document: &str, advisories: &[Advisory], parser_version: u32) {
        let key = FeedKey { feed: feed.to_owned(), document: document.to_owned() };
        let mut update = self.0.begin_update(&key).unwrap();
        for advisory in advisories {
            update.add(advisory.clone()).unwrap();
        }
        let outcome = FeedOutcome { now: NOW, parser_version, ..FeedOutcome::default() };
        update.commit(&outcome).unwrap();
    }

    fn debian(&self, advisories: &[Advisory]) {
        self.update(DEBIAN, "json", advisories);
    }

    /// Derives, and gives the events on vulnerabilities that came of it.
    fn derive(&self) -> Vec<Event> {
        let before = self.0.last_event().unwrap();
        let derived = derive_events(&self.0, &Fixed, &Fixed).unwrap();
        assert_eq!(derived.revision, self.0.revision().unwrap());
        assert_eq!(derived, Derived { revision: derived.revision, events: derived.events.clone() });
        assert_eq!(self.0.processed().unwrap(), done(derived.revision));
        let events = self.0.events(before, 1000).unwrap();
        assert_eq!(events.len() as u64, derived.events.values().sum::<u64>());
        events
    }

    /// The same in words: kind, vulnerability, images.
    fn told(&self) -> Vec<String> {
        self.derive().iter().map(|event| self.word(event)).collect()
    }

    fn word(&self, event: &Event) -> String {
        let change = change(event);
        let images = self.0.event_images(event).unwrap().page(None, 100);
        assert_eq!(images.len() as u64, change.images, "{event:?}");
        let images: Vec<String> = images.iter().map(|image| image.0.to_string()).collect();
        let kind = event.kind.name().trim_start_matches("vulnerability.");
        format!("{kind} {} in {}", change.vulnerability, images.join(","))
    }
}

fn change(event: &Event) -> &VulnerabilityChange {
    match &event.subject {
        EventSubject::Vulnerability(change) => change,
        EventSubject::Image { .. } => panic!("{event:?}"),
    }
}

#[test]
fn every_kind_of_change_is_told_once_and_the_first_reading_is_not() {
    let world = World::new();
    world.image("one", &[("a", "1"), ("liba", "1"), ("b", "1")]);
    world.image("two", &[("b", "1")]);
    let before = [
        open("CVE-1", "a"),
        open("CVE-2", "a"),
        says("CVE-3", "b", AffectedState::Open, "", Severity::High),
        says("CVE-4", "b", AffectedState::Fixed, "2", Severity::Low),
        open("CVE-5", "b"),
        open("CVE-6", "a"),
        open("CVE-8", "nowhere"),
    ];
    world.debian(&before);
    assert_eq!(world.told(), [] as [&str; 0]);
    let after = [
        says("CVE-1", "a", AffectedState::Fixed, "2", Severity::Low),
        says("CVE-2", "a", AffectedState::Open, "", Severity::Critical),
        says("CVE-3", "b", AffectedState::Open, "", Severity::Medium),
        says("CVE-4", "b", AffectedState::Fixed, "3", Severity::High),
        says("CVE-5", "b", AffectedState::NotAffected, "", Severity::Low),
        open("CVE-7", "b"),
        open("CVE-9", "nowhere"),
    ];
    world.debian(&after);
    let events = world.derive();
    let mut told: Vec<String> = events.iter().map(|event| world.word(event)).collect();
    told.sort();
    let expected = [
        "fix-available CVE-1 in 1",
        "fix-available CVE-4 in 1,2",
        "new CVE-7 in 1,2",
        "no-longer-affected CVE-5 in 1,2",
        "severity-lowered CVE-3 in 1,2",
        "severity-raised CVE-2 in 1",
        "severity-raised CVE-4 in 1,2",
        "withdrawn CVE-6 in 1",
    ];
    assert_eq!(told, expected);
    // Both packages of the source are in one line.
    let fix = events.iter().find(|event| change(event).vulnerability == "CVE-1").unwrap();
    let line = &change(fix).packages[0];
    assert_eq!((line.source.as_str(), line.release.as_str(), line.occurrences.len()), ("a", "debian:12", 2));
    assert_eq!(line.before.as_ref().unwrap().state, VerdictState::NoFix);
    assert_eq!(line.after.as_ref().unwrap().fixed, "2");
    let (images, more) = event_images(&world.0, fix, None, 10).unwrap();
    assert_eq!((images.len(), more), (1, None));
    let names: Vec<&str> = images[0].packages.iter().map(|(package, _)| package.name.as_str()).collect();
    assert_eq!(names, ["a", "liba"]);
    // Nothing is told twice, and verdicts are there for the next report.
    assert_eq!(world.told(), [] as [&str; 0]);
    assert!(world.0.check(NOW).unwrap().is_sound());
    let named: Vec<_> = world.0.occurrences_named("a").unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(world.0.verdicts(&named, RULES_VERSION).unwrap().len(), 2);
}

#[test]
fn three_updates_are_one_difference_and_what_came_and_went_is_none() {
    let world = World::new();
    let one = world.image("one", &[("a", "1")]);
    world.debian(&[open("CVE-1", "a")]);
    world.derive();
    world.debian(&[open("CVE-1", "a"), open("CVE-2", "a"), open("CVE-3", "a")]);
    world.image("two", &[("a", "1")]);
    world.debian(&[says("CVE-1", "a", AffectedState::Fixed, "2", Severity::Low), open("CVE-3", "a")]);
    world.debian(&[
        says("CVE-1", "a", AffectedState::Fixed, "2", Severity::High),
        says("CVE-3", "a", AffectedState::Fixed, "2", Severity::High),
    ]);
    // This one was assessed when all of it was known.
    world.image("three", &[("a", "1")]);
    let events = world.derive();
    let mut told: Vec<String> = events.iter().map(|event| world.word(event)).collect();
    told.sort();
    assert_eq!(told, ["fix-available CVE-1 in 1,2", "new CVE-3 in 1,2", "severity-raised CVE-1 in 1,2"]);
    for event in &events {
        assert_eq!((change(event).from_revision, event.revision), (1, 4));
    }
    // An image that is analysed anew into something else still had it then.
    assert_eq!(world.image("one", &[("b", "1")]), one);
    assert_eq!(world.word(&events[0]).split(" in ").nth(1), Some("1,2"));
}

#[test]
fn what_others_say_of_a_vulnerability_raises_its_severity() {
    let world = World::new();
    world.image("one", &[("a", "1")]);
    world.debian(&[
        says("CVE-1", "a", AffectedState::Open, "", Severity::Unknown),
        says("CVE-2", "a", AffectedState::Open, "", Severity::Unknown),
        says("CVE-3", "a", AffectedState::Open, "", Severity::Low),
    ]);
    world.update("nvd", "2026", &[rates("CVE-9", CRITICAL)]);
    assert_eq!(world.told(), [] as [&str; 0]);
    // The distribution's word counts for the third, and nobody has the ninth.
    let all = ["CVE-1", "CVE-3", "CVE-9", "CVE-10"].map(|id| rates(id, CRITICAL));
    world.update("nvd", "2026", &all);
    assert_eq!(world.told(), ["severity-raised CVE-1 in 1"]);
    // A record that was asked for one by one was there before; that it changes is news.
    world.update("cve", "records", &[rates("CVE-9", CRITICAL)]);
    world.update("cve", "records", &[rates("CVE-2", CRITICAL), rates("CVE-9", CRITICAL)]);
    assert_eq!(world.told(), [] as [&str; 0]);
    let medium = "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N";
    world.update("cve", "records", &[rates("CVE-2", medium), rates("CVE-9", CRITICAL)]);
    assert_eq!(world.told(), ["severity-lowered CVE-2 in 1"]);
}

#[test]
fn first_readings_between_updates_are_passed_over_and_own_advisories_are_not() {
    let world = World::new();
    world.image("one", &[("a", "1")]);
    world.debian(&[]);
    world.derive();
    world.debian(&[open("CVE-1", "a")]);
    // Another document of the same feed, read for the first time.
    world.update(DEBIAN, "other", &[open("CVE-2", "a")]);
    world.update(LOCAL_FEED, "own.json", &[open("OWN-1", "a")]);
    assert_eq!(world.told(), ["new CVE-1 in 1", "new OWN-1 in 1"]);
}

#[test]
fn another_parser_and_other_rules_reassess() {
    let world = World::new();
    world.image("one", &[("a", "1"), ("b", "1")]);
    world.update_by(DEBIAN, "json", &[open("CVE-1", "a"), open("CVE-2", "b")], 1);
    world.derive();
    world.update_by(DEBIAN, "json", &[open("CVE-1", "a"), open("CVE-3", "a")], 2);
    let mut told = world.told();
    told.sort();
    assert_eq!(told, ["reassessed CVE-2 in 1", "reassessed CVE-3 in 1"]);
    // Verdicts by former rules, of which one says otherwise and one the same.
    let named = |name: &str| world.0.occurrences_named(name).unwrap().remove(0).0;
    let verdict = |id: &str, fixed: &str| Verdict {
        vulnerability: id.to_owned(),
        advisory: id.to_owned(),
        feed: DEBIAN.to_owned(),
        state: if fixed.is_empty() { VerdictState::NoFix } else { VerdictState::Fixable },
        fixed: fixed.to_owned(),
        channel: String::new(),
        severity: Severity::Low,
        severity_word: "Low".to_owned(),
        severity_feed: DEBIAN.to_owned(),
        state_word: String::new(),
        notice: String::new(),
    };
    let former = RULES_VERSION - 1;
    let now = world.0.processed().unwrap();
    let then = Processed { rules_version: former, ..now.clone() };
    assert!(world.0.put_events(&now, &then, &[], NOW).unwrap());
    let kept = BTreeMap::from([
        (named("a"), vec![verdict("CVE-1", ""), verdict("CVE-3", "7"), verdict("CVE-4", "")]),
        (named("b"), vec![]),
    ]);
    world.0.put_verdicts(now.revision, former, &kept, &[]).unwrap();
    // A report by the new rules comes first, and takes nothing away.
    verdicts(&world.0, &world.0.occurrences_named("a").unwrap().into_iter().collect(), NEWEST).unwrap();
    assert_eq!(world.told(), ["reassessed CVE-3 in 1", "reassessed CVE-4 in 1"]);
    assert_eq!(world.told(), [] as [&str; 0]);
    assert!(world.0.check(NOW).unwrap().is_sound());
}

#[test]
fn a_step_that_stops_goes_on_and_tells_the_same() {
    let packages: Vec<String> = (0..9).map(|number| format!("p{number}")).collect();
    let installed: Vec<(&str, &str)> = packages.iter().map(|name| (name.as_str(), "1")).collect();
    let world = |differences_max| {
        let world = World::new();
        world.image("one", &installed);
        world.debian(&[]);
        world.derive();
        let advisories: Vec<Advisory> =
            packages.iter().enumerate().map(|(n, name)| open(&format!("CVE-{}", n % 3), name)).collect();
        world.debian(&advisories);
        let mut steps = 0;
        loop {
            // Each part by a process of its own, as if the one before had been killed after it.
            let mut derivation =
                Derivation { store: &world.0, clock: &Fixed, differences_max, derived: Derived::default() };
            if !derivation.advance().unwrap() {
                break;
            }
            steps += 1;
            // What comes meanwhile is for the next step.
            if steps == 1 {
                world.debian(&[advisories.as_slice(), &[open("CVE-late", "p0")]].concat());
            }
        }
        let events = world.0.events(1, 1000).unwrap();
        let mut told: Vec<(String, String)> = Vec::new();
        for event in &events {
            for line in &change(event).packages {
                told.push((change(event).vulnerability.clone(), line.source.clone()));
            }
        }
        told.sort();
        let ids: BTreeSet<String> = events.iter().map(|event| event.id.to_string()).collect();
        assert_eq!(ids.len(), events.len());
        (steps, events.len(), told)
    };
    let (whole_steps, whole_events, whole) = world(usize::MAX);
    let (steps, events, told) = world(2);
    assert_eq!((whole_steps, whole_events), (2, 4));
    assert_eq!((steps, events), (6, 10));
    assert_eq!((told.len(), &told), (10, &whole));
}

#[test]
fn kernels_have_events_of_their_own() {
    let world = World::new();
    world.image("one", &[("linux-libc-dev", "1"), ("a", "1")]);
    world.debian(&[]);
    world.derive();
    world.debian(&[open("CVE-1", "linux-libc-dev"), open("CVE-1", "a")]);
    let kernels: Vec<bool> = world.derive().iter().map(|event| change(event).is_kernel).collect();
    assert_eq!(kernels, [false, true]);
}

#[test]
fn what_is_told_goes_when_it_is_old() {
    let world = World::new();
    world.image("one", &[("a", "1")]);
    world.0.channel("c", "t", 0).unwrap();
    let collect = |seconds| crate::collect(&world.0, &Fixed, &Fixed, 900, seconds).unwrap().events;
    assert_eq!(collect(-1), 0);
    world.0.remove_channel("c").unwrap();
    assert_eq!((collect(0), collect(-1)), (0, 1));
}

#[test]
fn an_image_is_assessed_by_the_feed_that_came_after_it() {
    let world = World::new();
    world.image("one", &[("a", "1")]);
    let assess = || assessment(&world.0, &world.0.events(0, 1).unwrap()[0]).unwrap().unwrap();
    assert_eq!((assess().revision, assess().is_answered), (0, false));
    world.debian(&[open("CVE-1", "a"), says("CVE-2", "a", AffectedState::Fixed, "2", Severity::High)]);
    world.update("nvd", "2026", &[rates("CVE-1", CRITICAL)]);
    world.debian(&[]);
    let assessed = assess();
    assert_eq!((assessed.revision, assessed.is_answered, assessed.fixable), (2, true, 1));
    assert_eq!(assessed.severities, BTreeMap::from([(Severity::Low, 1), (Severity::High, 1)]));
}

fn revision(revision: u64, feed: &str, origin: RevisionOrigin) -> Revision {
    let key = FeedKey { feed: feed.to_owned(), document: "d".to_owned() };
    let last_image = ImageId(i64::try_from(revision).unwrap() * 10);
    Revision { revision, key, origin, last_image }
}

#[test]
fn first_readings_and_other_parsers_part_steps() {
    use RevisionOrigin::{First, Parser, Update};
    let state = |step: Option<u64>| Processed {
        revision: 0,
        rules_version: RULES_VERSION,
        step: step.map(|revision| Step { revision, after: "a".to_owned() }),
    };
    let next = |revisions: &[Revision], step| {
        let plan = plan(&state(step), revisions).unwrap();
        (plan.reason, plan.until, plan.last_image.0)
    };
    let all = [
        revision(1, "debian-tracker", Update),
        revision(2, "kev", Update),
        revision(3, LOCAL_FEED, First),
        revision(4, "alpine-secdb", First),
        revision(5, "alpine-secdb", Parser),
        revision(6, "kev", Update),
    ];
    assert_eq!(next(&all, None), (Reason::Feeds, 3, 30));
    // A step that was begun before the third ends where it was to end.
    assert_eq!(next(&all, Some(2)), (Reason::Feeds, 2, 20));
    assert_eq!(baseline(&all), None);
    assert_eq!(baseline(&all[3..]), Some(4));
    assert_eq!(next(&all[4..], None), (Reason::Parser, 5, 50));
    assert_eq!(next(&all[5..], None), (Reason::Feeds, 6, 60));
}
