//! `limpid serve`: HTTP APIs on one store.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use limpid_server::{Config, Ended, File, LogFormat, LogLevel, Parts, Role, Server};
use tracing_subscriber::filter::LevelFilter;

use crate::arguments::{Global, SettingsArguments};
use crate::clock::SystemClock;
use crate::error::{Error, Exit, eprint_line};
use crate::process::ThisProcess;
use crate::queue_arguments::Serve;
use crate::registry_options::RegistryArguments;
use crate::session::{credentials, fetch_options, store_path, tell};

/// Bytes of a file of settings, and one more that tells that it is too large.
const FILE_BYTES_MAX: u64 = (1 << 20) + 1;

pub(super) fn run(global: &Global, command: &Serve, role: Role) -> Result<Exit, Error> {
    let mut config = settings(global, &command.settings)?;
    config.feeds.update &= !global.offline;
    log(&config);
    let server = Server::bind(
        config,
        Parts {
            store: Arc::from(limpid_store::open_with(store_path(global)?, &credentials())?),
            clock: Arc::new(SystemClock),
            process: Arc::new(ThisProcess::new()),
            fetch: fetch_options(global)?,
            registry: RegistryArguments::default().options(global.offline)?,
            role,
        },
    )?;
    tell(global, "note", &format!("the APIs are at http://{}", server.address()?));
    if let Some(address) = server.introspection_address()? {
        tell(global, "note", &format!("health, readiness and metrics are at http://{address}"));
    }
    let stopper = server.stopper();
    let asked = crate::interrupt::stop_when_asked();
    std::thread::spawn(move || {
        while !asked.wait(Duration::from_secs(3600)) {}
        stopper.stop();
    });
    match server.run()? {
        Ended::Whole => Ok(Exit::Success),
        Ended::CutOff => {
            eprint_line(
                "limpid: some requests took too long to end (limits.shutdown_timeout) and were cut off",
            );
            Ok(Exit::Failure)
        }
    }
}

/// The settings; tells of what has no meaning.
pub(crate) fn settings(global: &Global, arguments: &SettingsArguments) -> Result<Config, Error> {
    let own = arguments.config.as_deref().map(read).transpose()?;
    let clair = arguments.clair_config.as_deref().map(read).transpose()?;
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let loaded = Config::load(
        own.as_ref().map(|(name, text)| File { name, text }),
        clair.as_ref().map(|(name, text)| File { name, text }),
        environment,
    );
    let (config, warnings) = loaded.map_err(limpid_server::Error::from)?;
    for warning in warnings {
        tell(global, "warning", &warning);
    }
    if let Some(path) = &arguments.clair_config {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".d");
        if Path::new(&beside).is_dir() {
            tell(global, "warning", &format!("{} is not read", Path::new(&beside).display()));
        }
    }
    Ok(config)
}

fn read(path: &Path) -> Result<(String, String), Error> {
    let mut text = String::new();
    let opened = std::fs::File::open(path);
    opened
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|source| Error::Io { what: format!("{} cannot be read", path.display()), source })?;
    Ok((path.display().to_string(), text))
}

/// Writes the log to standard error.
fn log(config: &Config) {
    let level = match config.log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let lines = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(false);
    match config.log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
