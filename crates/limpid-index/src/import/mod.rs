//! Lists of images, as people, Clair's and Harbor's clients write them, read as work for the queue.
//!
//! What a list is shows in its content, entry by entry. A text that begins with `{`, `[` or `"` is JSON: values one after
//! the other (a line each or not), or arrays of them. Anything else is references, one a line. One file a format; the
//! formats of JSON are told apart by their keys, in [`FORMATS`].
//!
//! An entry that is wrong costs itself only, and is named with its line. After text that is no JSON, reading goes on at the
//! next line that begins a value.

mod clair;
mod harbor_artifact;
mod harbor_scan;
mod references;

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

pub use self::references::references;
use crate::Work;

/// Entries of one list: all artifacts of a large registry. Their work is held in memory.
const ENTRIES_MAX: usize = 1_000_000;
/// Bytes of one entry of JSON: a thousand layers with signed addresses.
const ENTRY_BYTES_MAX: usize = 4 << 20;
/// Arrays in arrays: pages that were put together.
const NESTING_MAX: u32 = 2;
/// Problems that are told one by one; the others are counted.
const PROBLEMS_MAX: usize = 1000;

/// What a list does not say of its images.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// The registry (`HOST[:PORT]`) of artifacts that name none.
    pub registry: String,
    /// The repository of artifacts that name none.
    pub repository: String,
    /// The platform to take from indexes, or `all`; empty for the worker's own.
    pub platform: String,
}

/// Something about an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListProblem {
    /// The line that it begins in.
    pub line: usize,
    /// What.
    pub reason: String,
}

/// What a list holds.
#[derive(Debug, Clone, Default)]
pub struct ImageList {
    /// The work that it asks for.
    pub work: Vec<Work>,
    /// Entries that cannot be read, the first thousand.
    pub wrong: Vec<ListProblem>,
    /// How many those are.
    pub wrong_count: u64,
    /// Entries that are well and no images, the first thousand.
    pub left_out: Vec<ListProblem>,
    /// How many those are.
    pub left_out_count: u64,
}

/// What an entry turned out to be.
enum Entry {
    Work(Vec<Work>),
    /// No image, for this reason.
    LeftOut(String),
}

/// The keys that tell formats apart: whether they are there, `null` or not.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Keys {
    #[serde(deserialize_with = "is_there")]
    hash: bool,
    #[serde(deserialize_with = "is_there")]
    layers: bool,
    #[serde(deserialize_with = "is_there")]
    registry: bool,
    #[serde(deserialize_with = "is_there")]
    artifact: bool,
    #[serde(deserialize_with = "is_there")]
    digest: bool,
}

fn is_there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A kind of entry.
struct Format {
    is_it: fn(&Keys) -> bool,
    read: fn(&str, &ListOptions) -> Result<Entry, String>,
}

/// All formats of JSON objects.
const FORMATS: [Format; 3] = [clair::FORMAT, harbor_scan::FORMAT, harbor_artifact::FORMAT];

/// Reads a list.
pub fn read_list(text: &str, options: &ListOptions) -> ImageList {
    let mut reader = Reader::new(text, options);
    match reader.text.trim_start().starts_with(['{', '[', '"']) {
        true => reader.json(),
        false => reader.references(),
    }
    reader.list
}

/// Reads a list of references, one a line, whatever they look like.
pub fn read_reference_list(text: &str, options: &ListOptions) -> ImageList {
    let mut reader = Reader::new(text, options);
    reader.references();
    reader.list
}

struct Reader<'a> {
    text: &'a str,
    options: &'a ListOptions,
    list: ImageList,
    entries: usize,
    /// The line of the offset up to which lines were counted.
    line: usize,
    counted: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, options: &'a ListOptions) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { text, options, list: ImageList::default(), entries: 0, line: 1, counted: 0 }
    }

    fn references(&mut self) {
        for (line, reference) in references(self.text) {
            let work = references::work(reference, self.options).map(|work| Entry::Work(vec![work]));
            if !self.takes(line, work) {
                break;
            }
        }
    }

    /// Takes in an entry; whether there may be another.
    fn takes(&mut self, line: usize, entry: Result<Entry, String>) -> bool {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            let reason = format!("the list has more than {ENTRIES_MAX} entries; what follows was not read");
            note(&mut self.list.wrong, &mut self.list.wrong_count, line, reason);
            return false;
        }
        match entry {
            Ok(Entry::Work(work)) => self.list.work.extend(work),
            Ok(Entry::LeftOut(reason)) => {
                note(&mut self.list.left_out, &mut self.list.left_out_count, line, reason);
            }
            Err(reason) => note(&mut self.list.wrong, &mut self.list.wrong_count, line, reason),
        }
        true
    }

    fn json(&mut self) {
        let text = self.text;
        let mut at = 0;
        while !text[at..].trim_start().is_empty() {
            let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<&RawValue>();
            match values.next() {
                Some(Ok(value)) => {
                    at += values.byte_offset();
                    if !self.value(value, 0) {
                        return;
                    }
                }
                None => return,
                Some(Err(error)) => {
                    let line = self.line_of(at) + error.line().saturating_sub(1);
                    let begin = at + (text[at..].len() - text[at..].trim_start().len());
                    // An array breaks off where a later attempt breaks off again.
                    let is_told = self.list.wrong.last().is_some_and(|problem| problem.line == line);
                    if !is_told
                        && !self.takes(line, Err(format!("this is no JSON: {}", without_place(&error))))
                    {
                        return;
                    }
                    let next = text[begin..]
                        .match_indices('\n')
                        .find(|(end, _)| text[begin + end + 1..].starts_with(['{', '[']));
                    match next {
                        Some((end, _)) => at = begin + end + 1,
                        None => return,
                    }
                }
            }
        }
    }

    /// Takes in a value; whether there may be another.
    fn value(&mut self, value: &RawValue, depth: u32) -> bool {
        let json = value.get();
        let line = self.line_of(json.as_ptr().addr() - self.text.as_ptr().addr());
        match json.as_bytes().first() {
            Some(b'[') if depth < NESTING_MAX => {
                let mut more = true;
                let elements = Elements { reader: self, depth: depth + 1, more: &mut more };
                let read = elements.deserialize(&mut serde_json::Deserializer::from_str(json));
                match read {
                    Ok(()) => more,
                    Err(_) if !more => false,
                    // Cannot be: it was read as one value before.
                    Err(error) => self.takes(line, Err(error.to_string())),
                }
            }
            Some(b'[') => self.takes(line, Err("these are arrays in arrays in arrays".to_owned())),
            _ => {
                let entry = self.entry(json);
                self.takes(line, entry)
            }
        }
    }

    fn entry(&self, json: &str) -> Result<Entry, String> {
        if json.len() > ENTRY_BYTES_MAX {
            return Err(format!("it has more than {ENTRY_BYTES_MAX} bytes"));
        }
        if json.starts_with('"') {
            let reference: String = serde_json::from_str(json).map_err(|error| without_place(&error))?;
            return references::work(&reference, self.options).map(|work| Entry::Work(vec![work]));
        }
        if !json.starts_with('{') {
            return Err("it is neither an object nor a reference".to_owned());
        }
        let keys: Keys = serde_json::from_str(json).map_err(|error| without_place(&error))?;
        match FORMATS.iter().find(|format| (format.is_it)(&keys)) {
            Some(format) => (format.read)(json, self.options),
            None => Err("it is neither a manifest as Clair has it (`hash`, `layers`), nor a scan request \
                         (`registry`, `artifact`) nor an artifact (`digest`) as Harbor has them"
                .to_owned()),
        }
    }

    /// The line that an offset is in. Offsets only grow.
    fn line_of(&mut self, offset: usize) -> usize {
        let from = self.counted.min(offset);
        self.line += self.text.as_bytes()[from..offset].iter().filter(|byte| **byte == b'\n').count();
        self.counted = offset.max(self.counted);
        self.line
    }
}

/// The elements of an array, each as it stands in the text.
struct Elements<'r, 'a> {
    reader: &'r mut Reader<'a>,
    depth: u32,
    more: &'r mut bool,
}

impl<'de> DeserializeSeed<'de> for Elements<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&RawValue>()? {
            *self.more = self.reader.value(element, self.depth);
            if !*self.more {
                return Err(serde::de::Error::custom("enough"));
            }
        }
        Ok(())
    }
}

fn note(problems: &mut Vec<ListProblem>, count: &mut u64, line: usize, reason: String) {
    *count += 1;
    if problems.len() < PROBLEMS_MAX {
        problems.push(ListProblem { line, reason });
    }
}

/// What is wrong, without a place that counts from the entry's beginning.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, _)) => what.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
