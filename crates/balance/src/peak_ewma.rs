//! Power of two choices by latency: of two endpoints drawn at random, the one on which a request would wait less.
//!
//! How long that is, is estimated as its peak-sensitive average time to answer, times the requests that it would then
//! work on, by its weight. An endpoint that is slow or stumbles is avoided with its first slow answers, in proportion
//! to how slow it is, and tried again as the memory of them fades.

use crate::candidates::{Candidates, Draws};
use crate::fit::Fit;
use crate::latency::UNKNOWN_MICROS;
use crate::power_of_two;

pub(crate) fn pick(
    candidates: &Candidates<'_>,
    fit: &mut Fit,
    random: &mut Draws,
) -> Option<usize> {
    let (first, second) = power_of_two::two(candidates, fit, random)?;
    match second {
        Some(second) if is_quicker(candidates, second, first) => Some(second),
        _ => Some(first),
    }
}

fn is_quicker(candidates: &Candidates<'_>, first: usize, second: usize) -> bool {
    let now_ms = candidates.now_ms;
    let cost = |index: usize| {
        let endpoint = &candidates.endpoints[index];
        let in_flight = u64::from(endpoint.in_flight());
        // One of which nothing is known gets a first request at once, and no more until it has answered.
        let micros = match endpoint.latency_micros(now_ms) {
            Some(micros) => micros,
            None if in_flight == 0 => 0,
            None => UNKNOWN_MICROS,
        };
        micros * (in_flight + 1)
    };
    let left = u128::from(cost(first)) * u128::from(candidates.weights[second]);
    let right = u128::from(cost(second)) * u128::from(candidates.weights[first]);
    left < right
}
