//! What limits, circuits, slow start and the panic threshold do to every algorithm.

use super::*;
use crate::breaker::{Admission, BreakerPolicy};
use crate::candidates::Tried;
use crate::endpoint::{Endpoint, InFlight};
use crate::probe::Health;
use crate::roster::{Balancing, Bounds};
use proptest::prelude::*;
use std::sync::atomic::Ordering;

fn endpoints(count: usize) -> Vec<Arc<Endpoint>> {
    let endpoint = |number| Arc::new(Endpoint::new(format!("e{number}"), 1));
    (0..count).map(endpoint).collect()
}

fn picker(algorithm: Algorithm, bounds: Bounds, all: &[Arc<Endpoint>]) -> Picker {
    let members: Vec<Member> = all.iter().map(Arc::clone).map(Member::plain).collect();
    let balancing = Balancing {
        bounds,
        ..Balancing::plain(algorithm)
    };
    Picker::new(Arc::new(Roster::new(balancing, &members)), 0)
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    proptest::sample::select(Algorithm::ALL.to_vec())
}

proptest! {
    #[test]
    fn no_endpoint_has_more_than_it_may_and_none_is_left_empty(
        algorithm in algorithm(),
        count in 1..8_usize,
        most in 1..5_u32,
        salt in any::<u64>(),
    ) {
        let all = endpoints(count);
        let bounds = Bounds { requests_max: Some(most), ..Bounds::default() };
        let mut picker = picker(algorithm, bounds, &all);
        let mut draws = Draws::new(salt);
        let mut under_way: Vec<InFlight> = Vec::new();
        for _ in 0..200 {
            let need = Need { key: Some(draws.next()), ..Need::any(0, draws.next(), &Tried::NONE) };
            let is_room = under_way.len() < count * most as usize;
            match picker.pick(&need) {
                Ok(pick) => {
                    let begun = all[pick.index].try_begin(most);
                    prop_assert!(begun.is_some(), "who is full is not picked");
                    under_way.extend(begun);
                }
                Err(none) => prop_assert!(none == NoEndpoint::Full && !is_room, "{none:?}"),
            }
            if draws.below(3) == 0 && !under_way.is_empty() {
                let at = draws.below(under_way.len() as u64) as usize;
                under_way.swap_remove(at);
            }
        }
    }

    #[test]
    fn who_has_just_come_has_little_and_who_has_been_there_the_rest(
        algorithm in algorithm(),
        salt in any::<u64>(),
    ) {
        const PICKS: usize = 4_000;
        let all = endpoints(4);
        let bounds = Bounds { slow_start_ms: 1_000, ..Bounds::default() };
        let mut picker = picker(algorithm, bounds, &all);
        all[2].begin_slowly(10_000);
        let mut draws = Draws::new(salt);
        // Every server is busy with some, as in real times.
        let busy: Vec<InFlight> = all[..2].iter().chain(&all[3..]).map(Endpoint::begin).collect();
        let mut late = 0;
        for _ in 0..PICKS {
            let need = Need { key: Some(draws.next()), ..Need::any(10_000, draws.next(), &Tried::NONE) };
            late += usize::from(picker.pick(&need).unwrap().index == 2);
        }
        // A tenth of a share among 3.1, and at most twice that.
        let part = PICKS as f64 / 31.0;
        prop_assert!(late as f64 > part * 0.3 && (late as f64) < part * 2.7, "{algorithm:?}: {late}");
        drop(busy);
    }

    #[test]
    fn when_all_have_just_come_they_take_everything(algorithm in algorithm(), random in any::<u64>()) {
        let all = endpoints(3);
        let bounds = Bounds { slow_start_ms: 1_000, ..Bounds::default() };
        let mut picker = picker(algorithm, bounds, &all);
        all.iter().for_each(|one| one.begin_slowly(5));
        for number in 0..100 {
            let need = Need::any(5, random.wrapping_add(number), &Tried::NONE);
            prop_assert!(picker.pick(&need).is_ok());
        }
    }

    #[test]
    fn an_open_circuit_is_passed_over_and_never_asked_for_want_of_others(
        algorithm in algorithm(),
        random in any::<u64>(),
    ) {
        let policy = BreakerPolicy {
            failures_percent: 50,
            window_ms: 1_000,
            requests_min: 1,
            open_ms: 500,
            trials: 1,
        };
        let all = endpoints(2);
        let bounds = Bounds { circuit: Some(policy), ..Bounds::default() };
        let mut picker = picker(algorithm, bounds, &all);
        let open = |endpoint: &Endpoint| {
            let admission = endpoint.breaker.admit(1, &policy);
            endpoint.breaker.ended(admission, false, 1, &policy)
        };
        prop_assert!(open(&all[0]).is_some());
        for number in 0..50 {
            let need = Need::any(2, random.wrapping_add(number), &Tried::NONE);
            prop_assert_eq!(picker.pick(&need).unwrap().index, 1);
        }
        prop_assert!(open(&all[1]).is_some());
        let need = Need::any(2, random, &Tried::NONE);
        prop_assert_eq!(picker.pick(&need), Err(NoEndpoint::CircuitOpen));
        // Half open, one request tries at each.
        let need = Need::any(700, random, &Tried::NONE);
        let first = picker.pick(&need).unwrap().index;
        prop_assert_eq!(all[first].breaker.admit(700, &policy), Admission::Trial);
        let second = picker.pick(&need).unwrap().index;
        prop_assert!(first != second);
    }

    #[test]
    fn below_the_threshold_all_are_used(
        algorithm in algorithm(),
        threshold in 0..=100_u32,
        unwell in 0..4_usize,
        salt in any::<u64>(),
    ) {
        let all = endpoints(4);
        let members: Vec<Member> = all.iter().map(Arc::clone).map(Member::plain).collect();
        let balancing = Balancing { panic_threshold_percent: threshold, ..Balancing::plain(algorithm) };
        let mut picker = Picker::new(Arc::new(Roster::new(balancing, &members)), 0);
        all[..unwell].iter().for_each(|one| one.set_health(Health::Unhealthy, 1));
        let is_panic = (4 - unwell as u32) * 25 < threshold;
        let mut draws = Draws::new(salt);
        let mut seen = [false; 4];
        for _ in 0..300 {
            let need = Need { key: Some(draws.next()), ..Need::any(1, draws.next(), &Tried::NONE) };
            let pick = picker.pick(&need).unwrap();
            prop_assert_eq!(pick.reason == PickReason::Panic, is_panic);
            seen[pick.index] = true;
        }
        for (index, seen) in seen.into_iter().enumerate() {
            prop_assert_eq!(seen, is_panic || index >= unwell, "{}", index);
        }
    }
}

#[test]
fn those_who_are_full_are_worth_waiting_for() {
    let all = endpoints(2);
    let bounds = Bounds {
        requests_max: Some(1),
        ..Bounds::default()
    };
    let mut picker = picker(Algorithm::LeastRequests, bounds, &all);
    all[0].set_health(Health::Unhealthy, 0);
    let busy = all[1].begin();
    let need = Need::any(0, 7, &Tried::NONE);
    assert_eq!(
        picker.pick(&need),
        Err(NoEndpoint::Full),
        "not the one that is ill"
    );
    drop(busy);
    assert_eq!(picker.pick(&need).map(|pick| pick.index), Ok(1));
}

#[test]
fn those_who_are_unfit_and_full_are_worth_waiting_for_too() {
    let all = endpoints(2);
    let bounds = Bounds {
        requests_max: Some(1),
        ..Bounds::default()
    };
    for count in [1, 2] {
        let mut picker = picker(Algorithm::LeastRequests, bounds, &all[..count]);
        all[0].set_health(Health::Unhealthy, 0);
        all[1].ejected_until_ms.store(1_000, Ordering::Relaxed);
        let need = Need::any(0, 7, &Tried::NONE);
        let busy: Vec<InFlight> = all.iter().map(Endpoint::begin).collect();
        assert_eq!(picker.pick(&need), Err(NoEndpoint::Full));
        drop(busy);
        let picked = picker.pick(&need).unwrap();
        assert_eq!(picked.reason, PickReason::Panic, "as if it were fit");
    }
}

#[test]
fn an_open_circuit_of_those_who_are_unfit_is_told() {
    let all = endpoints(1);
    let policy = BreakerPolicy {
        failures_percent: 50,
        window_ms: 1_000,
        requests_min: 1,
        open_ms: 500,
        trials: 1,
    };
    let bounds = Bounds {
        circuit: Some(policy),
        ..Bounds::default()
    };
    let mut picker = picker(Algorithm::LeastRequests, bounds, &all);
    all[0].set_health(Health::Unhealthy, 0);
    let admission = all[0].breaker.admit(1, &policy);
    assert!(all[0].breaker.ended(admission, false, 1, &policy).is_some());
    let need = Need::any(2, 7, &Tried::NONE);
    assert_eq!(picker.pick(&need), Err(NoEndpoint::CircuitOpen));
}
