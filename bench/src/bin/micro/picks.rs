//! Picks among a thousand endpoints, by each algorithm.

use foregate_balance::{
    Algorithm, Balancing, Endpoint, InFlight, Member, Need, Picker, Roster, Tried, hash,
};
use std::hint::black_box;
use std::sync::Arc;

const ENDPOINTS: usize = 1_000;
/// Requests under way at any time, so that loads differ.
const BUSY: usize = 256;

/// Picks, each of which begins a request in place of an older one.
pub(crate) fn run(algorithm: Algorithm, count: u64) {
    let named = |number: usize| {
        let endpoint = Arc::new(Endpoint::new(format!("10.0.0.{number}:80"), 1));
        endpoint.answered(1_000 + number as u64, 0);
        Member::plain(endpoint)
    };
    let members: Vec<Member> = (0..ENDPOINTS).map(named).collect();
    let balancing = Balancing {
        load_max_percent: Some(125),
        ..Balancing::plain(algorithm)
    };
    let mut picker = Picker::new(Arc::new(Roster::new(balancing, &members)), 0);
    let mut busy: Vec<Option<InFlight>> = (0..BUSY).map(|_| None).collect();
    for number in 0..count {
        let random = hash(&number.to_le_bytes());
        let need = Need {
            key: Some(random),
            ..Need::any(number / 20, random, &Tried::NONE)
        };
        if let Ok(pick) = picker.pick(black_box(&need)) {
            busy[number as usize % BUSY] = Some(members[pick.index].endpoint.begin());
        }
    }
    black_box(busy.len());
}
