//! Whether everything in the store fits together.
//!
//! What lies beneath tables is the server's business (`pg_amcheck`); these are the invariants of our tables. Where rows
//! only have to agree with other rows, one statement finds those that do not. Where they hold encoded values, every value
//! is decoded, a few at a time. All of it sees one moment.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{AdvisoryDetails, Context, ExtractorVersion, PackageFact, PackageType, Severity, Verdict};
use postgres::Row;
use roaring::RoaringBitmap;
use serde::de::DeserializeOwned;

use super::connection::{Connection, Parameters, column, text};
use super::upkeep;
use crate::column::{count, digest};
use crate::description::{Config, Description};
use crate::diff::StoredDiff;
use crate::events::EventKind;
use crate::invariants::{Found, LEASE_SECONDS_MAX, RULES, Rule};
use crate::layer_body::StoredFindings;
use crate::statement::AffectedBody;
use crate::store::SearchedFile;
use crate::upkeep::CheckReport;
use crate::{Result, codec, exposure};

/// Nodes that are compared with their index at a time.
const NODES_MAX: i64 = 500;

/// Checks what a transaction sees.
pub(super) fn check(connection: &mut Connection, now: i64) -> Result<CheckReport> {
    let mut check = Check { connection, now, report: CheckReport::default() };
    for rule in RULES {
        check.rule(rule)?;
    }
    check.values()?;
    check.nodes()?;
    check.images()?;
    check.segments()?;
    let mut report = check.report;
    report.status = upkeep::status(connection)?;
    Ok(report)
}

pub(super) struct Check<'a> {
    pub(super) connection: &'a mut Connection,
    now: i64,
    pub(super) report: CheckReport,
}

impl Check<'_> {
    fn rule(&mut self, (table, what, sql): &Rule) -> Result<()> {
        let mut found = Found::default();
        let latest = self.now.saturating_add(LEASE_SECONDS_MAX);
        let parameters: Parameters<'_> = if sql.contains("?1") { &[&latest] } else { &[] };
        let sql = sql.replace("?1", "$1").replace("{event}", "(SELECT last FROM counter WHERE kind = 8)");
        self.connection.each(&sql, parameters, &mut |row| {
            // What names a row is text, or bytes that are shown as well as can be.
            let named = column::<String>(row, 0).or_else(|_| {
                column::<Vec<u8>>(row, 0).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            })?;
            found.add(|| named);
            Ok(())
        })?;
        found.note(&mut self.report, table, what);
        Ok(())
    }

    /// Decodes what is encoded.
    fn values(&mut self) -> Result<()> {
        let unreadable = "that cannot be read";
        self.each("layer", unreadable, "layer_id, digest, findings, searched", &|row| {
            digest(&column::<Vec<u8>>(row, 1)?)?;
            codec::unpack::<StoredFindings>(&column::<Vec<u8>>(row, 2)?, "findings")?;
            decodes::<BTreeSet<SearchedFile>>(row, 3)
        })?;
        self.each("package", unreadable, "package_id, kind, facts", &|row| {
            let kind = usize::try_from(column::<i64>(row, 1)?).ok();
            let is_known = kind.is_some_and(|kind| kind < PackageType::ALL.len());
            Ok(is_known && decodes::<Vec<(PackageFact, String)>>(row, 2)?)
        })?;
        self.each("context", unreadable, "context_id, release, body", &|row| {
            let context: Context = codec::decode(&column::<Vec<u8>>(row, 2)?, "context")?;
            Ok(context.release == text(row, 1)?)
        })?;
        self.each("verdict", unreadable, "package_id, body, listed", &|row| {
            exposure::listed(column::<Option<Vec<u8>>>(row, 2)?.as_deref())?;
            decodes::<Vec<Verdict>>(row, 1)
        })?;
        self.exposures()?;
        self.each("advisory", unreadable, "advisory_id, body, severity, withdrawn", &|row| {
            let details: AdvisoryDetails = codec::decode(&column::<Vec<u8>>(row, 1)?, "details")?;
            let severity = usize::try_from(column::<i64>(row, 2)?).ok();
            let same = severity.and_then(|severity| Severity::ALL.get(severity)) == Some(&details.severity);
            Ok(same && (column::<i64>(row, 3)? != 0) != details.withdrawn.is_empty())
        })?;
        self.each("event", unreadable, "number, kind, body", &|row| {
            let kind = usize::try_from(column::<i64>(row, 1)?).ok();
            let is_known = kind.is_some_and(|kind| kind < EventKind::ALL.len());
            let body: Option<Vec<u8>> = column(row, 2)?;
            Ok(is_known && body.is_none_or(|body| super::events::is_readable(&body)))
        })?;
        self.each("affected", unreadable, "affected_id, body", &|row| decodes::<AffectedBody>(row, 1))?;
        self.each("extractors", unreadable, "extractors_id, body", &|row| {
            decodes::<Vec<ExtractorVersion>>(row, 1)
        })?;
        self.each("config", unreadable, "config_id, body, hash", &|row| {
            let body: Vec<u8> = column(row, 1)?;
            codec::unpack::<Config>(&body, "config")?;
            Ok(codec::hash(&[&body]) == column::<i64>(row, 2)?)
        })?;
        self.each("label", "whose hash is wrong", "label_id, key, value, hash", &|row| {
            let (key, value): (Vec<u8>, Vec<u8>) = (column(row, 1)?, column(row, 2)?);
            Ok(codec::hash(&[&key, &value]) == column::<i64>(row, 3)?)
        })?;
        self.each("description", unreadable, "layer_id, body", &|row| {
            codec::unpack::<Description>(&column::<Vec<u8>>(row, 1)?, "description").map(|_| true)
        })
    }

    /// The sets of occurrences that vulnerabilities affect, against what verdicts' rows say of them.
    fn exposures(&mut self) -> Result<()> {
        let mut said: BTreeMap<i64, RoaringBitmap> = BTreeMap::new();
        // One that is noted as unlisted may be in any of the sets already, or in none.
        let mut open = RoaringBitmap::new();
        self.connection.each(
            "SELECT o.occurrence_id, v.listed,
                EXISTS (SELECT 1 FROM unlisted u WHERE u.occurrence_id = o.occurrence_id)
             FROM verdict v JOIN occurrence o ON o.package_id = v.package_id AND o.context_id = v.context_id
             WHERE v.listed IS NOT NULL",
            &[],
            &mut |row| {
                let Ok(occurrence) = u32::try_from(column::<i64>(row, 0)?) else { return Ok(()) };
                if column(row, 2)? {
                    open.insert(occurrence);
                }
                // What cannot be read was noted above.
                for text in
                    exposure::listed(column::<Option<Vec<u8>>>(row, 1)?.as_deref()).unwrap_or_default()
                {
                    said.entry(text).or_default().insert(occurrence);
                }
                Ok(())
            },
        )?;
        let (mut unreadable, mut other) = (Found::default(), Found::default());
        self.connection.each("SELECT vulnerability_text, occurrences FROM exposure", &[], &mut |row| {
            let text: i64 = column(row, 0)?;
            match exposure::decode(&column::<Vec<u8>>(row, 1)?) {
                Err(_) => unreadable.add(|| format!("text {text}")),
                Ok(set) if &set - &open != &said.remove(&text).unwrap_or_default() - &open => {
                    other.add(|| format!("text {text}"));
                }
                Ok(_) => {}
            }
            Ok(())
        })?;
        for (text, _) in said.into_iter().filter(|(_, set)| !(set - &open).is_empty()) {
            other.add(|| format!("text {text}"));
        }
        unreadable.note(&mut self.report, "exposure", "that cannot be read");
        other.note(&mut self.report, "exposure", "that differ from what verdicts say");
        Ok(())
    }

    /// Asks of each row of a table, named by its first column, whether it is right.
    fn each(
        &mut self,
        table: &'static str,
        what: &'static str,
        columns: &str,
        is_right: &dyn Fn(&Row) -> Result<bool>,
    ) -> Result<()> {
        let mut found = Found::default();
        self.connection.each(&format!("SELECT {columns} FROM {table}"), &[], &mut |row| {
            if !is_right(row).unwrap_or(false) {
                let id: i64 = column(row, 0)?;
                found.add(|| format!("{table} {id}"));
            }
            Ok(())
        })?;
        found.note(&mut self.report, table, what);
        Ok(())
    }

    /// Diffs, and what is said of them in `node_change`.
    fn nodes(&mut self) -> Result<()> {
        let mut nodes = Nodes::default();
        let mut after: i64 = 0;
        loop {
            let rows = self.connection.query(
                "SELECT node_id, diff FROM node WHERE node_id > $1 ORDER BY node_id LIMIT $2",
                &[&after, &NODES_MAX],
            )?;
            let Some(last) = rows.last() else { break };
            after = column(last, 0)?;
            let mut diffs = Vec::new();
            for row in &rows {
                let node: i64 = column(row, 0)?;
                match StoredDiff::decode(&column::<Vec<u8>>(row, 1)?) {
                    Ok(diff) => diffs.push((node, diff)),
                    Err(_) => nodes.unreadable.add(|| format!("node {node}")),
                }
            }
            nodes.compare(self.connection, &diffs)?;
        }
        let present = count(self.connection.value("SELECT count(*) FROM node_change", &[])?);
        let surplus = present.saturating_sub(nodes.present);
        let surplus = Found { count: surplus, example: self.surplus(surplus)? };
        let report = &mut self.report;
        nodes.unreadable.note(report, "node", "whose diff cannot be read");
        nodes.dangling.note(report, "node", "whose diff names occurrences that are missing");
        nodes.pathless.note(report, "node", "whose diff names paths that are missing");
        nodes.missing.note(report, "node_change", "that are missing though a diff has them");
        surplus.note(report, "node_change", "that no diff has");
        Ok(())
    }

    /// The first of the rows of `node_change` that no diff has.
    fn surplus(&mut self, surplus: u64) -> Result<Option<String>> {
        if surplus == 0 {
            return Ok(None);
        }
        let mut example = None;
        self.connection.each(
            "SELECT c.node_id, c.occurrence_id, c.brings, n.diff FROM node_change c
             LEFT JOIN node n ON n.node_id = c.node_id",
            &[],
            &mut |row| {
                if example.is_some() {
                    return Ok(());
                }
                let (node, occurrence, brings): (i64, i64, i64) =
                    (column(row, 0)?, column(row, 1)?, column(row, 2)?);
                let diff = column::<Option<Vec<u8>>>(row, 3)?.and_then(|diff| StoredDiff::decode(&diff).ok());
                if !diff.is_some_and(|diff| diff.changes().any(|change| change == (occurrence, brings))) {
                    example = Some(format!("node {node}, occurrence {occurrence}"));
                }
                Ok(())
            },
        )?;
        Ok(example.or_else(|| Some("node_change".to_owned())))
    }
}

/// What was found of nodes so far.
#[derive(Default)]
struct Nodes {
    unreadable: Found,
    dangling: Found,
    pathless: Found,
    missing: Found,
    /// Changes that a diff has and the index too.
    present: u64,
}

impl Nodes {
    fn compare(&mut self, connection: &mut Connection, diffs: &[(i64, StoredDiff)]) -> Result<()> {
        let there = |connection: &mut Connection, sql: &str, ids: BTreeSet<i64>| -> Result<BTreeSet<i64>> {
            let ids: Vec<i64> = ids.into_iter().collect();
            Ok(connection.values(sql, &[&ids])?.into_iter().collect())
        };
        let named = diffs.iter().flat_map(|(_, diff)| diff.occurrences()).collect();
        let occurrences =
            there(connection, "SELECT occurrence_id FROM occurrence WHERE occurrence_id = ANY($1)", named)?;
        let named = diffs.iter().flat_map(|(_, diff)| diff.paths()).collect();
        let texts = there(connection, "SELECT text_id FROM text WHERE text_id = ANY($1)", named)?;
        // Each change once, with its place in the list of what is asked for.
        let changes: BTreeMap<(i64, i64, i64), i64> = diffs
            .iter()
            .flat_map(|(node, diff)| diff.changes().map(|(occurrence, brings)| (occurrence, *node, brings)))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .zip(1..)
            .collect();
        let part = |part: fn(&(i64, i64, i64)) -> i64| changes.keys().map(part).collect::<Vec<i64>>();
        let present: BTreeSet<i64> = connection
            .values(
                "SELECT w.n FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
                    WITH ORDINALITY AS w (occurrence_id, node_id, brings, n)
                 JOIN node_change c ON c.occurrence_id = w.occurrence_id AND c.node_id = w.node_id
                    AND c.brings = w.brings",
                &[&part(|change| change.0), &part(|change| change.1), &part(|change| change.2)],
            )?
            .into_iter()
            .collect();
        self.present += present.len() as u64;
        for ((occurrence, node, _), _) in changes.iter().filter(|(_, place)| !present.contains(place)) {
            self.missing.add(|| format!("node {node}, occurrence {occurrence}"));
        }
        for (node, diff) in diffs {
            for id in diff.occurrences().difference(&occurrences) {
                self.dangling.add(|| format!("node {node}, occurrence {id}"));
            }
            for _ in diff.paths().difference(&texts) {
                self.pathless.add(|| format!("node {node}"));
            }
        }
        Ok(())
    }
}

/// Whether a column decodes.
fn decodes<T: DeserializeOwned>(row: &Row, position: usize) -> Result<bool> {
    codec::decode::<T>(&column::<Vec<u8>>(row, position)?, "a value").map(|_| true)
}
