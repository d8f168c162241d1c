//! A log-linear latency histogram: fixed memory, no allocation per value, about 1.6 % wide buckets.

/// Buckets per power of two.
const STEPS: usize = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// Latencies in nanoseconds.
#[derive(Debug, Clone)]
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
    sum_ns: u128,
    max_ns: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            buckets: vec![0; STEPS * (64 - STEP_BITS as usize + 1)],
            count: 0,
            sum_ns: 0,
            max_ns: 0,
        }
    }
}

fn bucket(value_ns: u64) -> usize {
    if value_ns < STEPS as u64 {
        return value_ns as usize;
    }
    let exponent = 63 - value_ns.leading_zeros();
    let step = (value_ns >> (exponent - STEP_BITS)) as usize - STEPS;
    STEPS * (exponent - STEP_BITS + 1) as usize + step
}

fn lower_bound_ns(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    let exponent = bucket / STEPS - 1;
    ((STEPS + bucket % STEPS) as u64) << exponent
}

impl Latencies {
    /// Counts one latency.
    pub fn record(&mut self, value_ns: u64) {
        self.buckets[bucket(value_ns)] += 1;
        self.count += 1;
        self.sum_ns += u128::from(value_ns);
        self.max_ns = self.max_ns.max(value_ns);
    }

    /// Forgets everything counted so far.
    pub fn clear(&mut self) {
        self.buckets.fill(0);
        (self.count, self.sum_ns, self.max_ns) = (0, 0, 0);
    }

    /// Number of latencies counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The latency, in microseconds, that the given share (0 to 1) of all values did not exceed; 0 when empty.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> f64 {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return lower_bound_ns(index) as f64 / 1000.0;
            }
        }
        0.0
    }

    /// Arithmetic mean in microseconds; 0 when empty.
    #[must_use]
    pub fn mean_us(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        self.sum_ns as f64 / self.count as f64 / 1000.0
    }

    /// The largest latency in microseconds.
    #[must_use]
    pub fn max_us(&self) -> f64 {
        self.max_ns as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_at_most_two_percent_below_it() {
        let mut value = 1_u64;
        while value < u64::MAX / 3 {
            for near in [value - 1, value, value + 1] {
                let low = lower_bound_ns(bucket(near));
                assert!(low <= near, "{near}");
                assert!((near - low) as f64 <= near as f64 * 0.02, "{near} {low}");
            }
            value = value * 3 / 2 + 1;
        }
        assert!(bucket(u64::MAX) < Latencies::default().buckets.len());
    }

    #[test]
    fn quantiles_of_a_known_series() {
        let mut latencies = Latencies::default();
        for us in 1..=1000_u64 {
            latencies.record(us * 1000);
        }
        let near = |got: f64, expected: f64| {
            assert!((got / expected - 1.0).abs() < 0.02, "{got} {expected}")
        };
        near(latencies.quantile_us(0.5), 500.0);
        near(latencies.quantile_us(0.99), 990.0);
        near(latencies.mean_us(), 500.5);
        assert_eq!(latencies.max_us(), 1000.0);
        latencies.clear();
        assert_eq!(latencies.quantile_us(0.5), 0.0);
    }
}
