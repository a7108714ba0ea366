//! Where advisories come from: one file per upstream feed, and their fetching.
//!
//! A [`Feed`] knows which documents answer for a release, and turns the bytes of one into [`Advisory`]s, one
//! at a time, in bounded memory. A [`Fetcher`] gets those bytes: from upstream, from a mirror, or from a folder.
//! The two do not know each other, so that the last raw form of a feed can be kept and read again.
//!
//! To add a feed: one file here that implements [`Feed`], and one line in [`FEEDS`].
//!
//! [`Advisory`]: limpid_model::Advisory
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod almalinux;
mod almalinux_osv;
mod alpine_secdb;
mod amazon;
mod archive;
mod changes;
mod csaf;
mod cve_records;
mod debian_elts;
mod debian_notices;
mod debian_release;
mod debian_tracker;
mod decode;
mod epss;
mod errata;
mod error;
mod feed;
mod fetch;
mod json;
mod kev;
mod limits;
mod local;
mod nvd;
mod oracle;
mod pointer;
mod redhat_product;
mod redhat_repository_cpes;
mod redhat_rows;
mod redhat_vex;
mod resume;
mod rocky;
mod scores;
mod tar;
mod ubuntu_osv;
mod updateinfo;
mod xml;

pub use almalinux::AlmaLinux;
pub use alpine_secdb::AlpineSecdb;
pub use amazon::Amazon;
pub use changes::{Change, ChangeLists, Plan};
pub use cve_records::{CveRecords, cve_record_urls};
pub use debian_elts::DebianElts;
pub use debian_notices::{DEBIAN_DLA, DEBIAN_DSA, DebianNotices};
pub use debian_tracker::DebianTracker;
pub use decode::decoded;
pub use epss::Epss;
pub use error::FeedError;
pub use feed::{Document, FEEDS, Feed, Layout, ParseSummary, Sink, SinkError, feed_named, feeds_for};
pub use fetch::{FetchError, FetchOptions, Fetched, Fetcher, Mirror, Validators};
pub use kev::Kev;
pub use limits::Limits;
pub use local::{LOCAL_FEED, Local};
pub use nvd::Nvd;
pub use oracle::Oracle;
pub use pointer::{POINTER_BYTES_MAX, Pointer};
pub use redhat_repository_cpes::RepositoryCpes;
pub use redhat_vex::RedHatVex;
pub use rocky::Rocky;
pub use scores::{SCORE_FEEDS, Score, ScoreFeed, ScoreSink, ScoreSummary, score_feed_named};
pub use ubuntu_osv::UbuntuOsv;
