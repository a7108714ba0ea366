//! Whether everything in the store fits together.
//!
//! SQLite checks the file itself; what follows are the invariants of our tables. Where rows only have to agree with
//! other rows, one statement finds those that do not. Where they hold encoded values, every value is decoded, one at a
//! time. All of it sees one moment; the log beside the store grows as long as a check and writers go on together.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{AdvisoryDetails, Context, ExtractorVersion, PackageFact, PackageType, Severity, Verdict};
use roaring::RoaringBitmap;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;

use super::{count, digest, upkeep};
use crate::description::{Config, Description};
use crate::diff::StoredDiff;
use crate::events::EventKind;
use crate::invariants::{Found, LEASE_SECONDS_MAX, RULES, Rule};
use crate::layer_body::StoredFindings;
use crate::statement::AffectedBody;
use crate::store::SearchedFile;
use crate::upkeep::CheckReport;
use crate::{Error, Result, codec, exposure};

/// Problems of the file that SQLite lists at most.
const FILE_PROBLEMS_MAX: u32 = 100;
/// Checks one snapshot of the store.
pub(super) fn check(connection: &mut Connection, now: i64) -> Result<CheckReport> {
    let transaction = connection.transaction()?;
    let mut check = Check { connection: &transaction, now, report: CheckReport::default() };
    check.file()?;
    // Rows of a file that is broken may be anything.
    if check.report.is_sound() {
        for rule in RULES {
            check.rule(rule)?;
        }
        check.values()?;
        check.nodes()?;
        check.images()?;
        check.segments()?;
        check.report.status = upkeep::status(&transaction)?;
    }
    Ok(check.report)
}

pub(super) struct Check<'a> {
    pub(super) connection: &'a Connection,
    now: i64,
    report: CheckReport,
}

impl Check<'_> {
    pub(super) fn note(&mut self, table: &'static str, what: &'static str, found: Found) {
        found.note(&mut self.report, table, what);
    }

    fn file(&mut self) -> Result<()> {
        let mut found = Found::default();
        let mut statement =
            self.connection.prepare(&format!("PRAGMA integrity_check({FILE_PROBLEMS_MAX})"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let problem: String = row.get(0)?;
            if problem != "ok" {
                found.add(|| problem);
            }
        }
        drop(rows);
        drop(statement);
        self.note("file", "problems of SQLite's own check", found);
        Ok(())
    }

    fn rule(&mut self, (table, what, sql): &Rule) -> Result<()> {
        let mut found = Found::default();
        let last_event = "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)";
        let mut statement = self.connection.prepare(&sql.replace("{event}", last_event))?;
        let latest = self.now.saturating_add(LEASE_SECONDS_MAX);
        let mut rows = match statement.parameter_count() {
            0 => statement.query([])?,
            _ => statement.query([latest])?,
        };
        while let Some(row) = rows.next()? {
            // Bytes that are no text are shown as well as can be.
            let example =
                String::from_utf8_lossy(row.get_ref(0)?.as_bytes().unwrap_or_default()).into_owned();
            found.add(|| example);
        }
        drop(rows);
        drop(statement);
        self.note(table, what, found);
        Ok(())
    }

    /// Decodes what is encoded.
    fn values(&mut self) -> Result<()> {
        let unreadable = "that cannot be read";
        self.each("layer", unreadable, "layer_id, digest, findings, searched", &|row| {
            digest(row.get_ref(1)?.as_blob().unwrap_or_default())?;
            codec::unpack::<StoredFindings>(row.get_ref(2)?.as_blob().unwrap_or_default(), "findings")?;
            decodes::<BTreeSet<SearchedFile>>(row, 3)
        })?;
        self.each("package", unreadable, "package_id, kind, facts", &|row| {
            let kind = usize::try_from(row.get::<_, i64>(1)?).ok();
            let is_known = kind.is_some_and(|kind| kind < PackageType::ALL.len());
            Ok(is_known && decodes::<Vec<(PackageFact, String)>>(row, 2)?)
        })?;
        self.each("context", unreadable, "context_id, release, body", &|row| {
            let context: Context = codec::decode(row.get_ref(2)?.as_blob().unwrap_or_default(), "context")?;
            Ok(context.release == row.get::<_, String>(1)?)
        })?;
        self.each("verdict", unreadable, "package_id, body, listed", &|row| {
            exposure::listed(row.get_ref(2)?.as_blob_or_null().unwrap_or_default())?;
            decodes::<Vec<Verdict>>(row, 1)
        })?;
        self.exposures()?;
        self.each("advisory", unreadable, "advisory_id, body, severity, withdrawn", &|row| {
            let body = row.get_ref(1)?.as_blob().unwrap_or_default();
            let details: AdvisoryDetails = codec::decode(body, "details")?;
            let severity = usize::try_from(row.get::<_, i64>(2)?).ok();
            let same = severity.and_then(|severity| Severity::ALL.get(severity)) == Some(&details.severity);
            Ok(same && row.get::<_, bool>(3)? != details.withdrawn.is_empty())
        })?;
        self.each("event", unreadable, "number, kind, body", &|row| {
            let kind = usize::try_from(row.get::<_, i64>(1)?).ok();
            let is_known = kind.is_some_and(|kind| kind < EventKind::ALL.len());
            let body: Option<Vec<u8>> = row.get(2)?;
            Ok(is_known && body.is_none_or(|body| super::events::is_readable(&body)))
        })?;
        self.each("affected", unreadable, "affected_id, body", &|row| decodes::<AffectedBody>(row, 1))?;
        self.each("extractors", unreadable, "extractors_id, body", &|row| {
            decodes::<Vec<ExtractorVersion>>(row, 1)
        })?;
        self.each("config", unreadable, "config_id, body, hash", &|row| {
            let body = row.get_ref(1)?.as_blob().unwrap_or_default();
            codec::unpack::<Config>(body, "config")?;
            Ok(codec::hash(&[body]) == row.get::<_, i64>(2)?)
        })?;
        self.each("label", "whose hash is wrong", "label_id, key, value, hash", &|row| {
            let text = |column| Ok::<_, Error>(row.get_ref(column)?.as_bytes().unwrap_or_default());
            Ok(codec::hash(&[text(1)?, text(2)?]) == row.get::<_, i64>(3)?)
        })?;
        self.each("description", unreadable, "layer_id, body", &|row| {
            let body = row.get_ref(1)?.as_blob().unwrap_or_default();
            codec::unpack::<Description>(body, "description").map(|_| true)
        })
    }

    /// The sets of occurrences that vulnerabilities affect, against what verdicts' rows say of them.
    fn exposures(&mut self) -> Result<()> {
        let connection = self.connection;
        let mut said: BTreeMap<i64, RoaringBitmap> = BTreeMap::new();
        let mut pairs = connection.prepare(
            "SELECT o.occurrence_id, v.listed FROM verdict v JOIN occurrence o USING (package_id, context_id)
             WHERE v.listed IS NOT NULL",
        )?;
        // One that is noted as unlisted may be in any of the sets already, or in none.
        let mut unlisted = connection.prepare("SELECT 1 FROM unlisted WHERE occurrence_id = ?1")?;
        let mut open = RoaringBitmap::new();
        let mut rows = pairs.query([])?;
        while let Some(row) = rows.next()? {
            let Ok(occurrence) = u32::try_from(row.get::<_, i64>(0)?) else { continue };
            if unlisted.exists([occurrence])? {
                open.insert(occurrence);
            }
            // What cannot be read was noted above.
            for text in
                exposure::listed(row.get_ref(1)?.as_blob_or_null().unwrap_or_default()).unwrap_or_default()
            {
                said.entry(text).or_default().insert(occurrence);
            }
        }
        let (mut unreadable, mut other) = (Found::default(), Found::default());
        let mut sets = connection.prepare("SELECT vulnerability_text, occurrences FROM exposure")?;
        let mut rows = sets.query([])?;
        while let Some(row) = rows.next()? {
            let text: i64 = row.get(0)?;
            match exposure::decode(row.get_ref(1)?.as_blob().unwrap_or_default()) {
                Err(_) => unreadable.add(|| format!("text {text}")),
                Ok(set) if &set - &open != &said.remove(&text).unwrap_or_default() - &open => {
                    other.add(|| format!("text {text}"));
                }
                Ok(_) => {}
            }
        }
        for (text, _) in said.into_iter().filter(|(_, set)| !(set - &open).is_empty()) {
            other.add(|| format!("text {text}"));
        }
        self.note("exposure", "that cannot be read", unreadable);
        self.note("exposure", "that differ from what verdicts say", other);
        Ok(())
    }

    /// Asks of each row of a table, named by its first column, whether it is right.
    fn each(
        &mut self,
        table: &'static str,
        what: &'static str,
        columns: &str,
        is_right: &dyn Fn(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        let mut found = Found::default();
        let mut statement = self.connection.prepare(&format!("SELECT {columns} FROM {table}"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            // A value of another type than it should have is as wrong as one that cannot be decoded.
            if !is_right(row).unwrap_or(false) {
                let id: i64 = row.get(0)?;
                found.add(|| format!("{table} {id}"));
            }
        }
        drop(rows);
        drop(statement);
        self.note(table, what, found);
        Ok(())
    }

    /// Diffs, and what is said of them in `node_change`.
    fn nodes(&mut self) -> Result<()> {
        let connection = self.connection;
        let (mut unreadable, mut dangling, mut pathless) =
            (Found::default(), Found::default(), Found::default());
        let (mut missing, mut total) = (Found::default(), 0_u64);
        let mut occurrence = connection.prepare("SELECT 1 FROM occurrence WHERE occurrence_id = ?1")?;
        let mut text = connection.prepare("SELECT 1 FROM text WHERE text_id = ?1")?;
        let mut change = connection
            .prepare("SELECT 1 FROM node_change WHERE occurrence_id = ?1 AND node_id = ?2 AND brings = ?3")?;
        let mut nodes = connection.prepare("SELECT node_id, diff FROM node ORDER BY node_id")?;
        let mut rows = nodes.query([])?;
        while let Some(row) = rows.next()? {
            let node: i64 = row.get(0)?;
            let name = || format!("node {node}");
            let Ok(diff) = StoredDiff::decode(row.get_ref(1)?.as_blob().unwrap_or_default()) else {
                unreadable.add(name);
                continue;
            };
            for id in diff.occurrences() {
                if !occurrence.exists([id])? {
                    dangling.add(|| format!("node {node}, occurrence {id}"));
                }
            }
            for path in diff.paths() {
                if !text.exists([path])? {
                    pathless.add(name);
                }
            }
            for (id, brings) in diff.changes() {
                total += 1;
                if !change.exists(params![id, node, brings])? {
                    missing.add(|| format!("node {node}, occurrence {id}"));
                }
            }
        }
        let present: i64 = connection.query_row("SELECT count(*) FROM node_change", [], |row| row.get(0))?;
        let expected = total.saturating_sub(missing.count);
        let surplus = self.surplus(count(present).saturating_sub(expected))?;
        self.note("node", "whose diff cannot be read", unreadable);
        self.note("node", "whose diff names occurrences that are missing", dangling);
        self.note("node", "whose diff names paths that are missing", pathless);
        self.note("node_change", "that are missing though a diff has them", missing);
        self.note("node_change", "that no diff has", surplus);
        Ok(())
    }

    /// Rows of `node_change` that no diff has: how many is known, the first is looked for.
    fn surplus(&self, surplus: u64) -> Result<Found> {
        if surplus == 0 {
            return Ok(Found::default());
        }
        let mut body = self.connection.prepare("SELECT diff FROM node WHERE node_id = ?1")?;
        let mut changes =
            self.connection.prepare("SELECT node_id, occurrence_id, brings FROM node_change")?;
        let mut rows = changes.query([])?;
        while let Some(row) = rows.next()? {
            let (node, occurrence, brings): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let diff: Option<Vec<u8>> = body.query_row([node], |row| row.get(0)).optional()?;
            let diff = diff.and_then(|diff| StoredDiff::decode(&diff).ok());
            if !diff.is_some_and(|diff| diff.changes().any(|change| change == (occurrence, brings))) {
                let example = format!("node {node}, occurrence {occurrence}");
                return Ok(Found { count: surplus, example: Some(example) });
            }
        }
        Ok(Found { count: surplus, example: Some("node_change".to_owned()) })
    }
}

/// Whether a column decodes.
fn decodes<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<bool> {
    codec::decode::<T>(row.get_ref(column)?.as_blob().unwrap_or_default(), "a value").map(|_| true)
}
