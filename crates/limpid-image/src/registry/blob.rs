//! A blob's bytes as they come, and on from where the connection broke.
//!
//! Source: RFC 9110, section 14 (ranges). A server that ignores `Range` is read again from the beginning, and
//! what was seen is passed over.

use std::io::{self, Read};
use std::sync::Arc;

use limpid_model::Digest;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};

use super::RegistryError;
use super::client::{Ask, Response};
use super::repository::Repository;
use crate::Error;

/// Bytes that must come before a further break counts as the first: a server that gives a byte at a time
/// is given up on.
const PROGRESS_BYTES_MIN: u64 = 64 << 10;

/// Where a blob is asked for.
pub(crate) enum Source {
    /// In the repository.
    Repository(Arc<Repository>),
    /// At an address that the manifest names, without credentials.
    Elsewhere(Arc<Repository>, String),
}

/// A blob on its way.
pub(crate) struct Blob {
    source: Source,
    digest: Digest,
    what: String,
    size: u64,
    body: ureq::BodyReader<'static>,
    position: u64,
    /// Where the last break that counted was.
    broken_at: u64,
    breaks: u32,
}

impl Blob {
    /// Asks for the blob; the answer must not lie about its size.
    pub(crate) fn open(source: Source, digest: Digest, size: u64) -> Result<Self, Error> {
        let what = format!("layer {digest}");
        let response = source.get(digest, &what, 0)?;
        if response.status().as_u16() != 200 {
            return Err(source.repository().refusal(response, &what, None).into());
        }
        if let Some(got) = header(&response, &CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()) {
            if got > size {
                return Err(Error::TooLong { what, expected: size, got });
            }
            if got < size {
                return Err(Error::TooShort { what, expected: size, got });
            }
        }
        let body = response.into_body().into_reader();
        Ok(Self { source, digest, what, size, body, position: 0, broken_at: 0, breaks: 0 })
    }

    fn resume(&mut self, reason: &str) -> Result<(), Error> {
        let retries = self.source.repository().client().options.retries;
        let mut reason = reason.to_owned();
        loop {
            if self.position - self.broken_at >= PROGRESS_BYTES_MIN {
                self.breaks = 0;
                self.broken_at = self.position;
            }
            if self.breaks > retries {
                return Err(self.cut(reason).into());
            }
            if self.breaks > 0 {
                self.source.repository().client().wait(self.breaks);
            }
            self.breaks += 1;
            let response = self.source.get(self.digest, &self.what, self.position)?;
            match response.status().as_u16() {
                206 if self.position > 0 => {
                    self.check_range(&response)?;
                    self.body = response.into_body().into_reader();
                    return Ok(());
                }
                200 => {
                    self.body = response.into_body().into_reader();
                    match io::copy(&mut (&mut self.body).take(self.position), &mut io::sink()) {
                        Ok(passed) if passed == self.position => return Ok(()),
                        Ok(_) => reason = "the server cannot continue, and breaks off again".to_owned(),
                        Err(error) => reason = error.to_string(),
                    }
                }
                _ => return Err(self.source.repository().refusal(response, &self.what, None).into()),
            }
        }
    }

    /// Whether the rest begins where it must, and is of the same blob.
    fn check_range(&self, response: &Response) -> Result<(), RegistryError> {
        let range = header(response, &CONTENT_RANGE).unwrap_or_default();
        let fits = range.trim().strip_prefix("bytes ").and_then(|range| {
            let (range, total) = range.split_once('/')?;
            let (start, _) = range.split_once('-')?;
            let same = total == "*" || total.parse() == Ok(self.size);
            Some(start.trim().parse() == Ok(self.position) && same)
        });
        if fits == Some(true) {
            return Ok(());
        }
        Err(RegistryError::Protocol {
            host: self.source.repository().host().to_owned(),
            what: self.what.clone(),
            reason: format!("it was asked to go on at byte {} and sends `{range}`", self.position),
        })
    }

    fn cut(&self, reason: String) -> RegistryError {
        RegistryError::Cut {
            host: self.source.repository().host().to_owned(),
            what: self.what.clone(),
            position: self.position,
            reason,
        }
    }
}

impl Source {
    fn repository(&self) -> &Repository {
        match self {
            Self::Repository(repository) | Self::Elsewhere(repository, _) => repository,
        }
    }

    fn get(&self, digest: Digest, what: &str, from: u64) -> Result<Response, RegistryError> {
        let range = (from > 0).then(|| (RANGE, format!("bytes={from}-")));
        let headers: Vec<_> = range.into_iter().collect();
        match self {
            Self::Repository(repository) => repository.get(&format!("blobs/{digest}"), what, &headers),
            Self::Elsewhere(repository, url) => {
                repository.client().send(&Ask { url, what, headers, ..Ask::default() }, &[])
            }
        }
    }
}

fn header(response: &Response, name: &ureq::http::HeaderName) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let reason = match self.body.read(buffer) {
                Ok(0) if buffer.is_empty() || self.position >= self.size => return Ok(0),
                Ok(0) => "the connection was closed too early".to_owned(),
                Ok(read) => {
                    self.position += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // All is there: how the connection ends then does not matter.
                Err(_) if self.position == self.size => return Ok(0),
                Err(error) => error.to_string(),
            };
            self.resume(&reason).map_err(into_stream)?;
        }
    }
}

/// An error on its way through readers that know only the operating system's.
fn into_stream(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, error)
}

/// The error again, if it is one that took this way.
pub(crate) fn from_stream(error: io::Error) -> Result<Error, io::Error> {
    match error.get_ref().is_some_and(|inner| inner.is::<Error>()) {
        true => error.downcast::<Error>(),
        false => Err(error),
    }
}
