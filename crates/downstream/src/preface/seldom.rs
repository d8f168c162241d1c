//! What may happen a million times and is told once a second.

use foregate_telemetry::clock::Moment;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So much time lies between two tellings.
const INTERVAL: Duration = Duration::from_secs(1);

/// Something that all workers see and one of them tells now and then.
pub(super) struct Seldom {
    /// Before this, in µs since the process' start, nothing is told.
    next: AtomicU64,
    untold: AtomicU64,
}

impl Seldom {
    pub(super) const fn new() -> Seldom {
        Seldom {
            next: AtomicU64::new(0),
            untold: AtomicU64::new(0),
        }
    }

    /// It happened. `Some` is that it is to be told, and how often it has happened untold since the last time.
    pub(super) fn ask(&self, at: Moment) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        let then = at.plus(INTERVAL).micros();
        let is_due = at.micros() >= next
            && (self.next)
                .compare_exchange(next, then, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_due {
            return Some(self.untold.swap(0, Ordering::Relaxed));
        }
        self.untold.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_is_told_with_the_number_of_the_others() {
        let seldom = Seldom::new();
        let ask = |millis| seldom.ask(Moment::from_millis(millis));
        assert_eq!(ask(0), Some(0));
        assert_eq!([ask(0), ask(1), ask(999)], [None; 3]);
        assert_eq!(ask(1_000), Some(3));
        assert_eq!(ask(1_001), None);
        assert_eq!(ask(9_000), Some(1));
    }

    #[test]
    fn of_many_at_once_one_tells() {
        let seldom = Seldom::new();
        let told: usize = std::thread::scope(|scope| {
            let tellers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let asked = (0..1_000).map(|_| seldom.ask(Moment::from_millis(5)));
                        asked.flatten().count()
                    })
                })
                .collect();
            tellers.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(told, 1);
        assert_eq!(seldom.ask(Moment::from_millis(2_000)), Some(3_999));
    }
}
