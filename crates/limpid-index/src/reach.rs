//! How a document's bytes are come by where its address does not have them: through pointers and catalogs.

use std::io::Read as _;

use limpid_feeds::{Document, Feed, FetchError, Fetched, POINTER_BYTES_MAX, Pointer};
use limpid_store::{FeedKey, FeedState};

use crate::Error;
use crate::update::{Failure, Updated, Updater};

/// Bytes of a file that names documents. Amazon's has 1.6 megabytes.
const CATALOG_BYTES_MAX: u64 = 16 << 20;

impl Updater<'_> {
    /// Fetches what is at `url`, if it is not what `known` was made of.
    pub(crate) fn fetch(&self, url: &str, known: Option<&FeedState>) -> Result<Fetched, Failure> {
        let validators = known.map(|state| state.validators.clone()).unwrap_or_default();
        let validators =
            limpid_feeds::Validators { etag: validators.etag, last_modified: validators.last_modified };
        self.fetcher.fetch(url, &validators).map_err(|error| match error {
            FetchError::NotFound { .. } => Failure::Absent(error.to_string()),
            _ => Failure::Feed(error.to_string()),
        })
    }

    /// Fetches a small file whole.
    pub(crate) fn fetch_small(&self, url: &str, bytes_max: u64) -> Result<Vec<u8>, Failure> {
        let Fetched::Body { reader, .. } = self.fetch(url, None)? else {
            return Err(Failure::Feed(format!("{url} was answered as if it were known")));
        };
        let mut content = Vec::new();
        let read = reader.take(bytes_max + 1).read_to_end(&mut content);
        read.map_err(|error| Failure::Feed(format!("{url} could not be read: {error}")))?;
        if content.len() as u64 > bytes_max {
            return Err(Failure::Feed(format!("{url} has more than {bytes_max} bytes")));
        }
        Ok(content)
    }

    /// Where the pointers lead; `None` if to nothing.
    pub(crate) fn follow_pointers(&self, pointers: &[Pointer], url: &str) -> Result<Option<String>, Failure> {
        let mut url = url.to_owned();
        for pointer in pointers {
            let content = self.fetch_small(&url, POINTER_BYTES_MAX)?;
            match pointer.follow(&url, &content).map_err(Failure::parse)? {
                Some(next) => url = next,
                None => return Ok(None),
            }
        }
        Ok(Some(url))
    }

    /// The documents that a feed's catalog names. A catalog that fails is a document that failed; what the
    /// documents that it named before say stays.
    pub(crate) fn catalogued(
        &self,
        feed: &dyn Feed,
        catalog: &Document,
        failed: &mut Vec<Updated>,
    ) -> Result<Vec<Document>, Error> {
        let key = FeedKey { feed: feed.name().to_owned(), document: catalog.name.clone() };
        let content = self.fetch_small(&catalog.url, CATALOG_BYTES_MAX);
        match content.and_then(|content| feed.catalogued(catalog, &content).map_err(Failure::parse)) {
            Ok(documents) => {
                // A failure of before is over; a catalog that never failed is no document by itself.
                self.store.feed_unchanged(&key, self.clock.now())?;
                Ok(documents)
            }
            Err(failure) => {
                let outcome = self.failed(&key, &catalog.url, failure)?;
                failed.push(Updated { key, outcome });
                Ok(Vec::new())
            }
        }
    }
}
