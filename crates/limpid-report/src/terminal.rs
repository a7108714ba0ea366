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

/// `text` with everything replaced that a terminal would act on: control characters, escape sequences,
/// characters that reorder or hide text.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Rows of cells in aligned columns, two spaces apart. `paint` colours a cell after its width is known.
///
/// Where the terminal is too narrow, the widest column of those in `shrinkable` is cut with an ellipsis.
pub(crate) struct Columns {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    shrinkable: &'static [usize],
}

/// A column is never cut below this many characters.
const SHRUNK_MIN: usize = 12;

impl Columns {
    pub(crate) fn new(head: &[&'static str], shrinkable: &'static [usize]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new(), shrinkable }
    }

    pub(crate) fn push(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| printable(cell)).collect());
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

    fn widths(&self, terminal: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.head.iter().map(|cell| cell.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let Some(terminal) = terminal else { return widths };
        let gaps = 2 * widths.len().saturating_sub(1);
        let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(terminal);
        while excess > 0 {
            let widest = self.shrinkable.iter().copied().max_by_key(|column| widths[*column]);
            let Some(widest) = widest.filter(|column| widths[*column] > SHRUNK_MIN) else { break };
            widths[widest] -= 1;
            excess -= 1;
        }
        widths
    }
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
        let shown = if length > *width {
            cell.chars().take(width.saturating_sub(1)).chain(['…']).collect()
        } else {
            cell.clone()
        };
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
    fn narrow_terminals_cut_only_what_may_be_cut() {
        let mut columns = Columns::new(&["ID", "NAME"], &[1]);
        columns.push(vec!["CVE-2015-0235".into(), "a-very-long-package-name-indeed".into()]);
        let style = Style { color: false, width: Some(30) };
        let text = columns.render(style, |_, _, _| None);
        assert!(text.lines().all(|line| line.chars().count() <= 30), "{text}");
        assert!(text.contains("CVE-2015-0235") && text.contains('…'));
    }
}
