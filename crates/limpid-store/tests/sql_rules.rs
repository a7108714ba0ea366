//! What the SQL of the engines must not use, so that a database that is spread over many machines can take PostgreSQL's
//! place (docs/scaling.md says why, rule by rule). All of it is read: schemas, and every statement in the code.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

/// What no statement may have, in upper case with single spaces, and why not.
const FORBIDDEN: &[(&str, &str)] = &[
    (" FOREIGN KEY", "keys across tables are checked on one machine"),
    (" REFERENCES ", "keys across tables are checked on one machine"),
    (" CASCADE", "what is deleted is said by whoever deletes"),
    (" TRIGGER ", "triggers run where a row lies, and see no other rows"),
    ("CREATE FUNCTION ", "procedures do not move with the rows"),
    ("CREATE PROCEDURE ", "procedures do not move with the rows"),
    ("CREATE RULE ", "statements mean what they say"),
    ("CREATE EXTENSION ", "managed databases refuse what they do not know"),
    ("CREATE SEQUENCE ", "what has an order takes its ids from rows of `counter`"),
    (" SERIAL", "what has an order takes its ids from rows of `counter`"),
    (" BIGSERIAL", "what has an order takes its ids from rows of `counter`"),
    ("NEXTVAL(", "what has an order takes its ids from rows of `counter`"),
    ("CURRVAL(", "a session may be on another machine by now"),
    ("SETVAL(", "what has an order takes its ids from rows of `counter`"),
    (" LISTEN ", "who waits looks again: nothing is told across machines"),
    ("PG_NOTIFY(", "who waits looks again: nothing is told across machines"),
    ("LOCK TABLE ", "a table is on many machines"),
    (" CTID", "where a row lies means nothing elsewhere"),
    (" XMIN", "transactions are numbered by each machine for itself"),
    ("TXID_CURRENT", "transactions are numbered by each machine for itself"),
    (" INHERITS", "tables do not inherit"),
    (" EXCLUDE USING ", "constraints other than keys are checked on one machine"),
    ("DEFERRABLE", "constraints hold at the end of each statement"),
    ("WITH HOLD", "a cursor does not outlive its transaction"),
    ("LO_IMPORT(", "large objects are on one machine"),
    ("RANDOM()", "a statement that is run on two machines must do the same"),
    ("CURRENT_TIMESTAMP", "times come from the caller, whose clock is one"),
    ("CLOCK_TIMESTAMP(", "times come from the caller, whose clock is one"),
];
/// What only opening a store and its migrations may have: they run on one connection, and nothing rests on when they ran.
/// Locks of a transaction may be anywhere; docs/scaling.md says what they ask of a database.
const FOR_MIGRATIONS_ALONE: &[&str] = &["PG_ADVISORY_LOCK", "GEN_RANDOM_UUID(", " NOW()", "(NOW()"];
/// The files that open stores and migrate them.
const MIGRATIONS: [&str; 2] = ["open.rs", "schema.sql"];

fn source(engine: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(engine)
}

/// The statements of an engine, each with its file, in upper case with single spaces.
fn statements(engine: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(source(engine)) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let texts = match path.extension().and_then(|extension| extension.to_str()) {
            Some("sql") => vec![without_comments(&text)],
            Some("rs") => literals(&text),
            _ => continue,
        };
        for statement in texts.iter().flat_map(|text| text.split(';')) {
            let words: Vec<&str> = statement.split_whitespace().collect();
            found.push((name.clone(), format!(" {} ", words.join(" ")).to_uppercase()));
        }
    }
    found
}

fn without_comments(sql: &str) -> String {
    sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The string literals of Rust code that are SQL by their first word.
fn literals(code: &str) -> Vec<String> {
    const FIRST: [&str; 14] = [
        "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "WITH", "COPY", "BEGIN", "SET",
        "LOCK", "LISTEN", "NOTIFY",
    ];
    let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut parts = Vec::new();
    let (mut literal, mut escaped) = (None::<String>, false);
    for character in code.chars() {
        match (&mut literal, character) {
            (Some(text), _) if escaped => {
                escaped = false;
                text.push(character);
            }
            (Some(_), '\\') => escaped = true,
            (Some(_), '"') => parts.extend(literal.take()),
            (Some(text), _) => text.push(character),
            (None, '"') => literal = Some(String::new()),
            (None, _) => {}
        }
    }
    let is_sql = |text: &String| {
        let first = text.split_whitespace().next().unwrap_or_default();
        FIRST.contains(&first)
    };
    parts.into_iter().filter(is_sql).collect()
}

fn faults(statements: &[(String, String)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (file, statement) in statements {
        for (word, reason) in FORBIDDEN.iter().filter(|(word, _)| statement.contains(word)) {
            faults.push(format!("{file} has `{}`: {reason}: {statement}", word.trim()));
        }
        for word in FOR_MIGRATIONS_ALONE.iter().filter(|word| statement.contains(**word)) {
            if !MIGRATIONS.contains(&file.as_str()) {
                faults.push(format!(
                    "{file} has `{}`, which only migrations may have: {statement}",
                    word.trim()
                ));
            }
        }
        if statement.contains(" CREATE TABLE ") && !statement.contains("PRIMARY KEY") {
            faults.push(format!("{file} has a table without a primary key: {statement}"));
        }
    }
    faults
}

#[test]
fn the_sql_of_every_engine_can_be_spread_over_machines() {
    let mut engines = 0;
    for engine in ["sqlite", "postgres"] {
        let statements = statements(engine);
        if statements.is_empty() {
            continue;
        }
        engines += 1;
        let tables = statements.iter().filter(|(_, statement)| statement.contains(" CREATE TABLE ")).count();
        assert!(
            tables > 20 && statements.len() > 200,
            "{engine}: only {} statements were found",
            statements.len()
        );
        let faults = faults(&statements);
        assert!(faults.is_empty(), "{engine}:\n{}", faults.join("\n"));
    }
    assert_eq!(engines, 1 + usize::from(source("postgres").is_dir()));
}

#[test]
fn each_rule_finds_what_it_forbids() {
    for bad in [
        "CREATE TABLE a (b BIGINT PRIMARY KEY REFERENCES c (d))",
        "CREATE TABLE a (b BIGINT)",
        "CREATE TRIGGER a BEFORE INSERT ON b EXECUTE FUNCTION c()",
        "CREATE TABLE a (b BIGSERIAL PRIMARY KEY)",
        "INSERT INTO a VALUES (nextval('b'))",
        "UPDATE a SET b = now()",
        "SELECT pg_advisory_lock(1)",
        "DELETE FROM a WHERE ctid = '(0,1)'",
    ] {
        let code = format!("// \"SELECT a comment\"\nlet x = connection.run({bad:?}, &[]);");
        let found = literals(&code);
        assert_eq!(found, [bad], "the statement is found, the comment is not");
        let statement = format!(" {bad} ").to_uppercase();
        assert_eq!(faults(&[("a.rs".to_owned(), statement)]).len(), 1, "{bad}");
    }
}
