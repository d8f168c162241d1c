//! Which endpoints of an upstream are fit for a request. Every algorithm and every explanation asks here.

use std::sync::Arc;

use crate::endpoint::{AdminState, Endpoint};
use crate::probe::Health;
use crate::roster::{Bounds, Level};
use crate::slow_start;

/// Why an endpoint can or can't be picked at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It can be picked.
    Available,
    /// This request has tried it.
    Tried,
    /// It failed too often of late.
    Ejected {
        /// When that ends.
        until_ms: u64,
    },
    /// Its probes fail.
    Unhealthy,
    /// It finishes what it has.
    Draining,
    /// It was taken out of service.
    Disabled,
    /// Its weight is zero.
    Weightless,
    /// It lacks a label that the route asks for.
    OtherSubset,
    /// It works on as many requests as it may.
    Full,
    /// Its circuit is open: too much of what it was sent came to nothing.
    CircuitOpen {
        /// Until when; the past when as many requests as may be try whether all is well again.
        until_ms: u64,
    },
    /// It has come a short while ago, and this request is not of the part that it takes.
    SlowStart,
}

impl Standing {
    /// When that ends, where it is known.
    #[must_use]
    pub const fn until_ms(self) -> Option<u64> {
        match self {
            Standing::Ejected { until_ms } | Standing::CircuitOpen { until_ms } => Some(until_ms),
            _ => None,
        }
    }

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Standing::Available => "available",
            Standing::Tried => "tried",
            Standing::Ejected { .. } => "ejected",
            Standing::Unhealthy => "unhealthy",
            Standing::Draining => "draining",
            Standing::Disabled => "disabled",
            Standing::Weightless => "weightless",
            Standing::OtherSubset => "other-subset",
            Standing::Full => "full",
            Standing::CircuitOpen { .. } => "circuit-open",
            Standing::SlowStart => "slow-start",
        }
    }
}

/// The endpoints that a request has tried, by index. Holds the last sixteen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    indexes: [u32; Tried::MAX],
    count: u32,
}

impl Tried {
    /// How many tries are remembered; a seventeenth takes the first one's place.
    pub const MAX: usize = 16;

    /// None yet.
    pub const NONE: Tried = Tried {
        indexes: [0; Tried::MAX],
        count: 0,
    };

    /// None yet.
    #[must_use]
    pub const fn new() -> Tried {
        Tried::NONE
    }

    /// Remembers a try.
    pub fn insert(&mut self, index: usize) {
        self.indexes[self.count as usize % Tried::MAX] = index as u32;
        self.count = self.count.saturating_add(1);
    }

    /// How many tries there were.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Whether an endpoint was tried.
    #[must_use]
    #[inline]
    pub fn contains(&self, index: usize) -> bool {
        let held = (self.count as usize).min(Tried::MAX);
        self.indexes[..held].contains(&(index as u32))
    }
}

/// What a request brings to a pick.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// The time, in the unit and from the start that endpoints count by.
    pub now_ms: u64,
    /// A fresh random number.
    pub random: u64,
    /// What it has tried, by index.
    pub tried: &'a Tried,
    /// The subset that its route wants; 0 = any endpoint.
    pub subset: u32,
    /// The hash of what the upstream places requests by, if the request has it.
    pub key: Option<u64>,
    /// The identity of the endpoint that its session is with.
    pub session: Option<u64>,
}

impl<'a> Need<'a> {
    /// A request that wants any endpoint that it has not tried.
    #[must_use]
    pub fn any(now_ms: u64, random: u64, tried: &'a Tried) -> Need<'a> {
        Need {
            now_ms,
            random,
            tried,
            subset: 0,
            key: None,
            session: None,
        }
    }
}

/// The endpoints of a level as one pick sees them.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    pub(crate) endpoints: &'a [Arc<Endpoint>],
    /// The weights that the picker was built with.
    pub(crate) weights: &'a [u32],
    /// What hashes know them by.
    pub(crate) ids: &'a [u64],
    /// Their places among all endpoints of the upstream.
    pub(crate) indexes: &'a [u32],
    pub(crate) now_ms: u64,
    pub(crate) tried: &'a Tried,
    /// Nothing better is left: ejections and failed probes don't count.
    pub(crate) panic: bool,
    /// What bounds each of them.
    pub(crate) bounds: &'a Bounds,
    pub(crate) is_bounded: bool,
    /// The request's draw, where endpoints that have just come take a part of their share only.
    pub(crate) slow: Option<u64>,
}

impl<'a> Candidates<'a> {
    pub(crate) fn of(level: &'a Level, now_ms: u64, tried: &'a Tried) -> Candidates<'a> {
        Candidates {
            endpoints: &level.endpoints,
            weights: &level.weights,
            ids: &level.ids,
            indexes: &level.indexes,
            now_ms,
            tried,
            panic: false,
            bounds: &level.bounds,
            is_bounded: level.is_bounded,
            slow: None,
        }
    }

    /// The part of its share that an endpoint takes, of [`slow_start::WHOLE`].
    #[inline]
    pub(crate) fn share(&self, index: usize) -> u64 {
        let since_ms = self.endpoints[index].since_ms();
        slow_start::share(since_ms, self.now_ms, self.bounds.slow_start_ms)
    }

    pub(crate) fn count(&self) -> usize {
        self.endpoints.len()
    }

    /// The weight of all that are available.
    pub(crate) fn fit_weight(&self) -> u64 {
        (0..self.count())
            .filter(|index| self.is_available(*index))
            .map(|index| u64::from(self.weights[index]))
            .sum()
    }

    /// Why an endpoint can or can't be picked.
    #[must_use]
    #[inline]
    pub fn standing(&self, index: usize) -> Standing {
        let endpoint = &self.endpoints[index];
        match endpoint.admin() {
            AdminState::Enabled => {}
            AdminState::Draining => return Standing::Draining,
            AdminState::Disabled => return Standing::Disabled,
        }
        if self.weights[index] == 0 {
            return Standing::Weightless;
        }
        if self.tried.contains(self.indexes[index] as usize) {
            return Standing::Tried;
        }
        match endpoint.ejected_until_ms(self.now_ms) {
            Some(until_ms) if !self.panic => Standing::Ejected { until_ms },
            _ if endpoint.health() == Health::Unhealthy && !self.panic => Standing::Unhealthy,
            _ if self.is_bounded => self.bounded(index, endpoint),
            _ => Standing::Available,
        }
    }

    /// What is asked only where something bounds endpoints.
    #[cold]
    #[inline(never)]
    fn bounded(&self, index: usize, endpoint: &Endpoint) -> Standing {
        if let Some(policy) = &self.bounds.circuit
            && !endpoint.breaker.admits(self.now_ms, policy)
        {
            let until_ms = endpoint.breaker.open_until_ms();
            return Standing::CircuitOpen { until_ms };
        }
        if let Some(most) = self.bounds.most(endpoint)
            && endpoint.in_flight() >= most
        {
            return Standing::Full;
        }
        match self.slow {
            Some(draw) => {
                let share = self.share(index);
                match slow_start::takes(draw, self.ids[index], share, slow_start::WHOLE) {
                    true => Standing::Available,
                    false => Standing::SlowStart,
                }
            }
            None => Standing::Available,
        }
    }

    #[inline]
    pub(crate) fn is_available(&self, index: usize) -> bool {
        self.standing(index) == Standing::Available
    }

    /// Whether the first endpoint is less loaded than the second, each measured by its weight and with the request
    /// in question counted in.
    #[inline]
    pub(crate) fn is_less_loaded(&self, first: usize, second: usize) -> bool {
        let load = |index: usize| u64::from(self.endpoints[index].in_flight()) + 1;
        // a/b < c/d is a·d < c·b; the products need more than 64 bits.
        let left = u128::from(load(first)) * u128::from(self.weights[second]);
        let right = u128::from(load(second)) * u128::from(self.weights[first]);
        left < right
    }

    /// An available endpoint by weighted chance, found by looking at all of them: the last resort of algorithms
    /// that guess, for times when few are available.
    pub(crate) fn scan(&self, random: &mut Draws) -> Option<usize> {
        let mut sum = 0_u64;
        let mut picked = None;
        for index in 0..self.count() {
            if self.is_available(index) {
                let weight = u64::from(self.weights[index]);
                sum += weight;
                // Each replaces the one before by its share of all so far.
                if random.below(sum) < weight {
                    picked = Some(index);
                }
            }
        }
        picked
    }
}

/// Random numbers drawn from one given number (SplitMix64).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) const fn new(random: u64) -> Draws {
        Draws(random)
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound` (which is at least 1), each as likely as the next to within 2^-64 × `bound`.
    #[inline]
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_remembered_up_to_sixteen() {
        let mut tried = Tried::new();
        assert!(!tried.contains(0));
        for index in 0..16 {
            tried.insert(index);
        }
        assert!((0..16).all(|index| tried.contains(index)));
        tried.insert(99);
        assert!(tried.contains(99) && !tried.contains(0) && tried.contains(1));
        assert_eq!(tried.count(), 17);
    }

    #[test]
    fn draws_stay_below_and_spread() {
        let mut draws = Draws::new(1);
        let mut counts = [0; 10];
        for _ in 0..10_000 {
            counts[draws.below(10) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1_150).contains(count)),
            "{counts:?}"
        );
        assert_eq!(draws.below(1), 0);
    }
}
