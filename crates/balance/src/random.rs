//! Weighted random in constant time: the alias method (Walker; tables as Vose builds them).
//!
//! Each of n cells holds one endpoint up to a threshold and another beyond it, so one draw of a cell and one of a
//! place in it give each endpoint its exact share.

use crate::candidates::{Candidates, Draws};
use crate::fit::{Chance, Fit};

/// How often an unavailable endpoint is drawn before those are drawn from who were fit a moment ago.
const DRAWS_MAX: usize = 8;

/// The cells.
#[derive(Debug)]
pub(crate) struct Alias {
    cells: Box<[Cell]>,
    /// The sum of all weights: the height of a cell.
    height: u64,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    /// Below this the cell's own endpoint is meant, otherwise `other`.
    threshold: u64,
    other: u32,
}

impl Alias {
    pub(crate) fn new(weights: &[u32]) -> Alias {
        let height: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let count = weights.len() as u64;
        // Every endpoint has weight × n to place, n cells of the height of all weights.
        let mut left: Vec<u128> = weights
            .iter()
            .map(|weight| u128::from(*weight) * u128::from(count))
            .collect();
        let mut cells: Box<[Cell]> = (0..weights.len() as u32)
            .map(|other| Cell {
                threshold: height,
                other,
            })
            .collect();
        let full = u128::from(height);
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|index| left[*index] < full);
        while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
            // Less than the height, so it fits 64 bits.
            cells[poor].threshold = left[poor] as u64;
            cells[poor].other = rich as u32;
            left[rich] -= full - left[poor];
            if left[rich] < full {
                large.pop();
                small.push(rich);
            }
        }
        Alias { cells, height }
    }

    pub(crate) fn pick(
        &self,
        candidates: &Candidates<'_>,
        fit: &mut Fit,
        random: &mut Draws,
    ) -> Option<usize> {
        if self.height == 0 {
            return None;
        }
        if !fit.is_sparse(candidates) {
            for _ in 0..DRAWS_MAX {
                let index = self.draw(random);
                if candidates.is_available(index) {
                    return Some(index);
                }
            }
        }
        fit.draw(candidates, Chance::Weighted, None, random)
    }

    fn draw(&self, random: &mut Draws) -> usize {
        let index = random.below(self.cells.len() as u64) as usize;
        let cell = self.cells[index];
        if random.below(self.height) < cell.threshold {
            index
        } else {
            cell.other as usize
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_cells_hold_exactly_the_weights(
            weights in proptest::collection::vec(prop_oneof![0..10_u32, any::<u32>()], 1..40),
        ) {
            let alias = Alias::new(&weights);
            let mut held = vec![0_u128; weights.len()];
            for (index, cell) in alias.cells.iter().enumerate() {
                held[index] += u128::from(cell.threshold);
                held[cell.other as usize] += u128::from(alias.height - cell.threshold);
            }
            for (held, weight) in held.iter().zip(&weights) {
                prop_assert_eq!(*held, u128::from(*weight) * weights.len() as u128);
            }
        }
    }

    #[test]
    fn draws_follow_the_weights() {
        let alias = Alias::new(&[1, 0, 3, 6]);
        let mut random = Draws::new(7);
        let mut counts = [0_u32; 4];
        for _ in 0..100_000 {
            counts[alias.draw(&mut random)] += 1;
        }
        for (count, expected) in counts.into_iter().zip([10_000, 0, 30_000, 60_000]) {
            assert!(count.abs_diff(expected) < 800, "{counts:?}");
        }
    }
}
