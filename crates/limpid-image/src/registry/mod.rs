//! `docker://NAME` or a bare name: an image in a registry.
//!
//! One file each: the [`name`] grammar, [`registries_conf`] (mirrors, aliases, what is blocked), the HTTP
//! [`client`] (redirects, retries, TLS, proxies), [`auth`] and [`credentials`], a [`repository`] at one host,
//! [`blob`] streams that go on where they were cut, the [`image`] itself, and what may be asked for others
//! ([`outbound`]).
//!
//! Source: OCI distribution specification v1.1; Docker's token authentication; containers-registries.conf(5),
//! containers-auth.json(5), containers-certs.d(5). Left out: containerd's hosts.toml, referrers, signatures.

mod auth;
mod blob;
mod client;
mod credentials;
mod error;
mod image;
mod name;
mod options;
mod outbound;
mod proxy;
mod registries_conf;
mod repository;
mod tls;

pub(crate) use blob::{Blob, LayerAddress, Source, from_stream};
pub(crate) use client::Client;
pub use error::RegistryError;
pub(crate) use image::{open, open_all};
pub(crate) use name::{DOCKER_HUB, Name};
pub use options::{AuthFile, AuthFileKind, ClientCertificate, Proxies, RegistryOptions, Secret};
pub use outbound::{OutboundEntryError, OutboundPolicy};
