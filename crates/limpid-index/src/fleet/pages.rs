//! A list of images, a page at a time.

use limpid_model::FleetImage;
use limpid_store::{ImageId, ImageSet, ImageSummary, Store};

use super::Scope;
use super::cursor::Cursor;
use crate::Error;

/// Images that are read at a time: so many are in memory, however long the list.
const IMAGES_READ: usize = 100;

/// What is left of a list of images, in the order in which they were stored.
#[derive(Debug)]
pub struct Pages {
    images: ImageSet,
    cursor: Cursor,
    question: String,
}

/// Pins a question to a revision and to the images that are there, if it is not pinned by the cursor that it goes on
/// from. Where in the list that is, and the images that the question is about.
pub(crate) fn pin(
    store: &dyn Store,
    scope: &mut Scope<'_>,
    question: &str,
    after: Option<&str>,
) -> Result<(Cursor, ImageSet), Error> {
    let mut cursor = match after {
        Some(text) => Cursor::parse(store, question, text)?,
        None => {
            let revision = scope.moment.revision.min(store.revision()?);
            Cursor { revision, last: ImageId(i64::MAX), after: ImageId(0) }
        }
    };
    scope.moment.revision = cursor.at(store)?;
    scope.filter.last = Some(cursor.last);
    let images = store.select(&scope.filter)?;
    if after.is_none() {
        cursor.last = images.last().unwrap_or(ImageId(0));
    }
    Ok((cursor, images))
}

impl Pages {
    pub(crate) fn new(images: ImageSet, cursor: Cursor, question: String) -> Self {
        Self { images, cursor, question }
    }

    /// The next images, at most `limit` and a bounded number; none if the list is at its end.
    pub(crate) fn take(&mut self, store: &dyn Store, limit: usize) -> Result<Vec<ImageSummary>, Error> {
        // Images that were forgotten since are passed over.
        loop {
            let ids = self.images.page(Some(self.cursor.after), limit.min(IMAGES_READ));
            let Some(last) = ids.last() else { return Ok(Vec::new()) };
            self.cursor.after = *last;
            let summaries = store.summaries(&ids)?;
            if !summaries.is_empty() {
                return Ok(summaries);
            }
        }
    }

    /// Where the list goes on; `None` if it is at its end.
    pub fn cursor(&self, store: &dyn Store) -> Result<Option<String>, Error> {
        if self.images.page(Some(self.cursor.after), 1).is_empty() {
            return Ok(None);
        }
        self.cursor.to_text(store, &self.question).map(Some)
    }

    /// How many of all images of the list.
    pub(crate) fn len(&self) -> u64 {
        self.images.len()
    }
}

/// The question in one text: equal for equal questions.
pub(crate) fn question(command: &str, scope: &Scope<'_>, more: &impl std::fmt::Debug) -> String {
    // With `--as-of` the moment is a part of the question, without it the first page sets it.
    format!("{command} {} {:?} {:?} {more:?}", scope.moment.as_of, scope.moment.revision, scope.filter)
}

/// An image in lists.
pub(crate) fn image(summary: ImageSummary) -> FleetImage {
    super::scope::fleet_image(summary)
}
