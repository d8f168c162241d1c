//! Seats: the connections that all workers together may have to one endpoint.
//!
//! Each worker keeps connections of its own, so a bound of the process must be shared out. Nothing is shared out beforehand:
//! whoever needs a connection takes a seat while there is one. When there is none it stands in a line. A worker that has less
//! than its fair share is *short*: it stands before those who want more than theirs, and others that have more than theirs
//! must give, a connection that is idle at once, one that is busy when its request has ended. Who wants more than its fair share
//! is given what lies idle elsewhere beyond that, and waits for nothing that is in use. A seat that comes free goes to the first in
//! line and to nobody else, so nobody who waits is passed.
//!
//! The fair share of `max` among `n` workers is `max / n`, rounded down, so that all have room for it at once. Where that is
//! none, a worker without any connection is short, and the connections go round.

use std::collections::VecDeque;

/// Whom to tell that they should look: they have been granted a seat, or must give one.
pub type Calls = Vec<usize>;

/// One worker's connections.
#[derive(Clone, Debug, Default)]
struct Member {
    /// Open connections, and seats that were granted.
    seats: usize,
    /// Seats that were granted and not yet taken up.
    granted: usize,
    is_there: bool,
}

/// Who has how many connections to an endpoint, and who waits for one.
#[derive(Clone, Debug)]
pub struct Seats {
    max: usize,
    taken: usize,
    members: Vec<Member>,
    /// How many members are there.
    count: usize,
    /// Those who wait and have less than their fair share.
    short: VecDeque<usize>,
    /// Those who wait for more than that.
    others: VecDeque<usize>,
}

impl Default for Seats {
    fn default() -> Seats {
        Seats {
            max: usize::MAX,
            taken: 0,
            members: Vec::new(),
            count: 0,
            short: VecDeque::new(),
            others: VecDeque::new(),
        }
    }
}

impl Seats {
    /// A worker that has so many connections already; its number among the members.
    pub fn join(&mut self, open: usize) -> usize {
        let free = self.members.iter().position(|member| !member.is_there);
        let number = free.unwrap_or(self.members.len());
        if free.is_none() {
            self.members.push(Member::default());
        }
        self.members[number] = Member {
            seats: open,
            granted: 0,
            is_there: true,
        };
        self.taken += open;
        self.count += 1;
        self.rearrange();
        number
    }

    /// A worker that wants no more; what it has is counted no more.
    pub fn leave(&mut self, number: usize) -> Calls {
        self.stop_waiting(number);
        let member = std::mem::take(&mut self.members[number]);
        self.taken -= member.seats;
        self.count -= 1;
        self.share_anew()
    }

    /// Sets how many there may be. Those that are open stay.
    pub fn set_max(&mut self, max: usize) -> Calls {
        self.max = max;
        self.share_anew()
    }

    /// How many connections all have, seats that were granted included.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Whether anybody waits who has less than its fair share.
    #[must_use]
    pub fn is_anybody_short(&self) -> bool {
        !self.short.is_empty()
    }

    /// Whether anybody waits.
    #[must_use]
    pub fn does_anybody_wait(&self) -> bool {
        !self.short.is_empty() || !self.others.is_empty()
    }

    /// Whether there is a seat that nobody waits for.
    #[must_use]
    pub fn is_any_free(&self) -> bool {
        self.taken < self.max && !self.does_anybody_wait()
    }

    /// What each may have at any time.
    #[must_use]
    pub fn fair_share(&self) -> usize {
        self.max / self.count.max(1)
    }

    /// Seats that a member was granted and has not taken up.
    #[must_use]
    pub fn granted(&self, number: usize) -> usize {
        self.members[number].granted
    }

    /// Takes a seat: one that was granted, or one that is free while nobody waits.
    #[must_use]
    pub fn take(&mut self, number: usize) -> bool {
        let may = self.is_any_free();
        let member = &mut self.members[number];
        if member.granted > 0 {
            member.granted -= 1;
            return true;
        }
        if may {
            member.seats += 1;
            self.taken += 1;
        }
        may
    }

    /// A connection is closed.
    pub fn close(&mut self, number: usize) -> Calls {
        self.members[number].seats -= 1;
        self.taken -= 1;
        self.grant()
    }

    /// Gives a seat back that was granted and is not needed any more.
    pub fn decline(&mut self, number: usize) -> Calls {
        if self.members[number].granted == 0 {
            return Calls::new();
        }
        self.members[number].granted -= 1;
        self.close(number)
    }

    /// A member waits for a seat. Called anew whenever it has lost one meanwhile, it stands where it now belongs.
    pub fn wait(&mut self, number: usize) -> Calls {
        let is_short = self.is_short(number);
        let stands = self.short.contains(&number) == is_short && self.is_waiting(number);
        if !stands {
            self.stop_waiting(number);
            match is_short {
                true => self.short.push_back(number),
                false => self.others.push_back(number),
            }
        }
        let mut calls = self.grant();
        // Whoever has something idle that others wait for was told when the first of them did, and looks by itself after that.
        if self.is_anybody_short() || !stands {
            calls.extend(self.givers());
        }
        calls
    }

    /// A member waits no more.
    pub fn stop_waiting(&mut self, number: usize) {
        self.short.retain(|other| *other != number);
        self.others.retain(|other| *other != number);
    }

    fn is_waiting(&self, number: usize) -> bool {
        self.short.contains(&number) || self.others.contains(&number)
    }

    fn is_short(&self, number: usize) -> bool {
        self.members[number].seats < self.fair_share().max(1)
    }

    /// Whether a member has to close a connection that it does not need this moment, since another has less than its share.
    #[must_use]
    pub fn must_give(&self, number: usize) -> bool {
        let member = &self.members[number];
        let open = member.seats - member.granted;
        self.is_anybody_short() && open > 0 && member.seats > self.fair_share()
    }

    /// Whether a member has to close a connection that is idle, since another waits for more than its share. Those who wait
    /// themselves have none.
    #[must_use]
    pub fn must_spare(&self, number: usize) -> bool {
        let member = &self.members[number];
        let open = member.seats - member.granted;
        let is_beyond = open > 0 && member.seats > self.fair_share();
        is_beyond && self.does_anybody_wait() && !self.is_waiting(number)
    }

    fn givers(&self) -> impl Iterator<Item = usize> {
        let all = 0..self.members.len();
        all.filter(|&number| self.must_give(number) || self.must_spare(number))
    }

    /// The fair share is another one: so are those who have less.
    fn share_anew(&mut self) -> Calls {
        self.rearrange();
        let mut calls = self.grant();
        calls.extend(self.givers());
        calls
    }

    /// Has those who wait stand where they belong, in the order in which they stood: those who were short first.
    fn rearrange(&mut self) {
        let waiting: Vec<usize> = self.short.drain(..).chain(self.others.drain(..)).collect();
        for number in waiting {
            match self.is_short(number) {
                true => self.short.push_back(number),
                false => self.others.push_back(number),
            }
        }
    }

    /// Gives what is free to those who wait.
    fn grant(&mut self) -> Calls {
        let mut calls = Calls::new();
        while self.taken < self.max {
            let first = self.short.pop_front().or_else(|| self.others.pop_front());
            let Some(number) = first else {
                break;
            };
            let member = &mut self.members[number];
            member.seats += 1;
            member.granted += 1;
            self.taken += 1;
            calls.push(number);
        }
        calls
    }
}

#[cfg(test)]
mod tests;
