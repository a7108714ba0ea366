//! Connections: how many, how slow they may be, and how they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::{Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tower_http::compression::CompressionLayer;

use crate::introspection::{self, Introspection};
use crate::service::{Parts, Service};
use crate::{Config, Error, clair_v4, metrics, updates};

/// Bytes of a request's head. A token of a registry never stands in one.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// A pause where the system has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Threads beside those of requests: for the store's files, names, introspection.
const OTHER_THREADS: usize = 32;

/// The service, listening.
pub struct Server {
    runtime: Runtime,
    service: Arc<Service>,
    listener: TcpListener,
    introspection: Option<TcpListener>,
    stop: (watch::Sender<bool>, watch::Receiver<bool>),
}

/// Ends a server from elsewhere.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Has the server take no more requests, and end when those that it has are answered.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every request was answered.
    Whole,
    /// Some were cut off, since they took too long.
    CutOff,
}

impl Server {
    /// Listens. Nothing is answered before [`run`](Self::run).
    pub fn bind(config: Config, parts: Parts) -> Result<Self, Error> {
        let limits = &config.limits;
        let threads = limits.index_requests + limits.questions + OTHER_THREADS;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .max_blocking_threads(threads)
            .thread_name("limpid")
            .build()?;
        let listener = runtime.block_on(listen(&config.addresses()?))?;
        let introspection = match config.introspection_address()? {
            Some(address) => Some(runtime.block_on(listen(&[address]))?),
            None => None,
        };
        let service = Arc::new(Service::new(config, parts)?);
        Ok(Self { runtime, service, listener, introspection, stop: watch::channel(false) })
    }

    /// Where the APIs are.
    pub fn address(&self) -> Result<SocketAddr, Error> {
        Ok(self.listener.local_addr()?)
    }

    /// Where health, readiness and metrics are, if anywhere.
    pub fn introspection_address(&self) -> Result<Option<SocketAddr>, Error> {
        Ok(self.introspection.as_ref().map(TcpListener::local_addr).transpose()?)
    }

    /// What ends it.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.0.clone())
    }

    /// Answers until it is stopped.
    pub fn run(self) -> Result<Ended, Error> {
        let Self { runtime, service, listener, introspection, stop: (_sender, stopped) } = self;
        let stopping = Arc::new(AtomicBool::new(false));
        if let Some(listener) = introspection {
            let router =
                introspection::router(Introspection::new(Arc::clone(&service), Arc::clone(&stopping)));
            let limits = service.config.limits.clone();
            // It ends with the process: it tells until the last that the service stops.
            let never = watch::channel(false);
            runtime.spawn(async move {
                let _never = never.0;
                serve(listener, router, &limits, None, never.1).await
            });
        }
        let updating = service.role.matches() && service.config.feeds.update;
        if updating {
            let service = Arc::clone(&service);
            std::thread::Builder::new().name("updates".to_owned()).spawn(move || updates::run(&service))?;
        }
        let router = router(&service);
        let limits = service.config.limits.clone();
        let mut told = stopped.clone();
        runtime.spawn(async move {
            if told.wait_for(|stopped| *stopped).await.is_ok() {
                stopping.store(true, Ordering::Relaxed);
            }
        });
        let ended = runtime.block_on(serve(listener, router, &limits, Some(&service), stopped));
        service.updates.stop();
        // What still runs is a transaction that did or did not happen.
        runtime.shutdown_background();
        Ok(ended)
    }
}

/// All APIs: one line each.
fn router(service: &Arc<Service>) -> Router {
    let apis = Router::new().merge(clair_v4::router(service));
    apis.layer(CompressionLayer::new())
        .layer(middleware::from_fn_with_state(Arc::clone(&service.metrics), metrics::watch))
}

async fn listen(addresses: &[SocketAddr]) -> Result<TcpListener, Error> {
    let mut failed = None;
    for address in addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(source) => failed = Some(Error::Listen { address: *address, source }),
        }
    }
    Err(failed.unwrap_or_else(|| std::io::Error::from(std::io::ErrorKind::AddrNotAvailable).into()))
}

/// Answers what comes in at a listener until the service stops, and then what is still open.
async fn serve(
    listener: TcpListener,
    router: Router,
    limits: &crate::config::Limits,
    service: Option<&Arc<Service>>,
    mut stopped: watch::Receiver<bool>,
) -> Ended {
    let places = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let open = GracefulShutdown::new();
    loop {
        // A place first: who finds none waits in the system's queue.
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let counted = service.map(|service| service.metrics.connected());
        let connection = open.watch(connection(stream, router.clone(), limits));
        tokio::spawn(async move {
            // How a connection breaks concerns its client alone.
            let ended = connection.await;
            tracing::trace!(?ended, "a connection ended");
            drop((place, counted));
        });
    }
    drop(listener);
    match tokio::time::timeout(limits.shutdown_timeout, open.shutdown()).await {
        Ok(()) => Ended::Whole,
        Err(_) => Ended::CutOff,
    }
}

type Connection =
    http1::Connection<TokioIo<std::pin::Pin<Box<TimeoutStream<TcpStream>>>>, TowerToHyperService<Router>>;

fn connection(stream: TcpStream, router: Router, limits: &crate::config::Limits) -> Connection {
    // Answers are small, or written at once.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_timeout));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router))
}
