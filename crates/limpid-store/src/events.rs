//! Change events: what became of vulnerabilities and of images, numbered in the order in which it was stored.
//!
//! An event's number is the cursor over events: numbers are given in the order of commits, so whoever has read up to one
//! has missed nothing below it. Its id says which event it is, for ever: a delivery that is made twice has the
//! same id twice.
//!
//! Events on vulnerabilities are derived from what feeds changed after the revision that was *processed* last, by whoever
//! holds the lease for it. They are stored together with how far processing came, and only if nobody else
//! came further: so nothing is derived twice, and nothing is lost if many updates come before one is processed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use limpid_model::{Digest, Hasher, PackageType, Severity, Verdict, VerdictState};
use serde::{Deserialize, Serialize};

use crate::store::{FeedKey, ImageId, OccurrenceId};
use crate::{ImageSet, Result};

/// What happened. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// An image was stored, or came to hold other packages.
    ImageAssessed = 0,
    /// Images have a vulnerability that they were not known to have.
    New = 1,
    /// A vulnerability is worse than was known.
    SeverityRaised = 2,
    /// A vulnerability is less bad than was known.
    SeverityLowered = 3,
    /// There is a fix, or another one than before.
    FixAvailable = 4,
    /// The source says now that the packages do not have the vulnerability.
    NoLongerAffected = 5,
    /// Nobody says any more that the packages have the vulnerability.
    Withdrawn = 6,
    /// The same statements are understood in another way, by a newer Limpid.
    Reassessed = 7,
}

impl EventKind {
    /// Every kind, in the order of the numbers.
    pub const ALL: [Self; 8] = [
        Self::ImageAssessed,
        Self::New,
        Self::SeverityRaised,
        Self::SeverityLowered,
        Self::FixAvailable,
        Self::NoLongerAffected,
        Self::Withdrawn,
        Self::Reassessed,
    ];

    /// The word in lists and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImageAssessed => "image.assessed",
            Self::New => "vulnerability.new",
            Self::SeverityRaised => "vulnerability.severity-raised",
            Self::SeverityLowered => "vulnerability.severity-lowered",
            Self::FixAvailable => "vulnerability.fix-available",
            Self::NoLongerAffected => "vulnerability.no-longer-affected",
            Self::Withdrawn => "vulnerability.withdrawn",
            Self::Reassessed => "vulnerability.reassessed",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which event it is, for ever and among those of all stores. Written as a UUID of version 8 (RFC 9562).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

impl EventId {
    /// The id of the event that is `about` something, in the store that `seed` was drawn for.
    pub(crate) fn derived(seed: &[u8], about: &[&[u8]]) -> Self {
        let mut hasher = Hasher::new();
        for part in std::iter::once(&seed).chain(about) {
            // With its length before it, so that no two lists of parts run into the same bytes.
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finish().as_bytes()[..16]);
        Self::marked(bytes)
    }

    /// The id of an event on a vulnerability, derived by rules of a version in the part of a step that begins after the
    /// source `part`: the same if it is derived once more.
    pub(crate) fn of_change(
        seed: &[u8],
        change: &VulnerabilityChange,
        rules_version: u32,
        part: &str,
    ) -> Self {
        Self::derived(
            seed,
            &[
                change.kind.name().as_bytes(),
                change.vulnerability.as_bytes(),
                &change.from_revision.to_be_bytes(),
                &change.revision.to_be_bytes(),
                &rules_version.to_be_bytes(),
                &[u8::from(change.is_kernel)],
                part.as_bytes(),
            ],
        )
    }

    /// The id of the event with this number, for those that are about one image: the number can be read from it, so that
    /// it needs no column and no index.
    pub(crate) fn numbered(seed: &[u8], number: u64) -> Self {
        let number = number.to_be_bytes();
        let Self(mut bytes) = Self::derived(seed, &[b"image.assessed", &number]);
        bytes[..6].copy_from_slice(&number[2..]);
        Self(bytes)
    }

    /// The number that [`numbered`](Self::numbered) put in, if it was that which made the id.
    pub(crate) fn number(self, seed: &[u8]) -> Option<u64> {
        let mut number = [0; 8];
        number[2..].copy_from_slice(&self.0[..6]);
        let number = u64::from_be_bytes(number);
        (Self::numbered(seed, number) == self).then_some(number)
    }

    /// The bytes, for a column.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The id that a column holds.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    fn marked(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            if [4, 6, 8, 10].contains(&position) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Text that is no event's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event's id is a UUID, as 0198c1f2-7d6a-8b3c-9e10-4a5b6c7d8e9f")]
pub struct EventIdError;

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, EventIdError> {
        let is_uuid = text.len() == 36
            && text.bytes().enumerate().all(|(position, byte)| match position {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            });
        if !is_uuid {
            return Err(EventIdError);
        }
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return Err(EventIdError) };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

/// How a package stood towards a vulnerability. Stored: grows only at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict's state.
    pub state: VerdictState,
    /// The version that fixes it, empty for none.
    pub fixed: String,
    /// The support channel that the fix comes through, empty for the release's own.
    pub channel: String,
    /// The severity that counts.
    pub severity: Severity,
    /// Who says so, empty for nobody.
    pub severity_source: String,
    /// The feed whose word the verdict is.
    pub feed: String,
    /// Its advisory.
    pub advisory: String,
}

/// What changed for packages of one source in one release. Stored: grows only at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageChange {
    /// The release, as contexts have it (`debian:12`).
    pub release: String,
    /// The kind of package.
    pub package_type: PackageType,
    /// The source's name.
    pub source: String,
    /// How they stood before; `None` if nobody said anything of them.
    pub before: Option<Judgement>,
    /// How they stand now; `None` if nobody says anything of them.
    pub after: Option<Judgement>,
    /// Images that held one of them when the event was derived.
    pub images: u64,
    /// The packages.
    pub occurrences: Vec<OccurrenceId>,
}

/// What became of a vulnerability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VulnerabilityChange {
    /// What happened.
    pub kind: EventKind,
    /// The vulnerability's id.
    pub vulnerability: String,
    /// The revision that was processed before.
    pub from_revision: u64,
    /// The revision that it is about.
    pub revision: u64,
    /// Whether all of it is about kernels and their headers, which reports leave out of images that do not boot.
    pub is_kernel: bool,
    /// The last image that it concerns: later ones were assessed when it was known.
    pub last_image: ImageId,
    /// Images that held one of the packages when the event was derived.
    pub images: u64,
    /// What changed, by release and source.
    pub packages: Vec<PackageChange>,
}

impl VulnerabilityChange {
    /// Every occurrence that it is about.
    pub fn occurrences(&self) -> Vec<OccurrenceId> {
        let all: BTreeSet<OccurrenceId> =
            self.packages.iter().flat_map(|change| change.occurrences.iter().copied()).collect();
        all.into_iter().collect()
    }
}

/// What of an event on a vulnerability has no column of its own, in every engine. Stored: grows only at the end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredChange {
    vulnerability: String,
    from_revision: u64,
    is_kernel: bool,
    last_image: i64,
    images: u64,
    packages: Vec<PackageChange>,
}

impl StoredChange {
    pub(crate) fn of(change: &VulnerabilityChange) -> Self {
        Self {
            vulnerability: change.vulnerability.clone(),
            from_revision: change.from_revision,
            is_kernel: change.is_kernel,
            last_image: change.last_image.0,
            images: change.images,
            packages: change.packages.clone(),
        }
    }

    pub(crate) fn into_change(self, kind: EventKind, revision: u64) -> VulnerabilityChange {
        VulnerabilityChange {
            kind,
            vulnerability: self.vulnerability,
            from_revision: self.from_revision,
            revision,
            is_kernel: self.is_kernel,
            last_image: ImageId(self.last_image),
            images: self.images,
            packages: self.packages,
        }
    }
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventSubject {
    /// An image was assessed.
    Image {
        /// The image.
        image: ImageId,
        /// The digest of its manifest; `None` if it was forgotten since.
        manifest_digest: Option<Digest>,
    },
    /// A vulnerability changed.
    Vulnerability(VulnerabilityChange),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the order of events.
    pub number: u64,
    /// Which event it is.
    pub id: EventId,
    /// What happened.
    pub kind: EventKind,
    /// Seconds since the epoch.
    pub created_at: i64,
    /// The revision of the advisories that it is about.
    pub revision: u64,
    /// What it is about.
    pub subject: EventSubject,
}

/// How far events were derived from what feeds changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processed {
    /// The revision that is processed.
    pub revision: u64,
    /// The version of the rules that verdicts of it were last compared by; 0 for none yet.
    pub rules_version: u32,
    /// The step that is under way, if there is one.
    pub step: Option<Step>,
}

/// A part of the processing that was begun and is not done: it goes on where it stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The revision that is processed when it is done.
    pub revision: u64,
    /// The last source whose packages were compared; those before it in the order of bytes were too.
    pub after: String,
}

/// Why a document has a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionOrigin {
    /// The document said something else than before.
    Update = 0,
    /// The document was read for the first time.
    First = 1,
    /// Another parser read it.
    Parser = 2,
}

/// A revision, as far as processing asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Its number.
    pub revision: u64,
    /// The document that changed.
    pub key: FeedKey,
    /// Why.
    pub origin: RevisionOrigin,
    /// The last image that was stored before it.
    pub last_image: ImageId,
}

/// A vulnerability that a document says something else of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// The vulnerability.
    pub vulnerability: String,
    /// The document.
    pub key: FeedKey,
    /// Whether the document said nothing of it before.
    pub is_first: bool,
}

/// Events: storing, reading, and what deriving them asks for.
pub trait Events {
    /// How far events were derived: to revision 0, by rules of version 0, if never.
    fn processed(&self) -> Result<Processed>;
    /// Stores events and how far they bring processing, all at once, if it stands where `from` says; whether it did.
    /// Where `to` has other rules than `from` and no step, the verdicts of the former rules are dropped.
    fn put_events(
        &self,
        from: &Processed,
        to: &Processed,
        events: &[VulnerabilityChange],
        now: i64,
    ) -> Result<bool>;
    /// The revisions after one and up to another.
    fn revisions(&self, after: u64, until: u64) -> Result<Vec<Revision>>;
    /// The vulnerabilities of which something else is said since a revision and up to another, by document; more
    /// than that where something came and went between.
    fn touched(&self, after: u64, until: u64) -> Result<Vec<Touched>>;
    /// The packages and releases that advisories on each of the vulnerabilities name at one of two revisions.
    fn named(
        &self,
        vulnerabilities: &[&str],
        before: u64,
        after: u64,
    ) -> Result<Vec<BTreeSet<(String, String)>>>;
    /// For each name the sources of the packages that have it, as a source or themselves.
    fn sources_named(&self, names: &[&str]) -> Result<Vec<BTreeSet<String>>>;
    /// The repositories that serve other products (CPEs) since a revision and up to another.
    fn repositories_changed(&self, after: u64, until: u64) -> Result<BTreeSet<String>>;
    /// The verdicts by former rules that are kept until processing has compared them.
    fn former_verdicts(
        &self,
        occurrences: &[OccurrenceId],
        rules_version: u32,
    ) -> Result<BTreeMap<OccurrenceId, Vec<Verdict>>>;

    /// The events after a number, in order.
    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>>;
    /// The event with this id.
    fn event(&self, id: EventId) -> Result<Option<Event>>;
    /// The last image that was stored; 0 if there is none.
    fn last_image(&self) -> Result<ImageId>;
    /// The number of the last event; 0 if there was none yet.
    fn last_event(&self) -> Result<u64>;
    /// The images that an event is about: those that held its packages then, whatever they hold now, without those
    /// that were forgotten since.
    fn event_images(&self, event: &Event) -> Result<ImageSet>;
    /// Which of the event's packages each of the images held then.
    fn event_packages(&self, event: &Event, images: &[ImageId]) -> Result<Vec<Vec<OccurrenceId>>>;
    /// Drops at most `limit` events that are older than a time and that every channel has delivered or given up;
    /// how many.
    fn drop_events(&self, before: i64, limit: usize) -> Result<u64>;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_8_and_read_back() {
        let id = EventId::derived(b"seed", &[b"a", b"bc"]);
        let text = id.to_string();
        assert_eq!(text.parse::<EventId>().unwrap(), id);
        assert_eq!((&text[14..15], text.len()), ("8", 36));
        assert!("89ab".contains(&text[19..20]));
        assert_ne!(id, EventId::derived(b"seed", &[b"ab", b"c"]), "parts keep apart");
        assert_ne!(id, EventId::derived(b"other", &[b"a", b"bc"]), "stores keep apart");
        for bad in
            ["", "0198c1f2", "0198c1f2-7d6a-8b3c-9e10-4a5b6c7d8e9g", "0198c1f27d6a-8b3c-9e10-4a5b6c7d8e9f-"]
        {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_number_of_an_image_event_is_in_its_id() {
        let id = EventId::numbered(b"seed", 1_234_567);
        assert_eq!(id.number(b"seed"), Some(1_234_567));
        assert_eq!(id.number(b"other"), None);
        assert_eq!(EventId::derived(b"seed", &[b"x"]).number(b"seed"), None);
    }
}
