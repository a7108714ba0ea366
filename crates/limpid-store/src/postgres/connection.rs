//! One connection: prepared statements, transactions, and what may follow when one fails.

use std::collections::HashMap;

use postgres::fallible_iterator::FallibleIterator as _;
use postgres::types::{FromSqlOwned, ToSql, Type};
use postgres::{Client, Row, SimpleQueryMessage, Statement};

use super::address::Address;
use super::failure::{self, Remedy};
use super::tls;
use crate::{Error, Result};

/// What a statement is given.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// For every session. A lock is waited for as long as a writer waits for its turn in the embedded engine. A transaction
/// whose client fell silent is ended by the server, which does not know otherwise that a machine is gone. There is no
/// limit for a whole statement: the first load of a large feed is one.
const SETTINGS: &str = "SET search_path = limpid; SET lock_timeout = '60s';
     SET idle_in_transaction_session_timeout = '300s'; SET client_encoding = 'UTF8';";
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 256;

/// How a transaction is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// Reads of many statements see one moment.
    Snapshot,
    /// Writes that are on the disk when they are done.
    Write,
    /// Writes that make the schema: nothing else is there yet.
    Migration,
    /// Writes whose loss with the whole server does no harm: they are on the disk before any [`Begin::Write`] that
    /// comes after them, so nothing that is there will miss them.
    Derived,
}

/// How a transaction ended.
pub(super) enum End<T> {
    Done(T),
    /// Nothing was kept.
    Failed(Error),
    /// The connection broke while the commit was under way: what would be the result, and what tells whether it is.
    Unknown(T, Mark),
}

/// What a transaction leaves behind if it is committed: in the row of its session, its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    session: Vec<u8>,
    number: i64,
}

pub(super) struct Connection {
    client: Client,
    statements: HashMap<String, Statement>,
    remedy: Remedy,
    /// The mark of the newest transaction that writes.
    mark: Mark,
}

impl Connection {
    /// Connects. What may follow a failure is said beside it.
    pub(super) fn open(address: &Address) -> Result<Self, (Error, Remedy)> {
        let unreachable = |error: postgres::Error| {
            let remedy = failure::remedy(&error);
            (address.unreachable(failure::words(&error)), remedy)
        };
        let connector = tls::connector(&address.trust).map_err(|error| (error, Remedy::None))?;
        let mut client = address.config.connect(connector).map_err(unreachable)?;
        client.batch_execute(SETTINGS).map_err(unreachable)?;
        let mut session = vec![0; 16];
        let filled = rustls::crypto::ring::default_provider().secure_random.fill(&mut session);
        filled.map_err(|_| (Error::Engine("the system gives no random numbers".to_owned()), Remedy::None))?;
        let mark = Mark { session, number: 0 };
        Ok(Self { client, statements: HashMap::new(), remedy: Remedy::None, mark })
    }

    /// What may follow the newest failure.
    pub(super) fn remedy(&self) -> Remedy {
        if self.client.is_closed() { Remedy::Reconnect } else { self.remedy }
    }

    /// Has the whole transaction done again: somebody else came first.
    pub(super) fn again(&mut self) -> Error {
        self.remedy = Remedy::Again;
        Error::Busy
    }

    fn failed(&mut self, error: &postgres::Error) -> Error {
        self.remedy = failure::remedy(error);
        failure::error(error)
    }

    fn statement(&mut self, sql: &str) -> Result<Statement> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let prepared = self.client.prepare(sql);
        let statement = prepared.map_err(|error| self.failed(&error))?;
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// All rows of an answer that is known to be small.
    pub(super) fn query(&mut self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>> {
        let statement = self.statement(sql)?;
        let rows = self.client.query(&statement, parameters);
        rows.map_err(|error| self.failed(&error))
    }

    /// The row, if there is one.
    pub(super) fn row(&mut self, sql: &str, parameters: Parameters<'_>) -> Result<Option<Row>> {
        Ok(self.query(sql, parameters)?.into_iter().next())
    }

    /// The first column of the row that there always is.
    pub(super) fn value<T: FromSqlOwned>(&mut self, sql: &str, parameters: Parameters<'_>) -> Result<T> {
        let row = self.row(sql, parameters)?;
        let row = row.ok_or_else(|| Error::Corrupt("a row is missing".to_owned()))?;
        column(&row, 0)
    }

    /// The first column of every row.
    pub(super) fn values<T: FromSqlOwned>(
        &mut self,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<T>> {
        self.query(sql, parameters)?.iter().map(|row| column(row, 0)).collect()
    }

    /// Rows one at a time, for answers of any size.
    pub(super) fn each(
        &mut self,
        sql: &str,
        parameters: Parameters<'_>,
        take: &mut dyn FnMut(&Row) -> Result<()>,
    ) -> Result<()> {
        let statement = self.statement(sql)?;
        let given = parameters.iter().map(|parameter| *parameter as &dyn ToSql);
        let failure = match self.client.query_raw(&statement, Given(given)) {
            Err(error) => error,
            Ok(mut rows) => loop {
                match rows.next() {
                    Ok(None) => return Ok(()),
                    Ok(Some(row)) => take(&row)?,
                    Err(error) => break error,
                }
            },
        };
        Err(self.failed(&failure))
    }

    /// How many rows a statement wrote.
    pub(super) fn execute(&mut self, sql: &str, parameters: Parameters<'_>) -> Result<u64> {
        let statement = self.statement(sql)?;
        let rows = self.client.execute(&statement, parameters);
        rows.map_err(|error| self.failed(&error))
    }

    /// Statements without parameters and answers.
    pub(super) fn batch(&mut self, sql: &str) -> Result<()> {
        let done = self.client.batch_execute(sql);
        done.map_err(|error| self.failed(&error))
    }

    /// Copies rows in, as `COPY … FROM STDIN BINARY` has it. `rows` writes each by its values.
    pub(super) fn copy(
        &mut self,
        sql: &str,
        types: &[Type],
        rows: &mut dyn FnMut(&mut CopyIn<'_>) -> Result<()>,
    ) -> Result<()> {
        let failure = match self.client.copy_in(sql) {
            Err(error) => error,
            Ok(writer) => {
                let mut copy = CopyIn {
                    writer: postgres::binary_copy::BinaryCopyInWriter::new(writer, types),
                    failure: None,
                };
                let written = rows(&mut copy);
                match (copy.failure.take(), written) {
                    (Some(error), _) => error,
                    // What was written so far is thrown away with the writer.
                    (None, Err(error)) => return Err(error),
                    (None, Ok(())) => match copy.writer.finish() {
                        Ok(_) => return Ok(()),
                        Err(error) => error,
                    },
                }
            }
        };
        Err(self.failed(&failure))
    }

    /// Does `work` in one transaction.
    pub(super) fn transact<T>(
        &mut self,
        begin: Begin,
        work: &mut dyn FnMut(&mut Self) -> Result<T>,
    ) -> End<T> {
        self.remedy = Remedy::None;
        if let Err(error) = self.begin(begin) {
            return End::Failed(error);
        }
        let value = match work(self) {
            Ok(value) => value,
            Err(error) => {
                let remedy = self.remedy();
                if remedy != Remedy::Reconnect && self.client.batch_execute("ROLLBACK").is_err() {
                    self.remedy = Remedy::Reconnect;
                }
                return End::Failed(error);
            }
        };
        match self.client.batch_execute("COMMIT") {
            Ok(()) => End::Done(value),
            Err(error) => {
                let error = self.failed(&error);
                match (self.remedy(), begin) {
                    (Remedy::Reconnect, Begin::Write | Begin::Derived) => {
                        End::Unknown(value, self.mark.clone())
                    }
                    _ => End::Failed(error),
                }
            }
        }
    }

    fn begin(&mut self, begin: Begin) -> Result<()> {
        let settings = match begin {
            Begin::Snapshot => return self.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            Begin::Migration => return self.batch("BEGIN"),
            Begin::Write => "",
            Begin::Derived => "SET LOCAL synchronous_commit = off;",
        };
        let session: String = self.mark.session.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.mark.number == 0 {
            // The row must be there before: whoever asks for the mark waits for the transaction that holds the row.
            self.batch(&format!(
                "INSERT INTO commit_mark (session, number) VALUES ('\\x{session}', 0) ON CONFLICT (session) DO NOTHING"
            ))?;
        }
        self.mark.number += 1;
        let number = self.mark.number;
        let answers = self
            .client
            .simple_query(&format!(
                "BEGIN; {settings} UPDATE commit_mark SET number = {number} WHERE session = '\\x{session}'"
            ))
            .map_err(|error| self.failed(&error))?;
        let is_marked =
            |answer: &SimpleQueryMessage| matches!(answer, SimpleQueryMessage::CommandComplete(1));
        if !answers.iter().any(is_marked) {
            // A collection took the row for that of a connection that is gone.
            self.mark.number = 0;
            self.batch("ROLLBACK")?;
            return self.begin(begin);
        }
        Ok(())
    }

    /// Whether the transaction that was to leave a mark is committed; waits until it has ended.
    pub(super) fn is_committed(&mut self, mark: &Mark) -> Result<bool> {
        let row =
            self.row("SELECT number FROM commit_mark WHERE session = $1 FOR UPDATE", &[&mark.session])?;
        Ok(row.map(|row| column::<i64>(&row, 0)).transpose()? == Some(mark.number))
    }
}

/// Rows on their way in.
pub(super) struct CopyIn<'a> {
    writer: postgres::binary_copy::BinaryCopyInWriter<'a>,
    failure: Option<postgres::Error>,
}

impl CopyIn<'_> {
    pub(super) fn write(&mut self, values: Parameters<'_>) -> Result<()> {
        let written = self.writer.write(values);
        written.map_err(|error| {
            let told = failure::error(&error);
            self.failure = Some(error);
            told
        })
    }
}

/// Parameters whose number is known, as the client library wants them.
struct Given<I>(I);

impl<I: Iterator> IntoIterator for Given<I> {
    type Item = I::Item;
    type IntoIter = I;

    fn into_iter(self) -> I {
        self.0
    }
}

/// A column.
pub(super) fn column<T: FromSqlOwned>(row: &Row, position: usize) -> Result<T> {
    row.try_get(position).map_err(|error| Error::Corrupt(failure::words(&error)))
}

/// A column of text.
pub(super) fn text(row: &Row, position: usize) -> Result<String> {
    String::from_utf8(column(row, position)?)
        .map_err(|_| Error::Corrupt(format!("a text of column {position} is not UTF-8")))
}
