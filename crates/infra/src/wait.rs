//! The one place that waits by looking again and again: for what another process does, which
//! nobody tells us.

use std::{
    thread,
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_millis(10);

/// How waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited<T> {
    /// What was waited for.
    Came(T),
    /// It did not come in time.
    TooLong,
}

/// Asks `look` until it finds something, at least once, for at most `patience`.
#[expect(
    clippy::disallowed_methods,
    reason = "real servers keep real time, and tell nobody when they are ready"
)]
pub fn until<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Waited<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Waited::Came(found);
        }
        if start.elapsed() >= patience {
            return Waited::TooLong;
        }
        thread::sleep(PAUSE);
    }
}
