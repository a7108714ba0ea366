//! Where reports go: formats and files as the command line names them.
//!
//! A file is written whole or not at all: under a temporary name beside it, which it loses when all of it is there.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, TypedValueParser};
use limpid_model::Report;
use limpid_report::{Document, Edition, Format, Job, formats};
use tempfile::NamedTempFile;

use crate::error::Error;
use crate::session::{print, style};

/// What stands for an image in the name of a file.
const PLACEHOLDER: &str = "{image}";

/// Reads a format's name; help and completions list them all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FormatParser {
    /// Whether the command is about packages alone.
    pub(crate) packages_only: bool,
}

impl TypedValueParser for FormatParser {
    type Value = &'static Format;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let names: Vec<&'static str> = formats(self.packages_only).map(|format| format.name).collect();
        let name = clap::builder::PossibleValuesParser::new(names).parse_ref(command, argument, value)?;
        formats(self.packages_only)
            .find(|format| format.name == name)
            .ok_or_else(|| clap::Error::new(clap::error::ErrorKind::InvalidValue).with_cmd(command))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values =
            formats(self.packages_only).map(|format| PossibleValue::new(format.name).help(format.about));
        Some(Box::new(values))
    }
}

/// A format and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) format: &'static Format,
    target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Standard,
    File(PathBuf),
    /// A file for each image, by a name with [`PLACEHOLDER`].
    FileEach(String),
}

/// What `--format` and `--output` ask for: without `--output` one format on standard output.
pub(crate) fn plan(
    format: Option<&'static Format>,
    outputs: &[String],
    packages_only: bool,
) -> Result<Vec<Planned>, Error> {
    let table = formats(packages_only).find(|format| format.name == "table");
    if outputs.is_empty() {
        let format = format.or(table).into_iter();
        return Ok(format.map(|format| Planned { format, target: Target::Standard }).collect());
    }
    let mut planned = Vec::new();
    let mut targets = BTreeSet::new();
    for output in outputs {
        let (named, file) = split(output, packages_only)?;
        let one = Planned { format: choose(named, format, file, packages_only)?, target: target(file)? };
        if !targets.insert(file) {
            return Err(usage(format!("two outputs go to `{file}`")));
        }
        planned.push(one);
    }
    Ok(planned)
}

fn usage(message: String) -> Error {
    Error::Usage { message }
}

fn target(file: &str) -> Result<Target, Error> {
    Ok(match file {
        "" => return Err(usage("--output names no file; `-` is standard output".to_owned())),
        "-" => Target::Standard,
        file if file.contains(PLACEHOLDER) => Target::FileEach(file.to_owned()),
        file => Target::File(PathBuf::from(file)),
    })
}

/// The format that an output names, if it does, and its file.
fn split(output: &str, packages_only: bool) -> Result<(Option<&'static Format>, &str), Error> {
    let Some((name, file)) = output.split_once('=') else { return Ok((None, output)) };
    if let Some(format) = formats(packages_only).find(|format| format.name == name) {
        return Ok((Some(format), file));
    }
    // A name of a file may have `=` in it; one without a dot or a slash before it was meant as a format.
    if name.contains(['.', '/']) {
        return Ok((None, output));
    }
    let names: Vec<&str> = formats(packages_only).map(|format| format.name).collect();
    Err(usage(format!("`{name}` is no format of this command; there are {}", names.join(", "))))
}

fn choose(
    named: Option<&'static Format>,
    asked: Option<&'static Format>,
    file: &str,
    packages_only: bool,
) -> Result<&'static Format, Error> {
    if let Some(named) = named {
        return Ok(named);
    }
    let name =
        Path::new(file).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match (asked, limpid_report::guess(&name, packages_only)) {
        (Some(asked), Some(guessed)) if asked.name != guessed.name => Err(usage(format!(
            "`{file}` has the name of a {} file, and --format says {}; write --output {}={file} or --output {}={file}",
            guessed.name, asked.name, guessed.name, asked.name
        ))),
        (Some(asked), _) => Ok(asked),
        (None, Some(guessed)) => Ok(guessed),
        (None, None) if file == "-" => Err(usage("write --output FORMAT=-, or --format FORMAT".to_owned())),
        (None, None) => Err(usage(format!(
            "the name `{file}` does not say which format is meant; write --output FORMAT={file}"
        ))),
    }
}

/// The outputs of a command that is running.
pub(crate) struct Outputs {
    sinks: Vec<Sink>,
    several: bool,
}

impl Outputs {
    /// Opens every output, so that what cannot be written fails before anything is analysed.
    pub(crate) fn open(planned: &[Planned], edition: &Edition) -> Result<Self, Error> {
        let sinks = planned.iter().map(|planned| Sink::open(planned, edition)).collect::<Result<_, _>>()?;
        Ok(Self { sinks, several: edition.several })
    }

    /// Adds the reports of a reference.
    pub(crate) fn add(&mut self, reports: &[Report]) -> Result<(), Error> {
        self.sinks.iter_mut().try_for_each(|sink| sink.add(reports))
    }

    /// Ends every document. Of one image without a report nothing is written.
    pub(crate) fn finish(self, failed: &[(String, String)]) -> Result<(), Error> {
        self.sinks.into_iter().try_for_each(|sink| sink.finish(failed, self.several))
    }
}

struct Sink {
    format: &'static Format,
    edition: Edition,
    document: Box<dyn Document>,
    begun: bool,
    target: Open,
}

enum Open {
    Standard,
    File(Pending),
    FileEach { name: String, written: BTreeSet<PathBuf> },
}

impl Sink {
    fn open(planned: &Planned, edition: &Edition) -> Result<Self, Error> {
        let format = planned.format;
        let mut edition = edition.clone();
        if (edition.several || edition.all_platforms)
            && !format.holds_several()
            && !matches!(planned.target, Target::FileEach(_))
        {
            return Err(usage(format!(
                "a {0} document is of one image; name one, or let each have a file: --output '{0}={PLACEHOLDER}.{0}'",
                format.name
            )));
        }
        let target = match &planned.target {
            Target::Standard => {
                edition.style = style();
                Open::Standard
            }
            Target::File(path) => Open::File(Pending::create(path)?),
            Target::FileEach(name) => {
                // Each document is of one image.
                (edition.several, edition.all_platforms) = (false, false);
                Open::FileEach { name: name.clone(), written: BTreeSet::new() }
            }
        };
        Ok(Self { format, document: format.open(&edition), edition, begun: false, target })
    }

    fn begin(&mut self) -> Result<(), Error> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        let head = self.document.begin();
        self.write(&head)
    }

    fn add(&mut self, reports: &[Report]) -> Result<(), Error> {
        if let Open::FileEach { name, written } = &mut self.target {
            for report in reports {
                let path = path_of(name, report, written);
                let mut file = Pending::create(&path)?;
                file.write(&self.format.document(report, &self.edition))?;
                file.finish()?;
            }
            return Ok(());
        }
        self.begin()?;
        let text = self.document.add(reports);
        self.write(&text)
    }

    fn finish(mut self, failed: &[(String, String)], several: bool) -> Result<(), Error> {
        if matches!(self.target, Open::FileEach { .. }) || !(self.begun || several) {
            return Ok(());
        }
        self.begin()?;
        let tail = self.document.end(failed);
        self.write(&tail)?;
        match self.target {
            Open::File(file) => file.finish(),
            _ => Ok(()),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Error> {
        match &mut self.target {
            Open::File(file) => file.write(text),
            _ if text.is_empty() => Ok(()),
            _ => print(text),
        }
    }
}

/// The file of an image: its reference, and its platform if there are others, in characters that every system takes.
fn path_of(name: &str, report: &Report, written: &mut BTreeSet<PathBuf>) -> PathBuf {
    /// What a file system takes in a name, less what may stand around it.
    const CHARS_MAX: usize = 150;
    let safe = |text: &str| -> String {
        let safe = text.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' });
        let safe: String = safe.collect();
        let excess = safe.len().saturating_sub(CHARS_MAX);
        safe[excess..].trim_matches(['.', '_']).to_owned()
    };
    let reference = safe(&report.reference);
    let first = PathBuf::from(name.replace(PLACEHOLDER, &reference));
    if written.insert(first.clone()) {
        return first;
    }
    let with_platform = format!("{reference}_{}", safe(&report.image.platform.to_string()));
    let mut number = 1_u64;
    loop {
        let suffix = if number == 1 { String::new() } else { format!("_{number}") };
        let path = PathBuf::from(name.replace(PLACEHOLDER, &format!("{with_platform}{suffix}")));
        if written.insert(path.clone()) {
            return path;
        }
        number += 1;
    }
}

/// A file that is not there yet under its name.
struct Pending {
    path: PathBuf,
    writing: Writing,
}

enum Writing {
    Temporary(NamedTempFile),
    /// A device or a pipe, which nothing may take the place of.
    Direct(File),
}

impl Pending {
    fn create(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Io { what: format!("{} cannot be written", path.display()), source };
        let there = std::fs::metadata(path).ok();
        if there.as_ref().is_some_and(std::fs::Metadata::is_dir) {
            return Err(usage(format!("{} is a folder; name a file", path.display())));
        }
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            let file = File::options().write(true).open(path).map_err(failed)?;
            return Ok(Self { path: path.to_owned(), writing: Writing::Direct(file) });
        }
        // What a link leads to is replaced, not the link.
        let path_of_file = match &there {
            Some(_) => std::fs::canonicalize(path).map_err(failed)?,
            None => path.to_owned(),
        };
        let folder = path_of_file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        builder.prefix(".limpid-").suffix(".part");
        let permissions = there.as_ref().map_or_else(new_file_permissions, |there| Some(there.permissions()));
        if let Some(permissions) = permissions {
            builder.permissions(permissions);
        }
        let file = builder.tempfile_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        crate::interrupt::remove_if_interrupted(file.path());
        Ok(Self { path: path_of_file, writing: Writing::Temporary(file) })
    }

    fn write(&mut self, text: &str) -> Result<(), Error> {
        let written = match &mut self.writing {
            Writing::Temporary(file) => file.write_all(text.as_bytes()),
            Writing::Direct(file) => file.write_all(text.as_bytes()),
        };
        let what = || format!("{} cannot be written", self.path.display());
        written.map_err(|source| Error::Io { what: what(), source })
    }

    fn finish(self) -> Result<(), Error> {
        let Writing::Temporary(file) = self.writing else { return Ok(()) };
        let what = || format!("{} cannot be written", self.path.display());
        file.as_file().sync_all().map_err(|source| Error::Io { what: what(), source })?;
        let kept = file.persist(&self.path).map_err(|error| error.error);
        kept.map(drop).map_err(|source| Error::Io { what: what(), source })
    }
}

/// What a new file may be used for, before the user's mask: temporary files are for their owner alone.
fn new_file_permissions() -> Option<std::fs::Permissions> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(std::fs::Permissions::from_mode(0o666))
}

/// The job of GitHub Actions that this runs in, as its environment says.
pub(crate) fn job() -> Job {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (workflow, job) = (variable("GITHUB_WORKFLOW"), variable("GITHUB_JOB"));
    let correlator =
        [workflow, job].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_");
    Job {
        sha: variable("GITHUB_SHA"),
        reference: variable("GITHUB_REF"),
        correlator,
        run: variable("GITHUB_RUN_ID"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn planned(format: Option<&str>, outputs: &[&str]) -> Result<Vec<String>, String> {
        let format = format.map(|name| formats(false).find(|format| format.name == name).unwrap());
        let outputs: Vec<String> = outputs.iter().map(|&output| output.to_owned()).collect();
        let planned = plan(format, &outputs, false).map_err(|error| error.to_string())?;
        Ok(planned.iter().map(|planned| format!("{} {:?}", planned.format.name, planned.target)).collect())
    }

    #[test]
    fn outputs_are_of_the_format_that_is_named_or_meant() {
        assert_eq!(planned(None, &[]).unwrap(), ["table Standard"]);
        assert_eq!(planned(Some("json"), &[]).unwrap(), ["json Standard"]);
        assert_eq!(
            planned(None, &["table=-", "a.sarif", "trivy=x=y.json", "b/{image}.cdx.json"]).unwrap(),
            [
                "table Standard",
                "sarif File(\"a.sarif\")",
                "trivy File(\"x=y.json\")",
                "cyclonedx FileEach(\"b/{image}.cdx.json\")"
            ]
        );
        assert_eq!(planned(Some("trivy"), &["report.json"]).unwrap(), ["trivy File(\"report.json\")"]);
        assert_eq!(planned(None, &["./k=v/a.sarif"]).unwrap(), ["sarif File(\"./k=v/a.sarif\")"]);
    }

    #[test]
    fn what_could_mean_two_things_is_asked_about() {
        for (format, outputs, word) in [
            (None, vec!["report.json"], "does not say which format"),
            (Some("json"), vec!["a.sarif"], "--output sarif=a.sarif or --output json=a.sarif"),
            (None, vec!["sarfi=a.json"], "`sarfi` is no format"),
            (None, vec!["json=a", "trivy=a"], "two outputs go to `a`"),
            (None, vec!["json="], "names no file"),
            (None, vec!["-"], "FORMAT=-"),
        ] {
            let error = planned(format, &outputs).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
