//! Consistent hashing by Maglev's table: every place of a table belongs to an endpoint, and a key to the endpoint of its
//! place. Endpoints choose their places in turns, each by an order of its own.
//!
//! Shares are more even than on a ring and a pick is one look into the table; in exchange a few more keys than need be
//! move when an endpoint joins or leaves.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::hash::mix;

/// Places of the table; prime, so that every step width visits all.
const PLACES: usize = 65_537;
/// The same for more endpoints than [`FEW`].
const PLACES_OF_MANY: usize = 655_373;
/// Up to so many endpoints have a hundred places each in the smaller table.
const FEW: usize = PLACES / 100;
/// How many places are looked at for a key whose endpoint is not fit.
const STEPS: usize = 64;
const FREE: u32 = u32::MAX;

/// The table.
#[derive(Debug)]
pub(crate) struct Maglev {
    places: Box<[u32]>,
}

/// The order in which an endpoint chooses.
struct Order {
    place: usize,
    step: usize,
}

impl Maglev {
    /// The table of endpoints with these identities and weights.
    pub(crate) fn new(ids: &[u64], weights: &[u32]) -> Maglev {
        let mut present: Vec<u32> = (0..ids.len() as u32)
            .filter(|index| weights[*index as usize] > 0)
            .collect();
        if present.is_empty() {
            return Maglev {
                places: Box::default(),
            };
        }
        // The order of endpoints means nothing, and with it who is asked first.
        present.sort_unstable_by_key(|index| ids[*index as usize]);
        let count = if present.len() <= FEW {
            PLACES
        } else {
            PLACES_OF_MANY
        };
        let mut places = vec![FREE; count].into_boxed_slice();
        let mut orders: Vec<Order> = (present.iter().map(|index| ids[*index as usize]))
            .map(|id| Order {
                place: (mix(id, 1) % count as u64) as usize,
                step: (mix(id, 2) % (count as u64 - 1)) as usize + 1,
            })
            .collect();
        // Turn k of weight w is at (2k + 1) / w.
        const UNIT: u64 = 1 << 32;
        let weight = |rank: usize| u64::from(weights[present[rank] as usize]);
        let mut turns: BinaryHeap<Reverse<(u64, usize)>> = (0..present.len())
            .map(|rank| Reverse((UNIT / weight(rank), rank)))
            .collect();
        // A bit for each place: what is asked again and again while the table fills stays in the nearest cache.
        let mut taken = vec![0_u64; count.div_ceil(64)];
        // Equals take their turns one after the other, which needs no heap.
        let is_even = (1..present.len()).all(|rank| weight(rank) == weight(0));
        for number in 0..count {
            let rank = if is_even {
                number % present.len()
            } else {
                let mut next = turns.peek_mut().expect("somebody has weight");
                let Reverse((turn, rank)) = *next;
                *next = Reverse((turn + 2 * UNIT / weight(rank), rank));
                rank
            };
            let order = &mut orders[rank];
            let mut place = order.place;
            while taken[place / 64] & (1 << (place % 64)) != 0 {
                place += order.step;
                if place >= count {
                    place -= count;
                }
            }
            order.place = place;
            taken[place / 64] |= 1 << (place % 64);
            places[place] = present[rank];
        }
        Maglev { places }
    }

    /// The owners of a key: the first, and those of some further places that depend on the key.
    #[inline]
    pub(crate) fn owners(&self, key: u64) -> impl Iterator<Item = usize> {
        let count = self.places.len() as u64;
        let steps = if count == 0 { 0 } else { STEPS };
        (0..steps as u64).map(move |step| {
            let at = if step == 0 { key } else { mix(key, step) };
            let place = (u128::from(at) * u128::from(count)) >> 64;
            self.places[place as usize] as usize
        })
    }
}
