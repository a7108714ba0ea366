//! Where events are delivered to, how far each channel is, and what could not be delivered.
//!
//! A channel takes events in their order, one at a time: its cursor is the last event that it has done with. An event that
//! cannot be delivered is a dead letter, kept until it is delivered after all or nobody wants it any more.

use crate::Result;

/// How a channel stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelState {
    /// Its name.
    pub name: String,
    /// Where it leads, as people read it; without secrets.
    pub target: String,
    /// The last event that is delivered, given up, or none of its business.
    pub cursor: u64,
    /// Events that were delivered.
    pub delivered: u64,
    /// When the last of them was, in seconds since the epoch; 0 for never.
    pub delivered_at: i64,
    /// How often the next event was tried and failed.
    pub attempts: u32,
    /// When it is tried again, in seconds since the epoch; 0 for at once.
    pub next_attempt_at: i64,
    /// Why the last attempt failed; empty if it did not.
    pub last_error: String,
    /// Dead letters.
    pub dead: u64,
}

/// An event that a channel gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event's number.
    pub number: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up, in seconds since the epoch.
    pub died_at: i64,
    /// Why.
    pub error: String,
    /// Whether it is to be tried once more.
    pub is_due: bool,
}

/// The state of deliveries.
pub trait Channels {
    /// Every channel, by name.
    fn channels(&self) -> Result<Vec<ChannelState>>;
    /// The channel with this name; made, with its cursor at `cursor`, if there is none. Where it leads is noted.
    fn channel(&self, name: &str, target: &str, cursor: u64) -> Result<ChannelState>;
    /// Removes a channel with its dead letters; whether it was there.
    fn remove_channel(&self, name: &str) -> Result<bool>;
    /// Notes that a channel is done with all events up to `to`, `delivered` of them delivered, if its cursor stands
    /// at `from`; whether it did.
    fn advance(&self, name: &str, from: u64, to: u64, delivered: u64, now: i64) -> Result<bool>;
    /// Notes that the next event could not be delivered, and when to try again.
    fn put_failure(&self, name: &str, attempts: u32, next_attempt_at: i64, error: &str) -> Result<()>;
    /// Gives an event up: the cursor moves from `from` to `number`, which is a dead letter; whether it stood there.
    fn bury(&self, name: &str, from: u64, number: u64, attempts: u32, error: &str, now: i64) -> Result<bool>;
    /// Dead letters of a channel after an event, in order; only those that are to be tried once more if `is_due`.
    fn dead_letters(&self, name: &str, after: u64, is_due: bool, limit: usize) -> Result<Vec<DeadLetter>>;
    /// Has dead letters tried once more: one event's, or all of the channel. How many.
    fn revive(&self, name: &str, number: Option<u64>) -> Result<u64>;
    /// Notes how the new attempt at a dead letter ended: delivered if there is no `error`.
    fn settle(&self, name: &str, number: u64, error: Option<&str>, now: i64) -> Result<()>;
}
