//! Random numbers for jitter and names; keys have their own.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// A random number.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness there are no keys either, and jitter is the least of the worries.
    let _ = SystemRandom::new().fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}
