//! Where results are kept: the [`Store`] trait, in plain domain types, and its engines. The only SQL in the house.
//!
//! Three memo tables (ARCHITECTURE.md has the picture): findings by layer digest, package set nodes by chain
//! key, verdicts by package version and context. Beside them images with their references, and feeds with
//! their advisories, whose rows carry the revisions between which they held.
#![forbid(unsafe_code)]

mod channels;
mod codec;
mod column;
mod cve;
mod description;
mod diff;
mod error;
mod events;
mod exposure;
mod fleet;
mod image_body;
mod invariants;
mod kind;
mod layer_body;
mod open;

mod postgres;
mod queue;
mod reference;
mod segment;
mod segment_build;
mod segment_check;
mod segment_plan;
mod segment_query;
mod sqlite;
mod stage;
mod statement;
mod store;
mod transfer;
mod upkeep;

pub use channels::{ChannelState, Channels, DeadLetter};
pub use error::{Error, Result};
pub use events::{
    Event, EventId, EventIdError, EventKind, EventSubject, Events, Judgement, PackageChange, Processed,
    Revision, RevisionOrigin, Step, Touched, VulnerabilityChange,
};
pub use fleet::{Fleet, ImageFilter, ImageSet, ImageSummary, OccurrenceSet, SharedNode};
pub use queue::{
    Enqueued, JobCounts, JobEnd, JobId, JobRecord, JobState, NewJob, OPTIONS_BYTES_MAX, PRIORITY_MAX,
    PRIORITY_STEP_SECONDS, Queue, SUBJECT_BYTES_MAX, Taken, TakenJob, Taking,
};

pub use self::postgres::{Credentials, PostgresStore, is_address};
pub use open::{open, open_with};
pub use sqlite::SqliteStore;
pub use store::{
    AdvisoryChange, AdvisoryRecord, ChangeSink, FeedKey, FeedOutcome, FeedState, FeedUpdate, ImageContents,
    ImageId, ImageRecord, Knowledge, LayerContents, LayerRecord, Lease, NEWEST, NewImage, NodeId,
    OccurrenceId, PlacedId, ScoreDay, ScoreUpdate, SearchedFile, Store, StoredAffected, UpdateStats,
    Validators, VulnerabilityScore,
};
pub use transfer::{Moving, MovingSink, MovingSource, Row, Table, Transfer, copy};
pub use upkeep::{Broken, CheckReport, Collection, Freed, StoreStatus, Upkeep};
