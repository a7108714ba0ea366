//! What most commands need: the store, the clock, progress, and images brought into the store.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use limpid_feeds::{Document, Feed as _, FetchOptions, Fetcher, LOCAL_FEED, Local, Mirror};
use limpid_image::{OpenOptions, Reference};
use limpid_index::{Indexer, Outcome, Progress, Quiet, Updater};
use limpid_model::Report;
use limpid_report::Style;
use limpid_store::{FeedKey, FeedOutcome, ImageRecord, SqliteStore, Store, UpdateStats};

use crate::arguments::{Global, ImageArguments};
use crate::as_of::{AsOf, Asked};
use crate::clock::SystemClock;
use crate::error::{Error, eprint_line};
use crate::progress::Bars;

/// Feeds younger than this are not asked for again by `scan`: sources change a few times a day.
const FEED_AGE_SECONDS_MAX: i64 = 6 * 3600;

pub(crate) struct Session<'a> {
    pub(crate) global: &'a Global,
    pub(crate) store: SqliteStore,
    pub(crate) clock: SystemClock,
    progress: Box<dyn Progress>,
}

impl<'a> Session<'a> {
    pub(crate) fn open(global: &'a Global) -> Result<Self, Error> {
        let path = match &global.store {
            Some(path) => path.clone(),
            None => default_store()?,
        };
        Self::with_store(global, SqliteStore::open(&path)?)
    }

    /// A session on a store that is open already.
    pub(crate) fn with_store(global: &'a Global, store: SqliteStore) -> Result<Self, Error> {
        let watched = !global.quiet && std::io::stderr().is_terminal();
        let progress: Box<dyn Progress> = if watched { Box::new(Bars::default()) } else { Box::new(Quiet) };
        Ok(Self { global, store, clock: SystemClock, progress })
    }

    /// Brings the image into the store.
    pub(crate) fn index(&self, image: &ImageArguments) -> Result<ImageRecord, Error> {
        let reference: Reference = image.reference.parse()?;
        let options = OpenOptions { platform: image.platform.clone(), ..OpenOptions::default() };
        let opened = limpid_image::open(&reference, &options).map_err(limpid_index::Error::from)?;
        let indexer = Indexer {
            store: &self.store,
            clock: &self.clock,
            progress: self.progress.as_ref(),
            limits: options.limits,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            owner: owner(),
        };
        Ok(indexer.index(opened.as_ref(), &image.reference)?.1)
    }

    /// The report of the image, with feeds brought up to date for its distribution if the present is asked for.
    pub(crate) fn report(&self, image: &ImageArguments, as_of: Option<AsOf>) -> Result<Report, Error> {
        let record = self.index(image)?;
        let asked = Asked::new(&self.store, as_of)?;
        if asked.is_present() && !record.release.is_empty() {
            self.update(&BTreeSet::from([record.release.clone()]), FEED_AGE_SECONDS_MAX)?;
        }
        Ok(limpid_index::report(&self.store, &record, &image.reference, asked.moment())?)
    }

    /// The report of the image without asking for newer advisories.
    pub(crate) fn report_as_is(&self, image: &ImageArguments) -> Result<Report, Error> {
        let record = self.index(image)?;
        let asked = Asked::new(&self.store, None)?;
        Ok(limpid_index::report(&self.store, &record, &image.reference, asked.moment())?)
    }

    /// Updates the feeds that speak for the releases, unless offline. A feed that fails is told of; only if
    /// the store then has nothing to go by is that an error.
    pub(crate) fn update(&self, releases: &BTreeSet<String>, age_seconds_max: i64) -> Result<(), Error> {
        if self.global.offline {
            return Ok(());
        }
        let fetcher = Fetcher::new(self.fetch_options()?);
        let updater = Updater {
            store: &self.store,
            clock: &self.clock,
            progress: self.progress.as_ref(),
            fetcher: &fetcher,
            limits: limpid_feeds::Limits::default(),
            age_seconds_max,
        };
        for updated in updater.update(releases)? {
            let Outcome::Failed(reason) = &updated.outcome else { continue };
            let state = self.store.feeds()?.into_iter().find(|state| state.key == updated.key);
            let name = format!("{} {}", updated.key.feed, updated.key.document);
            match state {
                Some(state) if state.succeeded_at > 0 => self.warn(&format!(
                    "feed {name} was not updated ({reason}); using the data of {}",
                    crate::clock::rfc3339(state.succeeded_at)
                )),
                _ => return Err(Error::Feeds(format!("feed {name} could not be read: {reason}"))),
            }
        }
        Ok(())
    }

    /// Reads advisories of the user's own from a file, or from the `*.json` files of a folder, in place of
    /// those that were read from there before.
    pub(crate) fn import(&self, path: &Path) -> Result<UpdateStats, Error> {
        let failed = |path: &Path| {
            let what = format!("{} cannot be read", path.display());
            move |source| Error::Io { what, source }
        };
        let mut files = vec![path.to_owned()];
        if path.is_dir() {
            let entries = std::fs::read_dir(path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
            files = entries.map_err(failed(path))?.into_iter().map(|entry| entry.path()).collect();
            files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
            files.sort();
        }
        let mut documents = Vec::new();
        for file in files {
            documents.push((file.display().to_string(), std::fs::read(&file).map_err(failed(&file))?));
        }
        self.import_documents(&path.display().to_string(), &documents)
    }

    /// Reads advisories in OSV format, given as (name, content), as one document of the user's own.
    pub(crate) fn import_documents(
        &self,
        name: &str,
        documents: &[(String, Vec<u8>)],
    ) -> Result<UpdateStats, Error> {
        let key = FeedKey { feed: LOCAL_FEED.to_owned(), document: name.to_owned() };
        let mut update = self.store.begin_update(&key)?;
        for (file, content) in documents {
            let document = Document { name: file.clone(), url: String::new() };
            let parsed = Local.parse(
                &document,
                &mut content.as_slice(),
                &limpid_feeds::Limits::default(),
                &mut |advisory| update.add(advisory).map_err(Into::into),
            );
            parsed.map_err(|error| Error::Feeds(error.to_string()))?;
        }
        let size_bytes = documents.iter().map(|(_, content)| content.len() as u64).sum();
        let outcome = FeedOutcome {
            parser_version: Local.parser_version(),
            size_bytes,
            now: limpid_index::Clock::now(&self.clock),
            ..FeedOutcome::default()
        };
        Ok(update.commit(&outcome)?)
    }

    fn fetch_options(&self) -> Result<FetchOptions, Error> {
        let mirror = self.global.feeds_mirror.as_deref().map(str::parse::<Mirror>).transpose();
        let mirror = mirror.map_err(|error| Error::Usage { message: format!("--feeds-mirror: {error}") })?;
        Ok(FetchOptions { mirror, offline: self.global.offline, ..FetchOptions::default() })
    }

    pub(crate) fn warn(&self, message: &str) {
        if !self.global.quiet {
            eprint_line(&format!("warning: {}", limpid_report::terminal::printable(message)));
        }
    }
}

/// How tables may look on standard output.
pub(crate) fn style() -> Style {
    let terminal = std::io::stdout().is_terminal();
    let width = terminal.then(terminal_size::terminal_size).flatten().map(|(width, _)| usize::from(width.0));
    let color = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    Style { color, width }
}

/// Data to standard output.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(Error::io("cannot write the output"))
}

/// Names this process among those that use a store.
fn owner() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", std::process::id(), since.as_nanos())
}

fn default_store() -> Result<PathBuf, Error> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    data.map(|data| data.join("limpid/limpid.db")).ok_or_else(|| Error::Usage {
        message: "there is no home directory to keep the store in; name a file with --store".to_owned(),
    })
}
