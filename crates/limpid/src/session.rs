//! What most commands need: the store, the clock, progress, and images brought into the store.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use limpid_feeds::{Document, Feed as _, FetchOptions, LOCAL_FEED, Local, Mirror};
use limpid_image::{OpenOptions, Reference};
use limpid_index::{Indexer, Kernels, Progress, Quiet};
use limpid_model::{Platform, Report};
use limpid_report::Style;
use limpid_store::{Credentials, FeedKey, FeedOutcome, ImageRecord, Store, UpdateStats};

use crate::arguments::{Global, ImageArguments, PlatformChoice};
use crate::as_of::{AsOf, Asked};
use crate::clock::SystemClock;
use crate::error::{Error, eprint_line};
use crate::process::ThisProcess;
use crate::progress::Bars;
use crate::registry_options::RegistryArguments;

pub(crate) struct Session<'a> {
    pub(crate) global: &'a Global,
    pub(crate) store: Box<dyn Store>,
    pub(crate) clock: SystemClock,
    process: ThisProcess,
    progress: Box<dyn Progress>,
}

impl<'a> Session<'a> {
    pub(crate) fn open(global: &'a Global) -> Result<Self, Error> {
        Self::with_store(global, limpid_store::open_with(store_path(global)?, &credentials())?)
    }

    /// A session on a store that is open already.
    pub(crate) fn with_store(global: &'a Global, store: Box<dyn Store>) -> Result<Self, Error> {
        let watched = !global.quiet && std::io::stderr().is_terminal();
        let progress: Box<dyn Progress> = if watched { Box::new(Bars::default()) } else { Box::new(Quiet) };
        Ok(Self { global, store, clock: SystemClock, process: ThisProcess::new(), progress })
    }

    /// The same without progress, for a process that writes a log.
    pub(crate) fn without_progress(mut self) -> Self {
        self.progress = Box::new(Quiet);
        self
    }

    /// Brings the image into the store.
    pub(crate) fn index(&self, image: &ImageArguments) -> Result<ImageRecord, Error> {
        let reference: Reference = image.reference.parse()?;
        let platform = image.platform.clone().map(PlatformChoice::One);
        let mut outcomes =
            self.index_all(&[(image.reference.clone(), reference)], platform.as_ref(), &image.registry)?;
        let outcome = outcomes.pop().and_then(|mut outcomes| outcomes.pop());
        Ok(outcome.unwrap_or(Err(limpid_index::Error::Worker))?)
    }

    /// Brings images into the store, as many at a time as there are cores. Each reference has the outcomes
    /// of its images: one, or with all platforms one for each.
    pub(crate) fn index_all(
        &self,
        references: &[(String, Reference)],
        platform: Option<&PlatformChoice>,
        registry: &RegistryArguments,
    ) -> Result<Vec<Vec<Result<ImageRecord, limpid_index::Error>>>, Error> {
        registry.check(references)?;
        let options = OpenOptions {
            platform: match platform {
                Some(PlatformChoice::One(platform)) => Some(platform.clone()),
                Some(PlatformChoice::All) | None => None,
            },
            registry: registry.options(self.global.offline)?,
            engines: crate::engines::options(references.iter().map(|(_, named)| named), self.global.offline)?,
            ..OpenOptions::default()
        };
        let open = |position: usize| {
            let (_, reference) = &references[position];
            Ok(match platform {
                Some(PlatformChoice::All) => limpid_image::open_all(reference, &options)?,
                _ => vec![limpid_image::open(reference, &options)?],
            })
        };
        let indexer = Indexer {
            store: self.store.as_ref(),
            clock: &self.clock,
            progress: self.progress.as_ref(),
            limits: options.limits.clone(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            process: &self.process,
        };
        let names: Vec<String> = references.iter().map(|(name, _)| name.clone()).collect();
        let outcomes = indexer.index(&names, &open);
        if let Some(PlatformChoice::One(wanted)) = platform {
            self.tell_other_platforms(wanted, names.iter().zip(&outcomes));
        }
        Ok(outcomes)
    }

    /// Tells of images that are for another platform than was asked for: where no index offers several, there is only
    /// the one.
    fn tell_other_platforms<'o>(
        &self,
        wanted: &Platform,
        outcomes: impl Iterator<Item = (&'o String, &'o Vec<Result<ImageRecord, limpid_index::Error>>)>,
    ) {
        for (name, outcomes) in outcomes {
            for record in outcomes.iter().flatten() {
                let platform = &record.metadata.platform;
                if (&platform.os, &platform.architecture) != (&wanted.os, &wanted.architecture) {
                    self.warn(&format!("{name} is for {platform}, not for {wanted}, and there is no other"));
                }
            }
        }
    }

    /// The report of the image, with feeds brought up to date for its distribution if the present is asked for.
    pub(crate) fn report(
        &self,
        image: &ImageArguments,
        as_of: Option<AsOf>,
        kernels: Kernels,
    ) -> Result<Report, Error> {
        let record = self.index(image)?;
        if as_of.is_some() {
            return self.report_of(&record, &image.reference, as_of, kernels);
        }
        if !record.release.is_empty() {
            self.update_for_report(&record.release)?;
        }
        self.report_with_records(&record, &image.reference, kernels)
    }

    /// The report of an image that is in the store. If nobody names a severity for some of its vulnerabilities,
    /// their CVE records are fetched first.
    pub(crate) fn report_with_records(
        &self,
        record: &ImageRecord,
        reference: &str,
        kernels: Kernels,
    ) -> Result<Report, Error> {
        let report = self.report_of(record, reference, None, kernels)?;
        if self.fetch_records(&report)? {
            self.report_of(record, reference, None, kernels)
        } else {
            Ok(report)
        }
    }

    /// The report of the image without asking for newer advisories.
    pub(crate) fn report_as_is(&self, image: &ImageArguments) -> Result<Report, Error> {
        self.report_of(&self.index(image)?, &image.reference, None, Kernels::ByImage)
    }

    /// The report of an image that is in the store, at a moment.
    pub(crate) fn report_of(
        &self,
        record: &ImageRecord,
        reference: &str,
        as_of: Option<AsOf>,
        kernels: Kernels,
    ) -> Result<Report, Error> {
        let asked = Asked::new(self.store.as_ref(), as_of)?;
        Ok(limpid_index::report(self.store.as_ref(), record, reference, asked.moment(), kernels)?)
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
            // One byte more than may be read tells that it is too large.
            let bytes_max = limpid_feeds::Limits::default().record_bytes_max as u64;
            let mut content = Vec::new();
            let opened = std::fs::File::open(&file).map_err(failed(&file))?;
            opened.take(bytes_max + 1).read_to_end(&mut content).map_err(failed(&file))?;
            documents.push((file.display().to_string(), content));
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
            let summary = parsed.map_err(|error| Error::Feeds(error.to_string()))?;
            self.tell_skipped(file, &summary.skipped);
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

    /// Tells which records of a document were left out, and why.
    pub(crate) fn tell_skipped(&self, document: &str, skipped: &BTreeMap<String, u64>) {
        for (reason, count) in skipped {
            self.warn(&format!("{document}: {count} left out: {reason}"));
        }
    }

    pub(crate) fn progress(&self) -> &dyn Progress {
        self.progress.as_ref()
    }

    pub(crate) fn process(&self) -> &dyn limpid_index::Process {
        &self.process
    }

    pub(crate) fn fetch_options(&self) -> Result<FetchOptions, Error> {
        fetch_options(self.global)
    }

    pub(crate) fn warn(&self, message: &str) {
        tell(self.global, "warning", message);
    }

    /// What is worth knowing and nothing to worry about.
    pub(crate) fn note(&self, message: &str) {
        tell(self.global, "note", message);
    }
}

/// How feeds are got.
pub(crate) fn fetch_options(global: &Global) -> Result<FetchOptions, Error> {
    let mirror = global.feeds_mirror.as_deref().map(str::parse::<Mirror>).transpose();
    let mirror = mirror.map_err(|error| Error::Usage { message: format!("--feeds-mirror: {error}") })?;
    Ok(FetchOptions { mirror, offline: global.offline, ..FetchOptions::default() })
}

/// A line for people, unless they want none.
pub(crate) fn tell(global: &Global, kind: &str, message: &str) {
    if !global.quiet {
        eprint_line(&format!("{kind}: {}", limpid_report::terminal::printable(message)));
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

/// What opens a database beside its address, where PostgreSQL's own tools look for it.
pub(crate) fn credentials() -> Credentials {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
    Credentials {
        password: std::env::var("PGPASSWORD").ok().filter(|password| !password.is_empty()),
        password_file: std::env::var_os("PGPASSFILE").map(PathBuf::from).or_else(home),
    }
}

/// The store's file, or the address of its database.
pub(crate) fn store_path(global: &Global) -> Result<PathBuf, Error> {
    global.store.clone().map_or_else(default_store, Ok)
}

fn default_store() -> Result<PathBuf, Error> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    data.map(|data| data.join("limpid/limpid.db")).ok_or_else(|| Error::Usage {
        message: "there is no home directory to keep the store in; name a file with --store".to_owned(),
    })
}
