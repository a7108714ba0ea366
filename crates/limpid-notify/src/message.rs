//! An event as JSON: the document `limpid-event/1`, which docs/json.md describes.

use jiff::Timestamp;
use limpid_index::{Assessment, EventImage, assessment};
use limpid_model::Severity;
use limpid_store::{Event, EventSubject, ImageSummary, Judgement, PackageChange, Store, VulnerabilityChange};
use serde_json::{Map, Value, json};

/// An event on its way to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The event's number.
    pub number: u64,
    /// The event's id.
    pub id: String,
    /// The event as JSON, on one line.
    pub body: Vec<u8>,
}

impl Message {
    /// The message on an event.
    pub fn new(store: &dyn Store, event: &Event) -> Result<Self, limpid_index::Error> {
        let body = event_json(store, event)?.to_string().into_bytes();
        Ok(Self { number: event.number, id: event.id.to_string(), body })
    }
}

/// An event as JSON. What an assessment counts is computed here.
pub fn event_json(store: &dyn Store, event: &Event) -> Result<Value, limpid_index::Error> {
    let mut document = json!({
        "schema": "limpid-event/1",
        "id": event.id.to_string(),
        "number": event.number,
        "type": event.kind.name(),
        "createdAt": time(event.created_at),
        "revision": event.revision,
    });
    match &event.subject {
        EventSubject::Image { .. } => {
            let assessed = assessment(store, event)?;
            document["image"] = assessed.as_ref().map_or(Value::Null, |assessed| image(&assessed.image));
            document["assessment"] = assessed.as_ref().map_or(Value::Null, counted);
        }
        EventSubject::Vulnerability(change) => {
            document["fromRevision"] = json!(change.from_revision);
            document["vulnerability"] = json!(change.vulnerability);
            document["severity"] = json!(severity(change).name());
            document["kernel"] = json!(change.is_kernel);
            document["images"] = json!(change.images);
            document["packages"] = change.packages.iter().map(package).collect();
        }
    }
    Ok(document)
}

/// An image that an event is about, with its packages, as JSON.
pub fn image_json(affected: &EventImage) -> Value {
    let packages = affected.packages.iter().map(|(package, line)| {
        json!({
            "type": package.kind.name(),
            "name": package.name,
            "version": package.version,
            "arch": package.arch,
            "source": line.source,
            "before": line.before.as_ref().map(judgement),
            "after": line.after.as_ref().map(judgement),
        })
    });
    let mut document = image(&affected.image);
    document["packages"] = packages.collect();
    document
}

/// The worst severity that counts now; that which counted, where nothing does any more.
fn severity(change: &VulnerabilityChange) -> Severity {
    let lines = change.packages.iter();
    let worst = lines.filter_map(|line| line.after.as_ref().or(line.before.as_ref()));
    worst.map(|side| side.severity).max().unwrap_or_default()
}

fn package(line: &PackageChange) -> Value {
    json!({
        "release": line.release,
        "type": line.package_type.name(),
        "source": line.source,
        "images": line.images,
        "before": line.before.as_ref().map(judgement),
        "after": line.after.as_ref().map(judgement),
    })
}

fn judgement(side: &Judgement) -> Value {
    json!({
        "state": side.state.name(),
        "severity": side.severity.name(),
        "severitySource": side.severity_source,
        "fixedIn": side.fixed,
        "channel": side.channel,
        "feed": side.feed,
        "advisory": side.advisory,
    })
}

fn image(summary: &ImageSummary) -> Value {
    json!({
        "digest": summary.manifest_digest,
        "references": summary.references,
        "release": summary.release,
    })
}

fn counted(assessed: &Assessment) -> Value {
    // The worst first.
    let severities: Map<String, Value> = assessed
        .severities
        .iter()
        .rev()
        .map(|(severity, count)| (severity.name().to_owned(), json!(count)))
        .collect();
    json!({
        "revision": assessed.revision,
        "answered": assessed.is_answered,
        "severities": severities,
        "fixable": assessed.fixable,
    })
}

fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}
