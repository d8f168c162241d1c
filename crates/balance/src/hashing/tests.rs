//! What holds for both ways of consistent hashing.

use crate::candidates::{Need, Tried};
use crate::endpoint::{AdminState, Endpoint, InFlight};
use crate::hash::{hash, mix};
use crate::pick::{Algorithm, PickReason, Picker};
use crate::roster::{Balancing, Member, Roster};
use proptest::prelude::*;
use std::sync::Arc;

const BOTH: [Algorithm; 2] = [Algorithm::HashRing, Algorithm::HashMaglev];

/// Endpoints by name and weight.
fn members(names: impl IntoIterator<Item = u64>, weight: impl Fn(u64) -> u32) -> Vec<Member> {
    let named = |name: u64| {
        let address = format!("10.0.{}.{}:8080", name / 256, name % 256);
        Member::plain(Arc::new(Endpoint::new(address, weight(name))))
    };
    names.into_iter().map(named).collect()
}

fn picker(algorithm: Algorithm, members: &[Member], load_max_percent: Option<u32>) -> Picker {
    let balancing = Balancing {
        load_max_percent,
        ..Balancing::plain(algorithm)
    };
    Picker::new(Arc::new(Roster::new(balancing, members)), 0)
}

fn need(key: u64) -> Need<'static> {
    Need {
        key: Some(mix(key, 99)),
        ..Need::any(0, 0, &Tried::NONE)
    }
}

/// The identity that each key goes to.
fn owners(picker: &mut Picker, keys: u64) -> Vec<u64> {
    let mut owner = |key| {
        let pick = picker.pick(&need(key)).unwrap();
        assert!(matches!(pick.reason, PickReason::Hash | PickReason::Only));
        picker.members()[pick.index].id
    };
    (0..keys).map(&mut owner).collect()
}

/// The largest and the smallest share of keys, as parts of the ideal share.
fn spread(algorithm: Algorithm, count: u64, weight: impl Fn(u64) -> u32) -> (f64, f64) {
    const KEYS: u64 = 200_000;
    let members = members(0..count, weight);
    let all: u64 = members
        .iter()
        .map(|one| u64::from(one.endpoint.weight()))
        .sum();
    let owners = owners(&mut picker(algorithm, &members, None), KEYS);
    let mut counts = std::collections::HashMap::new();
    for owner in owners {
        *counts.entry(owner).or_insert(0_u32) += 1;
    }
    let shares = members.iter().map(|member| {
        let ideal = KEYS as f64 * f64::from(member.endpoint.weight()) / all as f64;
        f64::from(*counts.get(&member.id).unwrap_or(&0)) / ideal
    });
    shares.fold((0.0, f64::MAX), |(most, least), share| {
        (share.max(most), share.min(least))
    })
}

/// Most and least that an endpoint of so many gets, as parts of its ideal share. The table stands in
/// `docs/load-balancing.md`.
const SHARES: [(Algorithm, u64, f64, f64); 6] = [
    (Algorithm::HashRing, 3, 1.20, 0.80),
    (Algorithm::HashRing, 10, 1.30, 0.75),
    (Algorithm::HashRing, 100, 1.40, 0.65),
    (Algorithm::HashMaglev, 3, 1.02, 0.98),
    (Algorithm::HashMaglev, 10, 1.05, 0.95),
    (Algorithm::HashMaglev, 100, 1.15, 0.85),
];

/// Keys that move although neither their old nor their new owner has come or gone, as a part of all; and what a newcomer
/// takes or one that leaves had, as a part of its ideal share.
const MOVES: [(Algorithm, f64, f64); 2] = [
    (Algorithm::HashRing, 0.0, 1.40),
    (Algorithm::HashMaglev, 0.04, 1.15),
];

#[test]
fn shares_are_even_within_the_stated_bounds() {
    for (algorithm, count, most, least) in SHARES {
        let (highest, lowest) = spread(algorithm, count, |_| 1);
        assert!(
            highest <= most && lowest >= least,
            "{algorithm:?} {count}: {lowest}..{highest}"
        );
        let (highest, lowest) = spread(algorithm, count, |name| 1 + name as u32 % 4);
        assert!(
            highest <= most && lowest >= least,
            "weighted {algorithm:?} {count}: {lowest}..{highest}"
        );
    }
}

#[test]
fn whoever_joins_or_leaves_moves_the_ideal_share_and_little_else() {
    const KEYS: u64 = 50_000;
    for (algorithm, slack, most) in MOVES {
        for count in [3_u64, 10, 100] {
            let of = |names: Vec<u64>| {
                let members = members(names, |_| 1);
                owners(&mut picker(algorithm, &members, None), KEYS)
            };
            let all = of((0..=count).collect());
            // The last one joins; one in the middle leaves.
            for (who, is_joining) in [(count, true), (count / 2, false)] {
                let others = of((0..=count).filter(|name| *name != who).collect());
                let id = members([who], |_| 1)[0].id;
                let own = all.iter().filter(|owner| **owner == id).count() as f64;
                let (before, after) = match is_joining {
                    true => (&others, &all),
                    false => (&all, &others),
                };
                let moved = (before.iter().zip(after))
                    .filter(|(was, now)| was != now && **was != id && **now != id)
                    .count() as f64;
                assert!(
                    moved <= slack * KEYS as f64,
                    "{algorithm:?} {count}: {moved} moved"
                );
                let ideal = KEYS as f64 / (count + 1) as f64;
                assert!(
                    own <= most * ideal,
                    "{algorithm:?} {count}: {own} of {ideal}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_ring_moves_only_what_must_move(
        names in proptest::collection::btree_set(0..5_000_u64, 2..40),
        weights in 1..6_u64,
    ) {
        let weight = |name: u64| 1 + (name % weights) as u32;
        let names: Vec<u64> = names.into_iter().collect();
        let all = members(names.iter().copied(), weight);
        let whole = owners(&mut picker(Algorithm::HashRing, &all, None), 2_000);
        let left = &all[1..];
        let without = owners(&mut picker(Algorithm::HashRing, left, None), 2_000);
        // The smallest weight sets the scale: it must not leave with the first.
        let smallest = |members: &[Member]| members.iter().map(|one| one.endpoint.weight()).min();
        prop_assume!(smallest(left).unwrap().ilog2() == smallest(&all).unwrap().ilog2());
        for (before, after) in whole.iter().zip(&without) {
            prop_assert!(before == after || *before == all[0].id);
        }
    }

    #[test]
    fn the_order_of_endpoints_means_nothing(
        names in proptest::collection::btree_set(0..5_000_u64, 1..30),
        key in any::<u64>(),
    ) {
        for algorithm in BOTH {
            let names: Vec<u64> = names.iter().copied().collect();
            let weight = |name: u64| 1 + (name % 3) as u32;
            let forwards = members(names.iter().copied(), weight);
            let backwards = members(names.iter().rev().copied(), weight);
            let id = |members: &[Member]| {
                let pick = picker(algorithm, members, None).pick(&need(key)).unwrap();
                members[pick.index].id
            };
            prop_assert_eq!(id(&forwards), id(&backwards));
        }
    }

    #[test]
    fn a_key_whose_owner_is_unfit_has_a_steady_home_and_returns(
        count in 2..50_u64,
        key in any::<u64>(),
        unfit in proptest::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        for algorithm in BOTH {
            let members = members(0..count, |_| 1);
            let mut picker = picker(algorithm, &members, None);
            let owner = picker.pick(&need(key)).unwrap();
            let out: Vec<usize> = unfit.iter().map(|index| index.index(members.len())).collect();
            for index in &out {
                members[*index].endpoint.set_admin(AdminState::Draining);
            }
            match picker.pick(&need(key)) {
                Ok(pick) => {
                    prop_assert!(!out.contains(&pick.index));
                    prop_assert_eq!(picker.pick(&need(key)), Ok(pick), "steady");
                    let is_owner = pick.index == owner.index;
                    prop_assert_eq!(is_owner, !out.contains(&owner.index));
                    prop_assert_eq!(pick.reason == PickReason::Hash, is_owner);
                }
                Err(_) => prop_assert!((0..members.len()).all(|index| out.contains(&index))),
            }
            for member in &members {
                member.endpoint.set_admin(AdminState::Enabled);
            }
            prop_assert_eq!(picker.pick(&need(key)), Ok(owner));
        }
    }

    #[test]
    fn nobody_has_more_than_its_bound(
        count in 2..120_u64,
        percent in 105..300_u32,
        keys in proptest::collection::vec(0..8_u64, 1..600),
        ends in any::<u64>(),
    ) {
        for algorithm in BOTH {
            let weight = |name: u64| 1 + (name % 3) as u32;
            let members = members(0..count, weight);
            let all: u32 = members.iter().map(|one| one.endpoint.weight()).sum();
            let mut picker = picker(algorithm, &members, Some(percent));
            let mut busy: Vec<InFlight> = Vec::new();
            for (now_ms, key) in (0..).zip(&keys) {
                // A new millisecond each time: what all have is counted anew.
                let pick = picker.pick(&Need { now_ms, ..need(*key) }).unwrap();
                busy.push(members[pick.index].endpoint.begin());
                let share = f64::from(members[pick.index].endpoint.weight()) / f64::from(all);
                let most = (busy.len() as f64 * f64::from(percent) / 100.0 * share).ceil();
                let has = f64::from(members[pick.index].endpoint.in_flight());
                prop_assert!(has <= most.max(8.0), "{} of {}", has, most);
                if mix(ends, now_ms).is_multiple_of(3) {
                    drop(busy.swap_remove(mix(ends, now_ms) as usize % busy.len()));
                }
            }
        }
    }
}

#[test]
fn a_key_that_everybody_wants_is_relieved() {
    for algorithm in BOTH {
        let members = members(0..10, |_| 1);
        let mut picker = picker(algorithm, &members, Some(125));
        let mut reasons = Vec::new();
        let mut busy = Vec::new();
        for now_ms in 0..100 {
            let pick = picker.pick(&Need { now_ms, ..need(1) }).unwrap();
            busy.push(members[pick.index].endpoint.begin());
            reasons.push(pick.reason);
        }
        assert_eq!(reasons[0], PickReason::Hash);
        assert!(reasons.contains(&PickReason::HashRelief));
        let most = members.iter().map(|one| one.endpoint.in_flight()).max();
        assert_eq!(most, Some(13), "{algorithm:?}: 1.25 × 100 / 10");
    }
}

#[test]
fn requests_without_key_are_spread() {
    for algorithm in BOTH {
        let members = members(0..5, |_| 1);
        let mut picker = picker(algorithm, &members, None);
        let mut counts = [0_u32; 5];
        for random in 0..5_000 {
            let pick = picker
                .pick(&Need::any(
                    0,
                    hash(&[random as u8, (random >> 8) as u8]),
                    &Tried::NONE,
                ))
                .unwrap();
            assert_eq!(pick.reason, PickReason::NoKey);
            counts[pick.index] += 1;
        }
        assert!(
            counts.iter().all(|count| (700..1_350).contains(count)),
            "{counts:?}"
        );
    }
}

#[test]
fn extreme_weights_keep_tables_small() {
    for algorithm in BOTH {
        let members = members(0..2_000, |name| if name == 0 { 65_535 } else { 1 });
        let owners = owners(&mut picker(algorithm, &members, None), 20_000);
        let heavy = owners.iter().filter(|id| **id == members[0].id).count();
        assert!((18_500..20_000).contains(&heavy), "{algorithm:?}: {heavy}");
    }
    let weightless = members(0..3, |_| 0);
    for algorithm in BOTH {
        assert!(picker(algorithm, &weightless, None).pick(&need(1)).is_err());
    }
}
