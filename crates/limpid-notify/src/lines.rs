//! Events as JSON lines: appended to a file, or written to standard output.
//!
//! A line is taken when it is on the disk: a file is brought there once for each batch. Whoever is killed in the middle of
//! a line leaves its beginning; the next line begins on a line of its own, and the one that was cut comes again
//! whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::{Channel, Failure, Message, Taken};

/// Lines that are brought to the disk at once.
const BATCH: usize = 256;

fn write(into: &mut dyn Write, messages: &[Message]) -> io::Result<()> {
    let mut text = Vec::new();
    for message in messages {
        text.extend_from_slice(&message.body);
        text.push(b'\n');
    }
    into.write_all(&text)?;
    into.flush()
}

fn taken(outcome: io::Result<()>, messages: &[Message], target: &str) -> Taken {
    match outcome {
        Ok(()) => Taken { messages: messages.len(), failure: None },
        Err(error) => {
            let failure = Failure::passing(format!("{target} cannot be written: {error}"));
            Taken { messages: 0, failure: Some(failure) }
        }
    }
}

/// A file that events are appended to.
#[derive(Debug)]
pub struct FileLines {
    path: PathBuf,
}

impl FileLines {
    /// The file at a path, made if need be. It is opened anew for each batch, so that it may be rotated.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    fn append(&self, messages: &[Message]) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&self.path)?;
        if !ends_a_line(&mut file)? {
            file.write_all(b"\n")?;
        }
        write(&mut file, messages)?;
        file.sync_data()
    }
}

/// Whether what comes next begins a line.
fn ends_a_line(file: &mut File) -> io::Result<bool> {
    if !file.metadata()?.is_file() || file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

impl Channel for FileLines {
    fn target(&self) -> String {
        format!("file:{}", self.path.display())
    }

    fn messages_max(&self) -> usize {
        BATCH
    }

    fn deliver(&mut self, messages: &[Message], _: i64) -> Taken {
        taken(self.append(messages), messages, &self.target())
    }
}

/// A stream that events are written to, such as standard output.
pub struct Lines<'a> {
    name: String,
    into: &'a mut dyn Write,
}

impl<'a> Lines<'a> {
    /// A stream, and what it is called.
    pub fn new(name: &str, into: &'a mut dyn Write) -> Self {
        Self { name: name.to_owned(), into }
    }
}

impl Channel for Lines<'_> {
    fn target(&self) -> String {
        self.name.clone()
    }

    fn messages_max(&self) -> usize {
        BATCH
    }

    fn deliver(&mut self, messages: &[Message], _: i64) -> Taken {
        taken(write(self.into, messages), messages, &self.name)
    }
}
