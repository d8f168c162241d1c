//! How long an endpoint takes to answer, of late: a peak-sensitive moving average.
//!
//! A slower answer counts at once and in full, faster ones only bit by bit, so that an endpoint that stumbles is noticed
//! with its first slow answer. With time the figure fades whatever happens, so that who is avoided is tried again.

use std::sync::atomic::{AtomicU64, Ordering};

/// In this time half of what was known is forgotten.
pub(crate) const HALF_LIFE_MS: u64 = 5_000;
/// Answers that are faster than known count once in so long, weighed by that time.
const STEP_MS: u64 = 20;
/// What an attempt that failed counts as, at least: failing fast is not being fast.
pub(crate) const FAILURE_MICROS: u64 = 1_000_000;
/// What an endpoint of which nothing is known counts as while its first requests run.
pub(crate) const UNKNOWN_MICROS: u64 = 1_000_000;

/// The average and when it was taken, in one word that all workers write: 32 bits of microseconds, 32 bits of
/// milliseconds. 0 = nothing is known. Of two workers that write at once one is lost, which an average can bear.
#[derive(Debug, Default)]
pub(crate) struct Latency(AtomicU64);

impl Latency {
    /// Takes note of a time to answer.
    #[inline]
    pub(crate) fn observe(&self, micros: u64, now_ms: u64) {
        let before = self.0.load(Ordering::Relaxed);
        let micros = micros.clamp(1, u64::from(u32::MAX));
        let (known, age_ms) = (before >> 32, age_ms(before, now_ms));
        let average = if before == 0 || known <= micros {
            micros
        } else if age_ms < STEP_MS {
            // Too soon to tell; most answers end here, and write nothing.
            return;
        } else {
            let kept = decayed(known, age_ms);
            // What has faded makes room for the new one.
            (kept + micros * (known - kept) / known).max(1)
        };
        let stamp = now_ms & u64::from(u32::MAX);
        self.0.store(average << 32 | stamp, Ordering::Relaxed);
    }

    /// What a request is expected to take now, in microseconds; `None` when nothing is known.
    #[inline]
    pub(crate) fn micros(&self, now_ms: u64) -> Option<u64> {
        let word = self.0.load(Ordering::Relaxed);
        if word == 0 {
            return None;
        }
        Some(decayed(word >> 32, age_ms(word, now_ms)).max(1))
    }
}

/// The age of a word. Milliseconds are counted modulo 2^32; a clock that is a little behind another's makes no age.
#[inline]
fn age_ms(word: u64, now_ms: u64) -> u64 {
    let age = (now_ms as u32).wrapping_sub(word as u32);
    if age > u32::MAX / 2 {
        0
    } else {
        u64::from(age)
    }
}

/// `value` × 2^(−age / half-life), the power between its whole exponents by a parabola (within 1 %).
#[inline]
fn decayed(value: u64, age_ms: u64) -> u64 {
    const SCALE: u64 = 1 << 16;
    let halvings = age_ms / HALF_LIFE_MS;
    if halvings >= 32 {
        return 0;
    }
    // 1 − x × (0.6863 − 0.1863 × x) for the rest x of the exponent.
    let rest = age_ms % HALF_LIFE_MS;
    let curve = rest * (6_863 * HALF_LIFE_MS - 1_863 * rest);
    let lost = curve * SCALE / (10_000 * HALF_LIFE_MS * HALF_LIFE_MS);
    let value = value >> halvings;
    value - ((value * lost) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_slow_answer_counts_at_once_and_fast_ones_bit_by_bit() {
        let latency = Latency::default();
        assert_eq!(latency.micros(0), None);
        latency.observe(1_000, 0);
        assert_eq!(latency.micros(0), Some(1_000));
        latency.observe(50_000, 1);
        assert_eq!(latency.micros(1), Some(50_000));
        latency.observe(1_000, 2);
        assert_eq!(latency.micros(2), Some(49_994), "too soon to count");
        let mut now_ms = 2;
        while now_ms < HALF_LIFE_MS {
            now_ms += STEP_MS;
            latency.observe(1_000, now_ms);
        }
        let halfway = latency.micros(now_ms).unwrap();
        assert!((24_000..27_000).contains(&halfway), "{halfway}");
        for _ in 0..10_000 {
            now_ms += STEP_MS;
            latency.observe(1_000, now_ms);
        }
        let settled = latency.micros(now_ms).unwrap();
        assert!((1_000..1_100).contains(&settled), "{settled}");
    }

    #[test]
    fn whoever_is_left_alone_is_forgiven() {
        let latency = Latency::default();
        latency.observe(8_000_000, 7);
        assert_eq!(latency.micros(7 + HALF_LIFE_MS), Some(4_000_000));
        assert_eq!(latency.micros(7 + 3 * HALF_LIFE_MS), Some(1_000_000));
        assert_eq!(
            latency.micros(7 + 100 * HALF_LIFE_MS),
            Some(1),
            "known, and no news"
        );
    }

    #[test]
    fn clocks_may_differ_and_wrap() {
        let latency = Latency::default();
        latency.observe(1_000, 10_000);
        assert_eq!(latency.micros(9_990), Some(1_000));
        let late = u64::from(u32::MAX);
        latency.observe(2_000, late);
        assert_eq!(latency.micros(late + HALF_LIFE_MS), Some(1_000));
    }

    proptest! {
        #[test]
        fn it_stays_between_what_was_seen(
            seen in proptest::collection::vec((any::<u64>(), 0..100_000_u64), 1..100),
        ) {
            let latency = Latency::default();
            let (mut now_ms, mut slowest) = (0, 0);
            for (micros, later) in seen {
                now_ms += later;
                let micros = micros.clamp(1, u64::from(u32::MAX));
                slowest = slowest.max(micros);
                latency.observe(micros, now_ms);
                let known = latency.micros(now_ms).unwrap();
                prop_assert!(known >= 1 && known <= slowest);
            }
        }

        #[test]
        fn it_only_fades(value in 0..u64::from(u32::MAX), age in 0..1_000_000_u64) {
            prop_assert!(decayed(value, age + 1) <= decayed(value, age));
            let exact = value as f64 * (-(age as f64) / HALF_LIFE_MS as f64).exp2();
            let differs = decayed(value, age) as f64 - exact;
            prop_assert!(differs.abs() < 0.01 * exact + 2.0);
        }
    }
}
