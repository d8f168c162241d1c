//! Requests at endpoints: at one, or at a second one as well.

use super::{BUDGET, Event, TRIES_MAX, World};
use crate::breaker::Admission;
use crate::candidates::{Draws, Need};
use crate::endpoint::InFlight;
use crate::hedge::{HedgeNote, HedgePolicy};
use crate::outlier::note_latency;
use crate::upstream_state::{Shared, Taken};

/// A request at one endpoint.
pub(super) struct Leg {
    pub(super) number: u64,
    pub(super) endpoint: usize,
    pub(super) began_ms: u64,
    pub(super) held: Option<InFlight>,
    pub(super) admission: Option<Admission>,
    /// Its places among the hedges and the tries again, if it is a hedge.
    _taken: (Option<Taken>, Option<Taken>),
}

/// None for half of the seeds.
pub(super) fn policy(draws: &mut Draws) -> Option<HedgePolicy> {
    let policy = HedgePolicy {
        after_micros: 1_000 * (1 + draws.below(40)),
        percentile: (draws.below(2) == 0).then_some(90),
        requests_max: 1 + draws.below(4) as u32,
    };
    (draws.below(2) == 0).then_some(policy)
}

impl World {
    /// Notes when it will be time for a second endpoint.
    pub(super) fn may_hedge(&mut self, number: usize, leg: u64) {
        let Some(policy) = &self.hedging else {
            return;
        };
        let may = self.requests[number].tried.count() < TRIES_MAX;
        if let Some(micros) = policy.delay_micros(self.state.times()).filter(|_| may) {
            let request = number;
            self.schedule(micros.div_ceil(1_000), Event::Hedges { request, leg });
        }
    }

    /// It is time, unless the first endpoint has answered.
    pub(super) fn hedges(&mut self, number: usize, leg: u64) {
        let request = &self.requests[number];
        let (worker, tried) = (request.worker, request.tried);
        let is_open = matches!(&request.legs[..], [one] if one.number == leg);
        let Some(policy) = self.hedging.filter(|_| is_open && !request.is_hedged) else {
            return;
        };
        self.requests[number].is_hedged = true;
        let taken = self.state.take(Shared::Hedges, policy.requests_max);
        if taken.is_none() || !self.line.is_empty() {
            return;
        }
        let need = Need {
            key: self.algorithm.is_keyed().then(|| self.draws.next()),
            ..Need::any(self.now_ms, self.draws.next(), &tried)
        };
        let Some(pick) = policy.second(&mut self.pickers[worker], &need) else {
            return;
        };
        self.holds(
            self.is_fit(pick.index),
            "no hedge goes to the drained or unfit",
        );
        self.holds(!tried.contains(pick.index), "no hedge goes to the same one");
        let Ok(again) = self.beside() else {
            return;
        };
        if !self.budgets[worker].take(&BUDGET, self.now_ms) {
            return;
        }
        self.cost[worker] += 1;
        self.budget_holds(worker);
        self.state.note_hedge(HedgeNote::Sent);
        self.sends(number, pick.index, (taken, again));
        let is_within = self.requests[number].tried.count() <= TRIES_MAX;
        self.holds(is_within, "hedges are tries");
    }

    /// A request is sent to an endpoint that has room for it.
    pub(super) fn sends(
        &mut self,
        number: usize,
        index: usize,
        taken: (Option<Taken>, Option<Taken>),
    ) -> u64 {
        let most = self.bounds.requests_max.unwrap_or(u32::MAX);
        let held = self.endpoints[index].try_begin(most);
        self.holds(held.is_some(), "who is full is left alone");
        let circuit = self.bounds.circuit.as_ref();
        let admission =
            circuit.map(|policy| self.endpoints[index].breaker.admit(self.now_ms, policy));
        self.holds(
            admission != Some(Admission::Refused),
            "an open circuit sends nothing",
        );
        let (end, after_ms) = self.fate(self.requests[number].worker, index);
        let leg = self.count;
        let request = &mut self.requests[number];
        request.tried.insert(index);
        request.legs.push(Leg {
            number: leg,
            endpoint: index,
            began_ms: self.now_ms,
            held,
            admission,
            _taken: taken,
        });
        self.schedule(
            after_ms,
            Event::Ends {
                request: number,
                leg,
                end,
            },
        );
        leg
    }

    /// One endpoint has answered: the other tries are over, and nobody is to blame.
    pub(super) fn breaks_off(&mut self, number: usize) {
        for leg in std::mem::take(&mut self.requests[number].legs) {
            let Leg {
                endpoint,
                began_ms,
                held,
                admission,
                ..
            } = leg;
            drop(held);
            if let Some(admission) = admission {
                self.endpoints[endpoint].breaker.withdrawn(admission);
            }
            self.took(endpoint, began_ms);
            let next = self.line.call();
            self.wake(next);
        }
    }

    /// Takes note of how long an answer took, or was waited for.
    pub(super) fn took(&mut self, endpoint: usize, began_ms: u64) {
        let micros = (self.now_ms - began_ms) * 1_000;
        note_latency(&self.endpoints[endpoint], micros);
        self.state.times().observe(micros, 90);
    }
}
