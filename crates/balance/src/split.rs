//! Which of several targets takes a request, each a part by its weight.

/// The target that a number falls to, when the numbers of 64 bits are dealt out in the order of targets: a key's hash, so
/// that a key stays with its target, or a random number. A target that grows at the cost of its neighbours keeps all that it
/// had.
#[must_use]
pub fn split(weights: &[u32], number: u64) -> usize {
    let all: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let mut place = ((u128::from(number) * u128::from(all)) >> 64) as u64;
    for (index, weight) in weights.iter().enumerate() {
        match place.checked_sub(u64::from(*weight)) {
            None => return index,
            Some(rest) => place = rest,
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_are_exact(weights in proptest::collection::vec(0..50_u32, 1..8)) {
            let all: u32 = weights.iter().sum();
            prop_assume!(all > 0);
            let mut counts = vec![0; weights.len()];
            for step in 0..all {
                // The middle of each unit's part of the numbers.
                let number = ((u128::from(step) * 2 + 1) << 63) / u128::from(all);
                counts[split(&weights, number as u64)] += 1;
            }
            prop_assert_eq!(counts, weights);
        }

        #[test]
        fn a_growing_canary_keeps_who_it_had(
            before in 0..100_u32,
            more in 0..100_u32,
            numbers in proptest::collection::vec(any::<u64>(), 1..50),
        ) {
            let after = (before + more).min(100);
            for number in numbers {
                let was = split(&[100 - before, before], number);
                let is = split(&[100 - after, after], number);
                prop_assert!(was == 0 || is == 1);
            }
        }
    }

    #[test]
    fn a_target_without_weight_takes_nothing() {
        assert_eq!(split(&[0, 1], 0), 1);
        assert_eq!(split(&[1, 0], u64::MAX), 0);
        assert_eq!(split(&[0, 0], 7), 0);
    }
}
