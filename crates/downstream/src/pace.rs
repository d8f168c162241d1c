//! The minimum rate of a client's body, counting only the time that the gateway waited for the client.

use foregate_telemetry::clock::Moment;
use std::time::Duration;

/// Watches one body.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: u64,
    grace: Duration,
    waiting_since: Option<Moment>,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// A watch that wants `bytes_per_second` on average over each `grace` of waiting.
    pub(crate) fn new(bytes_per_second: u64, grace: Duration) -> Pace {
        Pace {
            bytes_per_second,
            grace,
            waiting_since: None,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// The gateway waits for the client from `at` on; says by when to look again.
    pub(crate) fn wait(&mut self, at: Moment) -> Moment {
        let since = *self.waiting_since.get_or_insert(at);
        since.plus(self.grace.saturating_sub(self.waited))
    }

    /// `bytes` have come at `at`.
    pub(crate) fn received(&mut self, bytes: u64, at: Moment) {
        self.count_wait(at);
        self.bytes += bytes;
    }

    fn count_wait(&mut self, at: Moment) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += at.since(since);
        }
    }

    /// Whether the client is too slow; starts a new window when the present one is over.
    pub(crate) fn is_too_slow(&mut self, at: Moment) -> bool {
        self.count_wait(at);
        if self.waited < self.grace {
            return false;
        }
        let wanted = self.bytes_per_second as u128 * self.waited.as_millis() / 1000;
        let slow = u128::from(self.bytes) < wanted;
        self.waited = Duration::ZERO;
        self.bytes = 0;
        slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn a_trickle_is_too_slow_and_a_steady_stream_is_not() {
        for (bytes, slow) in [(99, true), (100, false)] {
            let mut pace = Pace::new(100, Duration::from_secs(1));
            for tick in 0..10 {
                pace.wait(ms(tick * 100));
                pace.received(if tick == 0 { bytes } else { 0 }, ms(tick * 100 + 100));
            }
            assert_eq!(pace.is_too_slow(ms(1000)), slow, "{bytes}");
        }
    }

    #[test]
    fn time_that_the_gateway_took_does_not_count() {
        let mut pace = Pace::new(100, Duration::from_secs(1));
        assert_eq!(pace.wait(ms(0)), ms(1000));
        pace.received(1, ms(400));
        // A minute of back-pressure.
        assert_eq!(pace.wait(ms(60_400)), ms(61_000));
        assert!(!pace.is_too_slow(ms(60_900)));
    }
}
