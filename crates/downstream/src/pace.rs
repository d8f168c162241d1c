//! The minimum rate of a client's body, counting only the time that the gateway waited for the client.

use crate::worker::ClientLimits;
use foregate_message::Reason;
use foregate_telemetry::clock::{Deadline, Moment, now};
use std::task::{Context, Poll};
use std::time::Duration;

/// Watches the body of one request, from the first time on that it is waited for.
#[derive(Debug, Default)]
pub(crate) struct BodyWatch {
    pace: Option<Pace>,
    deadline: Option<Deadline>,
    /// The client may take its time.
    is_over: bool,
}

impl BodyWatch {
    /// Counts and judges a wait for the client. For `held_back_ms` in all it was not the client who kept us waiting.
    pub(crate) fn poll_too_slow(
        &mut self,
        limits: &ClientLimits,
        held_back_ms: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Reason> {
        let Some(rate) = limits.body_rate_min.filter(|_| !self.is_over) else {
            return Poll::Pending;
        };
        let grace = limits.body_rate_grace;
        let pace = self.pace.get_or_insert_with(|| Pace::new(rate, grace));
        let at = waited_at(held_back_ms);
        if pace.is_too_slow(at) {
            return Poll::Ready(Reason::BodyTooSlow);
        }
        let until = pace.wait(at).plus_millis(held_back_ms);
        let deadline = self.deadline.get_or_insert_with(Deadline::new);
        deadline.set(until);
        deadline.poll_expired(cx).map(|()| Reason::BodyTooSlow)
    }

    /// Judges no more: an answer has begun, which tells what the client sends when, or pauses are in the nature of the
    /// request.
    #[inline]
    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    /// `bytes` have come.
    #[inline]
    pub(crate) fn received(&mut self, bytes: u64, held_back_ms: u64) {
        if let Some(pace) = &mut self.pace {
            pace.received(bytes, waited_at(held_back_ms));
        }
    }

    /// Whether anything is watched yet.
    #[inline]
    pub(crate) fn is_watching(&self) -> bool {
        self.pace.is_some()
    }
}

/// The present on a clock that stands still while the client is held back.
fn waited_at(held_back_ms: u64) -> Moment {
    Moment::from_micros(now().micros().saturating_sub(held_back_ms * 1_000))
}

/// Watches one body.
#[derive(Debug)]
struct Pace {
    bytes_per_second: u64,
    grace: Duration,
    waiting_since: Option<Moment>,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// A watch that wants `bytes_per_second` on average over each `grace` of waiting.
    fn new(bytes_per_second: u64, grace: Duration) -> Pace {
        Pace {
            bytes_per_second,
            grace,
            waiting_since: None,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// The gateway waits for the client from `at` on; says by when to look again.
    fn wait(&mut self, at: Moment) -> Moment {
        let since = *self.waiting_since.get_or_insert(at);
        since.plus(self.grace.saturating_sub(self.waited))
    }

    /// `bytes` have come at `at`.
    fn received(&mut self, bytes: u64, at: Moment) {
        self.count_wait(at);
        self.bytes += bytes;
    }

    fn count_wait(&mut self, at: Moment) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += at.since(since);
        }
    }

    /// Whether the client is too slow; starts a new window when the present one is over.
    fn is_too_slow(&mut self, at: Moment) -> bool {
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
