//! What a worker keeps of each level, and how its algorithm is asked.

use super::{Algorithm, PickReason};
use crate::candidates::{Candidates, Draws};
use crate::fit::Fit;
use crate::hashing::{Bound, Taker};
use crate::least_requests::{LeastRequests, SCAN_MAX};
use crate::roster::{Level, Roster, Table};
use crate::round_robin::RoundRobin;
use crate::{peak_ewma, power_of_two};

/// What a worker keeps of a level.
#[derive(Debug)]
pub(super) struct State {
    way: Way,
    /// For ways that draw.
    fit: Fit,
}

/// What a worker keeps of a level for its algorithm.
#[derive(Debug)]
enum Way {
    RoundRobin(RoundRobin),
    LeastRequests(LeastRequests),
    PowerOfTwo,
    PeakEwma,
    Random,
    /// The bound on what one endpoint may have.
    Hash(Option<Bound>),
}

impl State {
    pub(super) fn new(roster: &Roster, level: &Level, worker_seed: u64) -> State {
        let count = level.weights.len();
        let (way, drawn) = match roster.balancing.algorithm {
            Algorithm::RoundRobin => {
                let state = RoundRobin::new(&level.weights, worker_seed);
                (Way::RoundRobin(state), 0)
            }
            Algorithm::LeastRequests => {
                let state = LeastRequests::new(&level.weights, worker_seed);
                let drawn = if count > SCAN_MAX { count } else { 0 };
                (Way::LeastRequests(state), drawn)
            }
            Algorithm::PowerOfTwo => (Way::PowerOfTwo, count),
            Algorithm::PeakEwma => (Way::PeakEwma, count),
            Algorithm::Random => (Way::Random, count),
            Algorithm::HashRing | Algorithm::HashMaglev => {
                let bound = roster.balancing.load_max_percent.map(Bound::new);
                (Way::Hash(bound), 0)
            }
        };
        let fit = Fit::new(drawn);
        State { way, fit }
    }

    /// The algorithm's choice, if it finds any.
    pub(super) fn pick(
        &mut self,
        table: &Table,
        candidates: &Candidates<'_>,
        key: Option<u64>,
        draws: &mut Draws,
    ) -> Option<(usize, PickReason)> {
        let State { way, fit } = self;
        let (picked, reason) = match way {
            Way::RoundRobin(state) => (state.pick(candidates), PickReason::RoundRobin),
            Way::LeastRequests(state) => (
                state.pick(candidates, fit, draws),
                PickReason::LeastRequests,
            ),
            Way::PowerOfTwo => (
                power_of_two::pick(candidates, fit, draws),
                PickReason::PowerOfTwo,
            ),
            Way::PeakEwma => (
                peak_ewma::pick(candidates, fit, draws),
                PickReason::PeakEwma,
            ),
            Way::Random => match table {
                Table::Alias(alias) => (alias.pick(candidates, fit, draws), PickReason::Random),
                Table::None | Table::Owners(_) => (None, PickReason::Random),
            },
            Way::Hash(bound) => return hashed(bound, table, candidates, key, draws),
        };
        // A schedule may have set aside one that has come back since, so all are looked at once more.
        let picked = picked.or_else(|| candidates.scan(draws))?;
        Some((picked, reason))
    }
}

fn hashed(
    bound: &mut Option<Bound>,
    table: &Table,
    candidates: &Candidates<'_>,
    key: Option<u64>,
    draws: &mut Draws,
) -> Option<(usize, PickReason)> {
    let Table::Owners(owners) = table else {
        return None;
    };
    let taker = owners.pick(
        key.unwrap_or_else(|| draws.next()),
        candidates,
        bound,
        draws,
    )?;
    if let Some(bound) = bound {
        bound.picked();
    }
    let (index, reason) = match taker {
        Taker::Owner(index) => (index, PickReason::Hash),
        Taker::Next(index) => (index, PickReason::HashNext),
        Taker::Relief(index) => (index, PickReason::HashRelief),
    };
    Some((
        index,
        if key.is_some() {
            reason
        } else {
            PickReason::NoKey
        },
    ))
}
