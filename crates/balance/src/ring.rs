//! Consistent hashing on a ring: every endpoint has points on a circle, as many as its weight; a key belongs to the
//! endpoint of the first point at or behind the key's own place.
//!
//! An endpoint that joins takes keys from all others and gives them none; one that leaves gives its keys to all others.
//! Nothing else moves.

use crate::hash::mix;

/// Points of the endpoint with the smallest weight, unless that makes too many.
const POINTS: u64 = 160;
/// Points of a ring; beyond it all endpoints get fewer.
const POINTS_MAX: u64 = 1 << 18;

/// The points in their order.
#[derive(Debug)]
pub(crate) struct Ring {
    points: Box<[Point]>,
    /// The first point at or behind each equal part of the circle, so that a search looks at few.
    parts: Box<[u32]>,
    shift: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    at: u64,
    owner: u32,
}

impl Ring {
    /// The ring of endpoints with these identities and weights.
    pub(crate) fn new(ids: &[u64], weights: &[u32]) -> Ring {
        let scale = Scale::of(weights);
        let mut points: Vec<Point> = Vec::new();
        for (owner, (id, weight)) in (0..).zip(ids.iter().zip(weights)) {
            let count = scale.points(*weight);
            points.extend((0..count).map(|number| Point {
                at: mix(*id, number),
                owner,
            }));
        }
        // Points that meet are in the order of identities, so that the order of endpoints means nothing.
        points.sort_unstable_by_key(|point| (point.at, ids[point.owner as usize]));
        let bits = points.len().next_power_of_two().trailing_zeros().max(1);
        let shift = 64 - bits;
        let mut parts = Vec::with_capacity(1 << bits);
        let mut next = 0_u32;
        for part in 0..1_u64 << bits {
            while points
                .get(next as usize)
                .is_some_and(|point| point.at >> shift < part)
            {
                next += 1;
            }
            parts.push(next);
        }
        Ring {
            points: points.into(),
            parts: parts.into(),
            shift,
        }
    }

    /// The owners of a key: the first, and those who follow on the circle, each point once.
    #[inline]
    pub(crate) fn owners(&self, key: u64) -> impl Iterator<Item = usize> {
        let mut first = self.parts[(key >> self.shift) as usize] as usize;
        while self.points.get(first).is_some_and(|point| point.at < key) {
            first += 1;
        }
        let (before, behind) = self.points.split_at(first);
        behind
            .iter()
            .chain(before)
            .map(|point| point.owner as usize)
    }
}

/// How many points a unit of weight has, as a fraction of powers of two: joining endpoints hardly ever change it, and
/// so move no points of others.
#[derive(Clone, Copy)]
struct Scale {
    halvings: u32,
}

impl Scale {
    fn of(weights: &[u32]) -> Scale {
        let smallest = weights.iter().filter(|weight| **weight > 0).min();
        let mut scale = Scale {
            halvings: smallest.map_or(0, |weight| weight.ilog2()),
        };
        while weights
            .iter()
            .map(|weight| scale.points(*weight))
            .sum::<u64>()
            > POINTS_MAX
            && scale.halvings < 40
        {
            scale.halvings += 1;
        }
        scale
    }

    fn points(self, weight: u32) -> u64 {
        match weight {
            0 => 0,
            weight => ((u64::from(weight) * POINTS) >> self.halvings).max(1),
        }
    }
}
