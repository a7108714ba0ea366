//! The tables of a SQLite file: rpm's `rpmdb.sqlite` (since 4.16) and dnf's history.
//!
//! Source of truth: "SQLite Database File Format" (sqlite.org/fileformat2.html). Only what reading all rows of a table
//! takes is here: the schema, b-trees of tables, records and their overflow chains. No SQL is run: of a table's
//! statement only the names of its columns are read. Indexes, free pages and pointer maps are not looked at.
//!
//! Left out: tables without row ids and texts in UTF-16, which neither rpm nor dnf has; the write-ahead log, which
//! is a file of its own: where one holds changes, the report says that they were not read.

use super::BLOB_BYTES_MAX;
use super::damage::{Damage, Visited, be_u16, be_u32};
use crate::extractor::ExtractError;
use crate::read_at::{ReadAt, Window};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEADER_BYTES: usize = 100;
/// A tree of full pages with two children each would be this deep at SQLite's largest file.
const DEPTH_MAX: usize = 40;
/// Bytes of a statement that makes a table. Those of rpm and dnf have some hundred.
const STATEMENT_BYTES_MAX: usize = 64 << 10;
/// Columns of a table: SQLite's own bound where it was not told otherwise.
const COLUMNS_MAX: usize = 2000;

const LEAF: u8 = 0x0d;
const INTERIOR: u8 = 0x05;

const NOT_SQLITE: ExtractError = ExtractError::Unrecognised("a SQLite database");

/// A value of a row. Numbers with a point are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    Integer(i64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(crate) fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// A table: where its tree begins, and the names of its columns in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    root: u32,
    columns: Vec<String>,
}

impl Table {
    /// Where a column stands in a row.
    pub(crate) fn column(&self, name: &str) -> Result<usize, ExtractError> {
        let place = self.columns.iter().position(|column| column == name);
        place.ok_or_else(|| ExtractError::Damaged(format!("a table has no column `{name}`")))
    }
}

/// A SQLite file.
pub(crate) struct Database<'a> {
    window: Window<'a>,
    page_bytes: usize,
    usable: usize,
    visited: Visited,
    schema: Vec<(String, Table)>,
}

/// Takes the rows of a table: the row's number and its values, or what is wrong with it.
pub(crate) type RowSink<'s> = dyn FnMut(Option<i64>, Result<&[Value<'_>], Damage>) + 's;

impl<'a> Database<'a> {
    /// Reads the header, and of the schema the tables of these (lower-case) names.
    pub(crate) fn open(content: &'a dyn ReadAt, tables: &[&str]) -> Result<Self, ExtractError> {
        let mut window = Window::new(content);
        let header = window.get(0, HEADER_BYTES).map_err(|_| NOT_SQLITE)?;
        let page_bytes = match be_u16(header, 16) {
            Some(1) => 65536,
            size => usize::from(size.unwrap_or_default()),
        };
        let usable = page_bytes.saturating_sub(usize::from(header[20]));
        let is_known = page_bytes >= 512 && page_bytes.is_power_of_two() && usable >= 480;
        if &header[..16] != MAGIC || !is_known || header[19] > 2 {
            return Err(NOT_SQLITE);
        }
        // Zero: nothing was ever written.
        if !matches!(be_u32(header, 56), Some(0 | 1)) {
            return Err(ExtractError::Damaged("its texts are not in UTF-8".to_owned()));
        }
        let pages = window.size() / page_bytes as u64;
        // Pages are counted from one.
        let visited = Visited::new(pages + 1);
        let mut database = Self { window, page_bytes, usable, visited, schema: Vec::new() };
        database.read_schema(tables)?;
        Ok(database)
    }

    fn read_schema(&mut self, wanted: &[&str]) -> Result<(), ExtractError> {
        let mut tables: Vec<(String, Table)> = Vec::new();
        let mut damage = None;
        self.walk(1, STATEMENT_BYTES_MAX, &mut |_, row| {
            let row = match row {
                Ok(row) => row,
                Err(reason) => {
                    damage.get_or_insert(reason);
                    return;
                }
            };
            let text = |place: usize| row.get(place).copied().and_then(Value::bytes).unwrap_or_default();
            let Some(name) = wanted.iter().find(|name| text(1).eq_ignore_ascii_case(name.as_bytes())) else {
                return;
            };
            let root = row.get(3).copied().and_then(Value::integer).unwrap_or_default();
            let root = u32::try_from(root).unwrap_or_default();
            let is_new = tables.iter().all(|(known, _)| known != name);
            if text(0) == b"table"
                && root != 0
                && is_new
                && let Some(columns) = columns(text(4))
            {
                tables.push(((*name).to_owned(), Table { root, columns }));
            }
        });
        self.schema = tables;
        // A damaged schema that still has the table is enough; see `table`.
        match damage {
            Some(damage) if self.schema.is_empty() => {
                Err(ExtractError::Damaged(format!("its schema cannot be read: {damage}")))
            }
            _ => Ok(()),
        }
    }

    /// The table of this (lower-case) name, if it is one with rows of its own and not a view.
    pub(crate) fn table(&self, name: &str) -> Result<Table, ExtractError> {
        let table = self.schema.iter().find(|(known, _)| known == name);
        let table = table.map(|(_, table)| table.clone());
        table.ok_or_else(|| ExtractError::Damaged(format!("its schema has no table `{name}`")))
    }

    /// Gives all rows of a table to `sink`.
    pub(crate) fn rows(&mut self, table: &Table, sink: &mut RowSink<'_>) {
        self.walk(table.root, BLOB_BYTES_MAX, sink);
    }

    /// Walks a tree without recursion. What is damaged costs what lies below it.
    fn walk(&mut self, root: u32, row_bytes_max: usize, sink: &mut RowSink<'_>) {
        let mut pending = vec![(root, 0)];
        let mut page = Vec::new();
        let mut payload = Vec::new();
        while let Some((number, depth)) = pending.pop() {
            let below = self.tree_page(number, depth, &mut page);
            let (header, cells) = match below {
                Ok(known) => known,
                Err(damage) => {
                    sink(None, Err(damage));
                    continue;
                }
            };
            let start = if page[header] == LEAF { header + 8 } else { header + 12 };
            let places = (0..cells).filter_map(|cell| be_u16(&page, start + 2 * cell)).map(usize::from);
            if page[header] == LEAF {
                // Cells do not overlap: all of them together are not longer than their page.
                let mut left = self.usable;
                for place in places {
                    self.row(&page, place, row_bytes_max, &mut left, &mut payload, sink);
                }
            } else {
                // The last one is looked at first.
                pending.extend(be_u32(&page, header + 8).map(|page| (page, depth + 1)));
                let children =
                    places.rev().map(|place| (be_u32(&page, place).unwrap_or_default(), depth + 1));
                pending.extend(children);
            }
        }
    }

    /// Loads a page of a tree; where its header is and how many cells it has.
    fn tree_page(&mut self, number: u32, depth: usize, page: &mut Vec<u8>) -> Result<(usize, usize), Damage> {
        if depth > DEPTH_MAX {
            return Err(Damage::new(format!("page {number} lies more than {DEPTH_MAX} levels deep")));
        }
        page.clear();
        page.extend_from_slice(self.page(number)?);
        let header = if number == 1 { HEADER_BYTES } else { 0 };
        let header_bytes = match page[header] {
            LEAF => 8,
            INTERIOR => 12,
            other => {
                return Err(Damage::new(format!("page {number} has the type {other}, not that of a table")));
            }
        };
        let cells = usize::from(be_u16(page, header + 3).unwrap_or_default());
        if header + header_bytes + 2 * cells > self.usable {
            return Err(Damage::new(format!("page {number} claims {cells} cells")));
        }
        Ok((header, cells))
    }

    fn page(&mut self, number: u32) -> Result<&[u8], Damage> {
        if number == 0 {
            return Err(Damage::new("it points to page 0, which there is not"));
        }
        self.visited.visit(u64::from(number))?;
        let offset = (u64::from(number) - 1) * self.page_bytes as u64;
        Ok(self.window.get(offset, self.page_bytes)?)
    }

    /// One cell of a leaf.
    fn row(
        &mut self,
        page: &[u8],
        place: usize,
        row_bytes_max: usize,
        left: &mut usize,
        payload: &mut Vec<u8>,
        sink: &mut RowSink<'_>,
    ) {
        let mut cell = page.get(place..self.usable).unwrap_or_default();
        let (Some(length), Some(number)) = (varint(&mut cell), varint(&mut cell)) else {
            sink(None, Err(Damage::new(format!("the cell at byte {place} of its page is damaged"))));
            return;
        };
        let number = number as i64;
        if length > row_bytes_max as u64 {
            sink(Some(number), Err(Damage::new(format!("it claims {length} bytes"))));
            return;
        }
        let values =
            self.payload(cell, length as usize, left, payload).and_then(|()| record(payload, number));
        match values {
            Ok(values) => sink(Some(number), Ok(&values)),
            Err(damage) => sink(Some(number), Err(damage)),
        }
    }

    /// Puts a row's bytes together: some in the cell, the others in a chain of pages.
    fn payload(
        &mut self,
        cell: &[u8],
        length: usize,
        left: &mut usize,
        payload: &mut Vec<u8>,
    ) -> Result<(), Damage> {
        payload.clear();
        let local_max = self.usable - 35;
        let local_min = (self.usable - 12) * 32 / 255 - 23;
        let local = if length <= local_max {
            length
        } else {
            let local = local_min + (length - local_min) % (self.usable - 4);
            if local <= local_max { local } else { local_min }
        };
        let short = || Damage::new("it is longer than its page");
        *left = left.checked_sub(local).ok_or_else(|| Damage::new("it overlaps with others of its page"))?;
        payload.extend_from_slice(cell.get(..local).ok_or_else(short)?);
        if local == length {
            return Ok(());
        }
        let mut number = be_u32(cell, local).ok_or_else(short)?;
        let usable = self.usable;
        while payload.len() < length {
            if number == 0 {
                let reason = format!("its pages end after {} of {length} bytes", payload.len());
                return Err(Damage::new(reason));
            }
            let page = self.page(number)?;
            number = be_u32(page, 0).unwrap_or_default();
            let part = (usable - 4).min(length - payload.len());
            payload.extend_from_slice(&page[4..4 + part]);
        }
        Ok(())
    }
}

/// The next number of one to nine bytes, seven bits each but for the ninth, which has eight.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for place in 0..9 {
        let byte = *bytes.get(place)?;
        if place == 8 {
            value = value << 8 | u64::from(byte);
        } else {
            value = value << 7 | u64::from(byte & 0x7f);
        }
        if place == 8 || byte & 0x80 == 0 {
            *bytes = &bytes[place + 1..];
            return Some(value);
        }
    }
    None
}

/// The values of a record. A column without a value stands for the row's number where it is its key.
fn record(payload: &[u8], row: i64) -> Result<Vec<Value<'_>>, Damage> {
    let damaged = || Damage::new("its record is damaged");
    let mut header = payload;
    let header_bytes = varint(&mut header).ok_or_else(damaged)?;
    let header_bytes = usize::try_from(header_bytes).map_err(|_| damaged())?;
    let consumed = payload.len() - header.len();
    let mut types = payload.get(consumed..header_bytes).ok_or_else(damaged)?;
    let mut body = &payload[header_bytes..];
    let mut values = Vec::new();
    while !types.is_empty() {
        let kind = varint(&mut types).ok_or_else(damaged)?;
        if values.len() >= COLUMNS_MAX {
            return Err(Damage::new(format!("it has more than {COLUMNS_MAX} columns")));
        }
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return Err(damaged()),
            // Even ones are blobs, odd ones texts.
            _ => usize::try_from((kind - 12) / 2).map_err(|_| damaged())?,
        };
        let (bytes, rest) = body.split_at_checked(length).ok_or_else(damaged)?;
        body = rest;
        values.push(match kind {
            0 if values.is_empty() => Value::Integer(row),
            0 | 7 => Value::Null,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            1..=6 => Value::Integer(signed(bytes)),
            _ => Value::Bytes(bytes),
        });
    }
    Ok(values)
}

/// A big-endian number of at most eight bytes in two's complement.
fn signed(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    bytes.iter().fold(if negative { -1 } else { 0 }, |number, byte| number << 8 | i64::from(*byte))
}

/// The columns' names, in lower case, of a `CREATE TABLE` statement; `None` if it makes something else.
fn columns(statement: &[u8]) -> Option<Vec<String>> {
    let statement = without_comments(&String::from_utf8_lossy(statement));
    let (before, definition) = statement.split_once('(')?;
    let mut words = before.split_ascii_whitespace();
    let is = |word: Option<&str>, name: &str| word.is_some_and(|word| word.eq_ignore_ascii_case(name));
    if !is(words.next(), "create") || !is(words.next(), "table") {
        return None;
    }
    let (definition, after) = definition.rsplit_once(')')?;
    if after.to_ascii_lowercase().contains("rowid") {
        return None;
    }
    let mut names = Vec::new();
    let mut depth = 0usize;
    let parts = definition.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    for part in parts {
        let word = part.split(|c: char| c.is_ascii_whitespace() || c == '(').find(|word| !word.is_empty());
        let name = word?.trim_matches(['"', '\'', '`', '[', ']']).to_ascii_lowercase();
        // Constraints of the table stand behind its columns.
        let is_constraint = ["primary", "unique", "foreign", "check", "constraint"].contains(&name.as_str());
        if is_constraint || names.len() >= COLUMNS_MAX {
            break;
        }
        names.push(name);
    }
    Some(names)
}

/// A statement without `/* … */` and `-- …`: SQLite keeps it as it was written.
fn without_comments(statement: &str) -> String {
    let mut text = String::with_capacity(statement.len());
    let mut chars = statement.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('-', Some('-')) => {
                text.push(' ');
                chars.by_ref().find(|c| *c == '\n');
            }
            ('/', Some('*')) => {
                text.push(' ');
                chars.next();
                while let Some(c) = chars.next() {
                    if c == '*' && chars.next_if_eq(&'/').is_some() {
                        break;
                    }
                }
            }
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_statements() {
        let names = |text: &str| columns(text.as_bytes());
        assert_eq!(
            names("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)"),
            Some(vec!["hnum".to_owned(), "blob".to_owned()])
        );
        assert_eq!(
            names("create table t(\n \"A\" DECIMAL(1, 2), b TEXT, UNIQUE (A, b))"),
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(names("CREATE TABLE t (a INT /* one, (two */, -- three, four\n b TEXT /* last"), None,);
        assert_eq!(
            names("CREATE TABLE t (a INT /* one, (two */, -- three, four\n b TEXT)"),
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(names("CREATE VIRTUAL TABLE t USING fts5(x)"), None);
        assert_eq!(names("CREATE TABLE t(a PRIMARY KEY) WITHOUT ROWID"), None);
        assert_eq!(names("CREATE VIEW t(a) AS SELECT 1"), None);
    }

    #[test]
    fn varints() {
        let read = |mut bytes: &[u8]| varint(&mut bytes).map(|value| (value, bytes.len()));
        assert_eq!(read(&[0x7f, 1]), Some((127, 1)));
        assert_eq!(read(&[0x81, 0x00]), Some((128, 0)));
        assert_eq!(read(&[0xff; 9]), Some((u64::MAX, 0)));
        assert_eq!(read(&[0xff; 8]), None);
    }

    #[test]
    fn records() {
        let payload = [5, 0, 1, 2, 19, 0xff, 0x01, 0x00, b'a', b'b', b'c'];
        let values = record(&payload, 7).unwrap();
        assert_eq!(values[..3], [Value::Integer(7), Value::Integer(-1), Value::Integer(256)]);
        assert_eq!(values[3], Value::Bytes(b"abc"));
        assert!(record(&payload[..9], 7).is_err());
        assert!(record(&[0], 7).is_err());
        assert!(record(&[0xff; 9], 7).is_err());
    }
}
