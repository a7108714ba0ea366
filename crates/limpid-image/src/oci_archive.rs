//! `oci-archive:FILE[:NAME|@DIGEST]`: an OCI image layout in a tar archive, or in that on standard input for
//! `-`.
//!
//! containerd's exports are read too (`ctr image export`, `nerdctl save`): they name images by an annotation of
//! its own, and of the platforms that their indexes list hold only some.

use std::io::Read;

use crate::Error;
use crate::archive::{self, Archive};
use crate::image::OpenOptions;
use crate::oci_layout::{Blobs, OciImage};
use crate::reference::split_target;

/// A layout in an archive.
#[derive(Clone)]
pub(crate) struct InArchive(Archive);

impl Blobs for InArchive {
    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, Error> {
        Ok(self.0.member(path)?.0)
    }

    fn has(&self, path: &str) -> bool {
        self.0.has(path)
    }

    fn name(&self) -> String {
        self.0.name().to_owned()
    }
}

pub(crate) fn open(target: &str, options: &OpenOptions) -> Result<OciImage<InArchive>, Error> {
    let (file, selector) = split_target(target, archive::exists);
    OciImage::find(InArchive(Archive::open(&file, &options.limits)?), &selector, options)
}

pub(crate) fn open_all(target: &str, options: &OpenOptions) -> Result<Vec<OciImage<InArchive>>, Error> {
    let (file, selector) = split_target(target, archive::exists);
    OciImage::find_all(InArchive(Archive::open(&file, &options.limits)?), &selector)
}
