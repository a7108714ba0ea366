//! Red Hat's lists of what changed and went: `changes.csv` and `deletions.csv`, rows of
//! `"2026/cve-2026-1.json","2026-03-25T12:33:38+00:00"`, newest first.
//!
//! Source of truth: <https://security.access.redhat.com/data/csaf/v2/vex-feed/README>. The time of a row is the
//! document's own `current_release_date`.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use jiff::Timestamp;

use crate::error::FeedError;
use crate::feed::Document;

/// Rows of a list. Red Hat has some 60,000 documents.
const ROWS_MAX: usize = 1_000_000;
const ROW_BYTES_MAX: u64 = 512;

/// Where a feed of changes has its parts, all in one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeLists {
    base: String,
}

/// A row of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The document's path below the folder.
    pub path: String,
    /// When it changed or went.
    pub time: Timestamp,
}

/// What an update has to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Documents to read, each with the id of the advisory that it is of; oldest change first.
    pub fetch: Vec<(Document, String)>,
    /// Ids of advisories whose documents are gone.
    pub dropped: Vec<String>,
    /// The time up to which the lists are followed then (RFC 3339): where the next update begins.
    pub until: String,
}

impl ChangeLists {
    /// The lists beside the file that `document` leads to.
    pub fn beside(document: &Document) -> Self {
        let base = document.url.rsplit_once('/').map_or("", |(base, _)| base);
        Self { base: base.to_owned() }
    }

    /// The address of the list of changes.
    pub fn changes_url(&self) -> String {
        format!("{}/changes.csv", self.base)
    }

    /// The address of the list of deletions.
    pub fn deletions_url(&self) -> String {
        format!("{}/deletions.csv", self.base)
    }

    /// Reads a list.
    pub fn read(url: &str, input: &mut dyn Read) -> Result<Vec<Change>, FeedError> {
        let malformed = |number: usize, reason: &str| FeedError::Malformed {
            document: url.to_owned(),
            offset: 0,
            reason: format!("row {number}: {reason}"),
        };
        let mut input = std::io::BufReader::new(input);
        let mut rows = Vec::new();
        for number in 1.. {
            let mut line = String::new();
            let mut bounded = (&mut input).take(ROW_BYTES_MAX);
            let read = bounded.read_line(&mut line);
            let read = read.map_err(|source| FeedError::Read { document: url.to_owned(), source })?;
            if read == 0 {
                break;
            }
            if line.trim().is_empty() {
                continue;
            }
            if rows.len() >= ROWS_MAX {
                return Err(FeedError::TooLarge {
                    document: url.to_owned(),
                    what: "rows",
                    limit: ROWS_MAX as u64,
                });
            }
            let cell = |text: &str| text.trim().trim_matches('"').to_owned();
            let (path, time) = line.split_once(',').ok_or_else(|| malformed(number, "it has one cell"))?;
            let time = cell(time).parse().map_err(|_| malformed(number, "its second cell is no time"))?;
            let path = cell(path);
            if id_of(&path).is_none() {
                return Err(malformed(number, "its first cell is not the path of a document"));
            }
            rows.push(Change { path, time });
        }
        Ok(rows)
    }

    /// What to do, if the lists were followed up to `since` and `known` says of when the documents are that were
    /// read just now. A row from after `now` is followed, but does not move the mark: else one wrong year would
    /// end all updates.
    pub fn plan(
        &self,
        changes: &[Change],
        deletions: &[Change],
        since: Option<Timestamp>,
        known: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> Plan {
        let mut newest: BTreeMap<&str, (Timestamp, bool)> = BTreeMap::new();
        let rows = changes.iter().map(|row| (row, false)).chain(deletions.iter().map(|row| (row, true)));
        let mut until = since;
        for (row, is_gone) in rows {
            let entry = newest.entry(&row.path).or_insert((row.time, is_gone));
            *entry = (*entry).max((row.time, is_gone));
            if row.time <= now {
                until = until.max(Some(row.time));
            }
        }
        let mut plan =
            Plan { until: until.map(|time| time.to_string()).unwrap_or_default(), ..Plan::default() };
        let mut fetch = Vec::new();
        for (path, (time, is_gone)) in newest {
            let Some(id) = id_of(path) else { continue };
            let read = known.get(&id).and_then(|date| date.parse::<Timestamp>().ok());
            let is_old = match (read, since) {
                (Some(read), _) => read >= time,
                // A row of the very second that the mark stands at may have come after it was read.
                (None, Some(since)) if known.is_empty() => time < since,
                _ => false,
            };
            match (is_old, is_gone) {
                (false, true) => plan.dropped.push(id),
                (false, false) => {
                    let document = Document::new(path, format!("{}/{path}", self.base));
                    fetch.push((time, (document, id)));
                }
                (true, _) => {}
            }
        }
        fetch.sort_by(|a, b| (a.0, &a.1.1).cmp(&(b.0, &b.1.1)));
        plan.fetch = fetch.into_iter().map(|(_, document)| document).collect();
        plan
    }
}

/// `CVE-2026-1` for `2026/cve-2026-1.json`.
fn id_of(path: &str) -> Option<String> {
    let (folder, file) = path.split_once('/')?;
    let id = file.strip_suffix(".json")?.to_ascii_uppercase();
    let is_year = folder.len() == 4 && folder.bytes().all(|byte| byte.is_ascii_digit());
    (is_year && crate::errata::is_cve(&id)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Change> {
        ChangeLists::read("x", &mut text.as_bytes()).unwrap()
    }

    #[test]
    fn only_what_is_newer_is_read_again() {
        let lists = ChangeLists::beside(&Document::new("vex", "https://h.example/vex/archive_latest.txt"));
        assert_eq!(lists.changes_url(), "https://h.example/vex/changes.csv");
        let changes = rows(
            "\"2026/cve-2026-3.json\",\"9999-01-01T00:00:00+00:00\"\n\"2026/cve-2026-2.json\",\"2026-03-02T00:00:00+00:00\"\n\n\"2025/cve-2025-1.json\",\"2026-03-01T00:00:00.5+00:00\"\r\n",
        );
        let deletions = rows(
            "\"2024/cve-2024-9.json\",\"2026-03-01T12:00:00+00:00\"\n\"2025/cve-2025-1.json\",\"2026-02-01T00:00:00+00:00\"",
        );
        let now: Timestamp = "2026-04-01T00:00:00Z".parse().unwrap();
        let plan = |since: &str, known: &[(&str, &str)]| {
            let known = known.iter().map(|(id, date)| ((*id).to_owned(), (*date).to_owned())).collect();
            let plan = lists.plan(&changes, &deletions, since.parse().ok(), &known, now);
            let ids: Vec<String> = plan.fetch.into_iter().map(|(_, id)| id).collect();
            (ids, plan.dropped, plan.until)
        };
        let (ids, dropped, until) = plan("2026-03-01T06:00:00Z", &[]);
        assert_eq!(ids, ["CVE-2026-2", "CVE-2026-3"]);
        assert_eq!(dropped, ["CVE-2024-9"]);
        assert_eq!(until, "2026-03-02T00:00:00Z");
        let just_read =
            [("CVE-2025-1", "2026-03-01T00:00:00.5+00:00"), ("CVE-2026-2", "2026-03-01T00:00:00Z")];
        let (ids, _, _) = plan("2026-03-01T00:00:00Z", &just_read);
        assert_eq!(ids, ["CVE-2026-2", "CVE-2026-3"]);
        assert_eq!(plan("", &[]).0.len(), 3);
    }

    #[test]
    fn a_wrong_row_is_refused() {
        for text in [
            "x",
            "\"2026/cve-2026-1.json\"",
            "\"2026/cve-2026-1.json\",\"yesterday\"",
            "\"../../etc/passwd\",\"2026-03-02T00:00:00Z\"",
            "\"2026/../x.json\",\"2026-03-02T00:00:00Z\"",
            &"x".repeat(5000),
        ] {
            assert!(ChangeLists::read("x", &mut text.as_bytes()).is_err(), "{text}");
        }
        assert!(rows("").is_empty());
    }
}
