//! `oci-archive:FILE[:NAME|@DIGEST]`: an OCI image layout in a tar archive.

use std::io::Read;
use std::path::Path;

use crate::Error;
use crate::archive::Archive;
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

    fn name(&self) -> String {
        self.0.name().to_owned()
    }
}

pub(crate) fn open(target: &str, options: &OpenOptions) -> Result<OciImage<InArchive>, Error> {
    let (file, selector) = split_target(target, Path::is_file);
    OciImage::find(InArchive(Archive::open(&file, &options.limits)?), &selector, options)
}

pub(crate) fn open_all(target: &str, options: &OpenOptions) -> Result<Vec<OciImage<InArchive>>, Error> {
    let (file, selector) = split_target(target, Path::is_file);
    OciImage::find_all(InArchive(Archive::open(&file, &options.limits)?), &selector)
}
