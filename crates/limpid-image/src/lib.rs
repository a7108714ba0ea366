//! Where images come from, one file each, and bounded reading of their layers.
//!
//! [`Reference`] is what a user types, [`open`] finds the image behind it and gives its metadata and its
//! layers' bytes, and [`read_layer`] reads one layer in a single streaming pass: digest check,
//! decompression, tar walk. A [`LayerVisitor`] sees every entry and says which files it wants to read.
//!
//! Everything here is synchronous and works on hostile input: each loop and each allocation is bounded by
//! [`Limits`], and no path is made from a name in an archive.
//!
//! An engine's image comes as one stream instead, with all layers in the engine's order: [`LayerStream`].
//!
//! Left out so far: multi-volume archives, layers with a table of contents.
#![forbid(unsafe_code)]

mod archive;
mod clair_manifest;
mod compression;
mod directory;
mod docker_archive;
mod engine;
mod engine_client;
mod error;
mod export;
mod image;
mod index;
mod layer;
mod limits;
mod manifest;
mod names;
mod oci_archive;
mod oci_layout;
mod platform;
mod reference;
mod registry;
mod stream;
mod tar;
mod visitor;

pub use clair_manifest::{ClairImage, ClairLayer, ClairManifest, LayerClient, open_clair_manifest};
pub use compression::Compression;
pub use engine::EngineOptions;
pub use engine_client::Endpoint;
pub use error::Error;
pub use image::{Image, LayerContent, OpenOptions, open, open_all};
pub use layer::{ExpectedBlob, LayerStats, decode_layer, read_layer};
pub use limits::Limits;
pub use reference::{Reference, ReferenceError};
pub use registry::{
    AuthFile, AuthFileKind, ClientCertificate, OutboundEntryError, OutboundPolicy, Proxies, RegistryError,
    RegistryOptions, Secret,
};
pub use stream::{LayerStream, StreamVisitor, StreamedImage};
pub use visitor::{Entry, EntryKind, FileContent, Interest, LayerVisitor};
