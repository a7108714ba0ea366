//! Text for terminals: columns, colours, and what must never reach a terminal as it is.

use std::fmt::Write as _;

use limpid_model::Severity;

/// How text may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Whether colours may be used. The words say everything without them.
    pub color: bool,
    /// Columns of the terminal, if there is one to fit.
    pub width: Option<usize>,
}

impl Style {
    /// `text` in the colour of a severity: hues that the colour-blind tell apart by brightness too.
    pub(crate) fn severity(self, severity: Severity, text: &str) -> String {
        let code = match severity {
            Severity::Defcon1 => "1;7;31",
            Severity::Critical => "1;31",
            Severity::High => "31",
            Severity::Medium => "33",
            Severity::Low => "36",
            Severity::Negligible | Severity::Unknown => "2",
        };
        self.paint(code, text)
    }

    /// `text` in bold.
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// `text` with everything replaced that a terminal or the log of a CI system would act on: control characters, escape
/// sequences, characters that reorder or hide text, commands to a runner.
///
/// GitHub's runner takes `::` at the beginning of a line for a command, and it, Azure's and TeamCity's take `##name[`
/// anywhere in one. Where a line will begin is not known here, so `::` after a space counts too.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let rest = || &text[at + c.len_utf8()..];
        let is_command = match c {
            ':' => before.is_whitespace() && rest().starts_with(':'),
            '#' => before == '#' && names_command(rest()),
            _ => false,
        };
        shown.push(if is_command || is_harmful(c) { '\u{fffd}' } else { c });
        before = c;
    }
    shown
}

/// Whether what stands behind `##` is a command to a runner: `[`, `vso[`, `teamcity[`.
fn names_command(rest: &str) -> bool {
    /// Longer than any runner's name.
    const NAME_CHARS_MAX: usize = 20;
    rest.chars().take(NAME_CHARS_MAX).find(|c| !c.is_ascii_alphabetic()) == Some('[')
}

/// Whether a character does something beside standing there.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `text`, broken between words where the terminal is narrower, each further line indented by `indent`. What has no
/// room even on a line of its own is left to the terminal, so that it can be copied whole.
pub(crate) fn wrapped(text: &str, indent: usize, style: Style) -> String {
    let Some(width) = style.width.filter(|width| *width >= indent + SHRUNK_MIN) else {
        return text.to_owned();
    };
    let mut shown = String::new();
    let mut column = 0;
    for word in text.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if column > indent && column + length > width {
            shown.truncate(shown.trim_end().len());
            // Writing to a String cannot fail.
            let _ = write!(shown, "\n{:indent$}", "");
            column = indent;
        }
        shown.push_str(word);
        column += word.chars().count();
    }
    shown
}

/// Rows of cells in aligned columns, two spaces apart. `paint` colours a cell after its width is known.
///
/// Where the terminal is too narrow, the widest column of those in `shrinkable` is cut with an ellipsis: the last one of
/// all at its end, others in their middle, since what tells versions and names apart often stands last.
pub(crate) struct Columns {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    shrinkable: &'static [usize],
}

/// A column is never cut below this many characters.
const SHRUNK_MIN: usize = 12;
/// Every row of a column is as wide as its longest cell, so one cell must not be able to make all of them huge. No name or
/// version of a sound package is as long.
const CELL_CHARS_MAX: usize = 1000;

impl Columns {
    pub(crate) fn new(head: &[&'static str], shrinkable: &'static [usize]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new(), shrinkable }
    }

    pub(crate) fn push(&mut self, cells: Vec<String>) {
        let last = cells.len().saturating_sub(1);
        let cell = |(column, cell): (usize, &String)| {
            let shown = printable(cell);
            // Nothing is padded to the width of the last.
            if column == last { shown } else { cut(&shown, CELL_CHARS_MAX, true) }
        };
        self.rows.push(cells.iter().enumerate().map(cell).collect());
    }

    /// Where the terminal is too narrow, keeps only the first word of each cell of a column.
    pub(crate) fn shorten(&mut self, column: usize, style: Style) {
        let natural = self.natural_widths();
        if style.width.is_none_or(|terminal| total(&natural) <= terminal) {
            return;
        }
        for cell in self.rows.iter_mut().filter_map(|row| row.get_mut(column)) {
            cell.truncate(cell.find(' ').unwrap_or(cell.len()));
        }
    }

    pub(crate) fn render(
        &self,
        style: Style,
        paint: impl Fn(usize, usize, &str) -> Option<String>,
    ) -> String {
        let widths = self.widths(style.width);
        let mut text = String::new();
        let head: Vec<String> = self.head.iter().map(|cell| (*cell).to_owned()).collect();
        render_row(&mut text, &head, &widths, |_, cell| Some(style.bold(cell)));
        for (index, row) in self.rows.iter().enumerate() {
            render_row(&mut text, row, &widths, |column, cell| paint(index, column, cell));
        }
        text
    }

    fn natural_widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.head.iter().map(|cell| cell.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }

    fn widths(&self, terminal: Option<usize>) -> Vec<usize> {
        let mut widths = self.natural_widths();
        let Some(terminal) = terminal else { return widths };
        let mut excess = total(&widths).saturating_sub(terminal);
        while excess > 0 {
            let widest = self.shrinkable.iter().copied().max_by_key(|column| widths[*column]);
            let Some(widest) = widest.filter(|column| widths[*column] > SHRUNK_MIN) else { break };
            widths[widest] -= 1;
            excess -= 1;
        }
        widths
    }
}

/// Columns that a row takes.
fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)
}

/// `cell` in `width` characters, the end kept if `keeps_end`.
fn cut(cell: &str, width: usize, keeps_end: bool) -> String {
    let length = cell.chars().count();
    if length <= width {
        return cell.to_owned();
    }
    let shown = width.saturating_sub(1);
    let end = if keeps_end { shown.div_ceil(2) } else { 0 };
    cell.chars().take(shown - end).chain(['…']).chain(cell.chars().skip(length - end)).collect()
}

fn render_row(
    text: &mut String,
    row: &[String],
    widths: &[usize],
    paint: impl Fn(usize, &str) -> Option<String>,
) {
    let last = row.len().saturating_sub(1);
    for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
        let length = cell.chars().count();
        let shown = cut(cell, *width, column != last);
        let padding = if column == last { 0 } else { width.saturating_sub(length) + 2 };
        let shown = paint(column, &shown).unwrap_or(shown);
        // Writing to a String cannot fail.
        let _ = write!(text, "{shown}{:padding$}", "");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_gets_through() {
        let hostile = "a\x1b[31mb\x07\r\n\u{202e}c\u{9b}d\u{200b}";
        let shown = printable(hostile);
        assert!(!shown.chars().any(is_harmful));
        assert!(shown.contains('a') && shown.contains('d'));
    }

    #[test]
    fn nothing_that_a_runner_acts_on_gets_through() {
        for hostile in [
            "::error::x",
            "a ::warning file=x::y",
            "##[error]x",
            "a##vso[task.setvariable]b",
            "##teamcity[x]",
        ] {
            let shown = printable(hostile);
            assert!(!shown.contains("##") && !shown.starts_with("::") && !shown.contains(" ::"), "{shown}");
        }
        for harmless in ["perl(Foo::Bar)", "C++ ## heading", "a#b", "1:2.3-4", "##"] {
            assert_eq!(printable(harmless), harmless);
        }
    }

    #[test]
    fn one_long_cell_does_not_make_every_row_long() {
        let mut columns = Columns::new(&["A", "B"], &[]);
        for name in ["x", &"y".repeat(1 << 20)] {
            columns.push(vec![name.to_owned(), "z".to_owned()]);
        }
        assert!(columns.render(Style::default(), |_, _, _| None).len() < 5000);
    }

    #[test]
    fn narrow_terminals_break_between_words() {
        let style = Style { color: false, width: Some(20) };
        let text = wrapped("  name  one two three four-and-twenty-blackbirds", 8, style);
        assert_eq!(text, "  name  one two\n        three\n        four-and-twenty-blackbirds");
        assert_eq!(wrapped("  a  b", 4, Style::default()), "  a  b");
    }

    #[test]
    fn narrow_terminals_cut_only_what_may_be_cut() {
        let mut columns = Columns::new(&["ID", "NAME"], &[1]);
        columns.push(vec!["CVE-2015-0235".into(), "a-very-long-package-name-indeed".into()]);
        let style = Style { color: false, width: Some(30) };
        let text = columns.render(style, |_, _, _| None);
        assert!(text.lines().all(|line| line.chars().count() <= 30), "{text}");
        assert!(text.contains("CVE-2015-0235") && text.contains('…'));
        assert_eq!(cut("2.31.1-0.4ubuntu3.7", 12, true), "2.31.…ntu3.7");
        assert_eq!(cut("ADD rootfs.tar.xz", 8, false), "ADD roo…");
        let mut columns = Columns::new(&["VERSION", "LAYER"], &[0]);
        columns.push(vec!["2.31.1-0.4ubuntu3.7".into(), "1 3b348094737e".into()]);
        columns.shorten(1, Style { color: false, width: Some(35) });
        assert!(columns.render(Style::default(), |_, _, _| None).contains("3b348094737e"));
        columns.shorten(1, style);
        assert!(columns.render(style, |_, _, _| None).ends_with("2.31.1-0.4ubuntu3.7  1\n"));
    }
}
