//! The line of those who wait for a place at an endpoint: first come, first served, and bounded.
//!
//! Whoever waits stands in a lane: all in it may take the same places. Whether a place that comes free is one of a lane's
//! nobody knows before one of the lane has looked, so
//!
//! - a place calls the first of all who wait and were not called yet;
//! - one that finds nothing waits on where it stood. Its lane is dry until another place comes free: nobody else of it need
//!   look, and the call goes on to the next lane that is not;
//! - one that is served calls the next, too: there may be more.
//!
//! As long as a lane is not dry somebody is called who will look or hand the call on, so nobody sleeps beside a free place;
//! and each call dries every lane at most once, so calls for nothing come to an end.

use std::collections::BTreeMap;

/// One who waits.
#[derive(Debug)]
struct Waiter<W> {
    /// By which call it was called last, if it has not looked since.
    called: Option<u64>,
    /// How it is told.
    bell: W,
}

/// Those who may take the same places, by their numbers: in the order they came. Never empty.
#[derive(Debug)]
struct Lane<W> {
    waiters: BTreeMap<u64, Waiter<W>>,
    /// How many of them are called and have not looked yet.
    called: usize,
    /// The call after which one of them has found nothing.
    dry_after: u64,
}

/// A place in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    lane: u64,
    number: u64,
}

/// What whoever joins is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Its place.
    pub ticket: Ticket,
    /// The call that lets it look for a place at once: nobody else of its lane waits.
    pub look: Option<Look>,
}

/// The right to look for a place once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The last call before.
    after: u64,
}

/// The line. `W` is how a waiter is told that it is called.
#[derive(Debug)]
pub struct WaitingLine<W> {
    /// By their numbers. None is empty.
    lanes: BTreeMap<u64, Lane<W>>,
    length: usize,
    next_number: u64,
    /// How often a place has come free, or may have.
    calls: u64,
}

impl<W> Default for WaitingLine<W> {
    fn default() -> WaitingLine<W> {
        WaitingLine {
            lanes: BTreeMap::new(),
            length: 0,
            next_number: 0,
            calls: 1,
        }
    }
}

impl<W: Clone> WaitingLine<W> {
    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How all who wait are told, called or not.
    pub fn bells(&self) -> impl Iterator<Item = &W> {
        let waiters = self.lanes.values().flat_map(|lane| lane.waiters.values());
        waiters.map(|waiter| &waiter.bell)
    }

    /// Whether nobody waits in a lane, so that whoever comes passes nobody.
    #[must_use]
    pub fn is_free(&self, lane: u64) -> bool {
        !self.lanes.contains_key(&lane)
    }

    /// Stands at the end of a lane and is told by `bell`. `None` when `length_max` wait already, whatever their lanes.
    pub fn join(&mut self, lane: u64, length_max: usize, bell: W) -> Option<Joined> {
        if self.length >= length_max {
            return None;
        }
        let ticket = Ticket {
            lane,
            number: self.next_number,
        };
        self.next_number += 1;
        self.length += 1;
        let is_free = self.is_free(lane);
        let lane = self.lanes.entry(lane).or_insert_with(|| Lane {
            waiters: BTreeMap::new(),
            called: 0,
            dry_after: 0,
        });
        let waiter = Waiter { called: None, bell };
        lane.waiters.insert(ticket.number, waiter);
        Some(Joined {
            ticket,
            look: is_free.then_some(Look { after: self.calls }),
        })
    }

    /// A place has come free, or may have: the first who was not called is. How it is told.
    pub fn call(&mut self) -> Option<W> {
        self.calls += 1;
        let next = self.lanes.values_mut().filter_map(|lane| {
            let is_called = lane.called > 0;
            let mut waiters = lane.waiters.iter();
            let first = match is_called {
                false => waiters.next(),
                true => waiters.find(|(_, waiter)| waiter.called.is_none()),
            };
            let number = *first?.0;
            Some((number, lane))
        });
        // When all are called already, those see to it that nobody is forgotten.
        let (number, lane) = next.min_by_key(|(number, _)| *number)?;
        lane.call(number, self.calls)
    }

    /// Something has changed that may have made places, which nobody gave back. Who is called to see, and how it is told:
    /// nobody behind one who is called already, so that nobody takes what is another's.
    pub fn look_again(&mut self) -> Option<W> {
        self.calls += 1;
        self.call_next()
    }

    /// Whether the holder of a ticket is called: then it may look for a place, and is not called any more. One who was told
    /// may be called no more, since another has looked for all of its lane; or one stands before it who has looked in vain
    /// when the call was not made yet: then that one is called in its stead, and this is how it is told.
    pub fn take_call(&mut self, ticket: Ticket) -> (Option<Look>, Option<W>) {
        let after = self.calls;
        let Some(lane) = self.lanes.get_mut(&ticket.lane) else {
            return (None, None);
        };
        let own = lane.waiters.get_mut(&ticket.number);
        let Some(call) = own.and_then(|own| own.called.take()) else {
            return (None, None);
        };
        let mut before = lane.waiters.range_mut(..ticket.number);
        if let Some((_, first)) = before.find(|(_, waiter)| waiter.called.is_none()) {
            first.called = Some(call);
            return (None, Some(first.bell.clone()));
        }
        lane.called -= 1;
        (Some(Look { after }), None)
    }

    /// The holder of a ticket has looked for a place and found none. Who is called instead, and how it is told.
    pub fn found_nothing(&mut self, ticket: Ticket, look: Look) -> Option<W> {
        let lane = self.lanes.get_mut(&ticket.lane)?;
        lane.dry_up(look.after);
        self.call_next()
    }

    /// The holder of a ticket goes; `has_looked` when that is since it looked for a place and found one, or will not wait
    /// for one any more. Who is called instead, and how it is told.
    pub fn leave(&mut self, ticket: Ticket, has_looked: bool) -> Option<W> {
        let lane = self.lanes.get_mut(&ticket.lane)?;
        let gone = lane.waiters.remove(&ticket.number)?;
        lane.called -= usize::from(gone.called.is_some());
        self.length -= 1;
        if lane.waiters.is_empty() {
            self.lanes.remove(&ticket.lane);
        }
        match gone.called.is_some() || has_looked {
            true => self.call_next(),
            false => None,
        }
    }

    /// Calls the first of the lanes that are not dry, unless one of its lane is called already.
    fn call_next(&mut self) -> Option<W> {
        let calls = self.calls;
        let next = self.lanes.values_mut().filter_map(|lane| {
            let is_asleep = lane.called == 0 && lane.dry_after < calls;
            let (number, _) = lane.waiters.first_key_value().filter(|_| is_asleep)?;
            Some((*number, lane))
        });
        let (number, lane) = next.min_by_key(|(number, _)| *number)?;
        lane.call(number, calls)
    }
}

impl<W: Clone> Lane<W> {
    fn call(&mut self, number: u64, call: u64) -> Option<W> {
        let waiter = self.waiters.get_mut(&number)?;
        waiter.called = Some(call);
        self.called += 1;
        Some(waiter.bell.clone())
    }

    /// There was nothing for any of them after that call: those who are called by it or an earlier one need not look.
    fn dry_up(&mut self, after: u64) {
        self.dry_after = self.dry_after.max(after);
        let mut left = self.called;
        for waiter in self.waiters.values_mut() {
            if left == 0 {
                break;
            }
            left -= usize::from(waiter.called.is_some());
            self.called -= usize::from(waiter.called.take_if(|call| *call <= after).is_some());
        }
    }
}

#[cfg(test)]
mod tests;
