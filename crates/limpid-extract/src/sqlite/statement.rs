//! The names of columns, from the statement that made a table. SQLite keeps it as it was written, so it is read as SQL:
//! comments, quotes, constraints.

use super::record::COLUMNS_MAX;

/// The columns' names, in lower case, of a `CREATE TABLE` statement; `None` if it makes something else.
pub(super) fn columns(statement: &[u8]) -> Option<Vec<String>> {
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
}
