//! An adaptive limit of requests in flight to one endpoint, found from how long answers take (a gradient, as the second
//! version of Netflix's limiter has it).
//!
//! While answers take as long as they usually do the limit grows, by the root of itself a step; when they take longer it
//! shrinks by the factor between usual and present, at most by half a step. A sample counts only while the limit is made
//! use of: an idle endpoint's fast answers say nothing about how much it could bear.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Between which bounds the limit moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptivePolicy {
    /// The limit to begin with.
    pub initial: u32,
    /// It is never lower.
    pub min: u32,
    /// It is never higher.
    pub max: u32,
    /// Answers may take so many percent of the usual time before the limit shrinks.
    pub tolerance_percent: u32,
}

/// How many answers make a step: the present time is their mean.
const STEP_SAMPLES: u32 = 20;
/// The usual time follows the present by one part in so many a step.
const USUAL_PARTS: u64 = 64;

/// An endpoint's limit, shared by all workers.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct AdaptiveLimit {
    /// In thousandths, 0 = not begun.
    limit: AtomicU64,
    usual_micros: AtomicU64,
    samples: AtomicU32,
    micros: AtomicU64,
}

impl AdaptiveLimit {
    /// The present limit.
    #[must_use]
    #[inline]
    pub fn limit(&self, policy: &AdaptivePolicy) -> u32 {
        let limit = match self.limit.load(Ordering::Relaxed) {
            0 => policy.initial,
            limit => u32::try_from(limit / 1_000).unwrap_or(u32::MAX),
        };
        limit.clamp(policy.min.max(1), policy.max.max(policy.min).max(1))
    }

    /// Takes note of an answer that took `micros`, with so many requests in flight when it came.
    pub fn observe(&self, micros: u64, in_flight: u32, policy: &AdaptivePolicy) {
        self.micros.fetch_add(micros, Ordering::Relaxed);
        let samples = self.samples.fetch_add(1, Ordering::Relaxed) + 1;
        // One of all workers comes to be the last of a step.
        if samples.is_multiple_of(STEP_SAMPLES) {
            let sum = self.micros.swap(0, Ordering::Relaxed);
            self.step((sum / u64::from(STEP_SAMPLES)).max(1), in_flight, policy);
        }
    }

    /// Takes note of an answer that did not come: the endpoint is over its limit, whatever that is.
    pub fn overloaded(&self, policy: &AdaptivePolicy) {
        let limit = u64::from(self.limit(policy)) * 1_000;
        let least = u64::from(policy.min.max(1)) * 1_000;
        self.limit
            .store((limit * 9 / 10).max(least), Ordering::Relaxed);
    }

    fn step(&self, present: u64, in_flight: u32, policy: &AdaptivePolicy) {
        let usual = match self.usual_micros.load(Ordering::Relaxed) {
            0 => present,
            // A usual time that lies far above has been learnt in worse times: it is forgotten faster.
            usual if usual > present.saturating_mul(2) => (usual - usual / 20).max(1),
            usual => (usual - usual / USUAL_PARTS + present / USUAL_PARTS).max(1),
        };
        self.usual_micros.store(usual, Ordering::Relaxed);
        let limit = self.limit(policy);
        if in_flight < limit / 2 {
            return;
        }
        let least = u128::from(policy.min.max(1)) * 1_000;
        let most = u128::from(policy.max.max(policy.min).max(1)) * 1_000;
        // Kept in thousandths, so that small steps add up.
        let thousand = match self.limit.load(Ordering::Relaxed) {
            0 => u128::from(limit) * 1_000,
            known => u128::from(known).clamp(least, most),
        };
        let borne = u128::from(usual) * u128::from(policy.tolerance_percent.max(100)) / 100;
        // Between a half and one, in thousandths.
        let gradient = (borne * 1_000 / u128::from(present)).clamp(500, 1_000);
        let room = u128::from(limit.isqrt().max(1)) * 1_000;
        let wanted = thousand * gradient / 1_000 + room;
        // A fifth of the way there: one odd step changes little.
        let next = (thousand * 4 + wanted) / 5;
        self.limit
            .store(next.clamp(least, most) as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: AdaptivePolicy = AdaptivePolicy {
        initial: 20,
        min: 5,
        max: 200,
        tolerance_percent: 150,
    };

    /// A server with `cores` that each take `micros` for a request: with more in flight than cores, requests queue.
    fn serve(limit: &AdaptiveLimit, cores: u32, micros: u64, steps: u32) {
        for _ in 0..steps * STEP_SAMPLES {
            let in_flight = limit.limit(&POLICY);
            let took = micros * u64::from(in_flight.max(cores)) / u64::from(cores);
            limit.observe(took, in_flight, &POLICY);
        }
    }

    #[test]
    fn it_finds_what_the_endpoint_bears() {
        let limit = AdaptiveLimit::default();
        assert_eq!(limit.limit(&POLICY), 20);
        serve(&limit, 1_000, 1_000, 500);
        assert_eq!(
            limit.limit(&POLICY),
            200,
            "more than the most is never needed"
        );
        serve(&limit, 1_000, 10_000, 20);
        let slower = limit.limit(&POLICY);
        assert!(slower < 150, "ten times slower: {slower}");
    }

    #[test]
    fn an_idle_endpoint_earns_nothing() {
        let limit = AdaptiveLimit::default();
        for _ in 0..10_000 {
            limit.observe(100, 1, &POLICY);
        }
        assert_eq!(limit.limit(&POLICY), 20);
    }

    #[test]
    fn answers_that_do_not_come_lower_it() {
        let limit = AdaptiveLimit::default();
        limit.overloaded(&POLICY);
        assert_eq!(limit.limit(&POLICY), 18);
        for _ in 0..100 {
            limit.overloaded(&POLICY);
        }
        assert_eq!(limit.limit(&POLICY), POLICY.min);
        serve(&limit, 100, 1_000, 100);
        assert!(limit.limit(&POLICY) > 20, "and it comes back");
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(
            samples in proptest::collection::vec((any::<u64>(), any::<u32>(), 0..10_u8), 1..500),
            min in 0..50_u32,
            max in 0..500_u32,
        ) {
            let policy = AdaptivePolicy { min, max, ..POLICY };
            let limit = AdaptiveLimit::default();
            for (micros, in_flight, kind) in samples {
                match kind {
                    0 => limit.overloaded(&policy),
                    _ => limit.observe(micros >> 8, in_flight, &policy),
                }
                let present = limit.limit(&policy);
                prop_assert!((min.max(1)..=max.max(min).max(1)).contains(&present));
            }
        }
    }
}
