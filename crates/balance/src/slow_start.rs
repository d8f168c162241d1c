//! Slow start: an endpoint that joins late, or comes back, takes a part of its share at first, and more with time.
//!
//! Caches are cold, pools empty and code uncompiled in a process that has just begun; a full share at once can make it
//! fail again. Which requests it takes is decided by a draw of each, or by the request's key, so that the keys that it has
//! taken stay with it while it takes more.

use crate::hash::mix;

/// The part of its share that an endpoint begins with, in percent.
pub const SLOW_START_PERCENT_MIN: u64 = 10;

/// A whole share, in the unit of [`share`].
pub(crate) const WHOLE: u64 = 1 << 16;

/// The part of its share that an endpoint takes which came at `since_ms` (0 = it was always there), of [`WHOLE`].
#[inline]
pub(crate) fn share(since_ms: u64, now_ms: u64, window_ms: u64) -> u64 {
    let passed_ms = now_ms.saturating_sub(since_ms);
    if since_ms == 0 || passed_ms >= window_ms {
        return WHOLE;
    }
    let least = WHOLE * SLOW_START_PERCENT_MIN / 100;
    let more = u128::from(WHOLE - least) * u128::from(passed_ms) / u128::from(window_ms);
    least + more as u64
}

/// Whether a request, by its draw, is among the part `of` in `all` that an endpoint takes.
#[inline]
pub(crate) fn takes(draw: u64, id: u64, of: u64, all: u64) -> bool {
    let place = (u128::from(mix(draw, id)) * u128::from(all)) >> 64;
    (place as u64) < of
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_begins_small_grows_and_is_whole_in_the_end(
            since in 1..1_000_000_u64,
            window in 1..u64::from(u32::MAX),
            earlier in any::<u32>(),
            later in any::<u32>(),
        ) {
            let at = |passed: u32| share(since, since + u64::from(passed), window);
            prop_assert!(at(earlier.min(later)) <= at(earlier.max(later)));
            prop_assert!(at(0) >= WHOLE / 10 - 1 && at(0) <= WHOLE);
            prop_assert_eq!(share(since, since + window, window), WHOLE);
            prop_assert_eq!(share(0, 5, window), WHOLE);
            prop_assert!(share(since, 0, window) <= at(0), "a clock that is behind");
        }

        #[test]
        fn keys_that_were_taken_stay(draw in any::<u64>(), id in any::<u64>(), of in 0..1_000_u64, more in 0..1_000_u64) {
            let before = takes(draw, id, of, 1_000);
            let after = takes(draw, id, (of + more).min(1_000), 1_000);
            prop_assert!(!before || after);
            prop_assert!(takes(draw, id, 1_000, 1_000) && !takes(draw, id, 0, 1_000));
        }
    }

    #[test]
    fn the_part_is_exact() {
        let taken = (0..100_000).filter(|draw| takes(*draw, 7, 30, 100)).count();
        assert!((29_500..30_500).contains(&taken), "{taken}");
    }
}
