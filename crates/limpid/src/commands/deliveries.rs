//! `limpid events deliver`, and how channels stand.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use limpid_index::Clock as _;
use limpid_notify::{Backoff, Channel, Delivered, Delivery, FileLines, HttpSender, Lines, Webhook};
use limpid_report::terminal::printable;
use limpid_store::ChannelState;
use serde_json::{Value, json};

use crate::arguments::ReportFormat;
use crate::clock::rfc3339;
use crate::error::{Error, Exit};
use crate::event_arguments::Deliver;
use crate::session::{Session, print};

/// Bytes of a file with a secret.
const SECRET_BYTES_MAX: u64 = 4096;
/// Where a secret may stand beside a file.
const SECRET_VARIABLE: &str = "LIMPID_WEBHOOK_SECRET";
/// How often `--follow` looks for new events.
const POLL: Duration = Duration::from_secs(2);
/// Dead letters that are listed of a channel.
const DEAD_LETTERS_MAX: usize = 100;

pub(super) fn unknown(channel: &str) -> Error {
    Error::Usage {
        message: format!("the store has no channel `{channel}`; `limpid events channels` lists them"),
    }
}

pub(super) fn deliver(session: &Session<'_>, arguments: &Deliver) -> Result<Exit, Error> {
    if arguments.webhook.is_some() && session.global.offline {
        return Err(Error::Usage { message: "a webhook cannot be reached with --offline".to_owned() });
    }
    let sender = HttpSender::new(None);
    let mut stdout = std::io::stdout();
    let mut channel: Box<dyn Channel + '_> = match (&arguments.webhook, &arguments.file) {
        (Some(url), _) => {
            let secret = secret(arguments.secret_file.as_deref())?;
            let webhook = Webhook::new(url, secret.as_deref(), &arguments.headers, &sender);
            Box::new(webhook.map_err(|error| Error::Usage { message: error.to_string() })?)
        }
        (None, Some(path)) => {
            let path = std::path::absolute(path).map_err(Error::io("the file has no path"))?;
            Box::new(FileLines::new(&path))
        }
        (None, None) => Box::new(Lines::new("stdout", &mut stdout)),
    };
    let name = arguments.name.clone().unwrap_or_else(|| channel.target());
    let delivery = Delivery {
        store: session.store.as_ref(),
        clock: &session.clock,
        process: session.process(),
        backoff: Backoff::default(),
        with_kernels: arguments.kernels,
    };
    loop {
        let delivered = delivery.run(&name, channel.as_mut(), arguments.from)?;
        tell(session, &name, &delivered);
        if !arguments.follow {
            let is_done = delivered.error.is_empty() && !delivered.is_busy;
            return Ok(if is_done { Exit::Success } else { Exit::Failure });
        }
        let due = delivered.next_attempt_at.map_or(0, |at| at - session.clock.now());
        let due = Duration::from_secs(u64::try_from(due).unwrap_or_default());
        session.clock.wait(due.min(Duration::from_secs(60)).max(POLL));
    }
}

fn tell(session: &Session<'_>, name: &str, delivered: &Delivered) {
    if delivered.is_busy {
        session.note(&format!("{name}: another process delivers to it"));
    }
    if delivered.delivered > 0 {
        session.note(&format!("{name}: {} delivered", delivered.delivered));
    }
    if delivered.dead > 0 {
        session.warn(&format!("{name}: {} became dead letters: {}", delivered.dead, delivered.error));
    }
    if let Some(at) = delivered.next_attempt_at {
        session.warn(&format!("{name}: {}; the next attempt is due at {}", delivered.error, rfc3339(at)));
    }
}

/// The secret that a webhook's messages are signed with.
fn secret(file: Option<&Path>) -> Result<Option<String>, Error> {
    let Some(file) = file else {
        return Ok(std::env::var(SECRET_VARIABLE).ok().filter(|secret| !secret.is_empty()));
    };
    let failed = |source| Error::Io { what: format!("{} cannot be read", file.display()), source };
    let mut secret = String::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    opened.take(SECRET_BYTES_MAX).read_to_string(&mut secret).map_err(failed)?;
    Ok(Some(secret))
}

pub(super) fn retry(session: &Session<'_>, channel: &str, events: &[u64]) -> Result<Exit, Error> {
    if !session.store.channels()?.iter().any(|state| state.name == channel) {
        return Err(unknown(channel));
    }
    let mut revived = 0;
    match events.is_empty() {
        true => revived = session.store.revive(channel, None)?,
        false => {
            for number in events {
                revived += session.store.revive(channel, Some(*number))?;
            }
        }
    }
    print(&format!("{revived} will be sent once more\n"))?;
    Ok(Exit::Success)
}

pub(super) fn channels(session: &Session<'_>, format: ReportFormat) -> Result<Exit, Error> {
    let last = session.store.last_event()?;
    let states = session.store.channels()?;
    if format == ReportFormat::Json {
        let channels: Vec<Value> =
            states.iter().map(|state| channel(session, state, last)).collect::<Result<_, _>>()?;
        let document = json!({ "schema": "limpid-channels/1", "lastEvent": last, "channels": channels });
        print(&format!("{document:#}\n"))?;
        return Ok(Exit::Success);
    }
    let mut text = String::new();
    for state in &states {
        let mut said = format!(
            "{}: at event {} of {last}, {} delivered, the last at {}; {} dead letters",
            state.name,
            state.cursor,
            state.delivered,
            rfc3339(state.delivered_at),
            state.dead
        );
        if state.attempts > 0 {
            let _ = write!(
                said,
                "; event waits after {} failed attempts until {}: {}",
                state.attempts,
                rfc3339(state.next_attempt_at),
                state.last_error
            );
        }
        let _ = writeln!(text, "{}", printable(&said));
        for letter in session.store.dead_letters(&state.name, 0, false, DEAD_LETTERS_MAX)? {
            let due = if letter.is_due { ", to be sent once more" } else { "" };
            let said = format!(
                "  event {} died at {} after {} attempts{due}: {}",
                letter.number,
                rfc3339(letter.died_at),
                letter.attempts,
                letter.error
            );
            let _ = writeln!(text, "{}", printable(&said));
        }
    }
    if states.is_empty() {
        text.push_str("No channels: `limpid events deliver` makes them.\n");
    }
    print(&text)?;
    Ok(Exit::Success)
}

fn channel(session: &Session<'_>, state: &ChannelState, last: u64) -> Result<Value, Error> {
    let letters = session.store.dead_letters(&state.name, 0, false, DEAD_LETTERS_MAX)?;
    let letters: Vec<Value> = letters
        .iter()
        .map(|letter| {
            json!({
                "number": letter.number,
                "attempts": letter.attempts,
                "diedAt": rfc3339(letter.died_at),
                "error": letter.error,
                "due": letter.is_due,
            })
        })
        .collect();
    let time = |seconds: i64| if seconds == 0 { Value::Null } else { json!(rfc3339(seconds)) };
    Ok(json!({
        "name": state.name,
        "target": state.target,
        "cursor": state.cursor,
        "behind": last.saturating_sub(state.cursor),
        "delivered": state.delivered,
        "deliveredAt": time(state.delivered_at),
        "attempts": state.attempts,
        "nextAttemptAt": time(state.next_attempt_at),
        "error": state.last_error,
        "dead": state.dead,
        "deadLetters": letters,
    }))
}
