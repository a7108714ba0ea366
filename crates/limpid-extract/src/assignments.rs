//! Shell-like `NAME=value` lines, as os-release(5) defines them; also `lsb-release`.
//!
//! Quotes and backslashes mean what they mean to a POSIX shell (2.2 Quoting), which the tests ask: in single
//! quotes nothing is special, in double quotes a backslash escapes `"`, `\`, `$`, `` ` `` and a line end, outside
//! of quotes anything. Nothing is expanded. What a shell would choke on is read as systemd does: blanks around
//! the `=` or in an unquoted value belong to neither or to it, and a quote that is never closed ends with its line.

/// The most characters that are kept of a value.
const VALUE_CHARS_MAX: usize = 1024;

/// The assignments in order, bytes that are not UTF-8 replaced, control characters of values made blanks.
pub(crate) fn read(content: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(content);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut reader = Reader { rest: text, unclosed: [false; 2] };
    let mut assignments = Vec::new();
    while !reader.rest.is_empty() {
        if let Some(assignment) = reader.assignment() {
            assignments.push(assignment);
        }
    }
    assignments
}

struct Reader<'a> {
    rest: &'a str,
    /// Whether a single, a double quote is known to have no partner further on: each is looked for once.
    unclosed: [bool; 2],
}

impl Reader<'_> {
    /// Reads a statement. Each call takes at least one character off a rest that is not empty.
    fn assignment(&mut self) -> Option<(String, String)> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n', ';']);
        if self.rest.starts_with('#') {
            self.skip_line();
            return None;
        }
        let statement = self.rest.strip_prefix("export ").map_or(self.rest, str::trim_start);
        let name_end =
            statement.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(statement.len());
        let (name, rest) = statement.split_at(name_end);
        let blank = |c| c == ' ' || c == '\t';
        let Some(rest) = rest.trim_start_matches(blank).strip_prefix('=') else {
            self.skip_line();
            return None;
        };
        let name = name.to_owned();
        self.rest = rest.trim_start_matches(blank);
        let value = self.value(self.rest.len() < rest.len());
        let value =
            value.chars().take(VALUE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
        (!name.is_empty()).then_some((name, value))
    }

    fn skip_line(&mut self) {
        self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
    }

    /// Reads to the end of the statement; `blank` says whether a blank lies before it.
    fn value(&mut self, mut blank: bool) -> String {
        let mut value = String::new();
        // Up to here the value is quoted or escaped: blanks at its end stay.
        let mut solid = 0;
        while let Some(c) = self.rest.chars().next() {
            let here = self.rest;
            self.rest = &here[c.len_utf8()..];
            match c {
                '\n' | ';' => break,
                '#' if blank => {
                    self.skip_line();
                    break;
                }
                '\'' | '"' => {
                    self.quoted(c, &mut value);
                    solid = value.len();
                }
                '\\' => {
                    match self.rest.chars().next() {
                        Some('\n') => self.rest = &self.rest[1..],
                        Some(c) => {
                            value.push(c);
                            self.rest = &self.rest[c.len_utf8()..];
                        }
                        None => value.push('\\'),
                    }
                    solid = value.len();
                }
                c => value.push(c),
            }
            blank = c == ' ' || c == '\t';
        }
        let end = value[solid..].trim_end().len() + solid;
        value.truncate(end);
        value
    }

    /// Reads what follows an opening quote, up to its partner or else the line's end.
    fn quoted(&mut self, quote: char, value: &mut String) {
        let unclosed = usize::from(quote == '"');
        let end = if self.unclosed[unclosed] { None } else { closing(self.rest, quote) };
        self.unclosed[unclosed] |= end.is_none();
        let end = end.unwrap_or_else(|| self.rest.find('\n').unwrap_or(self.rest.len()));
        let inside = &self.rest[..end];
        self.rest = self.rest[end..].strip_prefix(quote).unwrap_or(&self.rest[end..]);
        if quote == '\'' {
            value.push_str(inside);
            return;
        }
        let mut characters = inside.chars();
        while let Some(c) = characters.next() {
            match c {
                '\\' => match characters.next() {
                    Some('\n') => {}
                    Some(c @ ('"' | '\\' | '$' | '`')) => value.push(c),
                    Some(c) => value.extend(['\\', c]),
                    None => value.push('\\'),
                },
                c => value.push(c),
            }
        }
    }
}

/// Where the quote's partner is.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let found = byte == quote as u8 && !escaped;
        escaped = quote == '"' && byte == b'\\' && !escaped;
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> String {
        let assignments = read(text.as_bytes());
        assert_eq!(assignments.len(), 1, "{text}");
        assignments[0].1.clone()
    }

    #[test]
    fn quoting() {
        assert_eq!(one("A=plain\n"), "plain");
        assert_eq!(one("A=\"a b\""), "a b");
        assert_eq!(one(r#"A="\"\\\$\`\n""#), r#""\$`\n"#);
        assert_eq!(one(r"A='\a$b'"), r"\a$b");
        assert_eq!(one(r"A=a\ b\'c"), "a b'c");
        assert_eq!(one(r#"A=a"b"'c'd"#), "abcd");
        assert_eq!(one("A=a#b # c"), "a#b");
        assert_eq!(one("A=#b"), "#b");
        assert_eq!(one("A= # c"), "");
        assert_eq!(one("A=\"a\\\nb\""), "ab");
    }

    #[test]
    fn what_a_shell_would_choke_on() {
        assert_eq!(one("A=Amazon Linux \r\n"), "Amazon Linux");
        assert_eq!(one("A = b"), "b");
        let both = [("A".to_owned(), "open".to_owned()), ("B".to_owned(), "x".to_owned())];
        assert_eq!(read(b"A=\"open\nB=x\n"), both);
        assert_eq!(read(b"\xef\xbb\xbf  A=open; export B=x\n# C=1\nnonsense\n=3"), both);
    }
}
