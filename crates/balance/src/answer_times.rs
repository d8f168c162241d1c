//! How long an upstream's answers take to begin, of late: counts by length of time, from which a percentile is read.
//!
//! Times are counted in buckets of an eighth of a doubling, so that a percentile is at most an eighth too high. When enough
//! were counted all counts are halved: what is known is of the last thousand or two answers. All workers write one set.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Buckets of a doubling.
const STEPS: usize = 8;
/// Times from here on count as this: almost 18 minutes.
const MICROS_MAX: u64 = (1 << 30) - 1;
/// As many as [`bucket`] tells apart.
const BUCKETS: usize = 28 * STEPS;
/// With so many counted, all counts are halved.
const COUNTED_MAX: u32 = 2_048;
/// With fewer nothing follows from them.
pub const ANSWERS_MIN: u32 = 100;
/// The percentile is read anew once in so many answers.
const READ_EVERY: u32 = 32;

/// The counts, and the percentile that was read last.
#[derive(Debug)]
pub struct AnswerTimes {
    counts: [AtomicU32; BUCKETS],
    counted: AtomicU32,
    halvings: AtomicU32,
    /// Whether somebody halves the counts.
    is_halving: AtomicBool,
    /// In µs; 0 while too little is known.
    read: AtomicU64,
}

impl Default for AnswerTimes {
    fn default() -> AnswerTimes {
        AnswerTimes {
            counts: [const { AtomicU32::new(0) }; BUCKETS],
            counted: AtomicU32::new(0),
            halvings: AtomicU32::new(0),
            is_halving: AtomicBool::new(false),
            read: AtomicU64::new(0),
        }
    }
}

impl AnswerTimes {
    /// Takes note of a time, or of how long an answer was waited for in vain; `percent` is what is read.
    #[inline]
    pub fn observe(&self, micros: u64, percent: u32) {
        self.counts[bucket(micros)].fetch_add(1, Ordering::Relaxed);
        let counted = self.counted.fetch_add(1, Ordering::Relaxed) + 1;
        if counted.is_multiple_of(READ_EVERY) || counted == ANSWERS_MIN {
            self.read_anew(percent);
        }
    }

    /// The percentile that was read last; `None` while too little is known.
    #[must_use]
    #[inline]
    pub fn micros(&self) -> Option<u64> {
        let micros = self.read.load(Ordering::Relaxed);
        (micros > 0).then_some(micros)
    }

    #[cold]
    fn read_anew(&self, percent: u32) {
        if let Some(micros) = self.percentile(percent) {
            self.read.store(micros, Ordering::Relaxed);
        }
        // One halves for all. Others may count far more meanwhile than one halving takes away, so whoever has halved looks
        // again once others may.
        while self.counted.load(Ordering::SeqCst) >= COUNTED_MAX
            && !self.is_halving.swap(true, Ordering::SeqCst)
        {
            self.halve();
            self.is_halving.swap(false, Ordering::SeqCst);
        }
    }

    /// Whoever counts meanwhile loses nothing.
    fn halve(&self) {
        let mut removed = 0;
        // Of an odd count the larger half goes every other time: rare times are neither kept nor lost for good.
        let turn = self.halvings.fetch_add(1, Ordering::Relaxed);
        for (count, number) in self.counts.iter().zip(turn..) {
            let half = (count.load(Ordering::Relaxed) + number % 2) / 2;
            count.fetch_sub(half, Ordering::Relaxed);
            removed += half;
        }
        self.counted.fetch_sub(removed, Ordering::Relaxed);
    }

    /// So many percent of the answers began within this time, in µs; `None` while too little is known.
    #[must_use]
    pub fn percentile(&self, percent: u32) -> Option<u64> {
        let counts = || self.counts.iter().map(|one| one.load(Ordering::Relaxed));
        let all: u64 = counts().map(u64::from).sum();
        if all < u64::from(ANSWERS_MIN) {
            return None;
        }
        let wanted = (all * u64::from(percent.min(100))).div_ceil(100).max(1);
        let mut passed = 0;
        let found = counts().position(|count| {
            passed += u64::from(count);
            passed >= wanted
        });
        // Others may have halved the counts in between.
        Some(longest(found.unwrap_or(BUCKETS - 1)))
    }
}

/// The bucket of a time: each doubling from 8 µs on has [`STEPS`] of the same width.
#[inline]
fn bucket(micros: u64) -> usize {
    let micros = micros.min(MICROS_MAX) as usize;
    if micros < STEPS {
        return micros;
    }
    let doubling = micros.ilog2() as usize - 3;
    doubling * STEPS + (micros >> doubling)
}

/// The longest time of a bucket, never nothing.
fn longest(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket.max(1) as u64;
    }
    let (doubling, step) = (bucket / STEPS - 1, bucket % STEPS);
    (((STEPS + step + 1) << doubling) - 1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_follows_from_a_few() {
        let times = AnswerTimes::default();
        for number in 1..ANSWERS_MIN {
            times.observe(u64::from(number), 95);
        }
        assert_eq!((times.micros(), times.percentile(50)), (None, None));
        times.observe(50, 95);
        assert_eq!(times.micros(), times.percentile(95));
        assert!(times.micros().is_some());
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        assert_eq!(bucket(MICROS_MAX), BUCKETS - 1);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(longest(BUCKETS - 1), MICROS_MAX);
        for one in 1..BUCKETS {
            assert_eq!(bucket(longest(one)), one);
            assert_eq!(bucket(longest(one - 1) + 1), one.max(2));
        }
    }

    #[test]
    fn what_was_is_forgotten() {
        let times = AnswerTimes::default();
        (0..100_000).for_each(|_| times.observe(1_000, 95));
        let before = times.micros().unwrap();
        assert!((1_000..1_125).contains(&before), "{before}");
        // A twentieth of what is kept is enough for the percentile to move, and all is new after a few thousand.
        (0..10_000).for_each(|_| times.observe(80_000, 95));
        assert!((80_000..90_000).contains(&times.percentile(5).unwrap()));
        (0..10_000).for_each(|_| times.observe(2_000, 95));
        assert!((2_000..2_250).contains(&times.micros().unwrap()));
        assert!(times.counted.load(Ordering::Relaxed) <= COUNTED_MAX);
    }

    #[test]
    fn much_that_came_during_a_halving_is_forgotten_too() {
        let times = AnswerTimes::default();
        // One worker has halved and the others have counted five thousand since it looked.
        times.counts[bucket(1_000)].store(5_000, Ordering::Relaxed);
        times.counted.store(5_000, Ordering::Relaxed);
        (0..READ_EVERY).for_each(|_| times.observe(1_000, 95));
        assert!(times.counted.load(Ordering::Relaxed) < COUNTED_MAX);
        (0..10_000).for_each(|_| times.observe(80_000, 95));
        assert!((80_000..90_000).contains(&times.percentile(5).unwrap()));
    }

    #[test]
    fn workers_that_count_at_once_lose_nothing_but_halves() {
        let times = AnswerTimes::default();
        std::thread::scope(|scope| {
            for worker in 0..4_u64 {
                let times = &times;
                scope.spawn(move || {
                    (0..50_000).for_each(|one| times.observe(one % 997 + worker, 90))
                });
            }
        });
        let sum: u32 = (times.counts.iter())
            .map(|one| one.load(Ordering::Relaxed))
            .sum();
        assert_eq!(sum, times.counted.load(Ordering::Relaxed));
        assert!(sum < COUNTED_MAX + READ_EVERY, "{sum}");
        let micros = times.percentile(90).unwrap();
        assert!((700..1_125).contains(&micros), "{micros}");
    }

    proptest! {
        #[test]
        fn a_percentile_is_at_most_an_eighth_too_high(
            mut seen in proptest::collection::vec(1..5_000_000_u64, 100..2_000),
            percent in 1..=100_u32,
        ) {
            let times = AnswerTimes::default();
            seen.iter().for_each(|micros| times.observe(*micros, percent));
            seen.sort_unstable();
            let place = (seen.len() * percent as usize).div_ceil(100) - 1;
            let (exact, told) = (seen[place], times.percentile(percent).unwrap());
            prop_assert!(told >= exact && told <= exact + exact / 8, "{told} for {exact}");
        }

        #[test]
        fn more_percent_are_never_sooner(
            seen in proptest::collection::vec(any::<u64>(), 100..500),
            percent in 1..100_u32,
        ) {
            let times = AnswerTimes::default();
            seen.iter().for_each(|micros| times.observe(*micros, percent));
            prop_assert!(times.percentile(percent) <= times.percentile(percent + 1));
            prop_assert!(times.percentile(100).unwrap() <= MICROS_MAX);
        }
    }
}
