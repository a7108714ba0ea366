//! A JSON document too large to hold: walked by its outer brackets, so that one record at a time is held and
//! read by serde_json.
//!
//! The walker checks the structure around the records; serde_json checks the records. Depth within a record is
//! bounded by serde_json (128), its size by [`Limits::record_bytes_max`](crate::Limits).

use std::io::{self, BufRead};

use memchr::memchr2;
use serde::Deserialize;

/// Keys of outer objects are names of packages and CVEs.
const KEY_BYTES_MAX: usize = 4 << 10;
/// White space in one place. Indentation has some dozens of bytes; gigabytes of it are an attack.
const WHITE_SPACE_BYTES_MAX: u64 = 1 << 20;

/// Why the walk stopped.
#[derive(Debug)]
pub(crate) enum JsonError {
    Read(io::Error),
    Malformed { offset: u64, reason: String },
    RecordTooLarge { limit: u64 },
}

impl JsonError {
    pub(crate) fn of(self, document: &str) -> crate::FeedError {
        let document = document.to_owned();
        match self {
            Self::Read(source) => crate::FeedError::Read { document, source },
            Self::Malformed { offset, reason } => crate::FeedError::Malformed { document, offset, reason },
            Self::RecordTooLarge { limit } => {
                crate::FeedError::TooLarge { document, what: "bytes in one record", limit }
            }
        }
    }
}

/// A value that was read: what it should be, or why it is not that.
pub(crate) enum Value<T> {
    Good(T),
    /// Well-formed JSON of another shape.
    OtherShape,
}

/// Walks a document from its beginning to its end.
pub(crate) struct JsonWalker<'a> {
    input: Box<dyn BufRead + 'a>,
    offset: u64,
    record: Vec<u8>,
    record_bytes_max: usize,
    /// Whether a member was read since the last opening bracket.
    after_member: bool,
}

impl<'a> JsonWalker<'a> {
    pub(crate) fn new(input: Box<dyn BufRead + 'a>, record_bytes_max: usize) -> Self {
        Self { input, offset: 0, record: Vec::new(), record_bytes_max, after_member: false }
    }

    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the next value begins with that byte.
    pub(crate) fn next_is(&mut self, byte: u8) -> Result<bool, JsonError> {
        Ok(self.peek()? == Some(byte))
    }

    /// Steps into an object or array.
    pub(crate) fn open(&mut self, bracket: u8) -> Result<(), JsonError> {
        self.expect(bracket)?;
        self.after_member = false;
        Ok(())
    }

    /// The key of the next member of the object that was opened last, or `None` at its end.
    pub(crate) fn next_key(&mut self) -> Result<Option<String>, JsonError> {
        if !self.next_member(b'}')? {
            return Ok(None);
        }
        if self.peek()? != Some(b'"') {
            return Err(self.malformed("a key is missing"));
        }
        self.record.clear();
        self.string(KEY_BYTES_MAX)?;
        let key = serde_json::from_slice(&self.record).map_err(|error| self.malformed(error.to_string()))?;
        self.expect(b':')?;
        Ok(Some(key))
    }

    /// Whether the array that was opened last has one more element.
    pub(crate) fn next_element(&mut self) -> Result<bool, JsonError> {
        self.next_member(b']')
    }

    /// Reads the next value as a `T`.
    pub(crate) fn value<'s, T: Deserialize<'s>>(&'s mut self) -> Result<Value<T>, JsonError> {
        let begin = self.offset;
        self.raw_value()?;
        match serde_json::from_slice(&self.record) {
            Ok(value) => Ok(Value::Good(value)),
            Err(error) if error.is_data() => Ok(Value::OtherShape),
            Err(error) => Err(JsonError::Malformed { offset: begin, reason: error.to_string() }),
        }
    }

    /// Reads the next value and drops it.
    pub(crate) fn skip_value(&mut self) -> Result<(), JsonError> {
        self.value::<serde::de::IgnoredAny>().map(|_| ())
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        match self.peek()? {
            None => Ok(()),
            Some(_) => Err(self.malformed("something follows the document's end")),
        }
    }

    fn next_member(&mut self, close: u8) -> Result<bool, JsonError> {
        let next = self.peek()?;
        if next == Some(close) {
            self.advance(1);
            self.after_member = true;
            return Ok(false);
        }
        if self.after_member {
            self.expect(b',')?;
            if self.peek()? == Some(close) {
                return Err(self.malformed("a member is missing after a comma"));
            }
        }
        self.after_member = true;
        Ok(true)
    }

    /// Copies the next value, whatever it is, to `record`.
    fn raw_value(&mut self) -> Result<(), JsonError> {
        self.record.clear();
        let limit = self.record_bytes_max;
        match self.peek()? {
            Some(b'{' | b'[') => self.nested(limit),
            Some(b'"') => self.string(limit),
            Some(_) => self.scalar(),
            None => Err(self.cut()),
        }
    }

    /// An object or array. Brackets are only counted here: serde_json sees whether they match.
    fn nested(&mut self, limit: usize) -> Result<(), JsonError> {
        let mut depth = 0_usize;
        loop {
            let chunk = fill(&mut *self.input)?;
            if chunk.is_empty() {
                return Err(self.cut());
            }
            let mut stop = chunk.len();
            let mut at_string = false;
            for (at, byte) in chunk.iter().enumerate() {
                match byte {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    b'"' => at_string = true,
                    _ => continue,
                }
                if at_string || depth == 0 {
                    // A quote is left for the string that it begins.
                    stop = at + usize::from(!at_string);
                    break;
                }
            }
            self.record.extend_from_slice(&chunk[..stop]);
            self.advance(stop);
            self.check(limit)?;
            if at_string {
                self.string(limit)?;
            } else if depth == 0 {
                return Ok(());
            }
        }
    }

    /// A string with its quotes, escapes left as they are.
    fn string(&mut self, limit: usize) -> Result<(), JsonError> {
        self.record.push(b'"');
        self.advance(1);
        let mut escaped = false;
        loop {
            let chunk = fill(&mut *self.input)?;
            let Some(&first) = chunk.first() else { return Err(self.cut()) };
            if escaped {
                self.record.push(first);
                self.advance(1);
                escaped = false;
                continue;
            }
            let (stop, ended) = match memchr2(b'"', b'\\', chunk) {
                Some(at) => (at + 1, chunk[at] == b'"'),
                None => (chunk.len(), false),
            };
            self.record.extend_from_slice(&chunk[..stop]);
            escaped = !ended && chunk[stop - 1] == b'\\';
            self.advance(stop);
            self.check(limit)?;
            if ended {
                return Ok(());
            }
        }
    }

    /// A number, `true`, `false` or `null`; serde_json sees which.
    fn scalar(&mut self) -> Result<(), JsonError> {
        loop {
            let chunk = fill(&mut *self.input)?;
            let stop = chunk.iter().position(
                |byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.'),
            );
            let taken = stop.unwrap_or(chunk.len());
            let done = stop.is_some() || chunk.is_empty();
            self.record.extend_from_slice(&chunk[..taken]);
            self.advance(taken);
            self.check(KEY_BYTES_MAX)?;
            if done {
                return Ok(());
            }
        }
    }

    fn check(&self, limit: usize) -> Result<(), JsonError> {
        if self.record.len() > limit {
            return Err(JsonError::RecordTooLarge { limit: limit as u64 });
        }
        Ok(())
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Result<Option<u8>, JsonError> {
        let begin = self.offset;
        loop {
            if self.offset - begin > WHITE_SPACE_BYTES_MAX {
                return Err(self.malformed("there is too much white space"));
            }
            let chunk = fill(&mut *self.input)?;
            if chunk.is_empty() {
                return Ok(None);
            }
            match chunk.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
                Some(at) => {
                    let byte = chunk[at];
                    self.advance(at);
                    return Ok(Some(byte));
                }
                None => {
                    let all = chunk.len();
                    self.advance(all);
                }
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        match self.peek()? {
            Some(found) if found == byte => {
                self.advance(1);
                Ok(())
            }
            Some(found) => Err(self.malformed(format!(
                "`{}` was expected, not `{}`",
                byte as char,
                (found as char).escape_default()
            ))),
            None => Err(self.cut()),
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.input.consume(bytes);
        self.offset += bytes as u64;
    }

    fn malformed(&self, reason: impl Into<String>) -> JsonError {
        JsonError::Malformed { offset: self.offset, reason: reason.into() }
    }

    fn cut(&self) -> JsonError {
        self.malformed("it ends in the middle")
    }
}

fn fill<'i>(input: &'i mut (dyn BufRead + '_)) -> Result<&'i [u8], JsonError> {
    // Twice, for the borrow checker cannot see that the loop ends with the borrow.
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(JsonError::Read(error)),
        }
    }
    input.fill_buf().map_err(JsonError::Read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    /// All members of an object of objects, read through a buffer of `capacity` bytes.
    fn walk(text: &str, capacity: usize) -> Result<Vec<(String, serde_json::Value)>, JsonError> {
        let input = BufReader::with_capacity(capacity, text.as_bytes());
        let mut walker = JsonWalker::new(Box::new(input), 1000);
        let mut out = Vec::new();
        walker.open(b'{')?;
        while let Some(key) = walker.next_key()? {
            if let Value::Good(value) = walker.value()? {
                out.push((key, value));
            }
        }
        walker.end()?;
        Ok(out)
    }

    #[test]
    fn records_are_the_same_whatever_the_buffer() {
        let text = r#" {"a": {"x": [1, "}\"]", "\\"]}, "b\u00e9" : "s\\", "c":-1.5e3 ,"d":null,"e":[]} "#;
        let whole: serde_json::Value = serde_json::from_str(text).unwrap();
        for capacity in 1..90 {
            let members = walk(text, capacity).unwrap();
            assert_eq!(members.len(), 5);
            for (key, value) in members {
                assert_eq!(whole[&key], value, "{key} at {capacity}");
            }
        }
        assert!(walk("{}", 1).unwrap().is_empty());
    }

    #[test]
    fn whatever_serde_refuses_is_refused() {
        let bad = [
            "",
            "[]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a\":1,}",
            "{,}",
            "{\"a\" 1}",
            "{a:1}",
            "{\"a\":{\"b\"}}",
            "{\"a\":[1}}",
            "{\"a\":tru}",
            "{\"a\":1}}",
            "{\"a\":1} x",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":}",
            "{\"a\":[}]}",
            "{\"a\": ]}",
        ];
        for text in bad {
            assert!(serde_json::from_str::<serde_json::Value>(text).is_err() || text == "[]", "{text}");
            assert!(walk(text, 3).is_err(), "{text}");
        }
    }

    #[test]
    fn white_space_is_bounded() {
        let spaces = std::io::repeat(b' ');
        let endless = BufReader::new(std::io::Read::chain("{".as_bytes(), spaces));
        let mut walker = JsonWalker::new(Box::new(endless), 1000);
        walker.open(b'{').unwrap();
        assert!(matches!(walker.next_key(), Err(JsonError::Malformed { .. })));
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(300), "]".repeat(300));
        assert!(matches!(walk(&deep, 64), Err(JsonError::Malformed { .. })));
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(2000));
        assert!(matches!(walk(&long, 64), Err(JsonError::RecordTooLarge { limit: 1000 })));
        let key = format!("{{\"{}\":1}}", "x".repeat(5000));
        assert!(matches!(walk(&key, 64), Err(JsonError::RecordTooLarge { .. })));
        let number = format!("{{\"a\":{}}}", "1".repeat(5000));
        assert!(matches!(walk(&number, 64), Err(JsonError::RecordTooLarge { .. })));
    }
}
