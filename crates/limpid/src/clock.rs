//! The machine's clock.

use std::time::Duration;

use jiff::Timestamp;

/// The time, from the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl limpid_index::Clock for SystemClock {
    fn now(&self) -> i64 {
        Timestamp::now().as_second()
    }

    fn wait(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// Today in UTC, `YYYY-MM-DD`.
pub(crate) fn today() -> String {
    let mut text = Timestamp::now().to_string();
    text.truncate(10);
    text
}

/// Seconds since the epoch as RFC 3339, `never` for 0.
pub(crate) fn rfc3339(seconds: i64) -> String {
    match (seconds, Timestamp::from_second(seconds)) {
        (0, _) | (_, Err(_)) => "never".to_owned(),
        (_, Ok(time)) => time.to_string(),
    }
}
