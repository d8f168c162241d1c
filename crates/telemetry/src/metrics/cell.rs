//! The cells that metrics are counted in: one writer each, any number of readers, and no locked instruction.
//!
//! A cell belongs to one worker's shard and only that worker's thread writes it, so a load and a store (relaxed)
//! count as exactly as a read-modify-write would, for a tenth of its price. A second writer would lose counts, no
//! more: readers only ever see whole numbers.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. Only the shard's own worker may call this.
    #[inline]
    pub fn add(&self, count: u64) {
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(count);
        self.0.store(sum, Ordering::Relaxed);
    }

    /// Adds one. Only the shard's own worker may call this.
    #[inline]
    pub fn one(&self) {
        self.add(1);
    }

    /// The count so far.
    #[must_use]
    #[inline]
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many of something there are at present.
#[derive(Debug, Default)]
pub struct Level(AtomicU64);

impl Level {
    /// One more. Only the shard's own worker may call this.
    #[inline]
    pub fn up(&self) {
        let level = self.0.load(Ordering::Relaxed).wrapping_add(1);
        self.0.store(level, Ordering::Relaxed);
    }

    /// One less. Only the shard's own worker may call this.
    #[inline]
    pub fn down(&self) {
        let level = self.0.load(Ordering::Relaxed).wrapping_sub(1);
        self.0.store(level, Ordering::Relaxed);
    }

    /// The present level. What went up on one worker must go down on the same, or levels drift below zero, which
    /// reads as zero.
    #[must_use]
    #[inline]
    pub fn read(&self) -> u64 {
        self.0
            .load(Ordering::Relaxed)
            .cast_signed()
            .max(0)
            .cast_unsigned()
    }
}

/// A place that is overwritten.
#[derive(Debug, Default)]
pub(super) struct Latest(AtomicUsize);

impl Latest {
    /// Only the shard's own worker may call this.
    #[inline]
    pub(super) fn set(&self, place: usize) {
        self.0.store(place, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn read(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up() {
        let counter = Counter::default();
        counter.one();
        counter.add(41);
        assert_eq!(counter.read(), 42);
    }

    #[test]
    fn levels_go_up_and_down_and_never_below_zero() {
        let level = Level::default();
        level.up();
        level.up();
        level.down();
        assert_eq!(level.read(), 1);
        level.down();
        level.down();
        assert_eq!(level.read(), 0);
    }
}
