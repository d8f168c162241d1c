//! How long is waited after trouble.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(500);

/// The longest one.
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses that double, up to a longest one, each shortened by chance so that many who had the same trouble do not come
/// back together.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    troubles: u32,
}

impl Pauses {
    /// The next pause. `chance` is any number.
    pub(super) fn next(&mut self, chance: u32) -> Duration {
        let whole = FIRST
            .saturating_mul(1 << self.troubles.min(16))
            .min(LONGEST);
        self.troubles += 1;
        // Between a half and the whole.
        whole - whole.mul_f64(f64::from(chance % 1024) / 2048.0)
    }

    /// The trouble is over.
    pub(super) fn reset(&mut self) {
        self.troubles = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_longest_one_and_begin_anew() {
        let mut pauses = Pauses::default();
        let grown: Vec<u64> = (0..9).map(|_| pauses.next(0).as_millis() as u64).collect();
        let expected = [
            500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000,
        ];
        assert_eq!(grown, expected);
        pauses.reset();
        let shortened = pauses.next(1_023);
        assert!(shortened >= FIRST / 2 && shortened < FIRST, "{shortened:?}");
    }
}
