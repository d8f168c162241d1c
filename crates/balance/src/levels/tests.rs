//! Tiers, zones, subsets and sessions, as pickers show them.

use super::*;
use crate::candidates::{Need, Standing};
use crate::endpoint::{AdminState, Endpoint};
use crate::pick::{Algorithm, NoEndpoint, PickReason, Picker, Spill};
use crate::roster::{Attributes, Member, Roster};
use proptest::prelude::*;
use std::sync::Arc;

fn member(name: &str, backup: bool, zone: &str, labels: &[(&str, &str)]) -> Member {
    let attributes = Attributes {
        backup,
        zone: (!zone.is_empty()).then(|| zone.into()),
        labels: labels
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
    };
    Member {
        attributes: Arc::new(attributes),
        ..Member::plain(Arc::new(Endpoint::new(name, 1)))
    }
}

fn picker(members: &[Member], balancing: Balancing) -> Picker {
    Picker::new(Arc::new(Roster::new(balancing, members)), 0)
}

fn balancing(zone_min: u32, primary_min: u32) -> Balancing {
    Balancing {
        zone: Some("here".into()),
        zone_fit_min_percent: zone_min,
        primary_fit_min_percent: primary_min,
        ..Balancing::default()
    }
}

/// How many of 1,000 requests go where.
fn spills(picker: &mut Picker, now_ms: u64) -> [usize; 3] {
    let mut counts = [0; 3];
    let mut draws = Draws::new(5);
    for _ in 0..1_000 {
        let pick = picker
            .pick(&Need::any(now_ms, draws.next(), &Tried::NONE))
            .unwrap();
        let place = match pick.spill {
            Spill::None => 0,
            Spill::OtherZone => 1,
            Spill::Backup => 2,
        };
        counts[place] += 1;
    }
    counts
}

#[test]
fn backups_wait_until_no_primary_is_fit() {
    let all = [
        member("a", false, "", &[]),
        member("b", false, "", &[]),
        member("c", true, "", &[]),
    ];
    let mut picker = picker(&all, balancing(70, 0));
    assert_eq!(spills(&mut picker, 0), [1_000, 0, 0]);
    all[0].endpoint.set_admin(AdminState::Disabled);
    assert_eq!(spills(&mut picker, 100), [1_000, 0, 0]);
    // Even before the next look at all: a level without anybody is passed over.
    all[1].endpoint.set_admin(AdminState::Disabled);
    assert_eq!(spills(&mut picker, 100), [0, 0, 1_000]);
    all[1].endpoint.set_admin(AdminState::Enabled);
    assert_eq!(spills(&mut picker, 200), [1_000, 0, 0]);
}

#[test]
fn backups_take_what_is_missing_of_the_primaries() {
    let mut all: Vec<Member> = (0..10)
        .map(|n| member(&n.to_string(), false, "", &[]))
        .collect();
    all.push(member("spare", true, "", &[]));
    let mut picker = picker(&all, balancing(0, 80));
    for (out, expected) in [(0, 0), (2, 0), (4, 250), (6, 500), (8, 750), (10, 1_000)] {
        for (index, member) in all[..10].iter().enumerate() {
            member.endpoint.set_admin(if index < out {
                AdminState::Disabled
            } else {
                AdminState::Enabled
            });
        }
        let counts = spills(&mut picker, 100 * out as u64);
        assert!(counts[2].abs_diff(expected) < 60, "{out} out: {counts:?}");
    }
}

#[test]
fn the_own_zone_is_preferred_and_spills_over() {
    let mut all: Vec<Member> = (0..10)
        .map(|n| member(&n.to_string(), false, "here", &[]))
        .collect();
    all.extend((10..20).map(|n| member(&n.to_string(), false, "there", &[])));
    all.push(member("spare", true, "here", &[]));
    let mut picker = picker(&all, balancing(70, 0));
    for (out, expected) in [(0, 0), (3, 0), (5, 286), (9, 857), (10, 1_000)] {
        for (index, member) in all[..10].iter().enumerate() {
            member.endpoint.set_admin(if index < out {
                AdminState::Draining
            } else {
                AdminState::Enabled
            });
        }
        let counts = spills(&mut picker, 100 * out as u64);
        assert!(counts[1].abs_diff(expected) < 60, "{out} out: {counts:?}");
        assert_eq!(counts[2], 0);
    }
}

#[test]
fn without_an_own_zone_all_zones_are_alike() {
    let all = [
        member("a", false, "here", &[]),
        member("b", false, "there", &[]),
    ];
    let mut picker = picker(&all, Balancing::default());
    assert_eq!(spills(&mut picker, 0), [1_000, 0, 0]);
}

#[test]
fn a_subset_has_all_the_labels() {
    let all = [
        member("a", false, "", &[("version", "v1")]),
        member("b", false, "", &[("version", "v2"), ("disk", "ssd")]),
        member("c", false, "", &[("version", "v2")]),
    ];
    let subset = |labels: &[(&str, &str)]| -> crate::Subset {
        labels
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    };
    let balancing = Balancing {
        subsets: [
            subset(&[("version", "v2")]),
            subset(&[("version", "v2"), ("disk", "ssd")]),
            subset(&[("version", "v3")]),
        ]
        .into(),
        ..Balancing::plain(Algorithm::RoundRobin)
    };
    let mut picker = picker(&all, balancing);
    let mut picks = |subset| -> Vec<Result<usize, NoEndpoint>> {
        let need = Need {
            subset,
            ..Need::any(0, 0, &Tried::NONE)
        };
        (0..4)
            .map(|_| picker.pick(&need).map(|pick| pick.index))
            .collect()
    };
    assert_eq!(picks(1), [Ok(1), Ok(2), Ok(1), Ok(2)]);
    assert_eq!(picks(2), [Ok(1); 4]);
    assert_eq!(picks(3), [Err(NoEndpoint::EmptySubset); 4]);
    assert_eq!(picks(0), [Ok(0), Ok(1), Ok(2), Ok(0)]);
    assert_eq!(picks(9), [Err(NoEndpoint::EmptySubset); 4]);
    let mut notes = Vec::new();
    let need = Need {
        subset: 1,
        ..Need::any(0, 0, &Tried::NONE)
    };
    picker.pick_noting(&need, &mut notes).unwrap();
    assert_eq!(notes[0].standing, Standing::OtherSubset);
    assert_eq!(notes[1].standing, Standing::Available);
}

/// Those who wait for the endpoints of a subset stand in its lane under whatever number a configuration gives it.
#[test]
fn a_subset_is_found_again_under_another_number() {
    let roster = |versions: &[&str]| {
        let subsets = versions.iter();
        let balancing = Balancing {
            subsets: subsets
                .map(|version| [("version".into(), (*version).into())].into())
                .collect(),
            ..Balancing::default()
        };
        crate::Roster::new(balancing, &[])
    };
    let (old, new) = (roster(&["v1", "v2"]), roster(&["v0", "v2"]));
    assert_eq!(new.subset_of(&old, 0), Some(0));
    assert_eq!(new.subset_of(&old, 1), None, "no route wants it any more");
    assert_eq!(new.subset_of(&old, 2), Some(2));
    assert_eq!(roster(&["v2"]).subset_of(&old, 2), Some(1));
    assert_eq!(new.subset_of(&old, 9), None);
    assert_eq!(roster(&["v2"]).lane(1), old.lane(2));
    assert_ne!(old.lane(1), old.lane(2));
    assert_eq!((old.lane(0), old.lane(9)), (0, 0));
}

#[test]
fn a_session_stays_with_its_endpoint_while_that_is_fit() {
    let all: Vec<Member> = (0..5)
        .map(|n| member(&n.to_string(), n == 4, "", &[]))
        .collect();
    let mut picker = picker(&all, Balancing::default());
    let mut pick = |session: u64, tried: &Tried| {
        let need = Need {
            session: Some(session),
            ..Need::any(0, 3, tried)
        };
        picker.pick(&need).unwrap()
    };
    for index in [2, 4] {
        let kept = pick(all[index].id, &Tried::NONE);
        assert_eq!((kept.index, kept.reason), (index, PickReason::Session));
    }
    assert_eq!(
        pick(12_345, &Tried::NONE).reason,
        PickReason::RoundRobin,
        "it is gone"
    );
    let mut tried = Tried::new();
    tried.insert(2);
    assert_ne!(pick(all[2].id, &tried).index, 2);
    all[2].endpoint.set_admin(AdminState::Draining);
    let moved = pick(all[2].id, &Tried::NONE);
    assert_ne!((moved.index, moved.reason), (2, PickReason::Session));
}

proptest! {
    #[test]
    fn somebody_fit_takes_it_wherever_they_stand(
        states in proptest::collection::vec((any::<bool>(), 0..3_u8, 0..3_u8), 1..12),
        minima in (0..=100_u32, 0..=100_u32),
        random in any::<u64>(),
        key in any::<Option<u64>>(),
        algorithm in proptest::sample::select(Algorithm::ALL.to_vec()),
    ) {
        let zones = ["", "here", "there"];
        let all: Vec<Member> = states.iter().enumerate().map(|(index, (backup, zone, admin))| {
            let member = member(&index.to_string(), *backup, zones[*zone as usize], &[]);
            member.endpoint.set_admin(match admin {
                0 => AdminState::Disabled,
                _ => AdminState::Enabled,
            });
            member
        }).collect();
        let balancing = Balancing { algorithm, ..balancing(minima.0, minima.1) };
        let mut picker = picker(&all, balancing);
        let need = Need { key, ..Need::any(0, random, &Tried::NONE) };
        let any_fit = states.iter().any(|state| state.2 != 0);
        match picker.pick(&need) {
            Ok(pick) => prop_assert!(states[pick.index].2 != 0),
            Err(reason) => prop_assert!(!any_fit && reason == NoEndpoint::NoneEnabled),
        }
    }
}
