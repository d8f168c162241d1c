//! The hash that keys and endpoints are placed by.
//!
//! It is the same in every process and on every machine, so that gateways beside each other send a key to the same
//! endpoint. It withstands nobody who chooses keys that meet; the bound on an endpoint's load does.

/// Odd numbers without pattern (digits of e and √2).
const SEEDS: [u64; 3] = [
    0xb7e1_5162_8aed_2a6b,
    0x6a09_e667_f3bc_c909,
    0xbf71_5880_9cf4_f3c7,
];

/// Two numbers into one in which every bit depends on all of theirs.
#[must_use]
#[inline]
pub(crate) const fn mix(one: u64, other: u64) -> u64 {
    fold(fold(one ^ SEEDS[0], other ^ SEEDS[1]), SEEDS[2])
}

#[inline]
const fn fold(one: u64, other: u64) -> u64 {
    let product = (one as u128) * (other as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The hash of a text, such as a key or an endpoint's name.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    let mut state = SEEDS[2] ^ bytes.len() as u64;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        state = mix(state, word);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        state = mix(state, u64::from_le_bytes(last));
    }
    mix(state, bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn hashes_are_the_same_for_ever() {
        // Gateways of two versions stand beside each other during an upgrade.
        assert_eq!(hash(b""), EMPTY);
        assert_eq!(hash(b"10.0.0.1:8080"), ADDRESS);
    }
    const EMPTY: u64 = 5_405_317_210_999_115_775;
    const ADDRESS: u64 = 5_195_942_501_396_258_640;

    #[test]
    fn similar_texts_are_far_apart() {
        let all: HashSet<u64> = (0..100_000)
            .map(|n: u32| hash(n.to_string().as_bytes()))
            .collect();
        assert_eq!(all.len(), 100_000);
        let mut buckets = [0_u32; 64];
        for value in &all {
            buckets[(value >> 58) as usize] += 1;
        }
        assert!(
            buckets.iter().all(|count| (1_350..1_800).contains(count)),
            "{buckets:?}"
        );
        assert_ne!(hash(b"a"), hash(b"a\0"));
        // One bit changes about half of them.
        let flips: u32 = (0..64)
            .map(|bit| (mix(1 << bit, 7) ^ mix(0, 7)).count_ones())
            .sum();
        assert!((64 * 28..64 * 36).contains(&flips), "{flips}");
    }
}
