//! `limpid events`

use std::fmt::Write as _;

use limpid_index::{assessment, event_images};
use limpid_notify::{event_json, image_json};
use limpid_report::terminal::printable;
use limpid_store::{Event, EventSubject, ImageId, Judgement, PackageChange, VulnerabilityChange};
use serde_json::{Value, json};

use super::deliveries;
use crate::arguments::{Global, ReportFormat};
use crate::clock::rfc3339;
use crate::error::{Error, Exit};
use crate::event_arguments::{EventName, Events, List};
use crate::session::{Session, print};

/// Events that are read at a time.
const EVENTS_MAX: usize = 500;
/// Lines of one event in a list.
const LINES_MAX: usize = 5;

pub(crate) fn run(global: &Global, command: &Events) -> Result<Exit, Error> {
    let session = Session::open(global)?;
    match command {
        Events::List(arguments) => list(&session, arguments),
        Events::Show { event, format } => show(&session, &find(&session, *event)?, *format),
        Events::Images { event, after, limit, format } => {
            let event = find(&session, *event)?;
            images(&session, &event, after.map(ImageId), *limit, *format)
        }
        Events::Derive => {
            let derived =
                limpid_index::derive_events(session.store.as_ref(), &session.clock, session.process())?;
            let told: Vec<String> =
                derived.events.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            let told = if told.is_empty() { "no event".to_owned() } else { told.join(", ") };
            print(&format!("{told}; revision {} is processed\n", derived.revision))?;
            Ok(Exit::Success)
        }
        Events::Deliver(arguments) => deliveries::deliver(&session, arguments),
        Events::Channels { format } => deliveries::channels(&session, *format),
        Events::Retry { channel, events } => {
            let events = events.iter().map(|event| Ok(find(&session, *event)?.number));
            deliveries::retry(&session, channel, &events.collect::<Result<Vec<_>, Error>>()?)
        }
        Events::Forget { channel } => match session.store.remove_channel(channel)? {
            true => print(&format!("forgot {}\n", printable(channel))).map(|()| Exit::Success),
            false => Err(deliveries::unknown(channel)),
        },
    }
}

fn find(session: &Session<'_>, name: EventName) -> Result<Event, Error> {
    let (found, name) = match name {
        EventName::Id(id) => (session.store.event(id)?, id.to_string()),
        EventName::Number(number) => {
            let found = session.store.events(number.saturating_sub(1), 1)?.pop();
            (found.filter(|event| event.number == number), number.to_string())
        }
    };
    found.ok_or_else(|| Error::Usage { message: format!("the store has no event {name}") })
}

fn list(session: &Session<'_>, arguments: &List) -> Result<Exit, Error> {
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let (mut found, mut left_out, mut after, mut more) = (Vec::new(), 0_u64, arguments.after, false);
    'pages: loop {
        let page = session.store.events(after, EVENTS_MAX)?;
        if page.is_empty() {
            break;
        }
        for event in page {
            if found.len() == limit {
                more = true;
                break 'pages;
            }
            after = event.number;
            if !arguments.kinds.is_empty() && !arguments.kinds.contains(&event.kind) {
                continue;
            }
            match &event.subject {
                EventSubject::Vulnerability(change) if change.is_kernel && !arguments.kernels => {
                    left_out += 1
                }
                _ => found.push(event),
            }
        }
    }
    if arguments.format == ReportFormat::Json {
        let events: Vec<Value> =
            found.iter().map(|event| event_json(session.store.as_ref(), event)).collect::<Result<_, _>>()?;
        let next = if more { json!(after) } else { Value::Null };
        let document = json!({
            "schema": "limpid-events/1", "events": events, "kernelEvents": left_out, "next": next,
        });
        print(&format!("{document:#}\n"))?;
        return Ok(Exit::Success);
    }
    let mut text = String::new();
    for event in &found {
        text.push_str(&headline(session, event)?);
    }
    if found.is_empty() {
        text.push_str("No events.\n");
    }
    print(&text)?;
    if left_out > 0 {
        session.note(&format!("{left_out} events about kernels are not listed; --kernels lists them"));
    }
    if more {
        session.note(&format!("there are more: --after {after}"));
    }
    Ok(Exit::Success)
}

/// An event on one line.
fn headline(session: &Session<'_>, event: &Event) -> Result<String, Error> {
    let what = match &event.subject {
        EventSubject::Image { .. } => match assessment(session.store.as_ref(), event)? {
            None => "of an image that is forgotten".to_owned(),
            Some(assessed) => {
                let names = &assessed.image.references;
                let digest = assessed.image.manifest_digest.to_string();
                names.first().cloned().unwrap_or(digest)
            }
        },
        EventSubject::Vulnerability(change) => {
            let sources: std::collections::BTreeSet<&str> =
                change.packages.iter().map(|line| line.source.as_str()).collect();
            let named: Vec<&str> = sources.iter().take(LINES_MAX).copied().collect();
            let dots = if sources.len() > LINES_MAX { ", …" } else { "" };
            format!("{} in {}{dots}: {}", change.vulnerability, named.join(", "), images_of(change.images))
        }
    };
    let line = format!("{:>8}  {}  {:<32}  {what}", event.number, rfc3339(event.created_at), event.kind);
    Ok(format!("{}\n", printable(&line)))
}

fn images_of(count: u64) -> String {
    format!("{count} {}", if count == 1 { "image" } else { "images" })
}

fn show(session: &Session<'_>, event: &Event, format: ReportFormat) -> Result<Exit, Error> {
    let document = event_json(session.store.as_ref(), event)?;
    if format == ReportFormat::Json {
        print(&format!("{document:#}\n"))?;
        return Ok(Exit::Success);
    }
    let mut text = headline(session, event)?;
    let _ = writeln!(text, "id {}, revision {}", event.id, event.revision);
    match &event.subject {
        EventSubject::Image { .. } => {
            if let Some(assessed) = assessment(session.store.as_ref(), event)? {
                let counts: Vec<String> = assessed
                    .severities
                    .iter()
                    .rev()
                    .map(|(severity, count)| format!("{count} {}", severity.name()))
                    .collect();
                let found = match (assessed.is_answered, counts.is_empty()) {
                    (false, _) => "no feed in the store spoke for its release".to_owned(),
                    (true, true) => "no known vulnerabilities".to_owned(),
                    (true, false) => format!("{}; {} with a fix", counts.join(", "), assessed.fixable),
                };
                let _ = writeln!(
                    text,
                    "{} by revision {}: {found}",
                    assessed.image.manifest_digest, assessed.revision
                );
            }
        }
        EventSubject::Vulnerability(change) => text.push_str(&lines(change)),
    }
    print(&text)?;
    Ok(Exit::Success)
}

fn lines(change: &VulnerabilityChange) -> String {
    let mut text = String::new();
    for line in &change.packages {
        let said =
            format!("  {} {}: {}, {}", line.release, line.source, became(line), images_of(line.images));
        let _ = writeln!(text, "{}", printable(&said));
    }
    text
}

/// What a package's standing was and is.
fn became(line: &PackageChange) -> String {
    let said = |side: &Option<Judgement>| match side {
        None => "nothing was said".to_owned(),
        Some(side) => {
            let fixed = match (side.fixed.is_empty(), side.channel.is_empty()) {
                (true, _) => side.state.name().to_owned(),
                (false, true) => format!("{} in {}", side.state, side.fixed),
                (false, false) => format!("{} in {} through {}", side.state, side.fixed, side.channel),
            };
            format!("{fixed} ({})", side.severity.name())
        }
    };
    format!(
        "{} → {}",
        said(&line.before),
        if line.after.is_none() { "nothing is said".to_owned() } else { said(&line.after) }
    )
}

fn images(
    session: &Session<'_>,
    event: &Event,
    after: Option<ImageId>,
    limit: u32,
    format: ReportFormat,
) -> Result<Exit, Error> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (found, next) = event_images(session.store.as_ref(), event, after, limit)?;
    if format == ReportFormat::Json {
        let images: Vec<Value> = found.iter().map(image_json).collect();
        let document = json!({
            "schema": "limpid-event-images/1",
            "event": event.id.to_string(),
            "images": images,
            "next": next.map(|next| next.0),
        });
        print(&format!("{document:#}\n"))?;
        return Ok(Exit::Success);
    }
    let mut text = String::new();
    for affected in &found {
        let names = &affected.image.references;
        let digest = affected.image.manifest_digest.to_string();
        let name = if names.is_empty() { digest } else { names.join(", ") };
        let _ = writeln!(text, "{}", printable(&name));
        for (package, line) in &affected.packages {
            let said = format!("  {} {}: {}", package.name, package.version, became(line));
            let _ = writeln!(text, "{}", printable(&said));
        }
    }
    print(&text)?;
    if let Some(next) = next {
        session.note(&format!("there are more: --after {}", next.0));
    }
    Ok(Exit::Success)
}
