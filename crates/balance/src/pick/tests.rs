//! What holds for every algorithm.

use super::*;
use crate::candidates::Tried;
use crate::ejection::{EjectionPolicy, Outcome, observe};
use crate::endpoint::{AdminState, Endpoint, InFlight};
use crate::roster::Balancing;
use proptest::prelude::*;

const POLICY: EjectionPolicy = EjectionPolicy {
    consecutive_failures: Some(1),
    consecutive_gateway_errors: None,
    base_time_ms: 1_000,
    time_max_ms: 1_000,
    share_max_percent: 100,
};

fn endpoints(weights: &[u32]) -> Vec<Arc<Endpoint>> {
    let endpoint = |weight: &u32| Arc::new(Endpoint::new("", *weight));
    weights.iter().map(endpoint).collect()
}

fn picker_of(algorithm: Algorithm, all: &[Arc<Endpoint>], seed: u64) -> Picker {
    let number = |(index, endpoint): (usize, &Arc<Endpoint>)| Member {
        id: mix(index as u64, 0),
        ..Member::plain(Arc::clone(endpoint))
    };
    let members: Vec<Member> = all.iter().enumerate().map(number).collect();
    let roster = Roster::new(Balancing::plain(algorithm), &members);
    Picker::new(Arc::new(roster), seed)
}

fn eject(all: &[Arc<Endpoint>], index: usize, now_ms: u64) {
    let _ = observe(&all[index], all, Outcome::Failure, now_ms, &POLICY);
}

/// How often each was picked in `picks` picks of which each ends before the next.
fn counts(picker: &mut Picker, picks: u64, salt: u64) -> Vec<u64> {
    let mut counts = vec![0; picker.members().len()];
    let mut random = Draws::new(salt);
    for _ in 0..picks {
        let pick = picker
            .pick(&Need::any(0, random.next(), &Tried::NONE))
            .unwrap();
        counts[pick.index] += 1;
    }
    counts
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    proptest::sample::select(Algorithm::ALL.to_vec())
}

#[derive(Clone, Debug)]
enum Step {
    Pick { random: u64, tries: usize },
    Admin(usize, u8),
    Fail(usize),
    Wait(u64),
    Weight(usize, u32),
    Begin(usize),
    End,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (any::<u64>(), 0..5_usize).prop_map(|(random, tries)| Step::Pick { random, tries }),
        1 => (0..100_usize, 0..3_u8).prop_map(|(index, admin)| Step::Admin(index, admin)),
        2 => (0..100_usize).prop_map(Step::Fail),
        2 => (0..700_u64).prop_map(Step::Wait),
        1 => (0..100_usize, 0..4_u32).prop_map(|(index, weight)| Step::Weight(index, weight)),
        2 => (0..100_usize).prop_map(Step::Begin),
        1 => Just(Step::End),
    ];
    proptest::collection::vec(step, 1..150)
}

/// Picks until none is left and checks each pick against the plain rules.
fn check_request(picker: &mut Picker, now_ms: u64, random: u64, tries: usize) {
    let mut tried = Tried::new();
    let all: Vec<_> = picker
        .members()
        .iter()
        .map(|one| Arc::clone(&one.endpoint))
        .collect();
    for attempt in 0..=tries {
        let fit = |index: usize| {
            all[index].admin() == AdminState::Enabled
                && all[index].weight() > 0
                && !tried.contains(index)
        };
        let healthy = |index: usize| fit(index) && all[index].ejected_until_ms(now_ms).is_none();
        let any_fit = (0..all.len()).any(fit);
        let any_healthy = (0..all.len()).any(healthy);
        match picker.pick(&Need::any(now_ms, random ^ attempt as u64, &tried)) {
            Ok(pick) => {
                assert!(fit(pick.index));
                assert_eq!(healthy(pick.index), any_healthy);
                assert_eq!(pick.reason == PickReason::Panic, !any_healthy);
                tried.insert(pick.index);
            }
            Err(reason) => {
                assert!(!any_fit);
                let expected = if all.is_empty() {
                    NoEndpoint::Empty
                } else if tried.count() > 0 {
                    NoEndpoint::AllTried
                } else {
                    NoEndpoint::NoneEnabled
                };
                assert_eq!(reason, expected);
                return;
            }
        }
    }
}

proptest! {
    #[test]
    fn only_the_fit_are_picked_unless_in_panic(
        algorithm in algorithm(),
        count in prop_oneof![0..6_usize, 60..100_usize],
        seed in any::<u64>(),
        steps in steps(),
    ) {
        let all = endpoints(&vec![1; count]);
        let mut picker = picker_of(algorithm, &all, seed);
        let mut now_ms = 0;
        let mut busy: Vec<InFlight> = Vec::new();
        for step in steps {
            let at = |index: usize| &all[index % count];
            match step {
                Step::Pick { random, tries } => {
                    check_request(&mut picker, now_ms, random, tries);
                }
                Step::Wait(later) => now_ms += later,
                Step::End => drop(busy.pop()),
                _ if count == 0 => {}
                Step::Admin(index, admin) => at(index).set_admin(match admin {
                    0 => AdminState::Enabled,
                    1 => AdminState::Draining,
                    _ => AdminState::Disabled,
                }),
                Step::Fail(index) => eject(&all, index % count, now_ms),
                Step::Weight(index, weight) => {
                    at(index).set_weight(weight);
                    picker.refresh();
                }
                Step::Begin(index) => busy.push(at(index).begin()),
            }
        }
    }

    #[test]
    fn the_same_seed_picks_the_same(
        algorithm in algorithm(),
        weights in proptest::collection::vec(1..9_u32, 1..80),
        seed in any::<u64>(),
        random in any::<u64>(),
    ) {
        let all = endpoints(&weights);
        let mut one = picker_of(algorithm, &all, seed);
        let mut two = picker_of(algorithm, &all, seed);
        let mut draws = Draws::new(random);
        for _ in 0..50 {
            let random = draws.next();
            let need = Need { key: Some(random), ..Need::any(3, random, &Tried::NONE) };
            prop_assert_eq!(one.pick(&need), two.pick(&need));
        }
    }

    #[test]
    fn notes_tell_what_was_seen(
        algorithm in algorithm(),
        states in proptest::collection::vec((0..3_u32, 0..4_u8), 0..10),
        random in any::<u64>(),
    ) {
        let weights: Vec<_> = states.iter().map(|state| state.0).collect();
        let all = endpoints(&weights);
        let mut tried = Tried::new();
        for (index, (_, state)) in states.iter().enumerate() {
            match state {
                0 => all[index].set_admin(AdminState::Draining),
                1 => eject(&all, index, 0),
                2 if tried.count() < 4 => tried.insert(index),
                _ => {}
            }
        }
        let mut notes = Vec::new();
        let noted = picker_of(algorithm, &all, 0).pick_noting(&Need::any(0, random, &tried), &mut notes);
        let plain = picker_of(algorithm, &all, 0).pick(&Need::any(0, random, &tried));
        prop_assert_eq!(noted, plain);
        prop_assert_eq!(notes.len(), all.len());
        let picked: Vec<_> = notes.iter().filter(|note| note.picked).collect();
        prop_assert_eq!(picked.len(), usize::from(noted.is_ok()));
        if let (Ok(pick), [note]) = (noted, &picked[..]) {
            prop_assert_eq!(note.index, pick.index);
            let panic = pick.reason == PickReason::Panic;
            prop_assert_eq!(note.standing == Standing::Available, !panic);
        }
    }
}

#[test]
fn weights_are_respected() {
    let weights = [1, 2, 3, 4];
    for algorithm in [
        Algorithm::RoundRobin,
        Algorithm::LeastRequests,
        Algorithm::Random,
    ] {
        let mut picker = picker_of(algorithm, &endpoints(&weights), 0);
        for (count, weight) in counts(&mut picker, 10_000, 5).into_iter().zip(weights) {
            let expected = u64::from(weight) * 1_000;
            assert!(count.abs_diff(expected) < 150, "{algorithm:?}: {count}");
        }
    }
}

#[test]
fn load_in_flight_follows_the_weights() {
    let weights = [1, 2, 3, 4];
    for algorithm in [Algorithm::LeastRequests, Algorithm::PowerOfTwo] {
        let all = endpoints(&weights);
        let mut picker = picker_of(algorithm, &all, 0);
        let mut random = Draws::new(9);
        let mut busy = Vec::new();
        // Requests end in no order, at a steady thousand in flight.
        for _ in 0..20_000 {
            let pick = picker
                .pick(&Need::any(0, random.next(), &Tried::NONE))
                .unwrap();
            busy.push(all[pick.index].begin());
            if busy.len() > 1_000 {
                let ends = random.below(busy.len() as u64) as usize;
                drop(busy.swap_remove(ends));
            }
        }
        for (endpoint, weight) in all.iter().zip(weights) {
            let expected = weight * 100;
            let in_flight = endpoint.in_flight();
            let bound = if algorithm == Algorithm::LeastRequests {
                2
            } else {
                25
            };
            assert!(
                in_flight.abs_diff(expected) <= bound,
                "{algorithm:?}: {in_flight}"
            );
        }
    }
}

#[test]
fn equals_take_turns_also_when_idle() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastRequests] {
        let mut picker = picker_of(algorithm, &endpoints(&[1; 7]), 0);
        assert_eq!(counts(&mut picker, 70, 1), [10; 7], "{algorithm:?}");
    }
    for algorithm in [Algorithm::PowerOfTwo, Algorithm::Random] {
        let mut picker = picker_of(algorithm, &endpoints(&[1; 7]), 0);
        let counts = counts(&mut picker, 7_000, 1);
        assert!(
            counts.iter().all(|count| (850..1_150).contains(count)),
            "{counts:?}"
        );
    }
}

#[test]
fn many_endpoints_are_sampled_evenly() {
    let mut picker = picker_of(Algorithm::LeastRequests, &endpoints(&[1; 500]), 0);
    let counts = counts(&mut picker, 50_000, 3);
    assert!(
        counts.iter().all(|count| (40..180).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn a_few_requests_of_several_workers_are_even() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastRequests] {
        let all = endpoints(&[1; 16]);
        let mut sum = vec![0; 16];
        for worker in 0..8 {
            let mut picker = picker_of(algorithm, &all, worker);
            for (sum, count) in sum.iter_mut().zip(counts(&mut picker, 2, 0)) {
                *sum += count;
            }
        }
        assert_eq!(sum, [1; 16], "{algorithm:?}");
    }
}

#[test]
fn one_fit_among_many_unfit_is_found_by_all() {
    for algorithm in Algorithm::ALL {
        let all = endpoints(&[1; 1_000]);
        for (index, endpoint) in all.iter().enumerate() {
            if index != 777 {
                endpoint.set_admin(AdminState::Disabled);
            }
        }
        let mut picker = picker_of(algorithm, &all, 0);
        for random in 0..50 {
            let pick = picker.pick(&Need::any(0, random, &Tried::NONE)).unwrap();
            assert_eq!(pick.index, 777, "{algorithm:?}");
        }
    }
}

#[test]
fn panic_spreads_over_the_ejected_by_weight() {
    for algorithm in Algorithm::ALL {
        let all = endpoints(&[1, 3, 0, 1]);
        all[3].set_admin(AdminState::Draining);
        (0..2).for_each(|index| eject(&all, index, 0));
        let mut picker = picker_of(algorithm, &all, 0);
        let counts = counts(&mut picker, 4_000, 8);
        assert!(
            counts[0].abs_diff(1_000) < 150 && counts[2..] == [0, 0],
            "{counts:?}"
        );
        let pick = picker.pick(&Need::any(0, 1, &Tried::NONE)).unwrap();
        assert_eq!(pick.reason, PickReason::Panic);
        // When the ejection has run out, order is back.
        let pick = picker
            .pick(&Need {
                key: Some(1),
                ..Need::any(1_000, 1, &Tried::NONE)
            })
            .unwrap();
        match algorithm.is_keyed() {
            true => assert_eq!(pick.reason, PickReason::Hash),
            false => assert_eq!(pick.reason.name(), algorithm.name()),
        }
    }
}

#[test]
fn a_single_endpoint_is_the_only_one() {
    let all = endpoints(&[1]);
    let mut picker = picker_of(Algorithm::RoundRobin, &all, 0);
    let mut tried = Tried::new();
    let mut reason = |tried: &Tried| picker.pick(&Need::any(0, 0, tried)).map(|pick| pick.reason);
    assert_eq!(reason(&tried), Ok(PickReason::Only));
    eject(&all, 0, 0);
    assert_eq!(reason(&tried), Ok(PickReason::Panic));
    tried.insert(0);
    assert_eq!(reason(&tried), Err(NoEndpoint::AllTried));
    all[0].set_admin(AdminState::Draining);
    assert_eq!(reason(&Tried::new()), Err(NoEndpoint::NoneEnabled));
}

#[test]
fn names_are_stable() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::parse(algorithm.name()), Some(algorithm));
    }
    assert_eq!(Algorithm::parse("fastest"), None);
    assert_eq!(NoEndpoint::Empty.name(), "no-endpoints");
    assert_eq!(Standing::Weightless.name(), "weightless");
}
