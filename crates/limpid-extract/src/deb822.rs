//! Stanzas of `Field: value` lines: deb-control(5), as dpkg's status file and apt's `*.sources` use it.
//!
//! Field names are case-insensitive, a line that begins with white space continues the value before it, an
//! empty line ends a stanza. As dpkg does, a line of nothing but blanks continues. Beyond dpkg, CRLF line ends
//! and comment lines are accepted. Only the fields that the caller names are kept.

use std::borrow::Cow;

/// The wanted fields of a stanza, in the order in which they were asked for.
#[derive(Debug)]
pub(crate) struct Stanza<const N: usize> {
    /// Each value, continuation lines included, trimmed; `None` where the field is absent.
    pub(crate) values: [Option<String>; N],
    /// The number of the stanza's first line, from 1.
    pub(crate) line: usize,
    /// A line that is neither a field nor a continuation, if there was one.
    pub(crate) malformed: Option<String>,
}

/// Iterates over the stanzas of a text. The first wanted field also begins a new stanza when it comes again:
/// files put together by hand lack the empty line now and then.
#[derive(Debug)]
pub(crate) struct Stanzas<'a, const N: usize> {
    wanted: [&'static str; N],
    rest: Option<&'a [u8]>,
    line: usize,
    held: Option<&'a [u8]>,
}

impl<'a, const N: usize> Stanzas<'a, N> {
    pub(crate) fn new(content: &'a [u8], wanted: [&'static str; N]) -> Self {
        Self { wanted, rest: Some(content), line: 0, held: None }
    }

    fn next_line(&mut self) -> Option<&'a [u8]> {
        if let Some(line) = self.held.take() {
            return Some(line);
        }
        let rest = self.rest?;
        let (line, rest) = match rest.iter().position(|&byte| byte == b'\n') {
            Some(end) => (&rest[..end], Some(&rest[end + 1..])),
            None => (rest, None),
        };
        self.rest = rest;
        self.line += 1;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

impl<const N: usize> Iterator for Stanzas<'_, N> {
    type Item = Stanza<N>;

    fn next(&mut self) -> Option<Stanza<N>> {
        let mut stanza = Stanza { values: [const { None }; N], line: 0, malformed: None };
        let mut current: Option<usize> = None;
        while let Some(line) = self.next_line() {
            if line.is_empty() {
                if stanza.line > 0 {
                    return Some(finished(stanza));
                }
                continue;
            }
            if line[0] == b'#' {
                continue;
            }
            let began = stanza.line > 0;
            if !began {
                stanza.line = self.line;
            }
            if line[0].is_ascii_whitespace() && began {
                if let Some(value) = current.and_then(|index| stanza.values[index].as_mut()) {
                    value.push('\n');
                    value.push_str(text(line).trim());
                }
                continue;
            }
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                stanza.malformed.get_or_insert_with(|| text(line).into_owned());
                current = None;
                continue;
            };
            let name = line[..colon].trim_ascii();
            current = self.wanted.iter().position(|wanted| wanted.as_bytes().eq_ignore_ascii_case(name));
            if let Some(index) = current {
                if index == 0 && stanza.values[0].is_some() {
                    self.held = Some(line);
                    return Some(finished(stanza));
                }
                stanza.values[index] = Some(text(line[colon + 1..].trim_ascii()).into_owned());
            }
        }
        (stanza.line > 0).then(|| finished(stanza))
    }
}

fn text(line: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(line)
}

fn finished<const N: usize>(mut stanza: Stanza<N>) -> Stanza<N> {
    for value in stanza.values.iter_mut().flatten() {
        if value.starts_with(char::is_whitespace) || value.ends_with(char::is_whitespace) {
            *value = value.trim().to_owned();
        }
    }
    stanza
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Vec<[Option<String>; 2]> {
        Stanzas::new(content.as_bytes(), ["A", "B"]).map(|stanza| stanza.values).collect()
    }

    fn values(a: &str, b: &str) -> [Option<String>; 2] {
        [a, b].map(|value| (value != "-").then(|| value.to_owned()))
    }

    #[test]
    fn fields_are_case_insensitive_and_continue() {
        assert_eq!(read("a: 1\nB:\n 2\n 3\nC: x\n y\n"), [values("1", "2\n3")]);
    }

    #[test]
    fn empty_lines_separate_and_blank_lines_continue() {
        assert_eq!(read("\n\nA: 1\n\n\r\nA: 2\r\nB : x\r\n"), [values("1", "-"), values("2", "x")]);
        assert_eq!(read("A: 1\n  \nB: 2"), [values("1", "2")]);
    }

    #[test]
    fn a_repeated_first_field_begins_a_stanza() {
        assert_eq!(read("A: 1\nB: x\nA: 2\n\nA: 3"), [values("1", "x"), values("2", "-"), values("3", "-")]);
    }

    #[test]
    fn lines_are_counted_and_malformed_ones_told() {
        let stanzas: Vec<_> = Stanzas::new(b"# note\n\nA: 1\nnonsense\n\nA: 2\n", ["A"]).collect();
        assert_eq!((stanzas[0].line, stanzas[0].malformed.as_deref()), (3, Some("nonsense")));
        assert_eq!((stanzas[1].line, stanzas[1].malformed.as_deref()), (6, None));
    }
}
