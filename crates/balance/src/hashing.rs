//! What both ways of consistent hashing share: who takes a key whose owner can't, and the bound on an endpoint's load.

use crate::candidates::{Candidates, Draws};
use crate::hash::mix;
use crate::maglev::Maglev;
use crate::ring::Ring;

/// How many owners are asked one after the other before all endpoints are looked at.
const OWNERS_MAX: usize = 128;

/// How many fit owners may have as much as they may have before the key goes to any that has room: a key that everybody
/// wants has no home left by then.
const FULL_MAX: usize = 8;

/// How often one is drawn for such a key before all are looked at.
const DRAWS_MAX: usize = 32;

/// Whom keys belong to.
#[derive(Debug)]
pub(crate) enum Owners {
    Ring(Ring),
    Maglev(Maglev),
}

/// Who takes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taker {
    /// Its owner.
    Owner(usize),
    /// Another one: the owner is not fit.
    Next(usize),
    /// Another one: the owner has as much as it may have.
    Relief(usize),
}

impl Owners {
    /// The fit endpoint that a key belongs to. Whoever is over its bound hands the key on, unless all are.
    pub(crate) fn pick(
        &self,
        key: u64,
        candidates: &Candidates<'_>,
        bound: &mut Option<Bound>,
        draws: &mut Draws,
    ) -> Option<Taker> {
        match self {
            Owners::Ring(ring) => pick(ring.owners(key), key, candidates, bound, draws),
            Owners::Maglev(maglev) => pick(maglev.owners(key), key, candidates, bound, draws),
        }
    }
}

fn pick(
    owners: impl Iterator<Item = usize>,
    key: u64,
    candidates: &Candidates<'_>,
    bound: &mut Option<Bound>,
    draws: &mut Draws,
) -> Option<Taker> {
    let mut fit = None;
    let mut full = 0;
    for (step, index) in owners.take(OWNERS_MAX).enumerate() {
        if !candidates.is_available(index) {
            continue;
        }
        if bound
            .as_mut()
            .is_none_or(|bound| bound.admits(index, candidates))
        {
            return Some(match (step, fit) {
                (0, _) => Taker::Owner(index),
                (_, None) => Taker::Next(index),
                (_, Some(_)) => Taker::Relief(index),
            });
        }
        fit.get_or_insert(index);
        full += 1;
        if full == FULL_MAX {
            break;
        }
    }
    // Few are fit, or few have room: every endpoint is weighed for this key, and the heaviest takes it.
    if let Some(bound) = bound {
        if full == FULL_MAX
            && let Some(index) = drawn(candidates, bound, draws)
        {
            return Some(Taker::Relief(index));
        }
        let room = heaviest(key, candidates, |index| bound.admits(index, candidates));
        if let Some(index) = room {
            return Some(match fit {
                None => Taker::Next(index),
                Some(_) => Taker::Relief(index),
            });
        }
    }
    let taker = fit.or_else(|| heaviest(key, candidates, |_| true))?;
    Some(Taker::Next(taker))
}

/// Any available endpoint that has room.
fn drawn(candidates: &Candidates<'_>, bound: &mut Bound, draws: &mut Draws) -> Option<usize> {
    let count = candidates.count() as u64;
    let mut drawn = (0..DRAWS_MAX).map(|_| draws.below(count) as usize);
    drawn.find(|index| candidates.is_available(*index) && bound.admits(*index, candidates))
}

/// The available endpoint that weighs most for this key (rendezvous hashing): a choice that stays while it is there.
#[cold]
fn heaviest(
    key: u64,
    candidates: &Candidates<'_>,
    mut is_meant: impl FnMut(usize) -> bool,
) -> Option<usize> {
    let mut best = None;
    for index in 0..candidates.count() {
        if !candidates.is_available(index) || !is_meant(index) {
            continue;
        }
        // −ln(u) / weight for u in (0, 1], the smallest wins.
        let uniform = ((mix(key, candidates.ids[index]) >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        let weighed = -uniform.ln() / f64::from(candidates.weights[index]);
        if best.is_none_or(|(least, _)| weighed < least) {
            best = Some((weighed, index));
        }
    }
    best.map(|(_, index)| index)
}

/// How much more than its share of all requests in flight an endpoint may have.
///
/// What all have is counted now and then: with many endpoints less often, so that it stays cheap.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    /// In percent of its share; 125 = a quarter more.
    percent: u32,
    counted_ms: Option<u64>,
    /// Requests in flight when they were counted, and picked since.
    in_flight: u64,
    picks: u64,
    /// Of those who were fit.
    weight: u64,
}

/// So few requests are no load: keys stay together in quiet times.
const LOAD_FREE: u64 = 8;

/// All are counted again once a pick for each so many endpoints was made,
const PICKS_SHARE: usize = 8;
/// or after a millisecond, and one more for each so many endpoints.
const MS_SHARE: usize = 128;

impl Bound {
    pub(crate) fn new(percent: u32) -> Bound {
        Bound {
            percent,
            counted_ms: None,
            in_flight: 0,
            picks: 0,
            weight: 0,
        }
    }

    /// Whether an endpoint may have one more.
    fn admits(&mut self, index: usize, candidates: &Candidates<'_>) -> bool {
        let load = u64::from(candidates.endpoints[index].in_flight());
        if load < LOAD_FREE {
            return true;
        }
        let count = candidates.count();
        let is_old = |at| candidates.now_ms.saturating_sub(at) > (count / MS_SHARE) as u64;
        if self.picks as usize * PICKS_SHARE >= count || self.counted_ms.is_none_or(is_old) {
            self.count(candidates);
        }
        // load < total × percent × share, where the total has this request in it; without a division.
        let total = u128::from(self.in_flight + self.picks + 1) * u128::from(self.percent);
        let most = total * u128::from(candidates.weights[index]);
        u128::from(load) * 100 * u128::from(self.weight.max(1)) < most
    }

    /// A pick was made.
    #[inline]
    pub(crate) fn picked(&mut self) {
        self.picks += 1;
    }

    fn count(&mut self, candidates: &Candidates<'_>) {
        self.counted_ms = Some(candidates.now_ms);
        (self.in_flight, self.picks, self.weight) = (0, 0, 0);
        for (index, endpoint) in candidates.endpoints.iter().enumerate() {
            self.in_flight += u64::from(endpoint.in_flight());
            if candidates.is_available(index) {
                self.weight += u64::from(candidates.weights[index]);
            }
        }
    }
}

#[cfg(test)]
mod tests;
