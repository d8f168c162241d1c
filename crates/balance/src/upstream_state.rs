//! What the endpoints of an upstream have in common, shared by all workers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::answer_times::AnswerTimes;
use crate::breaker::Breaker;
use crate::hedge::{HedgeNote, HedgePolicy};
use crate::outlier::OutlierClock;
use crate::retry_refusal::RetryRefusal;

/// Lives as long as any configuration names the upstream.
#[derive(Debug, Default)]
pub struct UpstreamState {
    /// When its endpoints are compared.
    pub comparing: OutlierClock,
    /// The circuit breaker of them all.
    pub breaker: Breaker,
    /// How long answers take, once that is asked for.
    times: OnceLock<Box<AnswerTimes>>,
    /// By [`Shared`].
    under_way: [AtomicU32; Shared::COUNT],
    /// By [`HedgeNote`].
    hedges: [AtomicU64; HedgeNote::ALL.len()],
    /// Tries that the budgets of all workers have left, as each told last.
    budgets_left: AtomicU64,
    /// By [`RetryRefusal`].
    retries_refused: [AtomicU64; RetryRefusal::ALL.len()],
}

/// What all workers count together, and what is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Shared {
    /// Requests, from the first endpoint that is asked to the end of the answer, however many are asked.
    Requests,
    /// Tries again, hedges included.
    Retries,
    /// Hedges.
    Hedges,
}

impl Shared {
    const COUNT: usize = 3;
}

impl UpstreamState {
    /// How long its answers take.
    #[must_use]
    #[inline]
    pub fn times(&self) -> &AnswerTimes {
        self.times.get_or_init(Box::default)
    }

    /// How long a request waits before it is hedged, for those who look; `None` while too little is known.
    #[must_use]
    pub fn hedge_delay_micros(&self, policy: &HedgePolicy) -> Option<u64> {
        match policy.percentile {
            None => Some(policy.after_micros),
            Some(_) => policy.delay_micros(self.times.get()?),
        }
    }

    /// One more of a kind, until the guard is dropped, unless `most` are under way already.
    #[must_use]
    pub fn take(self: &Arc<UpstreamState>, kind: Shared, most: u32) -> Option<Taken> {
        let count = &self.under_way[kind as usize];
        // Who is refused is not counted, not even for a moment: else somebody who is called for the last place would be
        // refused for the sake of one who has none, and nobody would call again.
        let one_more = |count: u32| (count < most).then(|| count + 1);
        count
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more)
            .ok()?;
        Some(Taken {
            state: Arc::clone(self),
            kind,
        })
    }

    /// How many of a kind are under way.
    #[must_use]
    pub fn under_way(&self, kind: Shared) -> u32 {
        self.under_way[kind as usize].load(Ordering::Relaxed)
    }

    /// A worker's budget has `now` tries left, after `before` when it told last.
    pub fn note_budget(&self, before: u64, now: u64) {
        let more = now.wrapping_sub(before);
        self.budgets_left.fetch_add(more, Ordering::Relaxed);
    }

    /// Tries that the budgets of all workers have left together, as each told last.
    #[must_use]
    pub fn budgets_left(&self) -> u64 {
        self.budgets_left.load(Ordering::Relaxed)
    }

    /// Counts a try again that is not made.
    pub fn note_retry_refused(&self, refusal: RetryRefusal) {
        self.retries_refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were of those.
    #[must_use]
    pub fn retries_refused(&self, refusal: RetryRefusal) -> u64 {
        self.retries_refused[refusal as usize].load(Ordering::Relaxed)
    }

    /// Counts what became of a hedge, or why there was none.
    pub fn note_hedge(&self, note: HedgeNote) {
        self.hedges[note as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was noted.
    #[must_use]
    pub fn hedges(&self, note: HedgeNote) -> u64 {
        self.hedges[note as usize].load(Ordering::Relaxed)
    }
}

/// One of what all workers count together; given back when dropped.
#[derive(Debug)]
pub struct Taken {
    state: Arc<UpstreamState>,
    kind: Shared,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.state.under_way[self.kind as usize].fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn budgets_are_told_together() {
        let state = UpstreamState::default();
        state.note_budget(0, 30);
        state.note_budget(0, 12);
        state.note_budget(30, 5);
        assert_eq!(state.budgets_left(), 17);
        state.note_budget(12, 0);
        assert_eq!(state.budgets_left(), 5);
    }

    #[test]
    fn of_those_who_meet_at_the_last_place_one_has_it() {
        let state: Arc<UpstreamState> = Arc::default();
        let held: Vec<_> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| state.take(Shared::Hedges, 3)))
                .collect();
            asking
                .into_iter()
                .filter_map(|one| one.join().unwrap())
                .collect()
        });
        assert!(held.len() <= 3 && !held.is_empty());
        assert_eq!(state.under_way(Shared::Hedges), held.len() as u32);
        drop(held);
        assert_eq!(state.under_way(Shared::Hedges), 0);
        assert!(state.take(Shared::Hedges, 0).is_none());
        let (_one, _other) = (
            state.take(Shared::Requests, 1),
            state.take(Shared::Retries, 1),
        );
        let all = [Shared::Requests, Shared::Retries, Shared::Hedges];
        assert_eq!(all.map(|kind| state.under_way(kind)), [1, 1, 0]);
    }

    #[test]
    fn who_is_refused_takes_nobody_elses_place() {
        let state: Arc<UpstreamState> = Arc::default();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert!(state.take(Shared::Requests, 0).is_none());
                }
            });
            let all = (0..200_000).all(|_| state.take(Shared::Requests, 1).is_some());
            is_over.store(true, Ordering::Relaxed);
            assert!(all, "nobody has the only place");
        });
    }
}
