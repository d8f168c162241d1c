//! What follows for those who still know an upstream once another has taken its place on this worker.

use super::{EndpointPart, Upstream};
use foregate_balance::Endpoint;
use foregate_telemetry::clock::Moment;
use foregate_upstream::Pool;
use std::rc::Rc;
use std::sync::Arc;

/// What an exchange goes on with when its upstream was changed while it waited.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) upstream: Rc<Upstream>,
    pub(crate) subset: u32,
}

impl Moved {
    /// Where it goes.
    pub(crate) fn to(&self) -> (&Upstream, u32) {
        (&self.upstream, self.subset)
    }
}

impl Upstream {
    /// The connections to an endpoint that another configuration names as well: so nobody who is late opens one beside
    /// them, past the bound that holds now.
    pub(super) fn pool_of(&self, one: &EndpointPart) -> Option<Rc<Pool>> {
        let is_same = |own: &EndpointPart| {
            Arc::ptr_eq(&own.endpoint, &one.endpoint) && own.address == one.address
        };
        let index = self.part.endpoints.iter().position(is_same)?;
        Some(Rc::clone(self.pool(index)))
    }

    /// Others take its place, or none. Whoever is late has to do with their limits.
    pub(super) fn retire(&self) {
        self.is_retired.set(true);
        self.is_guarded.set(true);
        self.tell_budget(0);
    }

    /// Tells the other workers, who do not know it, how much of its budget it has left.
    pub(super) fn tell_budget(&self, left: u64) {
        let before = self.budget_told.replace(left);
        // Most have the same to tell all the time, and others share what it is written to.
        if before != left {
            self.state.note_budget(before, left);
        }
    }

    pub(super) fn budget_left(&self, at: Moment) -> u64 {
        let budget = self.budget.borrow();
        budget.left(&self.retry.budget, at.millis())
    }

    /// Whether another has taken its place, or none.
    #[inline]
    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired.get()
    }

    /// Whether there are limits or circuits that an exchange has to do with.
    #[inline]
    pub(crate) fn is_guarded(&self) -> bool {
        self.is_guarded.get()
    }

    /// Requests that an endpoint may have, if that is bounded. As for the other two, what holds now holds for whoever is
    /// late, too: they are counted together.
    pub(crate) fn most(&self, endpoint: &Endpoint) -> Option<u32> {
        match self.newer() {
            Some(newer) => newer.bounds.most(endpoint),
            None => self.bounds.most(endpoint),
        }
    }

    /// Requests that it works on at once, of all workers, if that is bounded.
    pub(crate) fn requests_max(&self) -> Option<u32> {
        (self.newer()).map_or(self.requests_max, |newer| newer.requests_max)
    }

    /// Requests that may be at their second or later try at once, of all workers, if that is bounded.
    pub(crate) fn retries_max(&self) -> Option<u32> {
        (self.newer()).map_or(self.retry.retries_max, |newer| newer.retry.retries_max)
    }

    /// What has taken its place.
    pub(super) fn newer(&self) -> Option<Rc<Upstream>> {
        if !self.is_retired.get() {
            return None;
        }
        let newest = self.newest.borrow().upgrade();
        newest.filter(|newest| !std::ptr::eq(&**newest, self))
    }

    /// Where those wait now who waited here for an endpoint of a subset: what has taken its place, and the number of the
    /// subset there. `None` when nothing has, or when it knows no such subset.
    #[cold]
    pub(crate) fn moved_to(&self, subset: u32) -> Option<Moved> {
        let upstream = self.newer()?;
        // One that was gone meanwhile has nothing in common with the one before it.
        if !Arc::ptr_eq(&upstream.line, &self.line) {
            return None;
        }
        let subset = (upstream.part.roster).subset_of(&self.part.roster, subset)?;
        Some(Moved { upstream, subset })
    }
}
