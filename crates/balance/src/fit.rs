//! Who was fit a moment ago: what algorithms that draw fall back on when few are fit, so that they find one without looking
//! at all with every pick.

use crate::candidates::{Candidates, Draws, Tried};

/// How long a look at all endpoints of a level is good for.
const LOOK_MS: u64 = 50;

/// How often one is drawn that has become unfit since, before all are looked at again.
const DRAWS_MAX: usize = 8;

/// The fit endpoints of a level, as a worker saw them last.
#[derive(Debug, Default)]
pub(crate) struct Fit {
    looked_ms: Option<u64>,
    /// Less than half of all were fit.
    is_sparse: bool,
    /// Their places, and the sum of their weights with those before.
    places: Vec<(u64, u32)>,
}

/// How one of several is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chance {
    /// Each as likely as the next.
    Even,
    /// As often as its weight.
    Weighted,
}

impl Fit {
    /// For so many endpoints. Nothing is allocated later.
    pub(crate) fn new(endpoints: usize) -> Fit {
        Fit {
            places: Vec::with_capacity(endpoints),
            ..Fit::default()
        }
    }

    /// Whether few were fit when it was looked a moment ago.
    #[inline]
    pub(crate) fn is_sparse(&self, candidates: &Candidates<'_>) -> bool {
        self.is_sparse && !candidates.panic && !self.is_old(candidates.now_ms)
    }

    fn is_old(&self, now_ms: u64) -> bool {
        self.looked_ms
            .is_none_or(|at| now_ms.saturating_sub(at) >= LOOK_MS)
    }

    #[cold]
    fn look(&mut self, candidates: &Candidates<'_>) {
        // What is so for this request alone is not remembered.
        let plain = Candidates {
            tried: &Tried::NONE,
            slow: None,
            panic: false,
            ..*candidates
        };
        self.looked_ms = Some(candidates.now_ms);
        self.places.clear();
        let mut sum = 0;
        for place in 0..plain.count() {
            if plain.is_available(place) {
                sum += u64::from(plain.weights[place]);
                self.places.push((sum, place as u32));
            }
        }
        self.is_sparse = self.places.len() * 2 < plain.count();
    }

    /// One of those who were fit, whether or not they still are.
    #[inline]
    pub(crate) fn any(&self, chance: Chance, random: &mut Draws) -> Option<usize> {
        let (sum, _) = *self.places.last()?;
        let at = match chance {
            Chance::Even => random.below(self.places.len() as u64) as usize,
            Chance::Weighted => {
                let draw = random.below(sum);
                self.places.partition_point(|(sum, _)| *sum <= draw)
            }
        };
        self.places.get(at).map(|(_, place)| *place as usize)
    }

    /// One that is fit, other than `except`; looks at all only when what it saw last does not help.
    pub(crate) fn draw(
        &mut self,
        candidates: &Candidates<'_>,
        chance: Chance,
        except: Option<usize>,
        random: &mut Draws,
    ) -> Option<usize> {
        if candidates.panic {
            return scan(candidates, chance, except, random);
        }
        if self.is_old(candidates.now_ms) {
            self.look(candidates);
        }
        if let [(_, place)] = self.places[..]
            && Some(place as usize) == except
        {
            return None;
        }
        for _ in 0..DRAWS_MAX {
            let Some(place) = self.any(chance, random) else {
                break;
            };
            if Some(place) != except && candidates.is_available(place) {
                return Some(place);
            }
        }
        let picked = scan(candidates, chance, except, random);
        if picked.is_some() {
            // It has changed since.
            self.look(candidates);
        }
        picked
    }
}

/// An available endpoint, found by looking at all of them.
fn scan(
    candidates: &Candidates<'_>,
    chance: Chance,
    except: Option<usize>,
    random: &mut Draws,
) -> Option<usize> {
    let mut sum = 0_u64;
    let mut picked = None;
    for place in (0..candidates.count()).filter(|place| Some(*place) != except) {
        if candidates.is_available(place) {
            let part = match chance {
                Chance::Even => 1,
                Chance::Weighted => u64::from(candidates.weights[place]),
            };
            sum += part;
            // Each replaces the one before by its share of all so far.
            if random.below(sum) < part {
                picked = Some(place);
            }
        }
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{AdminState, Endpoint};
    use crate::pick::Algorithm;
    use crate::roster::{Balancing, Member, Roster};
    use std::sync::Arc;

    fn field(count: u32) -> (Vec<Arc<Endpoint>>, Roster) {
        let endpoint = |weight| Arc::new(Endpoint::new("", weight));
        let all: Vec<_> = (1..=count).map(endpoint).collect();
        let members: Vec<_> = all.iter().cloned().map(Member::plain).collect();
        let roster = Roster::new(Balancing::plain(Algorithm::Random), &members);
        (all, roster)
    }

    #[test]
    fn few_are_found_by_their_chance_and_what_has_changed_is_seen() {
        let (all, roster) = field(100);
        let at = |now_ms| Candidates::of(&roster.levels[0], now_ms, &Tried::NONE);
        let only = |fit: &[usize]| {
            for (place, endpoint) in all.iter().enumerate() {
                endpoint.set_admin(match fit.contains(&place) {
                    true => AdminState::Enabled,
                    false => AdminState::Disabled,
                });
            }
        };
        only(&[9, 29]);
        let mut fit = Fit::new(100);
        let mut draws = Draws::new(3);
        for (chance, expected) in [(Chance::Even, 2_000), (Chance::Weighted, 1_000)] {
            let drawn = (0..4_000).filter(|_| {
                let place = fit.draw(&at(5), chance, None, &mut draws).unwrap();
                assert!([9, 29].contains(&place));
                place == 9
            });
            let drawn = drawn.count();
            assert!(drawn.abs_diff(expected) < 150, "{chance:?}: {drawn}");
        }
        assert!(fit.is_sparse(&at(5)) && !fit.is_sparse(&at(5 + LOOK_MS)));
        assert_eq!(
            fit.draw(&at(5), Chance::Even, Some(9), &mut draws),
            Some(29)
        );
        // Those it knew are gone, and another one is there: it is found at once.
        only(&[50]);
        assert_eq!(fit.draw(&at(6), Chance::Even, None, &mut draws), Some(50));
        assert_eq!(fit.draw(&at(6), Chance::Even, Some(50), &mut draws), None);
        only(&[]);
        assert_eq!(fit.draw(&at(6), Chance::Even, None, &mut draws), None);
        assert_eq!(fit.draw(&at(999), Chance::Weighted, None, &mut draws), None);
    }
}
