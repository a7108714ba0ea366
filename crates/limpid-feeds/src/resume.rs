//! A body on its way: resumed where the connection broke, given up where it crawls.
//!
//! Source: RFC 9110, section 14 (ranges) and 13.1.5 (`If-Range`).

use std::io::{self, Read};
use std::time::{Duration, Instant};

use ureq::http::{StatusCode, header};

use crate::fetch::{Ask, FetchOptions, Fetcher, body, text};

/// A body that is asked for again, from where it stopped, when the connection breaks.
pub(crate) struct Resuming {
    fetcher: Fetcher,
    url: String,
    etag: String,
    body: Box<dyn Read + Send>,
    position: u64,
    length: Option<u64>,
    resumed: u32,
    pace: Pace,
}

/// Whether a body comes fast enough, judged over one span of time after the other.
struct Pace {
    span: Duration,
    bytes_min: u64,
    begun: Instant,
    bytes: u64,
}

impl Pace {
    fn new(options: &FetchOptions) -> Self {
        let span = options.read_timeout;
        let bytes_min = options.rate_bytes_min.saturating_mul(span.as_secs());
        Self { span, bytes_min, begun: Instant::now(), bytes: 0 }
    }

    /// Counts what came; an error if it was too little.
    fn passed(&mut self, bytes: u64) -> io::Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.begun.elapsed() < self.span {
            return Ok(());
        }
        let is_slow = self.bytes < self.bytes_min;
        (self.begun, self.bytes) = (Instant::now(), 0);
        if is_slow {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the body comes too slowly"))
        } else {
            Ok(())
        }
    }
}

impl Read for Resuming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let error = match self.body.read(buffer) {
                Ok(0) if buffer.is_empty() || self.length.is_none_or(|length| self.position >= length) => {
                    return Ok(0);
                }
                Ok(0) => io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed too early"),
                Ok(read) => {
                    self.position += read as u64;
                    if self.position > self.fetcher.options.bytes_max {
                        return Err(io::Error::other("the document has more bytes than are read"));
                    }
                    // Whoever reads may take their time between two reads: only a whole slow span counts.
                    self.pace.passed(read as u64)?;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            self.resume(error)?;
        }
    }
}

impl Resuming {
    pub(crate) fn new(
        fetcher: &Fetcher,
        url: &str,
        etag: &str,
        body: Box<dyn Read + Send>,
        length: Option<u64>,
    ) -> Self {
        let pace = Pace::new(&fetcher.options);
        let (fetcher, url, etag) = (fetcher.clone(), url.to_owned(), etag.to_owned());
        Self { fetcher, url, etag, body, position: 0, length, resumed: 0, pace }
    }

    fn resume(&mut self, error: io::Error) -> io::Result<()> {
        let strong = !self.etag.is_empty() && !self.etag.starts_with("W/");
        if !strong || self.resumed >= self.fetcher.options.retries {
            return Err(error);
        }
        self.resumed += 1;
        let range = format!("bytes={}-", self.position);
        let response = self.fetcher.request(&self.url, |name, add| match name {
            Ask::Range => add(&range),
            Ask::IfRange => add(&self.etag),
            _ => {}
        });
        let response = response.map_err(io::Error::other)?;
        let begins = format!("bytes {}-", self.position);
        if response.status() != StatusCode::PARTIAL_CONTENT
            || !text(&response, header::CONTENT_RANGE).starts_with(&begins)
        {
            return Err(io::Error::other("the connection broke and the rest could not be had"));
        }
        self.body = body(response);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_slowly_is_given_up() {
        let mut pace = Pace { span: Duration::ZERO, bytes_min: 100, begun: Instant::now(), bytes: 0 };
        assert!(pace.passed(100).is_ok() && pace.passed(99).is_err());
        let mut pace =
            Pace { span: Duration::from_secs(3600), bytes_min: 100, begun: Instant::now(), bytes: 0 };
        assert!(pace.passed(0).is_ok());
    }
}
