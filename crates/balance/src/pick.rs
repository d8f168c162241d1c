//! One pick: the level that takes the request, the algorithm's choice in it, and what happens when nothing is fit.

mod way;

use std::sync::Arc;

use crate::candidates::{Candidates, Draws, Need, Standing};
use crate::hash::mix;
use crate::levels::Survey;
use crate::panic_threshold::Alarm;
use crate::roster::{Group, Level, Member, Roster};
use way::State;

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
    /// The one of two drawn at random that is expected to answer sooner.
    PeakEwma,
    /// Drawn at random by weight.
    Random,
    /// By a key of the request, on a ring.
    HashRing,
    /// By a key of the request, by Maglev's table.
    HashMaglev,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Algorithm; 7] = [
        Algorithm::RoundRobin,
        Algorithm::LeastRequests,
        Algorithm::PowerOfTwo,
        Algorithm::PeakEwma,
        Algorithm::Random,
        Algorithm::HashRing,
        Algorithm::HashMaglev,
    ];

    /// The stable name, as configured.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::RoundRobin => "round-robin",
            Algorithm::LeastRequests => "least-requests",
            Algorithm::PowerOfTwo => "power-of-two",
            Algorithm::PeakEwma => "peak-ewma",
            Algorithm::Random => "random",
            Algorithm::HashRing => "hash-ring",
            Algorithm::HashMaglev => "hash-maglev",
        }
    }

    /// Whether requests are placed by a key.
    #[must_use]
    pub const fn is_keyed(self) -> bool {
        matches!(self, Algorithm::HashRing | Algorithm::HashMaglev)
    }

    /// Whether it goes by how long endpoints take to answer.
    #[must_use]
    pub const fn is_timed(self) -> bool {
        matches!(self, Algorithm::PeakEwma)
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
    /// It is expected to answer sooner than another one drawn.
    PeakEwma,
    /// It was drawn.
    Random,
    /// The request's key belongs to it.
    Hash,
    /// The request's key belongs to one that is not fit, and to this one next.
    HashNext,
    /// The request's key belongs to one that has as many requests as it may have, and to this one next.
    HashRelief,
    /// The request has no key: it was drawn.
    NoKey,
    /// The request's session is with it.
    Session,
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
            PickReason::PeakEwma => "peak-ewma",
            PickReason::Random => "random",
            PickReason::Hash => "hash",
            PickReason::HashNext => "hash-next",
            PickReason::HashRelief => "hash-relief",
            PickReason::NoKey => "no-key",
            PickReason::Session => "session",
            PickReason::Panic => "panic",
        }
    }
}

impl PickReason {
    /// Whether the algorithm alone would have picked another one.
    #[must_use]
    #[inline]
    pub const fn is_aside(self) -> bool {
        matches!(
            self,
            PickReason::HashNext | PickReason::HashRelief | PickReason::NoKey | PickReason::Panic
        )
    }
}

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The endpoint's index in the list that the picker was built from.
    pub index: usize,
    /// Why this one.
    pub reason: PickReason,
    /// Whether others were to have it first.
    pub spill: Spill,
}

/// Whether a request went to an endpoint that others stand before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spill {
    /// No: it went to a primary of the own zone.
    None,
    /// It went to a primary of another zone.
    OtherZone,
    /// It went to a backup.
    Backup,
}

impl Spill {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Spill::None => "none",
            Spill::OtherZone => "other-zone",
            Spill::Backup => "backup",
        }
    }
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
    /// No endpoint has the labels that the route asks for.
    EmptySubset,
    /// All that could be picked work on as many requests as they may.
    Full,
    /// The circuits of all that could be picked are open.
    CircuitOpen,
}

impl NoEndpoint {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            NoEndpoint::Empty => "no-endpoints",
            NoEndpoint::AllTried => "all-tried",
            NoEndpoint::NoneEnabled => "none-enabled",
            NoEndpoint::EmptySubset => "empty-subset",
            NoEndpoint::Full => "full",
            NoEndpoint::CircuitOpen => "circuit-open",
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
    /// How long it is expected to take, where that is measured.
    pub latency_micros: Option<u64>,
    /// It takes requests when too few primaries are fit.
    pub backup: bool,
    /// It stands in another zone.
    pub other_zone: bool,
    /// Requests that it may have, if that is bounded.
    pub requests_max: Option<u32>,
    /// The percent of its share that it takes, while that is less than all.
    pub slow_start_percent: Option<u32>,
    /// Whether it was picked.
    pub picked: bool,
}

/// A worker's way through the endpoints of one upstream. Picking allocates nothing.
#[derive(Debug)]
pub struct Picker {
    roster: Arc<Roster>,
    worker_seed: u64,
    /// By the place of the level in the roster.
    states: Box<[State]>,
    /// By the number of the subset.
    surveys: Box<[Survey]>,
    /// By the number of the subset.
    alarms: Box<[Alarm]>,
}

impl Picker {
    /// A picker over these endpoints with the weights they had when the roster was made. Give each worker its number
    /// (0, 1, 2 …) as seed, and they begin at places far apart.
    #[must_use]
    pub fn new(roster: Arc<Roster>, worker_seed: u64) -> Picker {
        let levels = roster.levels.iter();
        Picker {
            states: levels
                .map(|level| State::new(&roster, level, worker_seed))
                .collect(),
            surveys: vec![Survey::default(); roster.groups.len()].into(),
            alarms: vec![Alarm::default(); roster.groups.len()].into(),
            roster,
            worker_seed,
        }
    }

    /// Takes the endpoints' weights anew. Does nothing while they are what they were.
    pub fn refresh(&mut self) {
        if !self.roster.is_current() {
            *self = Picker::new(Arc::new(self.roster.renewed()), self.worker_seed);
        }
    }

    /// The endpoints by index.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.roster.members
    }

    /// Picks an endpoint for a request.
    ///
    /// # Errors
    /// When none takes requests, or all that do were tried.
    pub fn pick(&mut self, need: &Need<'_>) -> Result<Pick, NoEndpoint> {
        let roster = &*self.roster;
        let Some(group) = roster.groups.get(need.subset as usize) else {
            return Err(NoEndpoint::EmptySubset);
        };
        let levels = &roster.levels[group.first..group.end];
        let states = &mut self.states[group.first..group.end];
        if let [level] = levels
            && level.endpoints.len() == 1
        {
            return only(level, need);
        }
        if let Some(pick) = need
            .session
            .and_then(|id| in_session(id, group, levels, need))
        {
            return Ok(pick);
        }
        let mut draws = Draws::new(need.random);
        let threshold = roster.balancing.panic_threshold_percent;
        if threshold > 0 {
            let endpoints = levels.iter().flat_map(|level| &level.endpoints);
            let alarm = &mut self.alarms[need.subset as usize];
            if alarm.is_on(endpoints, need.now_ms, threshold) {
                return all_alike(levels, states, need, &mut draws);
            }
        }
        let preferred = match levels {
            [] => return Err(empty(need.subset)),
            [_] => 0,
            _ => {
                // What a key decides, it decides in every worker.
                let draw = need.key.map_or(need.random, |key| mix(key, u64::MAX));
                let survey = &mut self.surveys[need.subset as usize];
                survey.choose(levels, &roster.balancing, need.now_ms, draw)
            }
        };
        // When those that have just come are all there is, they take everything.
        if roster.balancing.bounds.slow_start_ms > 0
            && let Some(pick) = slowly(levels, states, preferred, need, &mut draws)
        {
            return Ok(pick);
        }
        if let Some(pick) = in_level(levels, states, preferred, need, &mut draws) {
            return Ok(pick);
        }
        let others = (0..levels.len()).filter(|number| *number != preferred);
        for number in others {
            if let Some(pick) = in_level(levels, states, number, need, &mut draws) {
                return Ok(pick);
            }
        }
        in_panic(levels, need, &mut draws)
    }

    /// Picks as [`Picker::pick`] does and notes what was seen of each endpoint, as it was just before.
    ///
    /// # Errors
    /// As [`Picker::pick`].
    pub fn pick_noting(
        &mut self,
        need: &Need<'_>,
        notes: &mut Vec<CandidateNote>,
    ) -> Result<Pick, NoEndpoint> {
        let begin = notes.len();
        let roster = &*self.roster;
        notes.extend(
            roster
                .members
                .iter()
                .enumerate()
                .map(|(index, member)| CandidateNote {
                    index,
                    standing: Standing::OtherSubset,
                    weight: roster.weights[index],
                    in_flight: member.endpoint.in_flight(),
                    latency_micros: member.endpoint.latency_micros(need.now_ms),
                    backup: member.attributes.backup,
                    other_zone: false,
                    requests_max: None,
                    slow_start_percent: None,
                    picked: false,
                }),
        );
        if let Some(group) = roster.groups.get(need.subset as usize) {
            for level in &roster.levels[group.first..group.end] {
                let candidates = Candidates::of(level, need.now_ms, need.tried);
                for (place, index) in level.indexes.iter().enumerate() {
                    let note = &mut notes[begin + *index as usize];
                    note.standing = candidates.standing(place);
                    note.other_zone = level.other_zone;
                    let endpoint = &level.endpoints[place];
                    note.requests_max = level.bounds.most(endpoint);
                    note.slow_start_percent =
                        level.bounds.slow_start_percent(endpoint, need.now_ms);
                }
            }
        }
        let pick = self.pick(need)?;
        notes[begin + pick.index].picked = true;
        Ok(pick)
    }
}

/// What the algorithm picks of one level.
#[inline]
fn in_level(
    levels: &[Level],
    states: &mut [State],
    number: usize,
    need: &Need<'_>,
    draws: &mut Draws,
) -> Option<Pick> {
    let level = &levels[number];
    let candidates = Candidates::of(level, need.now_ms, need.tried);
    let picked = states[number].pick(&level.table, &candidates, need.key, draws);
    picked.map(|(place, reason)| pick_of(level, place, reason))
}

fn pick_of(level: &Level, place: usize, reason: PickReason) -> Pick {
    Pick {
        index: level.indexes[place] as usize,
        reason,
        spill: match (level.backup, level.other_zone) {
            (false, false) => Spill::None,
            (false, true) => Spill::OtherZone,
            (true, _) => Spill::Backup,
        },
    }
}

/// There is one endpoint.
fn only(level: &Level, need: &Need<'_>) -> Result<Pick, NoEndpoint> {
    let candidates = Candidates::of(level, need.now_ms, need.tried);
    if candidates.is_available(0) {
        let reason = match need.session {
            Some(id) if id == level.ids[0] => PickReason::Session,
            _ => PickReason::Only,
        };
        return Ok(pick_of(level, 0, reason));
    }
    in_panic(
        std::slice::from_ref(level),
        need,
        &mut Draws::new(need.random),
    )
}

/// The endpoint that the request's session is with, if it is there and fit.
fn in_session(id: u64, group: &Group, levels: &[Level], need: &Need<'_>) -> Option<Pick> {
    let at = group
        .places
        .binary_search_by_key(&id, |(id, ..)| *id)
        .ok()?;
    let (_, level, place) = group.places[at];
    let level = &levels[level as usize];
    let candidates = Candidates::of(level, need.now_ms, need.tried);
    let place = place as usize;
    let is_available = candidates.is_available(place);
    is_available.then(|| pick_of(level, place, PickReason::Session))
}

/// A pick that endpoints which have just come take part in by what they take of their share.
#[cold]
fn slowly(
    levels: &[Level],
    states: &mut [State],
    preferred: usize,
    need: &Need<'_>,
    draws: &mut Draws,
) -> Option<Pick> {
    let others = (0..levels.len()).filter(|number| *number != preferred);
    for number in std::iter::once(preferred).chain(others) {
        let level = &levels[number];
        let mut candidates = Candidates::of(level, need.now_ms, need.tried);
        candidates.slow = Some(need.key.unwrap_or(need.random));
        let picked = states[number].pick(&level.table, &candidates, need.key, draws);
        if let Some((place, reason)) = picked {
            return Some(pick_of(level, place, reason));
        }
    }
    None
}

/// So few are healthy that all are used, primaries before backups and the own zone before others.
#[cold]
fn all_alike(
    levels: &[Level],
    states: &mut [State],
    need: &Need<'_>,
    draws: &mut Draws,
) -> Result<Pick, NoEndpoint> {
    for (level, state) in levels.iter().zip(states) {
        let mut candidates = Candidates::of(level, need.now_ms, need.tried);
        candidates.panic = true;
        if let Some((place, _)) = state.pick(&level.table, &candidates, need.key, draws) {
            return Ok(pick_of(level, place, PickReason::Panic));
        }
    }
    in_panic(levels, need, draws)
}

/// Nothing is fit: ejected ones are better than none. Those that are full are not unfit, and worth waiting for.
#[cold]
fn in_panic(levels: &[Level], need: &Need<'_>, draws: &mut Draws) -> Result<Pick, NoEndpoint> {
    let any = |panic: bool, is_so: fn(Standing) -> bool| {
        levels.iter().any(|level| {
            let mut candidates = Candidates::of(level, need.now_ms, need.tried);
            candidates.panic = panic;
            (0..candidates.count()).any(|place| is_so(candidates.standing(place)))
        })
    };
    let is_full = |standing| standing == Standing::Full;
    if any(false, is_full) {
        return Err(NoEndpoint::Full);
    }
    for level in levels {
        let mut candidates = Candidates::of(level, need.now_ms, need.tried);
        candidates.panic = true;
        if let Some(place) = candidates.scan(draws) {
            return Ok(pick_of(level, place, PickReason::Panic));
        }
    }
    // What keeps the last ones from being asked is not that they are unfit.
    let is_open = |standing| matches!(standing, Standing::CircuitOpen { .. });
    Err(match levels {
        [] => empty(need.subset),
        _ if any(true, is_full) => NoEndpoint::Full,
        _ if any(true, is_open) => NoEndpoint::CircuitOpen,
        _ if any(true, |standing| standing == Standing::Tried) => NoEndpoint::AllTried,
        _ => NoEndpoint::NoneEnabled,
    })
}

fn empty(subset: u32) -> NoEndpoint {
    if subset == 0 {
        NoEndpoint::Empty
    } else {
        NoEndpoint::EmptySubset
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod bounds;

#[cfg(test)]
mod spread;
