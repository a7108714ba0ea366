//! The tables of a SQLite file: rpm's `rpmdb.sqlite` (since 4.16) and dnf's history.
//!
//! Source of truth: "SQLite Database File Format" (sqlite.org/fileformat2.html). Only what reading all rows of a table
//! takes is here: the schema, b-trees of tables, records and their overflow chains. No SQL is run: of a table's
//! statement only the names of its columns are read. Indexes, free pages and pointer maps are not looked at.
//!
//! Left out: tables without row ids and texts in UTF-16, which neither rpm nor dnf has; the write-ahead log, which
//! is a file of its own: where one holds changes, the report says that they were not read.

mod record;
mod statement;

pub(crate) use self::record::Value;
use self::record::{record, varint};
use self::statement::columns;
use crate::damage::{Damage, Visited, be_u16, be_u32};
use crate::extractor::ExtractError;
use crate::read_at::{ReadAt, Window};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEADER_BYTES: usize = 100;
/// A tree of full pages with two children each would be this deep at SQLite's largest file.
const DEPTH_MAX: usize = 40;
/// Bytes of a statement that makes a table. Those of rpm and dnf have some hundred.
const STATEMENT_BYTES_MAX: usize = 64 << 10;

const LEAF: u8 = 0x0d;
const INTERIOR: u8 = 0x05;

const NOT_SQLITE: ExtractError = ExtractError::Unrecognised("a SQLite database");

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
    /// Pages of trees and pages of chains lie apart, each in order: two windows, so that each is read ahead.
    tree: Window<'a>,
    chains: Window<'a>,
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
        let chains = Window::new(content);
        let mut database = Self { tree: window, chains, page_bytes, usable, visited, schema: Vec::new() };
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

    /// Gives all rows of a table to `sink`; one of more bytes is damage.
    pub(crate) fn rows(&mut self, table: &Table, row_bytes_max: usize, sink: &mut RowSink<'_>) {
        self.walk(table.root, row_bytes_max, sink);
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
        let offset = self.visit(number)?;
        page.extend_from_slice(self.tree.get(offset, self.page_bytes)?);
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

    /// Where a page is that was not read before.
    fn visit(&mut self, number: u32) -> Result<u64, Damage> {
        if number == 0 {
            return Err(Damage::new("it points to page 0, which there is not"));
        }
        self.visited.visit(u64::from(number))?;
        Ok((u64::from(number) - 1) * self.page_bytes as u64)
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
            let offset = self.visit(number)?;
            let page = self.chains.get(offset, self.page_bytes)?;
            number = be_u32(page, 0).unwrap_or_default();
            let part = (usable - 4).min(length - payload.len());
            payload.extend_from_slice(&page[4..4 + part]);
        }
        Ok(())
    }
}
