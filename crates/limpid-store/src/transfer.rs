//! Moving a whole store from one engine to another: its tables as streams of rows.
//!
//! Engines have the same tables, with the same ids in them, so rows move as they are; what an engine computes beside (hashes,
//! indexes) it computes anew. All is read at one moment and written in one transaction: whoever ends it in the middle finds
//! the target as empty as it was. Left out are leases: who held one knows nothing of the other store.

use crate::kind::Kind;
use crate::{Error, Result, Store};

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    /// Text, or bytes: a column is one or the other.
    Bytes(Vec<u8>),
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Integers,
    Texts,
    Bytes,
}

/// A table that moves.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    pub(crate) name: &'static str,
    /// Names of columns, each with what it holds: `#` for integers, `$` for texts, `%` for bytes.
    columns: &'static str,
}

impl Table {
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its columns with what they hold.
    pub(crate) fn columns(&self) -> Vec<(&'static str, Holds)> {
        let column = |column: &'static str| match column.split_at(column.len() - 1) {
            (name, "$") => (name, Holds::Texts),
            (name, "%") => (name, Holds::Bytes),
            (name, _) => (name, Holds::Integers),
        };
        self.columns.split(' ').map(column).collect()
    }

    /// The names of its columns, for a statement.
    pub(crate) fn names(&self) -> String {
        self.columns().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

const fn table(name: &'static str, columns: &'static str) -> Table {
    Table { name, columns }
}

/// Every table that moves.
pub(crate) const TABLES: &[Table] = &[
    table("text", "text_id# value$"),
    table("extractors", "extractors_id# body%"),
    table(
        "layer",
        "layer_id# digest% size_bytes# uncompressed_bytes# analysed# extractors_id# searched% findings%",
    ),
    table("package", "package_id# kind# name$ version$ arch$ source_name$ source_version$ facts%"),
    table("context", "context_id# release$ body%"),
    table("occurrence", "occurrence_id# package_id# context_id# owner$"),
    table("node", "node_id# node_key% parent_id# diff%"),
    table("chain", "chain_key% node_id#"),
    table("node_change", "occurrence_id# node_id# brings#"),
    table("image", "image_id# manifest_digest% node_id# config_id# analysed_at# first_seen# release$ body%"),
    table("image_former", "image_id# until_revision# node_id#"),
    table("config", "config_id# hash# body%"),
    table("label", "label_id# hash# key$ value$"),
    table("image_label", "label_id# image_id#"),
    table("description", "layer_id# number# body%"),
    table("image_layer", "layer_id# number# image_id#"),
    table("repository", "repository_id# name$"),
    table("reference", "repository_id# tag$ image_id# first_seen# last_seen#"),
    table("segment", "segment_id# first_image# last_image# images# body%"),
    table("segment_part", "segment_id# kind# first# body%"),
    table("displaced", "image_id#"),
    table(
        "feed",
        "feed_id# feed$ document$ url$ parser_version# etag$ last_modified$ revision# attempted_at# succeeded_at# error$ date$ records# size_bytes#",
    ),
    table("revision", "revision# feed_id# created_at# added# removed# date$ origin# last_image#"),
    table(
        "advisory",
        "advisory_id# feed_id# id_text# vulnerability_text# severity# severity_word$ withdrawn# body% from_revision# to_revision#",
    ),
    table("alias", "alias_text# id_text#"),
    table(
        "affected",
        "affected_id# feed_id# id_text# package_text# release_text# body% from_revision# to_revision#",
    ),
    table("feed_release", "release_text# feed_id# records# from_revision#"),
    table("verdict", "package_id# context_id# rules_version# body% listed%"),
    table("former_verdict", "package_id# context_id# rules_version# body%"),
    table("exposure", "vulnerability_text# occurrences%"),
    table("unlisted", "occurrence_id#"),
    table("signed_source", "source_name$ package_id#"),
    table("repository_cpe", "repository$ cpe$ from_revision# to_revision#"),
    table("score", "feed_id# cve# probability# percentile#"),
    table("score_day", "feed_id# date$ model_version$"),
    table("record_check", "cve# checked_at#"),
    table("unused", "kind# id# since#"),
    table(
        "job",
        "job_id# kind$ subject$ job_key% options% priority# state# attempts# failures# lost# again# turn# added_at# due_at# begun_at# ended_at# worker$ reason$",
    ),
    table("worker", "worker$ expires_at#"),
    table("schedule", "task$ begun_at#"),
    table("event", "number# kind# created_at# revision# image_id# event_id% body%"),
    table("event_state", "id# seed% revision# rules_version# step_revision# step_after$"),
    table("channel", "name$ target$ cursor# delivered# delivered_at# attempts# next_attempt_at# last_error$"),
    table("dead_letter", "channel$ number# attempts# died_at# error$ is_due#"),
];

/// Every store has one, from the beginning.
pub(crate) const EVENT_STATE: &str = "event_state";

/// Tables whose ids are never given twice, by what an engine remembers of freed ones.
pub(crate) const KINDS: [Kind; 6] =
    [Kind::Layer, Kind::Node, Kind::Occurrence, Kind::Image, Kind::Context, Kind::Text];
/// Further ones.
pub(crate) const NUMBERED: [(&str, &str); 4] =
    [("event", "number"), ("job", "job_id"), ("revision", "revision"), ("segment", "segment_id")];

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(pub(crate) Vec<Value>);

/// What a store is, as it moves.
#[derive(Debug)]
pub enum Moving {
    /// A row of a table; tables come one after the other.
    Row(&'static Table, Row),
    /// The greatest id that a table ever gave, whether its row is still there or not.
    LastId(&'static str, i64),
}

/// Takes what moves.
pub type MovingSink<'a> = dyn FnMut(Moving) -> Result<()> + 'a;

/// Says what moves, to a sink.
pub type MovingSource<'a> = dyn FnMut(&mut MovingSink<'_>) -> Result<()> + 'a;

/// A store that can be moved.
pub trait Transfer {
    /// Tells all that the store holds at one moment.
    fn export(&self, sink: &mut MovingSink<'_>) -> Result<()>;
    /// Takes in all that another store holds, in one transaction. Refuses to if there is anything here.
    fn import(&self, source: &mut MovingSource<'_>) -> Result<()>;
}

/// Copies everything from one store to another, which must be empty. `progress` is told each table when it begins.
pub fn copy(from: &dyn Store, to: &dyn Store, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let mut last = "";
    to.import(&mut |sink| {
        from.export(&mut |moving| {
            if let Moving::Row(table, _) = &moving
                && last != table.name
            {
                last = table.name;
                progress(last);
            }
            sink(moving)
        })
    })
}

/// A value of another type than its column has.
pub(crate) fn misplaced(table: &Table) -> Error {
    Error::Corrupt(format!("a value of table {} is of a type that its column does not have", table.name))
}
