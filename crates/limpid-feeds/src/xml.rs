//! A feed's XML, read as a stream of elements and texts.
//!
//! Bounded: depth, bytes of one token (tag, text, comment), attributes of an element. Of entities only the five
//! that XML itself has and numbers of characters are replaced; a document type, and with it every entity of a
//! document's own making, is refused. Names come without their prefixes.

use std::io::{self, BufRead, Read};

use quick_xml::Reader;
use quick_xml::errors::Error as XmlError;
use quick_xml::events::{BytesRef, BytesStart, Event as Raw};

use crate::error::FeedError;

/// The deepest that feeds go is Oracle's criteria, about twelve.
const DEPTH_MAX: usize = 64;
/// Repositories' packages have six.
const ATTRIBUTES_MAX: usize = 64;

/// An element's name and attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
}

impl Element {
    /// The attribute's value, empty for none.
    pub(crate) fn attribute(&self, name: &str) -> &str {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// An element begins.
    Open(Element),
    /// The element of that name ends; one without content too.
    Close(String),
}

/// Reads a document from its beginning to its end.
pub(crate) struct XmlReader<R: BufRead> {
    reader: Reader<Metered<R>>,
    document: String,
    buffer: Vec<u8>,
    text: String,
    text_bytes_max: usize,
    open: Vec<String>,
    /// The end of an element without content, which is still to be told.
    pending: Option<String>,
    has_root: bool,
}

impl<R: BufRead> XmlReader<R> {
    pub(crate) fn new(input: R, document: &str, token_bytes_max: usize) -> Self {
        let mut reader =
            Reader::from_reader(Metered { inner: input, left: token_bytes_max, max: token_bytes_max });
        reader.config_mut().check_end_names = true;
        Self {
            reader,
            document: document.to_owned(),
            buffer: Vec::new(),
            text: String::new(),
            text_bytes_max: token_bytes_max,
            open: Vec::new(),
            pending: None,
            has_root: false,
        }
    }

    /// The text since the last element began or ended, without white space around it.
    pub(crate) fn text(&self) -> &str {
        self.text.trim()
    }

    /// How deep the next element will lie.
    pub(crate) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The next element's beginning or end; `None` at the document's.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, FeedError> {
        if let Some(name) = self.pending.take() {
            self.open.pop();
            self.text.clear();
            return Ok(Some(Event::Close(name)));
        }
        let mut is_fresh = true;
        loop {
            self.buffer.clear();
            let meter = self.reader.get_mut();
            meter.left = meter.max;
            let raw = self.reader.read_event_into(&mut self.buffer);
            let offset = self.reader.buffer_position();
            let malformed =
                |reason: String| FeedError::Malformed { document: self.document.clone(), offset, reason };
            let mut piece = String::new();
            match raw {
                Err(XmlError::Io(error)) => {
                    let source = io::Error::new(error.kind(), error.to_string());
                    return Err(FeedError::Read { document: self.document.clone(), source });
                }
                Err(error) => return Err(malformed(error.to_string())),
                Ok(Raw::Start(start)) => {
                    let element = element(&start).map_err(malformed)?;
                    return self.opened(element, false).map(Some);
                }
                Ok(Raw::Empty(start)) => {
                    let element = element(&start).map_err(malformed)?;
                    return self.opened(element, true).map(Some);
                }
                Ok(Raw::End(_)) => {
                    // quick-xml has compared the names.
                    let name = self.open.pop().unwrap_or_default();
                    if is_fresh {
                        self.text.clear();
                    }
                    return Ok(Some(Event::Close(name)));
                }
                Ok(Raw::Text(text)) => piece.push_str(&String::from_utf8_lossy(&text)),
                Ok(Raw::CData(text)) => piece.push_str(&String::from_utf8_lossy(&text)),
                Ok(Raw::GeneralRef(reference)) => piece.push(entity(&reference).map_err(malformed)?),
                Ok(Raw::Decl(_) | Raw::PI(_) | Raw::Comment(_)) => continue,
                Ok(Raw::DocType(_)) => {
                    return Err(malformed("it has a document type, which no feed needs".to_owned()));
                }
                Ok(Raw::Eof) if self.open.is_empty() && self.has_root => return Ok(None),
                Ok(Raw::Eof) => return Err(malformed("it ends in the middle".to_owned())),
            }
            if is_fresh {
                self.text.clear();
                is_fresh = false;
            }
            self.text.push_str(&piece);
            if self.text.len() > self.text_bytes_max {
                return Err(self.too_large("bytes in one text", self.text_bytes_max));
            }
        }
    }

    fn opened(&mut self, element: Element, is_empty: bool) -> Result<Event, FeedError> {
        if self.open.is_empty() && self.has_root {
            return Err(FeedError::Malformed {
                document: self.document.clone(),
                offset: self.reader.buffer_position(),
                reason: "something follows the document's end".to_owned(),
            });
        }
        self.has_root = true;
        if self.open.len() >= DEPTH_MAX {
            return Err(self.too_large("elements within each other", DEPTH_MAX));
        }
        self.text.clear();
        self.open.push(element.name.clone());
        if is_empty {
            self.pending = Some(element.name.clone());
        }
        Ok(Event::Open(element))
    }

    fn too_large(&self, what: &'static str, limit: usize) -> FeedError {
        FeedError::TooLarge { document: self.document.clone(), what, limit: limit as u64 }
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, String> {
    let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        if attributes.len() >= ATTRIBUTES_MAX {
            return Err(format!("an element has more than {ATTRIBUTES_MAX} attributes"));
        }
        let key = String::from_utf8_lossy(attribute.key.local_name().as_ref()).into_owned();
        let value = String::from_utf8_lossy(&attribute.value);
        let value = quick_xml::escape::unescape(&value).map_err(|error| error.to_string())?;
        attributes.push((key, value.into_owned()));
    }
    Ok(Element { name, attributes })
}

fn entity(reference: &BytesRef<'_>) -> Result<char, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(character);
    }
    match &**reference {
        b"amp" => Ok('&'),
        b"lt" => Ok('<'),
        b"gt" => Ok('>'),
        b"quot" => Ok('"'),
        b"apos" => Ok('\''),
        other => {
            Err(format!("entity `{}` is not XML's own", String::from_utf8_lossy(other).escape_default()))
        }
    }
}

/// Lets no more bytes pass than one token may have: quick-xml holds a token whole.
struct Metered<R> {
    inner: R,
    left: usize,
    max: usize,
}

impl<R: BufRead> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(io::Error::other(format!("one token of it has more than {} bytes", self.max)));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
        self.inner.consume(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(text: &str) -> Result<Vec<String>, FeedError> {
        let mut reader = XmlReader::new(text.as_bytes(), "x", 1000);
        let mut out = Vec::new();
        while let Some(event) = reader.next()? {
            out.push(match event {
                Event::Open(element) => format!("<{} {}", element.name, element.attribute("a")),
                Event::Close(name) => format!(">{name} {}", reader.text()),
            });
        }
        Ok(out)
    }

    #[test]
    fn elements_texts_and_xmls_own_entities_are_read() {
        let text = "<?xml version='1.0'?><p:u xmlns:p='x'><i a='1&amp;2'/> <!-- no --> <t>a &lt; b&#x41; <![CDATA[<c>]]></t></p:u>";
        assert_eq!(walk(text).unwrap(), ["<u ", "<i 1&2", ">i ", "<t ", ">t a < bA <c>", ">u "]);
    }

    #[test]
    fn what_is_hostile_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
        let long = format!("<a>{}</a>", "x".repeat(2000));
        let pieces = format!("<a>{}</a>", "x<!-- -->".repeat(2000));
        let wide = format!("<a {}/>", (0..100).map(|n| format!("k{n}='' ")).collect::<String>());
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bb\">]><a>&b;</a>";
        for text in [
            &deep,
            &long,
            &pieces,
            &wide,
            bomb,
            "<a>&b;</a>",
            "",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a b='&c;'/>",
            "<a",
        ] {
            assert!(walk(text).is_err(), "{}", &text[..text.len().min(50)]);
        }
    }
}
