//! One pick: the algorithm's choice, and what happens when nothing is fit.

use std::sync::Arc;

use crate::candidates::{Candidates, Draws, Standing, Tried};
use crate::endpoint::Endpoint;
use crate::least_requests::LeastRequests;
use crate::power_of_two;
use crate::random::Alias;
use crate::round_robin::RoundRobin;

/// How an upstream's endpoints are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Each in its turn, as often as its weight.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight for its weight.
    LeastRequests,
    /// The less loaded of two drawn at random.
    PowerOfTwo,
    /// Drawn at random by weight.
    Random,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Algorithm; 4] = [
        Algorithm::RoundRobin,
        Algorithm::LeastRequests,
        Algorithm::PowerOfTwo,
        Algorithm::Random,
    ];

    /// The stable name, as configured.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::RoundRobin => "round-robin",
            Algorithm::LeastRequests => "least-requests",
            Algorithm::PowerOfTwo => "power-of-two",
            Algorithm::Random => "random",
        }
    }

    /// The algorithm of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// Why an endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PickReason {
    /// There is one endpoint, and it is fit.
    Only,
    /// It was its turn.
    RoundRobin,
    /// It has the fewest requests in flight.
    LeastRequests,
    /// It has fewer requests in flight than another one drawn.
    PowerOfTwo,
    /// It was drawn.
    Random,
    /// Every endpoint that is enabled and not yet tried is ejected or unhealthy: any of them is better than none.
    Panic,
}

impl PickReason {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            PickReason::Only => "only",
            PickReason::RoundRobin => "round-robin",
            PickReason::LeastRequests => "least-requests",
            PickReason::PowerOfTwo => "power-of-two",
            PickReason::Random => "random",
            PickReason::Panic => "panic",
        }
    }
}

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The endpoint's index in the list that the picker was built from.
    pub index: usize,
    /// Why this one.
    pub reason: PickReason,
}

/// Why there is no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoEndpoint {
    /// The upstream has no endpoints.
    Empty,
    /// This request has tried every endpoint that takes requests.
    AllTried,
    /// All are draining, disabled or without weight.
    NoneEnabled,
}

impl NoEndpoint {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            NoEndpoint::Empty => "no-endpoints",
            NoEndpoint::AllTried => "all-tried",
            NoEndpoint::NoneEnabled => "none-enabled",
        }
    }
}

/// What a pick saw of one endpoint, for explanations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandidateNote {
    /// The endpoint's index in the list that the picker was built from.
    pub index: usize,
    /// Whether it could be picked.
    pub standing: Standing,
    /// The weight that the picker goes by.
    pub weight: u32,
    /// Requests it works on.
    pub in_flight: u32,
    /// Whether it was picked.
    pub picked: bool,
}

#[derive(Debug)]
enum State {
    RoundRobin(RoundRobin),
    LeastRequests(LeastRequests),
    PowerOfTwo,
    Random(Alias),
}

/// A worker's way through the endpoints of one upstream. Picking allocates nothing.
#[derive(Debug)]
pub struct Picker {
    endpoints: Box<[Arc<Endpoint>]>,
    weights: Box<[u32]>,
    algorithm: Algorithm,
    worker_seed: u64,
    state: State,
}

impl Picker {
    /// A picker over these endpoints with the weights they have now. Give each worker its number (0, 1, 2 …) as
    /// seed, and they begin at places far apart.
    #[must_use]
    pub fn new(algorithm: Algorithm, endpoints: &[Arc<Endpoint>], worker_seed: u64) -> Picker {
        let weights: Box<[u32]> = endpoints.iter().map(|one| one.weight()).collect();
        let state = match algorithm {
            Algorithm::RoundRobin => State::RoundRobin(RoundRobin::new(&weights, worker_seed)),
            Algorithm::LeastRequests => {
                State::LeastRequests(LeastRequests::new(endpoints.len(), worker_seed))
            }
            Algorithm::PowerOfTwo => State::PowerOfTwo,
            Algorithm::Random => State::Random(Alias::new(&weights)),
        };
        Picker {
            endpoints: endpoints.into(),
            weights,
            algorithm,
            worker_seed,
            state,
        }
    }

    /// Takes the endpoints' weights anew. Does nothing while they are what they were.
    pub fn refresh(&mut self) {
        let same = |(endpoint, weight): (&Arc<Endpoint>, &u32)| endpoint.weight() == *weight;
        if !self.endpoints.iter().zip(&self.weights).all(same) {
            *self = Picker::new(self.algorithm, &self.endpoints, self.worker_seed);
        }
    }

    /// The endpoints by index.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Picks an endpoint for a request, from a fresh random number and what the request has tried.
    ///
    /// # Errors
    /// When none takes requests, or all that do were tried.
    pub fn pick(&mut self, now_ms: u64, random: u64, tried: &Tried) -> Result<Pick, NoEndpoint> {
        let mut candidates = Candidates {
            endpoints: &self.endpoints,
            weights: &self.weights,
            now_ms,
            tried,
            panic: false,
        };
        if candidates.count() == 1 && candidates.is_available(0) {
            return Ok(Pick {
                index: 0,
                reason: PickReason::Only,
            });
        }
        if candidates.count() == 0 {
            return Err(NoEndpoint::Empty);
        }
        let mut draws = Draws::new(random);
        let (picked, reason) = match &mut self.state {
            State::RoundRobin(state) => (state.pick(&candidates), PickReason::RoundRobin),
            State::LeastRequests(state) => {
                let picked = state.pick(&candidates, &mut draws);
                (picked, PickReason::LeastRequests)
            }
            State::PowerOfTwo => {
                let picked = power_of_two::pick(&candidates, &mut draws);
                (picked, PickReason::PowerOfTwo)
            }
            State::Random(alias) => (alias.pick(&candidates, &mut draws), PickReason::Random),
        };
        // A schedule may have set aside one that has come back since, so all are looked at once more.
        if let Some(index) = picked.or_else(|| candidates.scan(&mut draws)) {
            return Ok(Pick { index, reason });
        }
        candidates.panic = true;
        match candidates.scan(&mut draws) {
            Some(index) => Ok(Pick {
                index,
                reason: PickReason::Panic,
            }),
            None => Err(no_endpoint(&candidates)),
        }
    }

    /// Picks as [`Picker::pick`] does and notes what was seen of each endpoint, as it was just before.
    ///
    /// # Errors
    /// As [`Picker::pick`].
    pub fn pick_noting(
        &mut self,
        now_ms: u64,
        random: u64,
        tried: &Tried,
        notes: &mut Vec<CandidateNote>,
    ) -> Result<Pick, NoEndpoint> {
        let candidates = Candidates {
            endpoints: &self.endpoints,
            weights: &self.weights,
            now_ms,
            tried,
            panic: false,
        };
        let begin = notes.len();
        notes.extend((0..candidates.count()).map(|index| CandidateNote {
            index,
            standing: candidates.standing(index),
            weight: self.weights[index],
            in_flight: self.endpoints[index].in_flight(),
            picked: false,
        }));
        let pick = self.pick(now_ms, random, tried)?;
        notes[begin + pick.index].picked = true;
        Ok(pick)
    }
}

fn no_endpoint(candidates: &Candidates<'_>) -> NoEndpoint {
    let tried = |index| candidates.standing(index) == Standing::Tried;
    if (0..candidates.count()).any(tried) {
        NoEndpoint::AllTried
    } else {
        NoEndpoint::NoneEnabled
    }
}

#[cfg(test)]
mod tests;
