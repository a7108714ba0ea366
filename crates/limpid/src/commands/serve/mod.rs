//! `limpid serve`: processes that stay. One file for the service with its APIs, one for a worker.

mod chores;
mod log;
mod service;
mod worker;

use crate::arguments::Global;
use crate::error::{Error, Exit};
use crate::queue_arguments::Serve;

pub(crate) use self::service::settings;

pub(crate) fn run(global: &Global, serve: &Serve) -> Result<Exit, Error> {
    let role = serve.role.clone().or_else(|| {
        // Whoever brings Clair's settings has said there what the process is.
        let mode = serve.settings.clair_config.as_ref().and_then(|_| std::env::var("CLAIR_MODE").ok());
        mode.filter(|mode| !mode.is_empty())
    });
    match role.as_deref().unwrap_or("all") {
        "worker" => worker::run(global, serve),
        other => match other.parse() {
            Ok(role) => service::run(global, serve, role),
            Err(_) => {
                let message = format!("there is no role `{other}`; choose all, indexer, matcher or worker");
                Err(Error::Usage { message })
            }
        },
    }
}
