//! Limits of the upstream as a whole: requests, and tries again.

use super::World;
use crate::candidates::Draws;
use crate::retry_refusal::RetryRefusal;
use crate::upstream_state::{Shared, Taken};

/// What is drawn of them.
pub(super) struct Whole {
    requests_max: Option<u32>,
    retries_max: Option<u32>,
    /// Who was called and has not looked yet.
    pub(super) called: usize,
    /// How often all places were taken.
    pub(super) full: u64,
}

/// What a request holds of them until it is over.
#[derive(Default)]
pub(super) struct Holds {
    seat: Option<Taken>,
    again: Option<Taken>,
}

impl Whole {
    /// Each for half of the seeds.
    pub(super) fn draw(draws: &mut Draws) -> Whole {
        let (requests, retries) = (draws.below(16) as u32, draws.below(8) as u32);
        Whole {
            requests_max: (requests < 8).then_some(1 + requests),
            retries_max: (retries < 4).then_some(1 + retries),
            called: 0,
            full: 0,
        }
    }
}

impl World {
    /// Whether a request has its place among those of the upstream, now.
    pub(super) fn is_seated(&mut self, number: usize) -> bool {
        let holds = &mut self.requests[number].holds;
        if let (Some(most), None) = (self.whole.requests_max, &holds.seat) {
            holds.seat = self.state.take(Shared::Requests, most);
            self.whole.full += u64::from(holds.seat.is_none());
            return holds.seat.is_some();
        }
        true
    }

    /// Whether a request may be tried again, as far as that is limited.
    pub(super) fn may_again(&mut self, number: usize) -> bool {
        let holds = &mut self.requests[number].holds;
        if let (Some(most), None) = (self.whole.retries_max, &holds.again) {
            holds.again = self.state.take(Shared::Retries, most);
            if holds.again.is_none() {
                self.state.note_retry_refused(RetryRefusal::RetriesMax);
                return false;
            }
        }
        true
    }

    /// The place of a hedge among the tries again.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn beside(&self) -> Result<Option<Taken>, ()> {
        let Some(most) = self.whole.retries_max else {
            return Ok(None);
        };
        self.state.take(Shared::Retries, most).map(Some).ok_or(())
    }

    /// A request is over, and gives back what it holds.
    pub(super) fn is_over(&mut self, number: usize) {
        self.under_way -= 1;
        let Holds { seat, again } = std::mem::take(&mut self.requests[number].holds);
        drop(again);
        if seat.is_some() {
            drop(seat);
            let next = self.line.call();
            self.wake(next);
        }
    }

    pub(super) fn whole_holds(&self) {
        let is_within = |kind, most: Option<u32>| {
            let count = self.state.under_way(kind);
            most.map_or(count == 0, |most| count <= most)
        };
        self.holds(
            is_within(Shared::Requests, self.whole.requests_max),
            "the upstream has no more requests than it may",
        );
        self.holds(
            is_within(Shared::Retries, self.whole.retries_max),
            "no more are tried again at once than may be",
        );
        // Where endpoints have no limits of their own, whoever waits does so for a place that is taken, or is called.
        let is_only_limit = self.bounds.requests_max.is_none() && self.bounds.circuit.is_none();
        if is_only_limit && !self.line.is_empty() && self.whole.called == 0 {
            let most = self.whole.requests_max.unwrap_or(u32::MAX);
            let is_full = self.state.under_way(Shared::Requests) == most;
            self.holds(is_full, "nobody waits beside a free place");
        }
    }
}

#[test]
fn limits_of_the_upstream_are_reached_in_it() {
    let figures = |seed| {
        let mut world = World::new(seed);
        world.run();
        let refused = world.state.retries_refused(RetryRefusal::RetriesMax);
        (world.whole.full, refused)
    };
    let all: Vec<(u64, u64)> = (0..100).map(figures).collect();
    let full = all.iter().filter(|(full, _)| *full > 0).count();
    let refused = all.iter().filter(|(_, refused)| *refused > 0).count();
    assert!(
        full > 15 && refused > 5,
        "{full} and {refused} of a hundred seeds"
    );
}
