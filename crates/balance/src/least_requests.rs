//! Least requests: the endpoint with the fewest requests in flight for its weight.
//!
//! Looks at all of them up to [`SCAN_MAX`], from a start that moves on with every pick, so that equals take turns.
//! Beyond that at a sample of [`SAMPLE`], which finds an endpoint among the least loaded few percent and keeps a pick
//! from touching a thousand cache lines.

use crate::candidates::{Candidates, Draws};

/// Up to so many endpoints are all looked at.
const SCAN_MAX: usize = 64;
/// So many are looked at when there are more.
const SAMPLE: usize = 16;

/// A worker's place in the round.
#[derive(Debug)]
pub(crate) struct LeastRequests {
    start: usize,
}

impl LeastRequests {
    pub(crate) fn new(count: usize, worker_seed: u64) -> LeastRequests {
        // As in round robin: the reversed bits spread small numbers over the whole.
        let fraction = u64::from((worker_seed as u32).reverse_bits());
        LeastRequests {
            start: ((fraction * count as u64) >> 32) as usize,
        }
    }

    pub(crate) fn pick(
        &mut self,
        candidates: &Candidates<'_>,
        random: &mut Draws,
    ) -> Option<usize> {
        let count = candidates.count();
        if count > SCAN_MAX {
            let sample = (0..SAMPLE).map(|_| random.below(count as u64) as usize);
            // An unlucky sample of unavailable ones is followed by a look at all.
            if let Some(picked) = least(candidates, sample) {
                return Some(picked);
            }
        }
        let start = self.start.min(count);
        let picked = least(candidates, (start..count).chain(0..start))?;
        // Equals behind the picked one come next.
        self.start = if picked + 1 < count { picked + 1 } else { 0 };
        Some(picked)
    }
}

/// The first of the least loaded available ones.
fn least(candidates: &Candidates<'_>, indexes: impl Iterator<Item = usize>) -> Option<usize> {
    indexes
        .filter(|index| candidates.is_available(*index))
        .reduce(|best, index| {
            if candidates.is_less_loaded(index, best) {
                index
            } else {
                best
            }
        })
}
