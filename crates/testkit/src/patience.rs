//! Bounded waiting.

use std::thread;
use std::time::{Duration, Instant};

/// How long a story waits for something that should happen at once before it fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two looks at something that can only be polled (a file, a metric, `/proc`).
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks until `look` returns something, for at most [`PATIENCE`].
///
/// # Panics
/// When time runs out; the message names `what` was waited for.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain for: {what}"
        );
        thread::sleep(LOOK_EVERY);
    }
}

/// Checks that `look` stays true for `time`; for things that must *not* happen.
///
/// # Panics
/// When it turns false.
pub fn holds_for(time: Duration, what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        assert!(look(), "ceased to hold: {what}");
        thread::sleep(LOOK_EVERY);
    }
}
