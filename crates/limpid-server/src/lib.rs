//! The service: HTTP APIs on one store, and what runs beside them.
//!
//! One API is one folder (or file) with a `router`, and one line in [`server`]: [`clair_v4`] is there. All of them stand on
//! [`service`], which knows the store, who may ask ([`auth`]), how much is done at a time ([`lanes`]), how images come
//! in ([`indexing`]) and how advisories stay fresh ([`updates`]). The store is synchronous: whatever asks it runs on
//! threads of its own, so many at a time, and more than wait are turned away.
//!
//! The [`server`] owns connections: time for a request's head, for its body and for taking the answer, and an end that
//! lets requests finish. [`introspection`] is a listener of its own: health, readiness, [`metrics`].
//!
//! Left out so far: TLS (put a server that speaks it before this one), HTTP/2, Clair's first API, Harbor's, a native one,
//! notifications.
#![forbid(unsafe_code)]

mod auth;
mod body;
mod clair_v4;
mod conditional;
mod config;
mod error;
mod indexing;
mod introspection;
mod lanes;
mod metrics;
mod server;
mod service;
mod updates;

pub use config::{Auth, Config, ConfigError, DEFAULTS, Enrichment, File, LogFormat, LogLevel};
pub use error::Error;
pub use server::{Ended, Server, Stopper};
pub use service::{Parts, Role};
