//! Text from images and feeds, made harmless for the formats that are not JSON.
//!
//! All of it passes [`printable`](crate::terminal::printable) first: control characters, escape sequences and commands to
//! runners are gone before a format's own rules apply.

use crate::terminal::printable;

/// `text` in at most `characters`, the end replaced by an ellipsis if it is longer.
pub(crate) fn clip(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some(_) => {
            let end = text.char_indices().nth(characters.saturating_sub(1)).map_or(0, |(at, _)| at);
            format!("{}…", &text[..end])
        }
    }
}

/// `text` for the content or an attribute of an element of XML 1.0 or HTML.
pub(crate) fn markup(text: &str) -> String {
    let text = printable(text);
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // The only ones that XML has no place for and that are no control characters.
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// `text` as a cell of CSV (RFC 4180). What a spreadsheet would take for a formula gets an apostrophe before it.
pub(crate) fn csv(text: &str) -> String {
    let text = printable(text);
    let is_formula = matches!(
        text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{fffd}').chars().next(),
        Some('=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠' | '|' | '%')
    );
    let text = if is_formula { format!("'{text}") } else { text };
    match text.contains([',', '"', '\n', '\r', ';', '\'']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

/// `text` as a code span of Markdown: nothing in it is a link, a mention, HTML or a table's cell border.
pub(crate) fn code_span(text: &str) -> String {
    /// Longer values make a table unreadable; other formats have them whole.
    const CHARS_MAX: usize = 300;
    let text = clip(printable(text).trim(), CHARS_MAX);
    if text.is_empty() {
        return "-".to_owned();
    }
    // A span ends at as many backticks as it began with, so none may stand in it; in tables `|` is escaped, and the
    // backslash would then need escaping that spans do not have.
    let text: String = text.chars().map(|c| if c == '`' || c == '\\' { '\u{fffd}' } else { c }).collect();
    format!("`{}`", text.replace('|', "\\|"))
}

/// `text` as Markdown that shows it and does nothing else: punctuation that has a meaning is escaped.
pub(crate) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\`*_{}[]<>()#!|~@&$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_its_own_harm() {
        assert_eq!(markup("<script>\"'&\u{1b}\u{ffff}"), "&lt;script&gt;&quot;&#39;&amp;\u{fffd}\u{fffd}");
        assert_eq!(csv("=cmd|' /C calc'!A0"), "\"'=cmd|' /C calc'!A0\"");
        for formula in ["+1", "-1", "@a", " =a", "\t=a", "＝a"] {
            assert!(csv(formula).contains('\''), "{formula}");
        }
        assert_eq!(csv("a\"b,c\nd"), "\"a\"\"b,c\u{fffd}d\"");
        assert_eq!(csv("1.2-3"), "1.2-3");
        assert_eq!(code_span("a|b`<x>\\ @you"), "`a\\|b\u{fffd}<x>\u{fffd} @you`");
        assert_eq!(code_span(" "), "-");
        assert_eq!(markdown("![x](y) <b> a-1.2"), "\\!\\[x\\]\\(y\\) \\<b\\> a-1.2");
    }

    #[test]
    fn clipping_counts_characters() {
        assert_eq!(clip("äöü", 3), "äöü");
        assert_eq!(clip("äöüß", 3), "äö…");
        assert_eq!(clip("a", 0), "…");
    }
}
