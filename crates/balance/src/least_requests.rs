//! Least requests: the endpoint with the fewest requests in flight for its weight.
//!
//! Looks at all of them up to [`SCAN_MAX`], from a start that moves on with every pick, so that equals take turns; where
//! weights differ, equals are drawn by weight, so that weights count in quiet times, too.
//! Beyond that at a sample of [`SAMPLE`], which finds an endpoint among the least loaded few percent and keeps a pick
//! from touching a thousand cache lines. Where fewer than half are fit, the sample is one of those who were a moment ago.

use std::cmp::Ordering::{Equal, Greater, Less};

use crate::candidates::{Candidates, Draws};
use crate::fit::{Chance, Fit};
use crate::slow_start;

/// Up to so many endpoints are all looked at.
pub(crate) const SCAN_MAX: usize = 32;
/// So many are looked at when there are more.
const SAMPLE: usize = 16;

/// A worker's place in the round.
#[derive(Debug)]
pub(crate) struct LeastRequests {
    start: usize,
    /// All have the same weight.
    is_uniform: bool,
}

impl LeastRequests {
    pub(crate) fn new(weights: &[u32], worker_seed: u64) -> LeastRequests {
        let count = weights.len();
        // As in round robin: the reversed bits spread small numbers over the whole.
        let fraction = u64::from((worker_seed as u32).reverse_bits());
        LeastRequests {
            start: ((fraction * count as u64) >> 32) as usize,
            is_uniform: weights.windows(2).all(|pair| pair[0] == pair[1]),
        }
    }

    pub(crate) fn pick(
        &mut self,
        candidates: &Candidates<'_>,
        fit: &mut Fit,
        random: &mut Draws,
    ) -> Option<usize> {
        let count = candidates.count();
        if candidates.slow.is_some() {
            return self.pick_slowly(candidates, random);
        }
        if count > SCAN_MAX {
            if !fit.is_sparse(candidates) {
                let mut sample = [0; SAMPLE];
                sample.fill_with(|| random.below(count as u64) as usize);
                if let Some(picked) = self.least(candidates, sample.into_iter(), random) {
                    return Some(picked);
                }
            }
            // Where all of a sample are unavailable, few are fit.
            return self.least_of_few(candidates, fit, random);
        }
        let start = self.start.min(count);
        let picked = self.least(candidates, (start..count).chain(0..start), random)?;
        // Equals behind the picked one come next.
        self.start = if picked + 1 < count { picked + 1 } else { 0 };
        Some(picked)
    }

    #[cold]
    fn least_of_few(
        &self,
        candidates: &Candidates<'_>,
        fit: &mut Fit,
        random: &mut Draws,
    ) -> Option<usize> {
        let first = fit.draw(candidates, Chance::Even, None, random)?;
        let mut sample = [first; SAMPLE];
        for other in &mut sample[1..] {
            *other = fit.any(Chance::Even, random).unwrap_or(first);
        }
        self.least(candidates, sample.into_iter(), random)
    }

    /// The same while endpoints that have just come take a part of their share. Such a one has the fewest requests and would
    /// have all of them: whether it is looked at is drawn by its part of the shares of all.
    #[cold]
    fn pick_slowly(&mut self, candidates: &Candidates<'_>, random: &mut Draws) -> Option<usize> {
        let count = candidates.count();
        let plain = Candidates {
            slow: None,
            ..*candidates
        };
        if count > SCAN_MAX {
            let mut sample = [0; SAMPLE];
            sample.fill_with(|| random.below(count as u64) as usize);
            if let Some(picked) = self.least_slowly(&plain, sample.into_iter(), random) {
                return Some(picked);
            }
        }
        let start = self.start.min(count);
        let picked = self.least_slowly(&plain, (start..count).chain(0..start), random)?;
        self.start = if picked + 1 < count { picked + 1 } else { 0 };
        Some(picked)
    }

    fn least_slowly(
        &self,
        candidates: &Candidates<'_>,
        indexes: impl Iterator<Item = usize> + Clone,
        random: &mut Draws,
    ) -> Option<usize> {
        let part = |index: usize| u64::from(candidates.weights[index]) * candidates.share(index);
        let all: u64 = indexes.clone().map(part).sum();
        let draw = random.next();
        let takes = |index: &usize| {
            candidates.share(*index) == slow_start::WHOLE
                || slow_start::takes(draw, candidates.ids[*index], part(*index), all)
        };
        self.least(candidates, indexes.filter(takes), random)
    }

    /// One of the least loaded available ones: the first, or one drawn by weight where weights differ.
    fn least(
        &self,
        candidates: &Candidates<'_>,
        indexes: impl Iterator<Item = usize>,
        random: &mut Draws,
    ) -> Option<usize> {
        // With its load and weight, which are asked for again and again.
        let mut best: Option<(usize, u64, u64)> = None;
        let mut weight_of_equals = 0;
        for index in indexes.filter(|index| candidates.is_available(*index)) {
            let weight = u64::from(candidates.weights[index]);
            let load = u64::from(candidates.endpoints[index].in_flight());
            let this = Some((index, load, weight));
            let by_weight = |(_, least, other): (usize, u64, u64)| {
                // a/b < c/d is a·d < c·b; all are below 2^32.
                (load * other).cmp(&(least * weight))
            };
            match best.map_or(Less, by_weight) {
                Less => {
                    best = this;
                    weight_of_equals = weight;
                }
                Equal if !self.is_uniform => {
                    weight_of_equals += weight;
                    // Each replaces those before by its share of all so far.
                    if random.below(weight_of_equals) < weight {
                        best = this;
                    }
                }
                Equal | Greater => {}
            }
        }
        best.map(|(index, ..)| index)
    }
}
