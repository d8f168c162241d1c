//! The line of those who wait for a place at an endpoint: first come, first served, and bounded.
//!
//! Whoever waits names the subset of endpoints that it wants. A place that comes free calls the first who was not called
//! yet; one that finds nothing, since the place is of another subset, waits on where it stood and hands the call to
//! the next behind it that wants another. Whoever leaves hands on a call that it did not make use of. Nobody who comes later may take a
//! place while another waits for the same subset.

use std::collections::VecDeque;

/// One who waits.
#[derive(Debug)]
struct Waiter<W> {
    ticket: u64,
    subset: u32,
    called: bool,
    /// How it is told.
    wake: Option<W>,
}

/// The line. `W` is how a waiter is told that it is called.
#[derive(Debug)]
pub struct WaitingLine<W> {
    waiters: VecDeque<Waiter<W>>,
    next_ticket: u64,
    /// Places that came free when all who waited were called already: whoever comes next may try at once.
    spare: usize,
}

impl<W> Default for WaitingLine<W> {
    fn default() -> WaitingLine<W> {
        WaitingLine {
            waiters: VecDeque::new(),
            next_ticket: 0,
            spare: 0,
        }
    }
}

impl<W> WaitingLine<W> {
    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Stands at the end; the ticket, or `None` when `length_max` wait already.
    pub fn join(&mut self, subset: u32, length_max: usize) -> Option<u64> {
        if self.waiters.len() >= length_max {
            return None;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiters.push_back(Waiter {
            ticket,
            subset,
            called: self.spare > 0,
            wake: None,
        });
        self.spare = self.spare.saturating_sub(1);
        Some(ticket)
    }

    /// Whether nobody before the holder of a ticket waits for the same subset.
    #[must_use]
    pub fn is_first(&self, ticket: u64) -> bool {
        let own = self.waiters.iter().find(|one| one.ticket == ticket);
        let before = |one: &&Waiter<W>| one.ticket < ticket;
        own.is_some_and(|own| {
            let mut others = self.waiters.iter().filter(before);
            others.all(|one| one.subset != own.subset)
        })
    }

    /// Whether the holder of a ticket is called: then it may try, and is not called any more. Otherwise it is told by `wake`.
    pub fn is_called(&mut self, ticket: u64, wake: W) -> bool {
        let Some(own) = self.waiters.iter_mut().find(|one| one.ticket == ticket) else {
            return true;
        };
        own.wake = Some(wake);
        std::mem::take(&mut own.called)
    }

    /// A place has come free: the first who was not called is. How it is told.
    pub fn call(&mut self) -> Option<W> {
        match self.waiters.iter_mut().find(|one| !one.called) {
            Some(next) => {
                next.called = true;
                next.wake.take()
            }
            None => {
                self.spare = (self.spare + 1) * usize::from(!self.waiters.is_empty());
                None
            }
        }
    }

    /// The holder of a ticket has found nothing: the next behind it that wants another subset is called.
    pub fn pass_on(&mut self, ticket: u64) -> Option<W> {
        let own = self.waiters.iter().find(|one| one.ticket == ticket)?.subset;
        let mut behind = self.waiters.iter_mut().filter(|one| one.ticket > ticket);
        let next = behind.find(|one| !one.called && one.subset != own)?;
        next.called = true;
        next.wake.take()
    }

    /// The holder of a ticket goes, served or not. A call that it did not make use of is handed on.
    pub fn leave(&mut self, ticket: u64) -> Option<W> {
        let at = self.waiters.iter().position(|one| one.ticket == ticket)?;
        let gone = self.waiters.remove(at)?;
        if self.waiters.is_empty() {
            self.spare = 0;
        }
        if gone.called { self.call() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn first_come_first_served() {
        let mut line = WaitingLine::default();
        let tickets: Vec<u64> = (0..3).map(|_| line.join(0, 3).unwrap()).collect();
        assert_eq!(line.join(0, 3), None);
        for ticket in &tickets {
            assert!(!line.is_called(*ticket, *ticket));
        }
        assert!(line.is_first(tickets[0]) && !line.is_first(tickets[1]));
        assert_eq!(line.call(), Some(tickets[0]), "one is woken");
        assert_eq!(
            line.call(),
            Some(tickets[1]),
            "and another by another place"
        );
        assert!(line.is_called(tickets[0], tickets[0]));
        assert_eq!(line.leave(tickets[0]), None);
        assert_eq!(
            line.leave(tickets[1]),
            Some(tickets[2]),
            "who goes hands its call on"
        );
    }

    #[test]
    fn a_place_of_another_subset_goes_to_the_next() {
        let mut line = WaitingLine::default();
        let (one, other) = (line.join(1, 9).unwrap(), line.join(2, 9).unwrap());
        assert!(line.is_first(other), "nobody else waits for that");
        assert!(!line.is_called(one, 1) && !line.is_called(other, 2));
        assert_eq!(line.call(), Some(1));
        assert!(line.is_called(one, 1));
        assert_eq!(line.pass_on(one), Some(2));
        assert!(line.is_called(other, 2));
        assert_eq!(line.leave(other), None);
        assert_eq!(line.call(), Some(1), "it stands where it stood");
    }

    proptest! {
        /// Places and waiters in any order: places are never more than there are, nobody is passed over, and nobody
        /// sleeps while a place is free.
        #[test]
        fn nobody_starves_and_no_place_is_left_empty(
            steps in proptest::collection::vec((0..4_u8, any::<u16>()), 1..300),
            places in 1..4_usize,
        ) {
            let mut line: WaitingLine<u64> = WaitingLine::default();
            let mut taken = 0;
            let mut waiting: Vec<u64> = Vec::new();
            let mut woken: Vec<u64> = Vec::new();
            for (kind, which) in steps {
                let told = match kind {
                    // Somebody comes.
                    0 if line.is_empty() && taken < places => { taken += 1; None }
                    0 => {
                        if let Some(ticket) = line.join(0, 8) {
                            if line.is_called(ticket, ticket) {
                                prop_assert!(taken < places, "a call is a place");
                                prop_assert!(waiting.iter().all(|one| woken.contains(one)));
                                taken += 1;
                                woken.extend(line.leave(ticket));
                            } else {
                                waiting.push(ticket);
                            }
                        }
                        None
                    }
                    // A place comes free.
                    1 if taken > 0 => { taken -= 1; line.call() }
                    // One who waits goes.
                    2 if !waiting.is_empty() => {
                        let ticket = waiting.remove(which as usize % waiting.len());
                        woken.retain(|one| *one != ticket);
                        line.leave(ticket)
                    }
                    // One who was told tries.
                    3 if !woken.is_empty() => {
                        let ticket = woken.remove(0);
                        prop_assert!(line.is_called(ticket, ticket));
                        prop_assert!(taken < places, "a call is a place");
                        taken += 1;
                        let sleeps = waiting.iter().find(|one| !woken.contains(one));
                        prop_assert!(sleeps.is_none_or(|one| *one >= ticket), "nobody is passed over");
                        waiting.retain(|one| *one != ticket);
                        line.leave(ticket)
                    }
                    _ => None,
                };
                woken.extend(told);
                prop_assert!(line.len() <= 8);
                prop_assert!(
                    waiting.is_empty() || taken + woken.len() >= places.min(taken + waiting.len()),
                    "a free place has called somebody"
                );
            }
        }
    }
}
