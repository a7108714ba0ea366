//! A blob's bytes as they come, and on from where the connection broke.
//!
//! Source: RFC 9110, section 14 (ranges). A server that ignores `Range` is read again from the beginning, and
//! what was seen is passed over.

use std::io::{self, Read};
use std::sync::Arc;

use limpid_model::Digest;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use ureq::http::{HeaderName, Uri};

use super::client::{Ask, Client, Response, said};
use super::repository::Repository;
use super::{RegistryError, Secret};
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
    /// At an address, with what is to be shown there.
    Address(Arc<LayerAddress>),
}

/// Where a layer is to be had that no repository is known of, and what is to be shown there.
pub(crate) struct LayerAddress {
    pub(crate) client: Arc<Client>,
    pub(crate) url: String,
    pub(crate) authorization: Option<Secret>,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) headers_for_origin: Vec<(HeaderName, Secret)>,
}

/// A blob on its way.
pub(crate) struct Blob {
    source: Source,
    digest: Digest,
    what: String,
    /// How many bytes it has, if anybody says so.
    size: Option<u64>,
    /// More than so many are not read.
    bytes_max: u64,
    body: ureq::BodyReader<'static>,
    position: u64,
    /// Where the last break that counted was.
    broken_at: u64,
    breaks: u32,
}

impl Blob {
    /// Asks for the blob; the answer must not lie about its size.
    pub(crate) fn open(source: Source, digest: Digest, size: u64) -> Result<Self, Error> {
        let (blob, got) = Self::ask(source, digest, Some(size), size)?;
        let what = blob.what.clone();
        match got {
            Some(got) if got > size => Err(Error::TooLong { what, expected: size, got }),
            Some(got) if got < size => Err(Error::TooShort { what, expected: size, got }),
            _ => Ok(blob),
        }
    }

    /// Asks for a blob of which nobody has said how large it is: the answer's word counts.
    pub(crate) fn open_unsized(source: Source, digest: Digest, bytes_max: u64) -> Result<Self, Error> {
        let (mut blob, got) = Self::ask(source, digest, None, bytes_max)?;
        if got.is_some_and(|got| got > bytes_max) {
            return Err(blob.too_large());
        }
        blob.size = got;
        Ok(blob)
    }

    /// The blob, and how large the answer says that it is.
    fn ask(
        source: Source,
        digest: Digest,
        size: Option<u64>,
        bytes_max: u64,
    ) -> Result<(Self, Option<u64>), Error> {
        let what = format!("layer {digest}");
        let response = source.get(digest, &what, 0)?;
        if response.status().as_u16() != 200 {
            return Err(source.refusal(response, &what).into());
        }
        let got = header(&response, &CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        let body = response.into_body().into_reader();
        Ok((Self { source, digest, what, size, bytes_max, body, position: 0, broken_at: 0, breaks: 0 }, got))
    }

    fn too_large(&self) -> Error {
        Error::limit(&self.what, format!("{} bytes", self.bytes_max))
    }

    /// Whether all of it was read, if that can be told.
    fn is_whole(&self) -> bool {
        self.size.is_some_and(|size| self.position >= size)
    }

    fn resume(&mut self, reason: &str) -> Result<(), Error> {
        let retries = self.source.client().options.retries;
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
                self.source.client().wait(self.breaks);
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
                _ => return Err(self.source.refusal(response, &self.what).into()),
            }
        }
    }

    /// Whether the rest begins where it must, and is of the same blob.
    fn check_range(&self, response: &Response) -> Result<(), RegistryError> {
        let range = header(response, &CONTENT_RANGE).unwrap_or_default();
        let fits = range.trim().strip_prefix("bytes ").and_then(|range| {
            let (range, total) = range.split_once('/')?;
            let (start, _) = range.split_once('-')?;
            let same = total == "*" || total.parse().ok() == self.size;
            Some(start.trim().parse() == Ok(self.position) && same)
        });
        if fits == Some(true) {
            return Ok(());
        }
        Err(RegistryError::Protocol {
            host: self.source.host(),
            what: self.what.clone(),
            reason: format!("it was asked to go on at byte {} and sends `{range}`", self.position),
        })
    }

    fn cut(&self, reason: String) -> RegistryError {
        RegistryError::Cut {
            host: self.source.host(),
            what: self.what.clone(),
            position: self.position,
            reason,
        }
    }
}

impl Source {
    fn client(&self) -> &Client {
        match self {
            Self::Repository(repository) | Self::Elsewhere(repository, _) => repository.client(),
            Self::Address(address) => &address.client,
        }
    }

    fn host(&self) -> String {
        match self {
            Self::Repository(repository) | Self::Elsewhere(repository, _) => repository.host().to_owned(),
            Self::Address(address) => host_of(&address.url),
        }
    }

    /// The error that an answer which is none stands for.
    fn refusal(&self, response: Response, what: &str) -> RegistryError {
        match self {
            Self::Repository(repository) | Self::Elsewhere(repository, _) => {
                repository.refusal(response, what, None)
            }
            Self::Address(address) => {
                let status = response.status().as_u16();
                let (host, what, (_, said)) = (host_of(&address.url), what.to_owned(), said(response));
                match status {
                    401 => {
                        let tried = vec!["those that came with the manifest".to_owned()];
                        RegistryError::Unauthorized { host, what, tried, said }
                    }
                    403 => RegistryError::Forbidden { host, what, said },
                    404 => RegistryError::NotFound { host, what, available: Vec::new() },
                    429 => RegistryError::TooManyRequests { host, said },
                    status => RegistryError::Status { host, what, status, said },
                }
            }
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
            Self::Address(address) => {
                let LayerAddress { client, url, authorization, headers: more, headers_for_origin } =
                    &**address;
                let headers = headers.into_iter().chain(more.iter().cloned()).collect();
                let (authorization, headers_for_origin) = (authorization.clone(), headers_for_origin.clone());
                let ask = Ask { url, what, headers, authorization, headers_for_origin, ..Ask::default() };
                client.send(&ask, &[])
            }
        }
    }
}

/// The host of an address, for messages.
fn host_of(url: &str) -> String {
    let uri = url.parse::<Uri>().ok();
    uri.and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_else(|| "the address".to_owned())
}

fn header(response: &Response, name: &HeaderName) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let reason = match self.body.read(buffer) {
                // What has no size ends where the server says so; the digest tells whether that was the end.
                Ok(0) if buffer.is_empty() || self.is_whole() || self.size.is_none() => return Ok(0),
                Ok(0) => "the connection was closed too early".to_owned(),
                Ok(read) => {
                    self.position += read as u64;
                    if self.size.is_none() && self.position > self.bytes_max {
                        return Err(into_stream(self.too_large()));
                    }
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // All is there: how the connection ends then does not matter.
                Err(_) if self.is_whole() => return Ok(0),
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
