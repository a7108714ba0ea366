//! What jobs of the queue ask for, and how that is written down: as JSON, so that workers of several versions can share
//! a queue. What a later version says more is passed over.

use limpid_image::ClairManifest;
use limpid_model::Digest;
use limpid_store::{NewJob, OPTIONS_BYTES_MAX, SUBJECT_BYTES_MAX, TakenJob};
use serde::{Deserialize, Serialize};

/// A job that indexes what a reference names.
const IMAGE: &str = "image";
/// A job that indexes what a manifest in Clair's words describes.
const MANIFEST: &str = "manifest";
/// What workers that index images can do.
pub(crate) const KINDS: [&str; 2] = [IMAGE, MANIFEST];

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Index an image that a reference names.
    Image(ImageWork),
    /// Index an image whose layers are at addresses.
    Manifest(ClairManifest),
}

/// An image that a reference names, and how to get at it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageWork {
    /// The reference.
    pub reference: String,
    /// The platform (`linux/arm64`) or `all`; empty for the worker's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub platform: String,
    /// What to show to the registry, as `Authorization` has it (`Basic …` or `Bearer …`); empty for what the worker knows.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub authorization: String,
    /// Whether the registry may be spoken to without a valid certificate.
    #[serde(default)]
    pub insecure: bool,
}

impl std::fmt::Debug for ImageWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageWork").field("reference", &self.reference).finish_non_exhaustive()
    }
}

/// Something is no work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WorkError(pub String);

impl ImageWork {
    /// The image that a reference names, for the worker's own platform and with what the worker may show.
    pub fn new(reference: impl Into<String>) -> Self {
        let reference = reference.into();
        Self { reference, platform: String::new(), authorization: String::new(), insecure: false }
    }
}

impl Work {
    /// The job that asks for it.
    pub fn job(&self, priority: i32) -> Result<NewJob, WorkError> {
        let (kind, subject, key, options) = match self {
            Self::Image(image) => {
                let key = Digest::of(format!("{}\n{}", image.reference, image.platform).as_bytes());
                let platform = match image.platform.as_str() {
                    "" => String::new(),
                    platform => format!(" ({platform})"),
                };
                (IMAGE, format!("{}{platform}", image.reference), key, serde_json::to_vec(image))
            }
            Self::Manifest(manifest) => {
                (MANIFEST, manifest.hash.to_string(), manifest.key(), serde_json::to_vec(manifest))
            }
        };
        let options = options.map_err(|error| WorkError(error.to_string()))?;
        if subject.len() > SUBJECT_BYTES_MAX || options.len() > OPTIONS_BYTES_MAX {
            return Err(WorkError("it is larger than any image's is".to_owned()));
        }
        Ok(NewJob { kind: kind.to_owned(), subject, key, options, priority })
    }

    /// What a job asks for.
    pub fn of(job: &TakenJob) -> Result<Self, WorkError> {
        let unreadable = |error: serde_json::Error| {
            WorkError(format!("the job cannot be read: {error}; is this worker too old?"))
        };
        match job.kind.as_str() {
            IMAGE => serde_json::from_slice(&job.options).map(Self::Image).map_err(unreadable),
            MANIFEST => serde_json::from_slice(&job.options).map(Self::Manifest).map_err(unreadable),
            other => Err(WorkError(format!("this worker does not know how to do `{other}`"))),
        }
    }

    /// The reference that the image is stored under, empty for none.
    pub(crate) fn reference(&self) -> &str {
        match self {
            Self::Image(image) => &image.reference,
            Self::Manifest(_) => "",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use limpid_store::JobId;

    use super::*;

    fn taken(job: NewJob) -> TakenJob {
        let NewJob { kind, subject, options, .. } = job;
        TakenJob { id: JobId(1), attempt: 1, failures: 0, kind, subject, options }
    }

    #[test]
    fn jobs_say_what_is_to_be_done() {
        let mut image = ImageWork::new("host/a:1");
        let plain = Work::Image(image.clone()).job(0).unwrap();
        image.authorization = "Bearer t".to_owned();
        let with_token = Work::Image(image.clone()).job(0).unwrap();
        assert_eq!(plain.key, with_token.key, "credentials make no other work");
        image.platform = "linux/arm64".to_owned();
        let work = Work::Image(image);
        let job = work.job(3).unwrap();
        assert_ne!(plain.key, job.key);
        assert_eq!((job.subject.as_str(), job.priority), ("host/a:1 (linux/arm64)", 3));
        assert_eq!(Work::of(&taken(job)).unwrap(), work);
        let later = br#"{"reference":"a","from_a_later_version":1}"#;
        let job = NewJob { options: later.to_vec(), ..plain.clone() };
        assert_eq!(Work::of(&taken(job)).unwrap(), Work::Image(ImageWork::new("a")));
        assert!(Work::of(&taken(NewJob { kind: "other".to_owned(), ..plain })).is_err());
    }

    #[test]
    fn two_lists_of_layers_under_one_hash_are_two_works() {
        let manifest = |layer: &str| {
            let hash = Digest::of(b"manifest");
            let layer = Digest::of(layer.as_bytes());
            let json = format!(r#"{{"hash":"{hash}","layers":[{{"hash":"{layer}","uri":"https://h/x"}}]}}"#);
            Work::Manifest(ClairManifest::parse(&json).unwrap()).job(0).unwrap()
        };
        assert_eq!(manifest("a").key, manifest("a").key);
        assert_ne!(manifest("a").key, manifest("b").key);
        assert_eq!(manifest("a").subject, manifest("b").subject);
    }
}
