//! What a channel is.

use crate::Message;

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may be taken later.
    Passing {
        /// Why, in a sentence.
        reason: String,
        /// For how many seconds the other side asks to be left alone.
        retry_after_seconds: Option<i64>,
    },
    /// This message will never be taken.
    Lasting {
        /// Why, in a sentence.
        reason: String,
    },
}

impl Failure {
    /// A failure that may pass, of which the other side says nothing more.
    pub fn passing(reason: impl Into<String>) -> Self {
        Self::Passing { reason: reason.into(), retry_after_seconds: None }
    }

    /// Why, in a sentence.
    pub fn reason(&self) -> &str {
        let (Self::Passing { reason, .. } | Self::Lasting { reason }) = self;
        reason
    }
}

/// How many messages were taken, from the first on, and why the next was not, if there is a next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// How many.
    pub messages: usize,
    /// Why not more.
    pub failure: Option<Failure>,
}

/// A way to tell somebody of events.
pub trait Channel {
    /// Where it leads, for people: without anything secret.
    fn target(&self) -> String;
    /// How many messages it takes at a time. What is taken and not noted before a crash comes once more.
    fn messages_max(&self) -> usize {
        1
    }
    /// Hands over messages in their order. Those that it says were taken are safe with the other side.
    fn deliver(&mut self, messages: &[Message], now: i64) -> Taken;
}
