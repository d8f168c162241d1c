//! Smooth weighted round robin, O(log n) a pick.
//!
//! Each endpoint of weight w has turns at (k + phase) / w, k = 0, 1, 2 …; the next turn of all is picked, from a heap.
//! Phases are spread over the endpoints, so turns of equal endpoints alternate and those of heavy ones lie between
//! the others'. Turns repeat after one unit of time, in which each endpoint has had exactly as many as its weight.
//!
//! A worker's seed says where in that unit it begins. Seeds 0, 1, 2, 3 … begin at 0, ½, ¼, ¾ … (bits reversed), so
//! that several workers with few requests each are even together.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::candidates::{Candidates, Standing, Tried};

/// One unit of turn time.
const UNIT: u64 = 1 << 32;
/// From here on all turns are moved back, so that times never overflow.
const TURN_MAX: u64 = 1 << 62;
/// How long an endpoint that is not fit stays out of the heap before it is looked at again.
const PARKED_MS: u64 = 100;

/// A worker's schedule.
#[derive(Debug)]
pub(crate) struct RoundRobin {
    /// Next turn and index.
    turns: BinaryHeap<Reverse<(u64, u32)>>,
    /// When to look again, and index: endpoints that were not fit when their turn came.
    parked: BinaryHeap<Reverse<(u64, u32)>>,
    /// The last turn that was picked.
    now: u64,
}

impl RoundRobin {
    pub(crate) fn new(weights: &[u32], worker_seed: u64) -> RoundRobin {
        let count = weights.len();
        // The bits reversed within 32: the fraction of the unit at which this worker begins.
        let start = u64::from((worker_seed as u32).reverse_bits());
        let mut turns = BinaryHeap::with_capacity(count);
        for (index, weight) in weights.iter().enumerate() {
            if *weight == 0 {
                continue;
            }
            let phase = (2 * index as u64 + 1) * UNIT / (2 * count as u64);
            // The first k with (k + phase) / w ≥ start. It is at most w, so the turn is within two units.
            let passed = start * u64::from(*weight);
            let k = passed.saturating_sub(phase).div_ceil(UNIT);
            let turn = (u128::from(k) * u128::from(UNIT) + u128::from(phase)) / u128::from(*weight);
            turns.push(Reverse((turn as u64, index as u32)));
        }
        RoundRobin {
            turns,
            parked: BinaryHeap::with_capacity(count),
            now: start,
        }
    }

    pub(crate) fn pick(&mut self, candidates: &Candidates<'_>) -> Option<usize> {
        self.unpark(candidates);
        // Endpoints that this request has tried keep their turn: they are set aside and put back. Nearly always there are
        // none, and no room is made for any.
        let mut aside = Vec::new();
        let mut passed_over = 0;
        let mut picked = None;
        while let Some(mut next) = self.turns.peek_mut() {
            let Reverse((turn, index)) = *next;
            match candidates.standing(index as usize) {
                Standing::Available => {
                    self.now = turn;
                    // Changing the top in place costs one way down the heap instead of two.
                    next.0.0 = turn + UNIT / u64::from(candidates.weights[index as usize]);
                    picked = Some(index as usize);
                    break;
                }
                // It lets this turn pass.
                Standing::SlowStart => {
                    next.0.0 = turn + UNIT / u64::from(candidates.weights[index as usize]);
                    passed_over += 1;
                    if passed_over > candidates.count() {
                        break;
                    }
                }
                Standing::Tried if aside.len() < Tried::MAX => aside.push(PeekMut::pop(next)),
                standing => {
                    let again_ms = candidates.now_ms.saturating_add(PARKED_MS);
                    let again_ms = match standing {
                        Standing::Ejected { until_ms } => until_ms.min(again_ms),
                        // That may be over with the next request.
                        Standing::Full => candidates.now_ms,
                        _ => again_ms,
                    };
                    PeekMut::pop(next);
                    self.parked.push(Reverse((again_ms, index)));
                }
            }
        }
        if !aside.is_empty() {
            self.turns.extend(aside);
        }
        if self.now > TURN_MAX {
            self.rebase();
        }
        picked
    }

    /// Puts endpoints back whose time to be looked at again has come. They begin a full turn from now, as one that
    /// was just picked would: who comes back gets no burst.
    fn unpark(&mut self, candidates: &Candidates<'_>) {
        while let Some(next) = self.parked.peek_mut() {
            let Reverse((again_ms, index)) = *next;
            if again_ms > candidates.now_ms {
                break;
            }
            PeekMut::pop(next);
            let turn = self.now + UNIT / u64::from(candidates.weights[index as usize]);
            self.turns.push(Reverse((turn, index)));
        }
    }

    #[cold]
    fn rebase(&mut self) {
        let passed = self.now;
        self.now = 0;
        let mut turns = std::mem::take(&mut self.turns).into_vec();
        for Reverse((turn, _)) in &mut turns {
            *turn = turn.saturating_sub(passed);
        }
        self.turns = turns.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{AdminState, Endpoint};
    use crate::roster::{Balancing, Member, Roster};
    use proptest::prelude::*;
    use std::sync::Arc;

    struct Field {
        endpoints: Vec<Arc<Endpoint>>,
        roster: Roster,
        schedule: RoundRobin,
    }

    impl Field {
        fn new(weights: &[u32], seed: u64) -> Field {
            let endpoint = |weight: &u32| Arc::new(Endpoint::new("", *weight));
            let endpoints: Vec<_> = weights.iter().map(endpoint).collect();
            let members: Vec<_> = endpoints.iter().cloned().map(Member::plain).collect();
            Field {
                endpoints,
                roster: Roster::new(Balancing::default(), &members),
                schedule: RoundRobin::new(weights, seed),
            }
        }

        fn pick(&mut self, now_ms: u64, tried: &Tried) -> Option<usize> {
            let level = &self.roster.levels[0];
            self.schedule.pick(&Candidates::of(level, now_ms, tried))
        }

        fn picks(&mut self, count: usize) -> Vec<usize> {
            (0..count)
                .map(|_| self.pick(0, &Tried::new()).unwrap())
                .collect()
        }
    }

    #[test]
    fn equal_endpoints_take_turns() {
        assert_eq!(Field::new(&[1, 1, 1], 0).picks(7), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(Field::new(&[9, 9, 9], 0).picks(6), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_heavy_one_lies_between_the_others() {
        let picks = Field::new(&[5, 1, 1], 0).picks(14);
        assert_eq!(picks, [0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 1, 0, 0, 2]);
    }

    #[test]
    fn workers_begin_apart() {
        let mut counts = [0; 8];
        for seed in 0..4 {
            for picked in Field::new(&[1; 8], seed).picks(2) {
                counts[picked] += 1;
            }
        }
        assert_eq!(counts, [1; 8]);
    }

    #[test]
    fn a_tried_endpoint_keeps_its_turn() {
        let mut field = Field::new(&[1, 1, 1], 0);
        let mut tried = Tried::new();
        tried.insert(0);
        assert_eq!(field.pick(0, &tried), Some(1));
        assert_eq!(field.picks(4), [0, 2, 0, 1]);
        tried.insert(1);
        tried.insert(2);
        assert_eq!(field.pick(0, &tried), None);
        assert_eq!(field.schedule.turns.len(), 3);
    }

    #[test]
    fn who_comes_back_gets_no_burst() {
        let mut field = Field::new(&[1, 1, 1, 1], 0);
        field.endpoints[2].set_admin(AdminState::Disabled);
        for now in 0..1_000 {
            assert_ne!(field.pick(now, &Tried::new()), Some(2));
        }
        field.endpoints[2].set_admin(AdminState::Enabled);
        let mut back = 0;
        for _ in 0..40 {
            back += u32::from(field.pick(1_000 + PARKED_MS, &Tried::new()) == Some(2));
        }
        assert!((9..=10).contains(&back), "{back}");
    }

    #[test]
    fn turns_move_back_before_they_overflow() {
        let mut field = Field::new(&[2, 1], 0);
        field.schedule.now += TURN_MAX;
        let turns = std::mem::take(&mut field.schedule.turns).into_vec();
        let far = turns
            .into_iter()
            .map(|Reverse((turn, index))| Reverse((turn + TURN_MAX, index)));
        field.schedule.turns = far.collect();
        assert_eq!(field.picks(6), Field::new(&[2, 1], 0).picks(6));
        assert!(field.schedule.now < TURN_MAX);
    }

    proptest! {
        #[test]
        fn every_window_of_the_total_weight_is_exact_to_one(
            weights in proptest::collection::vec(
                prop_oneof![4 => 1..20_u32, 1 => Just(0), 1 => Just(100)], 1..20),
            seed in any::<u64>(),
        ) {
            let total: u32 = weights.iter().sum();
            prop_assume!(total > 0);
            let total = total as usize;
            let picks = Field::new(&weights, seed).picks(3 * total);
            let mut counts = vec![0_i64; weights.len()];
            for (at, picked) in picks.iter().enumerate() {
                counts[*picked] += 1;
                if at >= total {
                    counts[picks[at - total]] -= 1;
                }
                if at + 1 >= total {
                    for (count, weight) in counts.iter().zip(&weights) {
                        prop_assert!((count - i64::from(*weight)).abs() <= 1);
                    }
                }
            }
        }

        #[test]
        fn odd_weights_and_seeds_are_served(
            weights in proptest::collection::vec(any::<u32>(), 2..6),
            seed in any::<u64>(),
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            for picked in Field::new(&weights, seed).picks(100) {
                prop_assert!(weights[picked] > 0);
            }
        }
    }
}
