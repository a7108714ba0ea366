//! Cursors: where a list of images goes on.
//!
//! A cursor names the last image that was listed, and pins what the list is of: the revision of the advisories and the
//! last image that was there when it began. So all pages together are one answer, however many images and
//! advisories come meanwhile; an image that is forgotten meanwhile is missing. A cursor is text without meaning to
//! others. It carries digests of its question and of the store's past, so that one that came from elsewhere is
//! refused and never taken for another place in another list.

use limpid_model::Digest;
use limpid_store::{ImageId, NEWEST, Store};

use crate::Error;

/// Characters that a cursor never has more of.
const LENGTH_MAX: usize = 200;
/// Hex digits that are kept of a digest: by chance nobody meets 64 bits, and nobody gains from forging a cursor.
const DIGITS: usize = 16;

/// Where a list goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The revision of the advisories.
    pub(crate) revision: u64,
    /// The last image that the list may have.
    pub(crate) last: ImageId,
    /// The last image that was listed.
    pub(crate) after: ImageId,
}

impl Cursor {
    pub(crate) fn to_text(self, store: &dyn Store, question: &str) -> Result<String, Error> {
        let body = format!("{:x}-{:x}-{:x}", self.revision, self.last.0, self.after.0);
        let check = self.check(store, question)?;
        Ok(format!("{body}-{}-{check}", digits(question)))
    }

    /// The cursor that a text stands for, if it belongs to the question and the store.
    pub(crate) fn parse(store: &dyn Store, question: &str, text: &str) -> Result<Self, Error> {
        let malformed = || Error::Cursor("the text is no cursor".to_owned());
        if text.len() > LENGTH_MAX {
            return Err(malformed());
        }
        let parts: Vec<&str> = text.split('-').collect();
        let [revision, last, after, asked, check] = parts[..] else { return Err(malformed()) };
        let number = |text: &str| u64::from_str_radix(text, 16).map_err(|_| malformed());
        let image = |text| number(text).and_then(|id| i64::try_from(id).map_err(|_| malformed()));
        let cursor =
            Self { revision: number(revision)?, last: ImageId(image(last)?), after: ImageId(image(after)?) };
        if asked != digits(question) {
            return Err(Error::Cursor("the cursor is of another question".to_owned()));
        }
        if check != cursor.check(store, question)? {
            let reason =
                "the cursor means nothing here: it is of another store, or of what this one was before";
            return Err(Error::Cursor(reason.to_owned()));
        }
        Ok(cursor)
    }

    /// The revision to ask for: the present as long as it is the same.
    pub(crate) fn at(self, store: &dyn Store) -> Result<u64, Error> {
        Ok(if store.revision()? == self.revision { NEWEST } else { self.revision })
    }

    /// Ties the cursor to its question, and to a store in which its revision was made at the same time.
    fn check(self, store: &dyn Store, question: &str) -> Result<String, Error> {
        let made = store.revision_time(self.revision)?;
        let all = format!("{} {} {} {made:?} {question}", self.revision, self.last.0, self.after.0);
        Ok(digits(&all))
    }
}

fn digits(text: &str) -> String {
    let mut hex = Digest::of(text.as_bytes()).hex();
    hex.truncate(DIGITS);
    hex
}
