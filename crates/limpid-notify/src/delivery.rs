//! Delivery: what a channel has not had yet, in order, at least once.
//!
//! The channel's cursor in the store moves only when a message was taken. Who is killed between the two sends
//! that message once more, under the same id. A message that fails is tried again, later each time, and those behind it
//! wait: so a receiver sees events in their order. One that will never be taken, or was tried too often, becomes a
//! dead letter and lets the others pass. Dead letters are kept, and are sent once more when somebody asks for it, out of
//! their order.

use limpid_index::{Clock, Process, exclusively};
use limpid_model::Hasher;
use limpid_store::{Event, EventSubject, Store};

use crate::{Channel, Failure, Message};

/// Events that are read at a time.
const EVENTS_MAX: usize = 256;
/// Characters of a failure that are kept.
const REASON_MAX: usize = 500;

/// What can go wrong with delivery itself; what goes wrong on the other side is no error but kept as the channel's
/// state.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] limpid_store::Error),
    /// What an event is about cannot be told.
    #[error(transparent)]
    Index(#[from] limpid_index::Error),
}

/// When a message that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Seconds after the first failure; each further pause is twice as long.
    pub first_seconds: i64,
    /// The longest pause.
    pub max_seconds: i64,
    /// The longest pause that a receiver's `Retry-After` is obeyed for.
    pub retry_after_seconds_max: i64,
    /// How often a message is tried before it is a dead letter.
    pub attempts_max: u32,
}

impl Default for Backoff {
    /// Five seconds to an hour, thirty times: nearly a day.
    fn default() -> Self {
        Self { first_seconds: 5, max_seconds: 3600, retry_after_seconds_max: 24 * 3600, attempts_max: 30 }
    }
}

impl Backoff {
    /// The pause after so many failures of a message, in seconds: up to a quarter longer, by the message's id, so that
    /// those whom one failure struck do not all come back at once.
    fn pause(&self, attempts: u32, id: &str, retry_after_seconds: Option<i64>) -> i64 {
        let doublings = attempts.saturating_sub(1).min(30);
        let pause = self.first_seconds.saturating_mul(1 << doublings).min(self.max_seconds);
        let mut hasher = Hasher::new();
        hasher.update(id.as_bytes());
        hasher.update(&attempts.to_be_bytes());
        let jitter = pause * i64::from(hasher.finish().as_bytes()[0]) / 1024;
        let asked = retry_after_seconds.unwrap_or_default().min(self.retry_after_seconds_max);
        (pause + jitter).max(asked)
    }
}

/// Where a channel begins that is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what comes from now on.
    Now,
    /// Behind an event; 0 for with the first that is kept.
    After(u64),
}

/// What came of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Messages that were taken.
    pub delivered: u64,
    /// Messages that became dead letters, or stayed so.
    pub dead: u64,
    /// The last failure; empty for none.
    pub error: String,
    /// When the next message is tried again, if it waits.
    pub next_attempt_at: Option<i64>,
    /// Whether another process delivers to the channel now.
    pub is_busy: bool,
}

/// Delivers events to channels.
pub struct Delivery<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// The time.
    pub clock: &'a dyn Clock,
    /// This process, for leases.
    pub process: &'a dyn Process,
    /// When to try again.
    pub backoff: Backoff,
    /// Whether events on kernels are delivered too.
    pub with_kernels: bool,
}

impl Delivery<'_> {
    /// Delivers to the channel called `name` all that is due, and says how it stands then. One process at a time delivers
    /// to a channel; another does nothing.
    pub fn run(&self, name: &str, channel: &mut dyn Channel, start: Start) -> Result<Delivered, Error> {
        let last = self.store.last_event()?;
        let cursor = match start {
            Start::Now => last,
            Start::After(number) => number.min(last),
        };
        self.store.channel(name, &channel.target(), cursor)?;
        let task = format!("deliver {name}");
        let delivered: Option<Result<Delivered, Error>> =
            exclusively(self.store, self.clock, self.process, &task, || {
                let mut delivered = Delivered::default();
                if self.dead_letters(name, channel, &mut delivered)? {
                    while self.batch(name, channel, &mut delivered)? {}
                }
                Ok(delivered)
            })?;
        delivered.unwrap_or(Ok(Delivered { is_busy: true, ..Delivered::default() }))
    }

    /// Tries dead letters once more for which somebody asked; whether the other side takes anything at all.
    fn dead_letters(
        &self,
        name: &str,
        channel: &mut dyn Channel,
        delivered: &mut Delivered,
    ) -> Result<bool, Error> {
        let mut after = 0;
        loop {
            let letters = self.store.dead_letters(name, after, true, EVENTS_MAX)?;
            let Some(last) = letters.last() else { return Ok(true) };
            after = last.number;
            for letter in &letters {
                let event = self.store.events(letter.number.saturating_sub(1), 1)?.into_iter().next();
                let Some(event) = event.filter(|event| event.number == letter.number) else { continue };
                let message = Message::new(self.store, &event)?;
                let now = self.clock.now();
                match channel.deliver(std::slice::from_ref(&message), now).failure {
                    None => {
                        delivered.delivered += 1;
                        self.store.settle(name, letter.number, None, now)?;
                    }
                    Some(failure) => {
                        delivered.dead += 1;
                        delivered.error = shortened(failure.reason());
                        self.store.settle(name, letter.number, Some(&delivered.error), now)?;
                        if matches!(failure, Failure::Passing { .. }) {
                            return Ok(false);
                        }
                    }
                }
            }
        }
    }

    /// Delivers as many messages as the channel takes at a time; whether there may be more to do now.
    fn batch(&self, name: &str, channel: &mut dyn Channel, delivered: &mut Delivered) -> Result<bool, Error> {
        let states = self.store.channels()?;
        // Removed meanwhile.
        let Some(state) = states.into_iter().find(|state| state.name == name) else { return Ok(false) };
        let now = self.clock.now();
        // A time further ahead than any pause: the clock was set back since.
        let is_ahead = state.next_attempt_at - now
            > self.backoff.retry_after_seconds_max.max(2 * self.backoff.max_seconds);
        if state.next_attempt_at > now && !is_ahead {
            delivered.next_attempt_at = Some(state.next_attempt_at);
            delivered.error = state.last_error;
            return Ok(false);
        }
        let events = self.store.events(state.cursor, EVENTS_MAX)?;
        let Some(last) = events.last().map(|event| event.number) else { return Ok(false) };
        let wanted = events.iter().filter(|event| self.is_wanted(event)).take(channel.messages_max().max(1));
        let messages: Vec<Message> =
            wanted.map(|event| Message::new(self.store, event)).collect::<Result<_, _>>()?;
        let taken = match messages.is_empty() {
            true => None,
            false => Some(channel.deliver(&messages, now)),
        };
        let count = taken.as_ref().map_or(0, |taken| taken.messages.min(messages.len()));
        // Where the channel had all that it wants of these, those behind are none of its business.
        let wanted = events.iter().filter(|event| self.is_wanted(event)).count();
        let reached = match count {
            _ if count == wanted => last,
            0 => state.cursor,
            count => messages[count - 1].number,
        };
        let now = self.clock.now();
        let is_ours =
            reached == state.cursor || self.store.advance(name, state.cursor, reached, count as u64, now)?;
        delivered.delivered += count as u64;
        let Some((failure, message)) = taken.and_then(|taken| taken.failure).zip(messages.get(count)) else {
            return Ok(is_ours);
        };
        let attempts = 1 + if count == 0 { state.attempts } else { 0 };
        delivered.error = shortened(failure.reason());
        match failure {
            Failure::Passing { retry_after_seconds, .. } if attempts < self.backoff.attempts_max => {
                let next = now + self.backoff.pause(attempts, &message.id, retry_after_seconds);
                self.store.put_failure(name, attempts, next, &delivered.error)?;
                delivered.next_attempt_at = Some(next);
                Ok(false)
            }
            Failure::Passing { .. } | Failure::Lasting { .. } => {
                delivered.dead += 1;
                Ok(self.store.bury(name, reached, message.number, attempts, &delivered.error, now)?)
            }
        }
    }

    fn is_wanted(&self, event: &Event) -> bool {
        match &event.subject {
            EventSubject::Vulnerability(change) => self.with_kernels || !change.is_kernel,
            EventSubject::Image { .. } => true,
        }
    }
}

fn shortened(reason: &str) -> String {
    reason.chars().take(REASON_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ_a_little() {
        let backoff = Backoff::default();
        let pauses: Vec<i64> = (1..=12).map(|attempts| backoff.pause(attempts, "a", None)).collect();
        for (pause, least) in pauses.iter().zip([5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]) {
            assert!((least..=least + least / 4).contains(pause), "{pauses:?}");
        }
        assert_ne!(backoff.pause(12, "a", None), backoff.pause(12, "b", None));
        assert_eq!(backoff.pause(1, "a", Some(120)), 120);
        assert_eq!(backoff.pause(1, "a", Some(i64::MAX)), 24 * 3600);
        assert!(backoff.pause(u32::MAX, "a", None) <= 4500);
    }
}
