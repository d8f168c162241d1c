//! The endpoints of an upstream with what is known of them, arranged for picking: built once for all workers when a
//! configuration or a list of endpoints changes, and shared by their pickers.
//!
//! A route may want a subset by label; within a subset, endpoints stand in levels: primaries before backups, and in both
//! those of the own zone before others. Every level has tables of its own for the algorithms that need them.

use std::sync::Arc;

use crate::breaker::BreakerPolicy;
use crate::concurrency::AdaptivePolicy;
use crate::endpoint::Endpoint;
use crate::hash::hash;
use crate::hashing::Owners;
use crate::maglev::Maglev;
use crate::pick::Algorithm;
use crate::random::Alias;
use crate::ring::Ring;
use crate::slow_start;

/// What is known of an endpoint beside its state and weight.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attributes {
    /// It takes requests only when too few of the others are fit.
    pub backup: bool,
    /// Where it stands; an endpoint of no zone is as good as one of the own.
    pub zone: Option<Box<str>>,
    /// What it is, by name.
    pub labels: Box<[(Box<str>, Box<str>)]>,
}

/// An endpoint and what is known of it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its state.
    pub endpoint: Arc<Endpoint>,
    /// What hashes and cookies know it by; the same in every process that knows its address.
    pub id: u64,
    /// The rest.
    pub attributes: Arc<Attributes>,
}

impl Member {
    /// A primary endpoint without zone or labels. Its identity is that of its label.
    #[must_use]
    pub fn plain(endpoint: Arc<Endpoint>) -> Member {
        Member {
            id: hash(endpoint.label().as_bytes()),
            endpoint,
            attributes: Arc::default(),
        }
    }
}

/// The labels that an endpoint must have to belong to a subset.
pub type Subset = Box<[(Box<str>, Box<str>)]>;

/// How an upstream's endpoints are chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balancing {
    /// Within a level.
    pub algorithm: Algorithm,
    /// With a hash: what an endpoint may have of all requests in flight, in percent of its share; `None` = anything.
    pub load_max_percent: Option<u32>,
    /// The zone that this gateway stands in.
    pub zone: Option<Box<str>>,
    /// How much of the own zone must be fit, in percent of its weight, for it to take all requests; when less is,
    /// other zones take as large a part of the requests as is missing.
    pub zone_fit_min_percent: u32,
    /// The same for primaries and backups; 0 = backups take requests once no primary is fit.
    pub primary_fit_min_percent: u32,
    /// When less than so many percent of the weight of the enabled endpoints is healthy, all are used; 0 = when none is.
    pub panic_threshold_percent: u32,
    /// What bounds each endpoint.
    pub bounds: Bounds,
    /// The subsets that routes name, by their number less one: number 0 is all endpoints.
    pub subsets: Box<[Subset]>,
}

/// What bounds an endpoint beside its weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// For how long one that comes late, or comes back, takes less than its share; 0 = it has all of it at once.
    pub slow_start_ms: u64,
    /// Requests in flight, of all workers; `None` = any number.
    pub requests_max: Option<u32>,
    /// A bound that follows how long answers take.
    pub adaptive: Option<AdaptivePolicy>,
    /// When nothing is sent for a while.
    pub circuit: Option<BreakerPolicy>,
}

impl Bounds {
    /// Whether there is any of them.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.slow_start_ms > 0 || self.is_guarded()
    }

    /// Whether any of them has to be asked again once an endpoint is picked.
    #[must_use]
    pub const fn is_guarded(&self) -> bool {
        self.is_counted() || self.circuit.is_some()
    }

    /// Whether requests in flight are bounded.
    #[must_use]
    pub const fn is_counted(&self) -> bool {
        self.requests_max.is_some() || self.adaptive.is_some()
    }

    /// The percent of its share that an endpoint takes, while that is less than all.
    #[must_use]
    pub fn slow_start_percent(&self, endpoint: &Endpoint, now_ms: u64) -> Option<u32> {
        let share = slow_start::share(endpoint.since_ms(), now_ms, self.slow_start_ms);
        let percent = (share * 100 + slow_start::WHOLE / 2) / slow_start::WHOLE;
        (share < slow_start::WHOLE).then_some(percent.min(99) as u32)
    }

    /// Requests that an endpoint may work on, if that is bounded.
    #[must_use]
    #[inline]
    pub fn most(&self, endpoint: &Endpoint) -> Option<u32> {
        let adaptive = self.adaptive.as_ref();
        let adaptive = adaptive.map(|policy| endpoint.adaptive.limit(policy));
        match (self.requests_max, adaptive) {
            (Some(most), Some(adaptive)) => Some(most.min(adaptive)),
            (most, adaptive) => most.or(adaptive),
        }
    }
}

impl Balancing {
    /// An algorithm, and nothing else.
    #[must_use]
    pub fn plain(algorithm: Algorithm) -> Balancing {
        Balancing {
            algorithm,
            ..Balancing::default()
        }
    }
}

/// The endpoints of an upstream, arranged for picking.
#[derive(Debug)]
pub struct Roster {
    pub(crate) balancing: Balancing,
    pub(crate) members: Box<[Member]>,
    /// The weights that it was built with, by the same index.
    pub(crate) weights: Box<[u32]>,
    /// By the number of the subset.
    pub(crate) groups: Box<[Group]>,
    /// Of all groups, one after the other.
    pub(crate) levels: Box<[Level]>,
}

/// A subset: where its levels are, the preferred one first, and who belongs to it.
#[derive(Debug)]
pub(crate) struct Group {
    /// What those are known by who wait for one of them.
    lane: u64,
    pub(crate) first: usize,
    pub(crate) end: usize,
    /// By identity: level and place in the level.
    pub(crate) places: Box<[(u64, u32, u32)]>,
}

/// Endpoints among which the algorithm chooses.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) backup: bool,
    pub(crate) other_zone: bool,
    pub(crate) endpoints: Box<[Arc<Endpoint>]>,
    pub(crate) weights: Box<[u32]>,
    pub(crate) ids: Box<[u64]>,
    /// Their places in the list that the roster was built from.
    pub(crate) indexes: Box<[u32]>,
    /// The sum of the weights.
    pub(crate) weight: u64,
    pub(crate) bounds: Bounds,
    /// Whether there are any.
    pub(crate) is_bounded: bool,
    pub(crate) table: Table,
}

/// What an algorithm prepares for a level.
#[derive(Debug)]
pub(crate) enum Table {
    None,
    Alias(Alias),
    Owners(Owners),
}

impl Roster {
    /// Arranges endpoints with the weights they have now.
    #[must_use]
    pub fn new(balancing: Balancing, members: &[Member]) -> Roster {
        let weights: Box<[u32]> = members.iter().map(|one| one.endpoint.weight()).collect();
        let mut levels = Vec::new();
        let everybody = std::iter::once(None);
        let groups = everybody
            .chain(balancing.subsets.iter().map(Some))
            .map(|subset| group(&balancing, subset, members, &weights, &mut levels))
            .collect();
        Roster {
            groups,
            levels: levels.into(),
            members: members.into(),
            weights,
            balancing,
        }
    }

    /// Whether the endpoints still have the weights that it was built with.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let mut pairs = self.members.iter().zip(&self.weights);
        pairs.all(|(member, weight)| member.endpoint.weight() == *weight)
    }

    /// The same endpoints with the weights they have now.
    #[must_use]
    pub fn renewed(&self) -> Roster {
        Roster::new(self.balancing.clone(), &self.members)
    }

    /// The endpoints by index.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The lane of the line in which those stand who wait for an endpoint of a subset: the same one in every roster that
    /// has this subset.
    #[must_use]
    pub fn lane(&self, subset: u32) -> u64 {
        (self.groups.get(subset as usize)).map_or(0, |group| group.lane)
    }

    /// The number that a subset of another roster has in this one, if it has any.
    #[must_use]
    pub fn subset_of(&self, other: &Roster, number: u32) -> Option<u32> {
        let Some(place) = number.checked_sub(1) else {
            return Some(number);
        };
        let wanted = other.balancing.subsets.get(place as usize)?;
        let mut numbered = (1..).zip(&self.balancing.subsets);
        numbered.find_map(|(number, subset)| (subset == wanted).then_some(number))
    }
}

fn group(
    balancing: &Balancing,
    subset: Option<&Subset>,
    members: &[Member],
    weights: &[u32],
    levels: &mut Vec<Level>,
) -> Group {
    let first = levels.len();
    for (backup, other_zone) in [(false, false), (false, true), (true, false), (true, true)] {
        let belongs = |index: &u32| {
            let attributes = &members[*index as usize].attributes;
            let is_other = match (&balancing.zone, &attributes.zone) {
                (Some(own), Some(zone)) => own != zone,
                _ => false,
            };
            (attributes.backup, is_other) == (backup, other_zone)
                && subset.is_none_or(|subset| has(&attributes.labels, subset))
        };
        let indexes: Box<[u32]> = (0..members.len() as u32).filter(belongs).collect();
        if !indexes.is_empty() {
            let level = level(balancing.algorithm, members, weights, indexes);
            levels.push(Level {
                backup,
                other_zone,
                bounds: balancing.bounds,
                is_bounded: balancing.bounds.is_any(),
                ..level
            });
        }
    }
    let mut places: Vec<(u64, u32, u32)> = Vec::new();
    for (number, level) in (0..).zip(&levels[first..]) {
        places.extend(
            (0..)
                .zip(&level.ids)
                .map(|(place, id)| (*id, number, place)),
        );
    }
    places.sort_unstable();
    Group {
        lane: subset.map_or(0, lane),
        first,
        end: levels.len(),
        places: places.into(),
    }
}

/// A subset's number in the line: by what it is, so that it is the same one under every configuration.
fn lane(subset: &Subset) -> u64 {
    let mut text = Vec::new();
    for (name, value) in subset {
        for part in [name, value] {
            text.extend_from_slice(part.as_bytes());
            text.push(0);
        }
    }
    hash(&text)
}

fn has(labels: &[(Box<str>, Box<str>)], subset: &Subset) -> bool {
    subset.iter().all(|wanted| labels.contains(wanted))
}

fn level(algorithm: Algorithm, members: &[Member], weights: &[u32], indexes: Box<[u32]>) -> Level {
    let of = |index: &u32| &members[*index as usize];
    let ids: Box<[u64]> = indexes.iter().map(|index| of(index).id).collect();
    let weights: Box<[u32]> = indexes
        .iter()
        .map(|index| weights[*index as usize])
        .collect();
    let table = match algorithm {
        Algorithm::Random => Table::Alias(Alias::new(&weights)),
        Algorithm::HashRing => Table::Owners(Owners::Ring(Ring::new(&ids, &weights))),
        Algorithm::HashMaglev => Table::Owners(Owners::Maglev(Maglev::new(&ids, &weights))),
        Algorithm::RoundRobin
        | Algorithm::LeastRequests
        | Algorithm::PowerOfTwo
        | Algorithm::PeakEwma => Table::None,
    };
    Level {
        backup: false,
        other_zone: false,
        endpoints: indexes
            .iter()
            .map(|index| Arc::clone(&of(index).endpoint))
            .collect(),
        weight: weights.iter().map(|weight| u64::from(*weight)).sum(),
        weights,
        ids,
        indexes,
        bounds: Bounds::default(),
        is_bounded: false,
        table,
    }
}
