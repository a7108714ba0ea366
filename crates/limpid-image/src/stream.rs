//! Images whose layers come as one stream, in an order of its own.

use limpid_model::ImageMetadata;

use crate::layer::LayerStats;
use crate::visitor::LayerVisitor;
use crate::{Error, Limits};

/// An image whose layers can only be read one after the other, all at once.
pub trait LayerStream: Send + Sync {
    /// Reads all layers, in the order in which they come. On an error, what the visitor saw of a layer that was
    /// read to its end is true of the digest that it was given; nothing else is.
    fn read(
        &self,
        limits: &Limits,
        visitor: &mut dyn StreamVisitor,
        progress: &dyn Fn(u64),
    ) -> Result<StreamedImage, Error>;

    /// Whether the layers will come under the digests that the image's metadata has, so that layers which are
    /// known by those need not be read.
    fn is_predictable(&self) -> bool;
}

/// Sees a stream go by.
pub trait StreamVisitor {
    /// A member begins that may turn out to be a layer: what to show of it.
    fn member(&mut self, name: &str) -> &mut dyn LayerVisitor;
    /// The member was an archive and was read to its end.
    fn end(&mut self, name: &str, stats: &LayerStats);
}

/// What an image turned out to be once its stream was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamedImage {
    /// What its manifest and config say, with the layers' digests and sizes as they came.
    pub metadata: ImageMetadata,
    /// The members that were its layers, base first.
    pub members: Vec<String>,
}
