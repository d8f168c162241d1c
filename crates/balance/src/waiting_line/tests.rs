//! The line in every order of steps.

use super::*;
use proptest::prelude::*;

fn join(line: &mut WaitingLine<u64>, lane: u64, bell: u64) -> Joined {
    line.join(lane, 1_000, bell).unwrap()
}

/// Joins behind others, or looks in vain.
fn wait(line: &mut WaitingLine<u64>, lane: u64, bell: u64) -> Ticket {
    let joined = join(line, lane, bell);
    if let Some(look) = joined.look {
        assert_eq!(line.found_nothing(joined.ticket, look), None);
    }
    joined.ticket
}

#[test]
fn first_come_first_served() {
    let mut line = WaitingLine::default();
    let first = line.join(0, 3, 1).unwrap();
    assert!(line.join(0, 3, 2).unwrap().look.is_none());
    let third = line.join(0, 3, 3).unwrap();
    assert_eq!(line.join(1, 3, 4), None);
    assert_eq!(
        (line.len(), line.is_free(0), line.is_free(1)),
        (3, false, true)
    );
    assert_eq!(line.found_nothing(first.ticket, first.look.unwrap()), None);
    assert_eq!(line.take_call(first.ticket), (None, None));
    assert_eq!(line.call(), Some(1), "a place calls one");
    assert_eq!(line.call(), Some(2), "and another place the next");
    assert!(line.take_call(first.ticket).0.is_some());
    assert_eq!(line.leave(first.ticket, true), None, "the second is called");
    let second = Ticket {
        number: 1,
        ..third.ticket
    };
    assert_eq!(
        line.leave(second, false),
        Some(3),
        "who goes hands its call on"
    );
}

#[test]
fn a_place_of_another_lane_goes_there() {
    let mut line = WaitingLine::default();
    let one = wait(&mut line, 1, 1);
    let other = wait(&mut line, 2, 2);
    assert_eq!(line.call(), Some(1));
    let look = line.take_call(one).0.unwrap();
    assert_eq!(line.found_nothing(one, look), Some(2));
    assert!(line.take_call(other).0.is_some());
    assert_eq!(
        line.leave(other, true),
        None,
        "the other lane has just looked"
    );
    assert_eq!(line.call(), Some(1), "it stands where it stood");
}

/// A call that comes to one which then gives up, since all circuits of its lane are open, must not be lost: the place is
/// another lane's.
#[test]
fn a_call_that_is_not_made_use_of_goes_on() {
    let mut line = WaitingLine::default();
    let one = wait(&mut line, 1, 1);
    let other = wait(&mut line, 2, 2);
    let behind = wait(&mut line, 1, 3);
    assert_eq!(line.call(), Some(1));
    assert!(line.take_call(one).0.is_some());
    assert_eq!(line.leave(one, true), Some(2));
    assert!(line.take_call(other).0.is_some());
    assert_eq!(
        line.leave(other, true),
        Some(3),
        "which has not looked since"
    );
    let look = line.take_call(behind).0.unwrap();
    assert_eq!(line.found_nothing(behind, look), None);
}

/// Calls for which nobody is left to call are not saved for those who come later.
#[test]
fn who_comes_later_passes_nobody() {
    let mut line = WaitingLine::default();
    let first = wait(&mut line, 0, 1);
    for _ in 0..5 {
        let _ = line.call();
    }
    let later = join(&mut line, 0, 2);
    assert_eq!((later.look, line.take_call(later.ticket).0), (None, None));
    assert_eq!(line.look_again(), None, "the first is called");
    assert!(line.take_call(first).0.is_some());
    assert_eq!(line.leave(first, true), Some(2), "there may be more");
}

#[test]
fn a_call_for_nothing_asks_each_lane_once() {
    let mut line = WaitingLine::default();
    let tickets: Vec<Ticket> = (0..100)
        .map(|bell| wait(&mut line, bell % 2, bell))
        .collect();
    let mut called = line.look_again();
    let mut looks = 0;
    while let Some(bell) = called {
        let ticket = tickets[bell as usize];
        let look = line.take_call(ticket).0.unwrap();
        called = line.found_nothing(ticket, look);
        looks += 1;
    }
    assert_eq!(looks, 2);
}

#[test]
fn one_looks_for_all_of_its_lane() {
    let mut line = WaitingLine::default();
    let first = wait(&mut line, 0, 1);
    let second = wait(&mut line, 0, 2);
    assert_eq!((line.call(), line.call()), (Some(1), Some(2)));
    let look = line.take_call(second).0.unwrap();
    assert_eq!(line.call(), Some(2), "the second has woken already");
    assert_eq!(line.found_nothing(second, look), None);
    assert_eq!(line.take_call(first), (None, None), "there is nothing");
    let handed_on = (None, Some(1));
    assert_eq!(
        line.take_call(second),
        handed_on,
        "what came since is the first's"
    );
    assert!(line.take_call(first).0.is_some());
}

/// A place, and the lanes whose waiters may take it.
#[derive(Clone, Copy, Debug)]
struct Place {
    lanes: u8,
    taken: bool,
}

const LANES: u64 = 3;
const LENGTH_MAX: usize = 12;

#[derive(Debug, Default)]
struct World {
    line: WaitingLine<u64>,
    places: Vec<Place>,
    /// Who waits, by bell, in the order they came.
    waiting: Vec<(u64, Ticket)>,
    /// Who was told and has not woken yet.
    told: Vec<u64>,
    /// Who has joined and has not looked yet.
    news: Vec<(u64, Look)>,
    bells: u64,
}

impl World {
    fn tell(&mut self, bell: Option<u64>) {
        self.told.extend(bell);
    }

    fn take(&mut self, lane: u64) -> bool {
        let fits = |place: &&mut Place| !place.taken && place.lanes >> lane & 1 == 1;
        let Some(place) = self.places.iter_mut().find(fits) else {
            return false;
        };
        place.taken = true;
        true
    }

    fn comes(&mut self, lane: u64) {
        if self.line.is_free(lane) && self.take(lane) {
            return;
        }
        let bell = self.bells;
        self.bells += 1;
        if let Some(joined) = self.line.join(lane, LENGTH_MAX, bell) {
            self.waiting.push((bell, joined.ticket));
            self.news.extend(joined.look.map(|look| (bell, look)));
        } else {
            assert_eq!(self.waiting.len(), LENGTH_MAX);
        }
    }

    fn goes(&mut self, bell: u64, has_looked: bool) {
        let at = self.waiting.iter().position(|one| one.0 == bell).unwrap();
        let (_, ticket) = self.waiting.remove(at);
        let next = self.line.leave(ticket, has_looked);
        self.tell(next);
    }

    /// One looks for a place; `fails` when it finds that its lane is of no use any more.
    fn looks(&mut self, bell: u64, look: Look, fails: bool) {
        let at = self.waiting.iter().position(|one| one.0 == bell);
        let Some(ticket) = at.map(|at| self.waiting[at].1) else {
            return;
        };
        if fails {
            return self.goes(bell, true);
        }
        if !self.take(ticket.lane) {
            let next = self.line.found_nothing(ticket, look);
            return self.tell(next);
        }
        let is_awake =
            |bell: &u64| self.told.contains(bell) || self.news.iter().any(|one| one.0 == *bell);
        let before = self.waiting.iter().take_while(|one| one.0 != bell);
        let mut passed = before.filter(|one| one.1.lane == ticket.lane && !is_awake(&one.0));
        assert_eq!(passed.next(), None, "nobody is passed over");
        self.goes(bell, true);
    }

    /// One who was told wakes.
    fn wakes(&mut self, at: usize, fails: bool) {
        let bell = self.told.remove(at);
        let Some((_, ticket)) = self.waiting.iter().find(|one| one.0 == bell) else {
            return;
        };
        let (look, other) = self.line.take_call(*ticket);
        self.tell(other);
        if let Some(look) = look {
            self.looks(bell, look, fails);
        }
    }

    fn step(&mut self, kind: u8, which: usize) {
        match kind {
            0 | 1 => self.comes(which as u64 % LANES),
            // A place comes free.
            2 => {
                let at = which % self.places.len();
                if std::mem::take(&mut self.places[at].taken) && !self.line.is_empty() {
                    let next = self.line.call();
                    self.tell(next);
                }
            }
            // Limits grow.
            3 => {
                self.places.push(Place {
                    lanes: which as u8 % 8,
                    taken: false,
                });
                let next = self.line.look_again();
                self.tell(next);
            }
            // Somebody calls for nothing.
            4 => {
                let next = self.line.call();
                self.tell(next);
            }
            5 if !self.waiting.is_empty() => {
                let (bell, _) = self.waiting[which % self.waiting.len()];
                // Who has just come looks before it goes.
                if self.news.iter().all(|one| one.0 != bell) {
                    self.goes(bell, false);
                }
            }
            6 if !self.news.is_empty() => {
                let (bell, look) = self.news.remove(which % self.news.len());
                self.looks(bell, look, false);
            }
            7.. if !self.told.is_empty() => {
                self.wakes(
                    which % self.told.len(),
                    kind == 7 && which.is_multiple_of(5),
                );
            }
            _ => {}
        }
    }

    /// All who were told wake, until nobody has anything to do.
    fn settle(&mut self) {
        let mut left = 1_000;
        while !self.told.is_empty() || !self.news.is_empty() {
            match self.news.pop() {
                Some((bell, look)) => self.looks(bell, look, false),
                None => self.wakes(0, false),
            }
            left -= 1;
            assert!(left > 0, "calls for nothing come to an end");
        }
        for (_, ticket) in &self.waiting {
            let fits = |place: &Place| !place.taken && place.lanes >> ticket.lane & 1 == 1;
            assert!(
                !self.places.iter().any(fits),
                "nobody sleeps beside a free place"
            );
        }
    }
}

proptest! {
    /// Places of several lanes, calls without a place, people who come and go, in any order.
    #[test]
    fn nobody_starves_and_no_place_is_left_empty(
        steps in proptest::collection::vec((0..10_u8, 0..1_000_usize), 1..300),
        places in proptest::collection::vec(1..8_u8, 1..4),
    ) {
        let places = places.into_iter().map(|lanes| Place { lanes, taken: true });
        let mut world = World { places: places.collect(), ..World::default() };
        for (number, (kind, which)) in steps.into_iter().enumerate() {
            world.step(kind, which);
            prop_assert_eq!(world.line.len(), world.waiting.len());
            if number % 20 == 19 {
                world.settle();
            }
        }
        world.settle();
    }
}
