//! Elsewhere: a request that waits for a connection chooses anew once its upstream was changed.
//!
//! Who waits stands in its endpoint's line, and keeps its place there unless another endpoint is chosen.

use crate::Road;
use crate::exchange::Exchange;
use crate::forward;
use crate::guard::{self, Held};
use crate::hedge::Lane;
use crate::plan::{Moved, Upstream};
use foregate_balance::{InFlight, Pick, Tried};
use foregate_upstream::Pool;
use std::rc::Rc;
use std::sync::Arc;

/// Where a try goes.
#[derive(Clone, Copy)]
pub(crate) struct Way<'w> {
    pub(crate) road: &'w Road,
    pub(crate) upstream: &'w Upstream,
    pub(crate) subset: u32,
    /// Whether it may choose anew while it waits: not where two tries are under way.
    pub(crate) may_choose: bool,
}

impl Way<'_> {
    /// Whether a request that waits at `pool` goes elsewhere; asked once for each change, of which `seen` keeps the last.
    pub(crate) fn leads_elsewhere(
        &self,
        exchange: &Exchange,
        pool: &Pool,
        seen: &mut *const Upstream,
    ) -> bool {
        if !self.may_choose || !self.upstream.is_retired() {
            return false;
        }
        let Some(moved) = self.upstream.moved_to(self.subset) else {
            return false;
        };
        let newest = Rc::as_ptr(&moved.upstream);
        if std::mem::replace(seen, newest) == newest {
            return false;
        }
        let found = look(exchange, self.road, moved, pool);
        let is_found = found.is_some();
        exchange.elsewhere.set(found.map(Box::new));
        is_found
    }
}

/// What a request that waited has chosen, with its place there where places are counted.
pub(crate) struct Elsewhere {
    moved: Moved,
    pick: Pick,
    place: Option<(InFlight, Held)>,
}

#[cold]
fn look(exchange: &Exchange, road: &Road, moved: Moved, pool: &Pool) -> Option<Elsewhere> {
    let (upstream, subset) = moved.to();
    let tried = tried(exchange, upstream);
    // It is no reason against its own endpoint. Where places are counted it keeps the one that it has.
    let is_counted = upstream.is_guarded();
    if !is_counted {
        pool.endpoint.leave();
    }
    let pick = forward::choose(exchange, (upstream, subset), road, &tried);
    if !is_counted {
        pool.endpoint.enter();
    }
    let pick = pick.ok()?;
    if Arc::ptr_eq(&upstream.endpoints()[pick.index], &pool.endpoint) {
        return None;
    }
    let place = match is_counted {
        true => Some(guard::hold(upstream, pick.index).ok()?),
        false => None,
    };
    Some(Elsewhere { moved, pick, place })
}

/// The endpoints that have failed the request already, by their indexes now.
fn tried(exchange: &Exchange, upstream: &Upstream) -> Tried {
    let mut tried = Tried::default();
    for (pool, _) in &exchange.failures {
        let is_same = |one: &Arc<_>| Arc::ptr_eq(one, &pool.endpoint);
        if let Some(index) = upstream.endpoints().iter().position(is_same) {
            tried.insert(index);
        }
    }
    tried
}

/// The exchange goes where it has chosen to. It has not tried where it waited.
#[cold]
pub(crate) fn go(exchange: &mut Exchange, failed: &mut Tried, lane: &mut Lane) -> Option<Moved> {
    let Elsewhere { moved, pick, place } = *exchange.elsewhere.take()?;
    exchange.tries -= 1;
    exchange.pick = Some(pick);
    exchange.guarded.get_or_insert_default();
    guard::follow(exchange, &moved);
    if let Some(guarded) = &mut exchange.guarded {
        guarded.goes_to(place);
    }
    *failed = tried(exchange, &moved.upstream);
    lane.index = pick.index;
    Some(moved)
}
