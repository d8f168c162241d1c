//! Random numbers for request ids and choices: fast, well spread, and not for secrets.

use std::cell::Cell;

/// One worker's generator (wyrand).
#[derive(Debug)]
pub(crate) struct Random(Cell<u64>);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(Cell::new(seed))
    }

    /// The next 64 bits.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0xa076_1d64_78bd_642f);
        self.0.set(state);
        let product = u128::from(state) * u128::from(state ^ 0xe703_7ed1_a0b4_28db);
        (product >> 64) as u64 ^ product as u64
    }

    /// The next 128 bits.
    #[inline]
    pub(crate) fn next_wide(&self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_differ_and_bits_are_spread() {
        let random = Random::new(7);
        let numbers: Vec<u64> = (0..4096).map(|_| random.next()).collect();
        assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), 4096);
        let ones: u32 = numbers.iter().map(|n| n.count_ones()).sum();
        assert!((130_000..132_200).contains(&ones), "{ones}");
    }
}
