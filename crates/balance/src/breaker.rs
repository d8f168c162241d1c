//! A circuit breaker: when too much of what is sent comes to nothing, nothing is sent for a while.
//!
//! ```text
//!            too large a share of a window failed
//!   closed ───────────────────────────────────────► open ◄─────────┐
//!     ▲                                               │            │ one fails
//!     │                                  `open_ms` have passed     │
//!     │   `trials` in a row succeed                   ▼            │
//!     └──────────────────────────────────────────  half open ──────┘
//! ```
//! Half open, at most `trials` requests are under way at once; the others are refused as if it were open. Trials that come
//! to no end don't keep it so: when the last one was admitted `open_ms` ago, one more is. All workers share one breaker; its
//! state is one word, so that every step is taken by one of them.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// When a breaker opens and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// The share of failures that opens it, in percent.
    pub failures_percent: u32,
    /// Over how long requests are counted.
    pub window_ms: u64,
    /// Requests in a window without which nothing follows from it.
    pub requests_min: u32,
    /// How long it stays open.
    pub open_ms: u64,
    /// Requests that try whether all is well again.
    pub trials: u32,
}

/// Whether a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Closed,
    /// Yes, as one that tries whether all is well again.
    Trial,
    /// No.
    Refused,
}

/// What an outcome changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerChange {
    /// It has opened.
    Opened,
    /// It has closed.
    Closed,
}

/// The states, for those who look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Everything passes.
    Closed,
    /// Nothing passes.
    Open {
        /// Until when.
        until_ms: u64,
    },
    /// A few pass.
    HalfOpen,
}

impl BreakerState {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open { .. } => "open",
            BreakerState::HalfOpen => "half-open",
        }
    }
}

/// A breaker.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Breaker {
    /// 0 = closed; otherwise it opened and stays so until then, after which it is half open.
    open_until_ms: AtomicU64,
    /// When the window began.
    window_ms: AtomicU64,
    ended: AtomicU32,
    failed: AtomicU32,
    /// Trials under way.
    trials: AtomicU32,
    /// When the last one was admitted.
    last_trial_ms: AtomicU64,
    /// Trials in a row that succeeded.
    succeeded: AtomicU32,
}

impl Breaker {
    /// The state at `now_ms`.
    #[must_use]
    pub fn state(&self, now_ms: u64) -> BreakerState {
        match self.open_until_ms.load(Ordering::Relaxed) {
            0 => BreakerState::Closed,
            until_ms if now_ms < until_ms => BreakerState::Open { until_ms },
            _ => BreakerState::HalfOpen,
        }
    }

    /// Whether a request would be admitted now.
    #[must_use]
    #[inline]
    pub fn admits(&self, now_ms: u64, policy: &BreakerPolicy) -> bool {
        match self.open_until_ms.load(Ordering::Relaxed) {
            0 => true,
            until_ms if now_ms < until_ms => false,
            _ => {
                let is_room = self.trials.load(Ordering::Relaxed) < policy.trials.max(1);
                is_room || self.is_overdue(now_ms, policy)
            }
        }
    }

    /// Asks to send a request. What is admitted must be followed by one [`Breaker::ended`] or [`Breaker::withdrawn`].
    #[inline]
    pub fn admit(&self, now_ms: u64, policy: &BreakerPolicy) -> Admission {
        match self.open_until_ms.load(Ordering::Relaxed) {
            0 => Admission::Closed,
            until_ms if now_ms < until_ms => Admission::Refused,
            _ => self.try_one(now_ms, policy),
        }
    }

    /// When its present or last opening ends; 0 when it is closed.
    #[must_use]
    pub fn open_until_ms(&self) -> u64 {
        self.open_until_ms.load(Ordering::Relaxed)
    }

    #[cold]
    fn try_one(&self, now_ms: u64, policy: &BreakerPolicy) -> Admission {
        let order = Ordering::Relaxed;
        let one_more = |trials| (trials < policy.trials.max(1)).then_some(trials + 1);
        if self.trials.fetch_update(order, order, one_more).is_ok() {
            self.last_trial_ms.fetch_max(now_ms, order);
            return Admission::Trial;
        }
        let last_ms = self.last_trial_ms.load(order);
        let is_mine = self.is_overdue(now_ms, policy)
            && (self.last_trial_ms)
                .compare_exchange(last_ms, now_ms, order, order)
                .is_ok();
        if !is_mine {
            return Admission::Refused;
        }
        self.trials.fetch_add(1, order);
        Admission::Trial
    }

    /// Whether those who try have had all the time that another opening would take.
    fn is_overdue(&self, now_ms: u64, policy: &BreakerPolicy) -> bool {
        let last_ms = self.last_trial_ms.load(Ordering::Relaxed);
        now_ms >= last_ms.saturating_add(policy.open_ms.max(1))
    }

    /// A request came to nothing that tells anything: its client has gone, or it was never sent.
    pub fn withdrawn(&self, admission: Admission) {
        if admission == Admission::Trial {
            self.trial_is_over();
        }
    }

    /// A request has ended.
    pub fn ended(
        &self,
        admission: Admission,
        succeeded: bool,
        now_ms: u64,
        policy: &BreakerPolicy,
    ) -> Option<BreakerChange> {
        match admission {
            Admission::Refused => None,
            Admission::Trial => {
                self.trial_is_over();
                self.tried(succeeded, now_ms, policy)
            }
            Admission::Closed => self.counted(succeeded, now_ms, policy),
        }
    }

    fn trial_is_over(&self) {
        let order = Ordering::Relaxed;
        let one_less = |trials: u32| trials.checked_sub(1);
        // Never below nothing, also when a reload has changed what is a trial.
        let _ = self.trials.fetch_update(order, order, one_less);
    }

    fn tried(&self, succeeded: bool, now_ms: u64, policy: &BreakerPolicy) -> Option<BreakerChange> {
        let until_ms = self.open_until_ms.load(Ordering::Relaxed);
        if until_ms == 0 || now_ms < until_ms {
            // Another trial has decided already.
            return None;
        }
        if !succeeded {
            return self.open(until_ms, now_ms, policy);
        }
        let row = self.succeeded.fetch_add(1, Ordering::Relaxed) + 1;
        if row < policy.trials.max(1) {
            return None;
        }
        let order = Ordering::Relaxed;
        let closed = self
            .open_until_ms
            .compare_exchange(until_ms, 0, order, order);
        closed.is_ok().then(|| {
            self.begin_window(now_ms);
            BreakerChange::Closed
        })
    }

    fn counted(
        &self,
        succeeded: bool,
        now_ms: u64,
        policy: &BreakerPolicy,
    ) -> Option<BreakerChange> {
        if self.open_until_ms.load(Ordering::Relaxed) != 0 {
            // It was sent before the breaker opened.
            return None;
        }
        let began_ms = self.window_ms.load(Ordering::Relaxed);
        if now_ms >= began_ms.saturating_add(policy.window_ms) {
            let order = Ordering::Relaxed;
            if self
                .window_ms
                .compare_exchange(began_ms, now_ms, order, order)
                .is_ok()
            {
                self.begin_window(now_ms);
            }
        }
        let ended = self.ended.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if succeeded {
            return None;
        }
        let failed = self
            .failed
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let is_enough = ended >= policy.requests_min;
        let is_too_much =
            u64::from(failed) * 100 >= u64::from(ended) * u64::from(policy.failures_percent);
        if is_enough && is_too_much {
            return self.open(0, now_ms, policy);
        }
        None
    }

    fn open(&self, before_ms: u64, now_ms: u64, policy: &BreakerPolicy) -> Option<BreakerChange> {
        let until_ms = now_ms.saturating_add(policy.open_ms).max(1);
        let order = Ordering::Relaxed;
        let opened = self
            .open_until_ms
            .compare_exchange(before_ms, until_ms, order, order);
        opened.is_ok().then(|| {
            self.succeeded.store(0, Ordering::Relaxed);
            BreakerChange::Opened
        })
    }

    fn begin_window(&self, now_ms: u64) {
        self.window_ms.store(now_ms, Ordering::Relaxed);
        self.ended.store(0, Ordering::Relaxed);
        self.failed.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: BreakerPolicy = BreakerPolicy {
        failures_percent: 50,
        window_ms: 1_000,
        requests_min: 10,
        open_ms: 500,
        trials: 2,
    };

    fn run(breaker: &Breaker, now_ms: u64, succeeded: bool) -> (Admission, Option<BreakerChange>) {
        let admission = breaker.admit(now_ms, &POLICY);
        (
            admission,
            breaker.ended(admission, succeeded, now_ms, &POLICY),
        )
    }

    fn opened() -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..9 {
            assert_eq!(run(&breaker, 5, false), (Admission::Closed, None));
        }
        let tenth = run(&breaker, 6, false);
        assert_eq!(tenth, (Admission::Closed, Some(BreakerChange::Opened)));
        breaker
    }

    #[test]
    fn it_opens_tries_and_closes() {
        let breaker = opened();
        assert_eq!(breaker.state(6), BreakerState::Open { until_ms: 506 });
        assert_eq!(run(&breaker, 505, true), (Admission::Refused, None));
        assert_eq!(breaker.state(506), BreakerState::HalfOpen);
        let trials: Vec<_> = (0..3).map(|_| breaker.admit(506, &POLICY)).collect();
        assert_eq!(
            trials,
            [Admission::Trial, Admission::Trial, Admission::Refused]
        );
        assert!(!breaker.admits(506, &POLICY));
        assert_eq!(breaker.ended(Admission::Trial, true, 507, &POLICY), None);
        let second = breaker.ended(Admission::Trial, true, 508, &POLICY);
        assert_eq!(second, Some(BreakerChange::Closed));
        assert_eq!(run(&breaker, 509, false), (Admission::Closed, None));
        assert_eq!(breaker.state(509).name(), "closed");
    }

    #[test]
    fn a_trial_that_fails_opens_it_again() {
        let breaker = opened();
        let trial = run(&breaker, 600, false);
        assert_eq!(trial, (Admission::Trial, Some(BreakerChange::Opened)));
        assert_eq!(breaker.state(600), BreakerState::Open { until_ms: 1_100 });
        assert_eq!(breaker.admit(1_100, &POLICY), Admission::Trial);
        breaker.withdrawn(Admission::Trial);
        assert_eq!(run(&breaker, 1_100, true), (Admission::Trial, None));
        let second = run(&breaker, 1_101, true);
        assert_eq!(second, (Admission::Trial, Some(BreakerChange::Closed)));
    }

    /// Uploads that their clients draw out, and long downloads: they must not decide alone for how long nobody is served.
    #[test]
    fn trials_that_come_to_no_end_do_not_keep_it_half_open() {
        let breaker = opened();
        for _ in 0..2 {
            assert_eq!(breaker.admit(600, &POLICY), Admission::Trial);
        }
        assert_eq!(breaker.admit(1_099, &POLICY), Admission::Refused);
        assert!(!breaker.admits(1_099, &POLICY) && breaker.admits(1_100, &POLICY));
        assert_eq!(breaker.admit(1_100, &POLICY), Admission::Trial);
        assert_eq!(breaker.admit(1_100, &POLICY), Admission::Refused);
        assert_eq!(breaker.ended(Admission::Trial, true, 1_101, &POLICY), None);
        assert_eq!(breaker.admit(1_600, &POLICY), Admission::Trial);
        let closed = breaker.ended(Admission::Trial, true, 1_601, &POLICY);
        assert_eq!(closed, Some(BreakerChange::Closed));
        // The first ones go at last, and nothing is left of them.
        breaker.withdrawn(Admission::Trial);
        breaker.withdrawn(Admission::Trial);
        assert_eq!(breaker.trials.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn too_few_requests_and_old_ones_say_nothing() {
        let breaker = Breaker::default();
        for second in 0..20 {
            for _ in 0..9 {
                assert_eq!(run(&breaker, second * 1_000 + 1, false).1, None);
            }
        }
        for _ in 0..1_000 {
            let _ = run(&breaker, 20_500, true);
            assert_eq!(run(&breaker, 20_500, true).1, None);
            assert_eq!(run(&breaker, 20_500, false).1, None);
        }
    }

    proptest! {
        /// However requests overlap, no more trials than may be are under way but for one each time that an opening would
        /// take, and it never stays half open for ever.
        #[test]
        fn trials_are_bounded(
            steps in proptest::collection::vec((0..400_u64, any::<bool>(), any::<bool>()), 1..300),
        ) {
            let breaker = opened();
            let mut now = 6;
            let mut under_way: Vec<Admission> = Vec::new();
            // Since when nothing could be overdue.
            let (mut overdue, mut last) = (0, 0);
            for (later, starts, succeeds) in steps {
                now += later;
                if starts {
                    let admission = breaker.admit(now, &POLICY);
                    if admission != Admission::Refused {
                        under_way.push(admission);
                    }
                    if admission == Admission::Trial {
                        overdue += u32::from(now - last >= POLICY.open_ms);
                        last = now;
                    }
                } else if let Some(admission) = under_way.pop() {
                    let _ = breaker.ended(admission, succeeds, now, &POLICY);
                }
                let trials = under_way.iter().filter(|one| **one == Admission::Trial).count();
                prop_assert!(trials as u32 <= POLICY.trials + overdue);
            }
            for admission in under_way {
                breaker.withdrawn(admission);
            }
            now += POLICY.open_ms;
            for _ in 0..POLICY.trials {
                let _ = run(&breaker, now, true);
            }
            prop_assert_eq!(breaker.state(now), BreakerState::Closed);
        }
    }
}
