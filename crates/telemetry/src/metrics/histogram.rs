//! Latency histograms: log-linear, four buckets to each power of two from 64 µs to 134 s.
//!
//! A bucket's bounds are `(low, high]`, so the powers of two can be handed to Prometheus as exact `le` bounds; a
//! quantile is at most 25 % above the true one (below 64 µs: at most 64 µs above).

use super::cell::Counter;

const FIRST_EXPONENT: u32 = 6;
const LAST_EXPONENT: u32 = 26;
/// One below 64 µs, four for each power of two, one above 2^27 µs.
const BUCKETS: usize = 2 + 4 * (LAST_EXPONENT - FIRST_EXPONENT + 1) as usize;

/// The bounds that Prometheus is given: exponents of two in µs, and `le` label values in seconds.
pub(super) const EXPORTED_BOUNDS: [(u32, &str); 16] = [
    (7, "0.000128"),
    (9, "0.000512"),
    (10, "0.001024"),
    (11, "0.002048"),
    (12, "0.004096"),
    (13, "0.008192"),
    (14, "0.016384"),
    (15, "0.032768"),
    (16, "0.065536"),
    (17, "0.131072"),
    (18, "0.262144"),
    (19, "0.524288"),
    (20, "1.048576"),
    (22, "4.194304"),
    (24, "16.777216"),
    (26, "67.108864"),
];

/// A histogram being written by one worker. The sum comes first: it is written with what its owner has before it.
#[derive(Debug)]
#[repr(C)]
pub struct Histogram {
    sum_micros: Counter,
    buckets: [Counter; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            sum_micros: Counter::default(),
            buckets: std::array::from_fn(|_| Counter::default()),
        }
    }
}

impl Histogram {
    /// Counts one duration, and tells in which bucket. Only the shard's own worker may call this.
    #[inline]
    pub fn observe(&self, micros: u64) -> usize {
        let bucket = bucket_of(micros);
        self.buckets[bucket].one();
        self.sum_micros.add(micros);
        bucket
    }

    /// Reads what an observation in this bucket will write.
    #[inline]
    pub(super) fn expect(&self, bucket: usize) -> u64 {
        self.buckets[bucket.min(BUCKETS - 1)].read()
    }
}

/// The bucket whose `(low, high]` holds `micros`.
#[inline]
fn bucket_of(micros: u64) -> usize {
    let inside = micros.saturating_sub(1);
    if inside < 1 << FIRST_EXPONENT {
        return 0;
    }
    let exponent = inside.ilog2();
    if exponent > LAST_EXPONENT {
        return BUCKETS - 1;
    }
    let quarter = (inside >> (exponent - 2)) & 3;
    1 + 4 * (exponent - FIRST_EXPONENT) as usize + quarter as usize
}

/// The upper bound of a bucket in µs; the last one has none.
fn bound_of(bucket: usize) -> u64 {
    if bucket == 0 {
        return 1 << FIRST_EXPONENT;
    }
    if bucket >= BUCKETS - 1 {
        return u64::MAX;
    }
    let exponent = FIRST_EXPONENT + (bucket as u32 - 1) / 4;
    let quarter = (bucket as u64 - 1) % 4;
    (5 + quarter) << (exponent - 2)
}

/// What one or several histograms held at a point in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramSnapshot {
    buckets: [u64; BUCKETS],
    sum_micros: u64,
}

impl Default for HistogramSnapshot {
    fn default() -> HistogramSnapshot {
        HistogramSnapshot {
            buckets: [0; BUCKETS],
            sum_micros: 0,
        }
    }
}

impl HistogramSnapshot {
    /// Adds what a histogram holds now.
    pub fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.read();
        }
        self.sum_micros = self.sum_micros.wrapping_add(histogram.sum_micros.read());
    }

    /// Adds what another snapshot holds.
    pub fn merge(&mut self, other: &HistogramSnapshot) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += bucket;
        }
        self.sum_micros = self.sum_micros.wrapping_add(other.sum_micros);
    }

    /// What came since `earlier`, a snapshot of the same histograms.
    #[must_use]
    pub fn since(&self, earlier: &HistogramSnapshot) -> HistogramSnapshot {
        let mut difference = self.clone();
        for (left, right) in difference.buckets.iter_mut().zip(&earlier.buckets) {
            *left = left.saturating_sub(*right);
        }
        difference.sum_micros = self.sum_micros.wrapping_sub(earlier.sum_micros);
        difference
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The sum of all durations in µs.
    #[must_use]
    pub fn sum_micros(&self) -> u64 {
        self.sum_micros
    }

    /// How many durations were at most 2^`exponent` µs (exact for exponents from 6 to 27).
    #[must_use]
    pub(super) fn at_most(&self, exponent: u32) -> u64 {
        let bound = 1 << exponent;
        self.buckets
            .iter()
            .enumerate()
            .take_while(|(bucket, _)| bound_of(*bucket) <= bound)
            .map(|(_, count)| count)
            .sum()
    }

    /// The duration in µs that a share `quantile` (0 to 1) of all stays at or below: the upper bound of the bucket
    /// in which it falls, `None` when nothing was counted. Beyond 134 s it reads as 134 s.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = ((count as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).clamp(1, count);
        let mut below = 0;
        for (bucket, held) in self.buckets.iter().enumerate() {
            below += held;
            if below >= rank {
                return Some(bound_of(bucket).min(1 << (LAST_EXPONENT + 1)));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_grow_and_close_each_bucket() {
        for bucket in 0..BUCKETS - 1 {
            let bound = bound_of(bucket);
            assert_eq!(bucket_of(bound), bucket, "{bound} is inside");
            assert_eq!(bucket_of(bound + 1), bucket + 1, "{bound} + 1 is not");
        }
        assert_eq!(bound_of(BUCKETS - 2), 1 << 27);
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn exported_bounds_are_bucket_bounds_and_say_so() {
        for (exponent, label) in EXPORTED_BOUNDS {
            let seconds: f64 = label.parse().unwrap();
            assert_eq!((seconds * 1e6).round() as u64, 1 << exponent);
            assert!((0..BUCKETS).any(|bucket| bound_of(bucket) == 1 << exponent));
        }
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(HistogramSnapshot::default().quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn quantiles_are_near_the_true_ones(
            mut micros in proptest::collection::vec(
                prop_oneof![0..300_u64, 0..100_000_u64, 0..130_000_000_u64], 1..300),
            quantile in 0.0..=1.0_f64,
        ) {
            let histogram = Histogram::default();
            for value in &micros {
                histogram.observe(*value);
            }
            let mut snapshot = HistogramSnapshot::default();
            snapshot.add(&histogram);
            micros.sort_unstable();
            let rank = ((micros.len() as f64 * quantile).ceil() as usize).clamp(1, micros.len());
            let exact = micros[rank - 1];
            let found = snapshot.quantile(quantile).unwrap();
            prop_assert!(found >= exact);
            prop_assert!(found <= (exact + exact / 4 + 1).max(64), "{found} for {exact}");
            prop_assert_eq!(snapshot.count(), micros.len() as u64);
            prop_assert_eq!(snapshot.sum_micros(), micros.iter().sum::<u64>());
            for (exponent, _) in EXPORTED_BOUNDS {
                let exact = micros.iter().filter(|micros| **micros <= 1 << exponent).count();
                prop_assert_eq!(snapshot.at_most(exponent), exact as u64);
            }
        }
    }

    #[test]
    fn differences_and_sums() {
        let histogram = Histogram::default();
        histogram.observe(100);
        let mut before = HistogramSnapshot::default();
        before.add(&histogram);
        histogram.observe(5_000);
        let mut after = HistogramSnapshot::default();
        after.add(&histogram);
        let between = after.since(&before);
        assert_eq!((between.count(), between.sum_micros()), (1, 5_000));
        let mut merged = before.clone();
        merged.merge(&between);
        assert_eq!(merged, after);
    }
}
