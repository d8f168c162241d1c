//! How even picks are when workers share nothing, and how long requests wait behind a slow endpoint. The bounds are those
//! that the documents state.

use super::*;
use crate::candidates::Tried;
use crate::endpoint::{Endpoint, InFlight};
use crate::roster::Balancing;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

fn pickers(
    algorithm: Algorithm,
    endpoints: usize,
    workers: u64,
) -> (Vec<Arc<Endpoint>>, Vec<Picker>) {
    let named = |number: usize| Arc::new(Endpoint::new(format!("10.0.0.{number}:80"), 1));
    let all: Vec<_> = (0..endpoints).map(named).collect();
    let members: Vec<_> = all.iter().cloned().map(Member::plain).collect();
    let roster = Arc::new(Roster::new(Balancing::plain(algorithm), &members));
    let pickers = (0..workers).map(|worker| Picker::new(Arc::clone(&roster), worker));
    (all, pickers.collect())
}

/// The largest distance from the ideal share, in percent of it, when workers take turns at random.
fn unevenness(algorithm: Algorithm, endpoints: usize, workers: u64, per_endpoint: usize) -> f64 {
    let (_, mut pickers) = pickers(algorithm, endpoints, workers);
    let mut counts = vec![0_u32; endpoints];
    let mut draws = Draws::new(7);
    for _ in 0..endpoints * per_endpoint {
        let worker = draws.below(workers) as usize;
        let need = Need::any(0, draws.next(), &Tried::NONE);
        counts[pickers[worker].pick(&need).unwrap().index] += 1;
    }
    let distance = |count: &u32| (f64::from(*count) / per_endpoint as f64 - 1.0).abs() * 100.0;
    counts.iter().map(distance).fold(0.0, f64::max)
}

/// How far from an even share an endpoint of 3, 10 and 100 may be, in percent of that share, after 1,000 requests for each
/// endpoint, whether one worker sends them or eight that share nothing. A share drawn by chance is off by 3.2 % as a rule,
/// and by four times that once in 16,000 endpoints. The table stands in `docs/load-balancing.md`.
const UNEVEN_PERCENT_MAX: [(Algorithm, [f64; 3]); 5] = [
    (Algorithm::RoundRobin, [1.0, 1.0, 1.0]),
    // It looks at all of them up to 32.
    (Algorithm::LeastRequests, [1.0, 1.0, 13.0]),
    (Algorithm::PowerOfTwo, [13.0, 13.0, 13.0]),
    (Algorithm::PeakEwma, [13.0, 13.0, 13.0]),
    (Algorithm::Random, [13.0, 13.0, 13.0]),
];

#[test]
fn workers_that_share_nothing_are_even_together() {
    for (algorithm, bounds) in UNEVEN_PERCENT_MAX {
        for (endpoints, bound) in [3, 10, 100].into_iter().zip(bounds) {
            for workers in [1, 2, 8] {
                let off = unevenness(algorithm, endpoints, workers, 1_000);
                assert!(
                    off <= bound,
                    "{algorithm:?}, {workers} workers, {endpoints}: {off:.1} %"
                );
            }
        }
    }
}

#[test]
fn weights_are_kept_by_workers_together() {
    for workers in [1, 2, 8] {
        for algorithm in [
            Algorithm::RoundRobin,
            Algorithm::LeastRequests,
            Algorithm::Random,
        ] {
            let (all, _) = pickers(algorithm, 10, 0);
            let weight = |number: usize| 1 + number as u32 % 4;
            for (number, endpoint) in all.iter().enumerate() {
                endpoint.set_weight(weight(number));
            }
            let members: Vec<_> = all.iter().cloned().map(Member::plain).collect();
            let roster = Arc::new(Roster::new(Balancing::plain(algorithm), &members));
            let pickers = (0..workers).map(|worker| Picker::new(Arc::clone(&roster), worker));
            let mut pickers: Vec<_> = pickers.collect();
            let mut counts = [0_u32; 10];
            let mut draws = Draws::new(7);
            let sum: u32 = (0..10).map(weight).sum();
            for _ in 0..1_000 * sum {
                let worker = draws.below(workers) as usize;
                let need = Need::any(0, draws.next(), &Tried::NONE);
                counts[pickers[worker].pick(&need).unwrap().index] += 1;
            }
            let bound = if algorithm == Algorithm::RoundRobin {
                1.0
            } else {
                13.0
            };
            for (number, count) in counts.into_iter().enumerate() {
                let off = f64::from(count) / f64::from(weight(number)) / 1_000.0 - 1.0;
                assert!(
                    off.abs() * 100.0 <= bound,
                    "{algorithm:?}, {workers} workers: {off}"
                );
            }
        }
    }
}

#[test]
fn no_two_workers_begin_at_the_same_endpoint() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastRequests] {
        for endpoints in [10, 20, 32] {
            let (_, mut pickers) = pickers(algorithm, endpoints, 8);
            let need = Need::any(0, 7, &Tried::NONE);
            let first: Vec<_> = pickers.iter_mut().map(|one| one.pick(&need)).collect();
            let different: std::collections::HashSet<_> =
                first.iter().map(|pick| pick.unwrap().index).collect();
            assert_eq!(different.len(), 8, "{algorithm:?}: {first:?}");
        }
    }
}

#[test]
fn all_workers_place_a_key_alike() {
    // So that the shares and moves of hashes are the same for any number of workers.
    for algorithm in [Algorithm::HashRing, Algorithm::HashMaglev] {
        for endpoints in [3, 10, 100] {
            let (_, mut pickers) = pickers(algorithm, endpoints, 8);
            let mut draws = Draws::new(7);
            for _ in 0..500 {
                let key = Some(draws.next());
                let mut placed = pickers.iter_mut().map(|picker| {
                    let need = Need::any(0, draws.next(), &Tried::NONE);
                    picker.pick(&Need { key, ..need })
                });
                let first = placed.next().unwrap();
                assert!(placed.all(|pick| pick == first), "{algorithm:?}");
            }
        }
    }
}

/// One request in flight: when it ends, when it began, and what it is counted at.
struct Running {
    began_micros: u64,
    guard: InFlight,
}

/// Plays requests against endpoints of which one is `slowness` times as slow as the others, and returns the waiting times
/// at the median and at the 99th percentile in milliseconds, and the slow one's share of requests in percent of its ideal.
fn play(algorithm: Algorithm, seed: u64, slowness: u64, load_percent: u64) -> (f64, f64, f64) {
    const ENDPOINTS: usize = 10;
    const SERVICE_MICROS: u64 = 5_000;
    const REQUESTS: usize = 40_000;
    let (all, mut pickers) = pickers(algorithm, ENDPOINTS, 2);
    let mut draws = Draws::new(seed);
    // Each endpoint serves one request after the other: a queue is its waiting time.
    let mut free_at = [0_u64; ENDPOINTS];
    let mut running: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut held: Vec<Option<(usize, Running)>> = Vec::new();
    let mut waits: Vec<u64> = Vec::new();
    let mut slow_ones = 0_u32;
    let mut at = 0_u64;
    let gap = SERVICE_MICROS * 100 / (ENDPOINTS as u64 * load_percent);
    for number in 0..REQUESTS {
        // Requests come at random.
        let uniform = (draws.next() >> 11) as f64 / (1_u64 << 53) as f64;
        at += (-(1.0 - uniform).ln() * gap as f64) as u64;
        while let Some(Reverse((ends, slot))) = running.peek().copied() {
            if ends > at {
                break;
            }
            running.pop();
            let (index, done) = held[slot].take().unwrap();
            all[index].answered(ends - done.began_micros, ends / 1_000);
            drop(done.guard);
        }
        let worker = draws.below(2) as usize;
        let need = Need {
            key: Some(draws.next()),
            ..Need::any(at / 1_000, draws.next(), &Tried::NONE)
        };
        let index = pickers[worker].pick(&need).unwrap().index;
        let base = SERVICE_MICROS / 2 + draws.below(SERVICE_MICROS);
        let service = if index == 0 { base * slowness } else { base };
        let ends = free_at[index].max(at) + service;
        free_at[index] = ends;
        held.push(Some((
            index,
            Running {
                began_micros: at,
                guard: all[index].begin(),
            },
        )));
        running.push(Reverse((ends, held.len() - 1)));
        // The first ones see endpoints of which nothing is known.
        if number >= REQUESTS / 10 {
            waits.push(ends - at);
            slow_ones += u32::from(index == 0);
        }
    }
    waits.sort_unstable();
    let part = |part: usize| waits[(waits.len() - 1) * part / 1_000] as f64 / 1_000.0;
    let ideal = waits.len() as f64 / ENDPOINTS as f64;
    (part(500), part(990), f64::from(slow_ones) / ideal * 100.0)
}

const PLAYED: [Algorithm; 6] = [
    Algorithm::RoundRobin,
    Algorithm::LeastRequests,
    Algorithm::PowerOfTwo,
    Algorithm::PeakEwma,
    Algorithm::Random,
    Algorithm::HashMaglev,
];

#[test]
fn a_slow_endpoint_is_felt_least_by_those_who_look() {
    for (slowness, load) in [(1, 60), (5, 50), (20, 60)] {
        let mut tails = std::collections::HashMap::new();
        for algorithm in PLAYED {
            let (median, tail, share) = play(algorithm, 11, slowness, load);
            println!(
                "{:>3} × slower, {load} % load: {:15} median {median:8.1} ms, p99 {tail:8.1} ms, slow one {share:5.1} %",
                slowness,
                algorithm.name()
            );
            tails.insert(algorithm.name(), tail);
        }
        if slowness > 1 {
            let blind = tails["round-robin"].min(tails["random"]);
            for algorithm in ["least-requests", "power-of-two", "peak-ewma"] {
                assert!(
                    tails[algorithm] * 4.0 < blind,
                    "{algorithm} at {slowness}: {tails:?}"
                );
            }
        }
    }
}
