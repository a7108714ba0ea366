//! Several images in one command: from the references to what is printed of each.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use limpid_image::Reference;
use limpid_index::Kernels;
use limpid_model::Report;
use limpid_report::{Edition, Job};
use limpid_store::ImageRecord;

use crate::arguments::{ImagesArguments, PlatformChoice};
use crate::as_of::AsOf;
use crate::error::{Error, Exit};
use crate::outputs::{Outputs, Planned};
use crate::session::Session;

/// The largest list of references, in bytes: a hundred thousand long ones.
const LIST_BYTES_MAX: u64 = 16 << 20;

/// What a command does with a report beside writing it.
pub(crate) trait Output {
    /// What else there is to say of an image, and how it ends.
    fn judge(&self, session: &Session<'_>, report: &Report) -> Exit;
}

/// How the images of several references stand together.
pub(crate) struct Plan<'a> {
    pub(crate) images: &'a ImagesArguments,
    /// Formats, and where they go.
    pub(crate) outputs: Vec<Planned>,
    /// Whether it is about packages alone.
    pub(crate) packages_only: bool,
    /// Whether advisories are brought up to date first, if the present is asked for.
    pub(crate) update: bool,
    /// The moment that is asked for, if it is not the present.
    pub(crate) as_of: Option<AsOf>,
    /// Whether what is found in kernels is listed.
    pub(crate) kernels: Kernels,
}

/// Analyses every image, writes its report to the outputs in the order given, asks `output` of each, and says how it ended.
pub(crate) fn run(session: &Session<'_>, plan: &Plan<'_>, output: &dyn Output) -> Result<Exit, Error> {
    let names = references(plan.images)?;
    if names.is_empty() {
        session.warn("the list names no image");
    }
    let several = plan.images.from_file.is_some() || names.len() > 1;
    let all_platforms = plan.images.platform == Some(PlatformChoice::All);
    let edition = Edition {
        packages_only: plan.packages_only,
        several,
        all_platforms,
        job: job(session, &plan.outputs),
        ..Edition::default()
    };
    let mut outputs = Outputs::open(&plan.outputs, &edition)?;
    let outcomes = index(session, plan, &names)?;
    let mut failed: Vec<(String, String)> = Vec::new();
    let mut exit = Exit::Success;
    for (name, outcomes) in names.iter().zip(outcomes) {
        let mut reports = Vec::new();
        for outcome in outcomes {
            match outcome.and_then(|record| match plan.update && plan.as_of.is_none() {
                true => session.report_with_records(&record, name, plan.kernels),
                false => session.report_of(&record, name, plan.as_of, plan.kernels),
            }) {
                Ok(report) => reports.push(report),
                Err(error) => {
                    exit = exit.worse(error.exit());
                    error.tell_of(several.then_some(name));
                    failed.push((name.to_owned(), error.to_string()));
                }
            }
        }
        if reports.is_empty() {
            continue;
        }
        outputs.add(&reports)?;
        for report in &reports {
            exit = exit.worse(output.judge(session, report));
        }
    }
    outputs.finish(&failed)?;
    if plan.update && plan.as_of.is_none() {
        session.derive_events();
    }
    Ok(exit)
}

/// The job that a snapshot for GitHub is of.
fn job(session: &Session<'_>, outputs: &[Planned]) -> Job {
    if outputs.iter().all(|planned| planned.format.name != "github") {
        return Job::default();
    }
    let job = crate::outputs::job();
    if job.sha.is_empty() || job.reference.is_empty() {
        session.warn("GITHUB_SHA and GITHUB_REF do not say which commit the snapshot is of; it names none");
    }
    job
}

/// The references of the command line and of the list, in this order.
fn references(images: &ImagesArguments) -> Result<Vec<String>, Error> {
    let mut references = images.references.clone();
    let Some(path) = &images.from_file else { return Ok(references) };
    let text = read_bounded(path, LIST_BYTES_MAX)?;
    references.extend(limpid_index::references(&text).map(|(_, reference)| reference.to_owned()));
    Ok(references)
}

/// The text of a file, or of standard input if it is `-`.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> Result<String, Error> {
    let mut text = String::new();
    let reader = match path.as_os_str() == "-" {
        true => Ok(Box::new(std::io::stdin().lock()) as Box<dyn std::io::Read>),
        false => std::fs::File::open(path).map(|file| Box::new(file) as Box<dyn std::io::Read>),
    };
    reader.and_then(|reader| reader.take(bytes_max + 1).read_to_string(&mut text)).map_err(|source| {
        Error::Io { what: format!("the list {} cannot be read", path.display()), source }
    })?;
    if text.len() as u64 > bytes_max {
        let message = format!("the list {} is larger than {bytes_max} bytes", path.display());
        return Err(Error::Usage { message });
    }
    Ok(text)
}

type Outcomes = Vec<Result<ImageRecord, Error>>;

/// Brings every image into the store, and advisories for all of them. An image for which no advisories could be
/// had has that as its outcome.
fn index(session: &Session<'_>, plan: &Plan<'_>, names: &[String]) -> Result<Vec<Outcomes>, Error> {
    let mut good = Vec::new();
    let mut outcomes: BTreeMap<usize, Outcomes> = BTreeMap::new();
    for (position, name) in names.iter().enumerate() {
        match name.parse::<Reference>() {
            Ok(reference) => good.push((position, (name.clone(), reference))),
            Err(error) => {
                outcomes.insert(position, vec![Err(error.into())]);
            }
        }
    }
    let (positions, good): (Vec<usize>, Vec<_>) = good.into_iter().unzip();
    let indexed = session.index_all(&good, plan.images.platform.as_ref(), &plan.images.registry)?;
    for (position, of_reference) in positions.into_iter().zip(indexed) {
        outcomes.insert(position, of_reference.into_iter().map(|outcome| Ok(outcome?)).collect());
    }
    if plan.update && plan.as_of.is_none() {
        let releases: BTreeSet<String> = outcomes
            .values()
            .flatten()
            .filter_map(|outcome| outcome.as_ref().ok())
            .map(|record| record.release.clone())
            .filter(|release| !release.is_empty())
            .collect();
        let without_data = session.update_for_scan(releases)?;
        for outcome in outcomes.values_mut().flatten() {
            let reason = outcome.as_ref().ok().and_then(|record| without_data.get(&record.release));
            if let Some(reason) = reason.cloned() {
                *outcome = Err(Error::Feeds(reason));
            }
        }
    }
    Ok(outcomes.into_values().collect())
}
