//! Who is told of events: channels, one file each, and their delivery.
//!
//! A [`Channel`] takes [`Message`]s: events as JSON. [`Delivery`] brings a channel what it has not had yet, in order and at
//! least once, and keeps in the store how far it is. Neither reads a clock or the environment.
#![forbid(unsafe_code)]

mod channel;
mod delivery;
mod http;
mod lines;
mod message;
mod webhook;

pub use channel::{Channel, Failure, Taken};
pub use delivery::{Backoff, Delivered, Delivery, Error, Start};
pub use http::{Answer, Http, HttpSender};
pub use lines::{FileLines, Lines};
pub use message::{Message, event_json, image_json};
pub use webhook::{Webhook, WebhookError};
