//! Power of two choices: of two endpoints drawn at random, the one with fewer requests in flight for its weight.
//!
//! Almost as good as looking at all, at a constant price, and workers that decide at the same moment do not all run
//! to the same endpoint.

use crate::candidates::{Candidates, Draws};
use crate::fit::{Chance, Fit};

/// How often an unavailable endpoint is drawn before those are drawn from who were fit a moment ago.
const DRAWS_MAX: usize = 8;

pub(crate) fn pick(
    candidates: &Candidates<'_>,
    fit: &mut Fit,
    random: &mut Draws,
) -> Option<usize> {
    let (first, second) = two(candidates, fit, random)?;
    match second {
        Some(second) if candidates.is_less_loaded(second, first) => Some(second),
        _ => Some(first),
    }
}

/// Two different available endpoints, or the only one. The order of the two is random, so a tie is as well.
pub(crate) fn two(
    candidates: &Candidates<'_>,
    fit: &mut Fit,
    random: &mut Draws,
) -> Option<(usize, Option<usize>)> {
    let first = one(candidates, fit, random, None)?;
    Some((first, one(candidates, fit, random, Some(first))))
}

/// An available endpoint other than `except`, each as likely as the next.
fn one(
    candidates: &Candidates<'_>,
    fit: &mut Fit,
    random: &mut Draws,
    except: Option<usize>,
) -> Option<usize> {
    if !fit.is_sparse(candidates) {
        let count = candidates.count();
        for _ in 0..DRAWS_MAX {
            let index = random.below(count as u64) as usize;
            if Some(index) != except && candidates.is_available(index) {
                return Some(index);
            }
        }
    }
    fit.draw(candidates, Chance::Even, except, random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidates::Tried;
    use crate::endpoint::{AdminState, Endpoint, InFlight};
    use crate::pick::Algorithm;
    use crate::roster::{Balancing, Member, Roster};
    use proptest::prelude::*;
    use std::sync::Arc;

    proptest! {
        #[test]
        fn the_less_loaded_of_its_two_is_picked(
            states in proptest::collection::vec((1..5_u32, 0..20_usize, 0..10_u8), 1..30),
            random in any::<u64>(),
        ) {
            let mut busy: Vec<InFlight> = Vec::new();
            let endpoints: Vec<_> = states.iter().map(|(weight, in_flight, admin)| {
                let endpoint = Arc::new(Endpoint::new("", *weight));
                busy.extend((0..*in_flight).map(|_| endpoint.begin()));
                if *admin == 0 {
                    endpoint.set_admin(AdminState::Disabled);
                }
                endpoint
            }).collect();
            let members: Vec<_> = endpoints.iter().cloned().map(Member::plain).collect();
            let roster = Roster::new(Balancing::plain(Algorithm::PowerOfTwo), &members);
            let candidates = Candidates::of(&roster.levels[0], 0, &Tried::NONE);
            let available = states.iter().filter(|state| state.2 != 0).count();
            let drawn = two(&candidates, &mut Fit::new(30), &mut Draws::new(random));
            let picked = pick(&candidates, &mut Fit::new(30), &mut Draws::new(random));
            prop_assert_eq!(drawn.is_some(), available > 0);
            let Some((first, second)) = drawn else {
                prop_assert_eq!(picked, None);
                return Ok(());
            };
            prop_assert_eq!(second.is_some(), available > 1);
            let picked = picked.unwrap();
            let load = |index: usize| {
                f64::from(endpoints[index].in_flight() + 1) / f64::from(states[index].0)
            };
            for one in [Some(first), second].into_iter().flatten() {
                prop_assert!(states[one].2 != 0);
                prop_assert!(load(picked) <= load(one) + 1e-9);
            }
            prop_assert!(picked == first || Some(picked) == second);
            prop_assert!(Some(first) != second);
        }
    }
}
