//! What all APIs stand on.

use std::str::FromStr;
use std::sync::Arc;

use limpid_feeds::FetchOptions;
use limpid_image::{LayerClient, RegistryOptions};
use limpid_index::{Clock, Process};
use limpid_store::Store;

use crate::auth::Guard;
use crate::indexing::Flights;
use crate::lanes::{Lane, Turns};
use crate::metrics::Metrics;
use crate::updates::Updates;
use crate::{Config, Error};

/// What the service is made of, from whoever starts it.
pub struct Parts {
    /// Where results are kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This process among those that use the store.
    pub process: Arc<dyn Process>,
    /// How feeds are got.
    pub fetch: FetchOptions,
    /// How layers are got, but for what callers may name, which the settings say.
    pub registry: RegistryOptions,
    /// Which part of the service it is.
    pub role: Role,
}

/// Which part of the service a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Every part.
    All,
    /// Takes images in.
    Indexer,
    /// Keeps advisories and answers what images are vulnerable to.
    Matcher,
}

impl Role {
    pub(crate) fn indexes(self) -> bool {
        self != Self::Matcher
    }

    pub(crate) fn matches(self) -> bool {
        self != Self::Indexer
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            // Clair's word.
            "all" | "combo" => Ok(Self::All),
            "indexer" => Ok(Self::Indexer),
            "matcher" => Ok(Self::Matcher),
            _ => Err(format!("`{text}` is no role; choose all, indexer or matcher")),
        }
    }
}

/// What requests and background work share.
pub(crate) struct Service {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) process: Arc<dyn Process>,
    pub(crate) role: Role,
    pub(crate) guard: Arc<Guard>,
    /// Images that are indexed.
    pub(crate) indexing: Lane,
    /// All other questions.
    pub(crate) questions: Lane,
    /// Layers that are read.
    pub(crate) reading: Turns,
    /// How many are read at a time.
    pub(crate) threads: usize,
    pub(crate) flights: Flights,
    pub(crate) layers: LayerClient,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) updates: Updates,
}

impl Service {
    pub(crate) fn new(config: Config, parts: Parts) -> Result<Self, Error> {
        let limits = &config.limits;
        let threads = match limits.layers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            layers => layers,
        };
        let registry = RegistryOptions { outbound: Some(config.outbound()?), ..parts.registry };
        Ok(Self {
            guard: Arc::new(Guard::new(&config.auth()?)),
            indexing: Lane::new(limits.index_requests, 0),
            questions: Lane::new(limits.questions, limits.questions_waiting),
            reading: Turns::new(threads),
            threads,
            flights: Flights::default(),
            layers: LayerClient::new(&registry),
            metrics: Arc::new(Metrics::new()),
            updates: Updates::new(parts.fetch),
            role: parts.role,
            store: parts.store,
            clock: parts.clock,
            process: parts.process,
            config,
        })
    }

    /// The present, as RFC 3339 writes it.
    pub(crate) fn now(&self) -> String {
        let now = jiff::Timestamp::from_second(self.clock.now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        now.to_string()
    }
}
