//! Metrics: a [`Registry`] for the process and a [`Shard`] for each worker.
//!
//! Nothing is shared on the hot path. A worker counts in its own shard's cells, with plain loads and stores; a
//! scrape sums the shards. Routes, endpoints and listeners are given slot numbers when a configuration is loaded
//! and keep them across reloads, so a request carries numbers and no names.
//!
//! **Cardinality is bounded** by [`Limits`]: names beyond a table's size share its slot "other" (and are counted in
//! `foregate_metric_names_refused_total`). Outcomes other than the ordinary one are kept per route only for the
//! first `routes_with_reasons_max` routes and together, as route "other", for the rest. Only routes and endpoints
//! that were used appear in a scrape. A listener keeps its slot for the life of the process, also when a reload drops it.
//! Routes and endpoints may come and go for as long as they like: the slot of one that is gone is taken over when the
//! table is full. Until then a route that a reload dropped is shown as it was left; an endpoint that is gone is no longer
//! shown once its connections have ended.
//!
//! `prometheus-client` is not used: its metrics are single shared atomics behind a label map that is locked and
//! hashed on each access, so sharded cells would need a custom collector for every family, and of the crate only
//! its encoder would remain, which writes OpenMetrics and not the text format 0.0.4 that every scraper reads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::{self, UnixTime};

mod balancing;
mod cell;
mod endpoints;
mod exposition;
mod histogram;
mod names;
mod pages;
mod process;
mod routes;
mod scrape;
mod shard;
mod totals;

pub use balancing::{BalancingCells, Mirrored, PICKS_ASIDE, SESSIONS};
pub use cell::{Counter, Level};
pub use exposition::{CONTENT_TYPE, Exposition, Family, Kind};
pub use histogram::{Histogram, HistogramSnapshot};
pub use shard::{
    CIPHERS, CLASSES, EndpointCells, EndpointFailure, HANDSHAKES, ListenerCells, Refusal,
    RequestFigures, Shard, TlsCells,
};
pub use totals::{EndpointTotals, Totals};

use endpoints::EndpointFigures;
use names::Names;
use routes::RouteFigures;

/// A route's slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RouteId(u32);

impl RouteId {
    /// The slot of requests that reached no route, and of routes beyond the limit.
    pub const OTHER: RouteId = RouteId(0);

    /// The slot's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// The slot of an endpoint of an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EndpointId(u32);

impl EndpointId {
    /// The slot of endpoints beyond the limit.
    pub const OTHER: EndpointId = EndpointId(0);

    /// The slot's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A listener's slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ListenerId(u32);

impl ListenerId {
    /// The slot of listeners beyond the limit.
    pub const OTHER: ListenerId = ListenerId(0);

    /// The slot's number, which stays the listener's own for as long as the process lives.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// How many names each table holds; what comes beyond shares one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Routes (a site and a route name each).
    pub routes_max: u32,
    /// Endpoints (an upstream and an address each).
    pub endpoints_max: u32,
    /// Listeners.
    pub listeners_max: u32,
    /// Routes whose outcomes are kept by reason.
    pub routes_with_reasons_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            routes_max: 20_000,
            endpoints_max: 20_000,
            listeners_max: 1_000,
            routes_with_reasons_max: 1_000,
        }
    }
}

/// Metrics of which others keep the state, read at each scrape: endpoint states, queue lengths, cache sizes.
pub trait Gauges: Send + Sync {
    /// Adds the present values.
    fn collect(&self, out: &mut Exposition);
}

/// The process' metrics. See the module's documentation.
pub struct Registry {
    limits: Limits,
    reason_names: Box<[&'static str]>,
    routes: Mutex<Names>,
    /// What the cells of routes' slots that were taken over held at that time.
    route_bases: Mutex<HashMap<u32, Arc<RouteFigures>>>,
    endpoints: Mutex<Names>,
    /// What the cells of slots that were taken over held at that time.
    endpoint_bases: Mutex<HashMap<u32, EndpointFigures>>,
    listeners: Mutex<Names>,
    shards: Mutex<Vec<Arc<Shard>>>,
    gauges: Mutex<Vec<(&'static str, Arc<dyn Gauges>)>>,
    started: UnixTime,
    panics: AtomicU64,
    reloads_ok: AtomicU64,
    reloads_failed: AtomicU64,
    /// Seconds since 1970 at which the running configuration was loaded, 0 = none yet.
    config_loaded: AtomicU64,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Registry")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// A registry with the default [`Limits`]. `reason_names` are the outcomes of requests by number; the first is
    /// the ordinary one, a request answered as it should be.
    #[must_use]
    pub fn new(reason_names: &[&'static str]) -> Arc<Registry> {
        Registry::with_limits(reason_names, Limits::default())
    }

    /// A registry with limits of one's own.
    #[must_use]
    pub fn with_limits(reason_names: &[&'static str], limits: Limits) -> Arc<Registry> {
        Arc::new(Registry {
            limits,
            reason_names: reason_names.into(),
            routes: Mutex::new(Names::new(limits.routes_max)),
            route_bases: Mutex::default(),
            endpoints: Mutex::new(Names::new(limits.endpoints_max)),
            endpoint_bases: Mutex::default(),
            listeners: Mutex::new(Names::new(limits.listeners_max)),
            shards: Mutex::default(),
            gauges: Mutex::default(),
            started: clock::unix_now(),
            panics: AtomicU64::new(0),
            reloads_ok: AtomicU64::new(0),
            reloads_failed: AtomicU64::new(0),
            config_loaded: AtomicU64::new(0),
        })
    }

    /// A new worker's shard; workers are numbered in the order in which they ask. Only the thread that asked for it
    /// may write to it.
    #[must_use]
    pub fn shard(&self) -> Arc<Shard> {
        let shard = Arc::new(Shard::new(self.limits, self.reason_names.len()));
        lock(&self.shards).push(Arc::clone(&shard));
        shard
    }

    /// The slot of an upstream's endpoint. For loading a configuration: takes a lock and may allocate.
    pub fn endpoint(&self, upstream: &str, address: &str) -> EndpointId {
        let slot = lock(&self.endpoints).slot(upstream, address);
        if slot.is_taken_over {
            let figures = EndpointFigures::read(&lock(&self.shards), slot.number);
            lock(&self.endpoint_bases).insert(slot.number, figures);
        }
        EndpointId(slot.number)
    }

    /// An endpoint is no longer there. Should it come back it finds its slot again, unless it was needed.
    pub fn endpoint_gone(&self, upstream: &str, address: &str) {
        lock(&self.endpoints).let_go(upstream, address);
    }

    /// The slot of a listener. For loading a configuration: takes a lock and may allocate.
    pub fn listener(&self, name: &str) -> ListenerId {
        ListenerId(lock(&self.listeners).intern(name, ""))
    }

    /// Site and route of a slot's number. Takes a lock: not for workers.
    #[must_use]
    pub fn route_names(&self, number: u32) -> Option<[Arc<str>; 2]> {
        lock(&self.routes).at(number)
    }

    /// Upstream and address of a slot's number. Takes a lock: not for workers.
    #[must_use]
    pub fn endpoint_names(&self, number: u32) -> Option<[Arc<str>; 2]> {
        lock(&self.endpoints).at(number)
    }

    /// The name of a listener. Takes a lock: not for workers.
    #[must_use]
    pub fn listener_name(&self, id: ListenerId) -> Option<Arc<str>> {
        let [name, _] = lock(&self.listeners).at(id.0)?;
        Some(name)
    }

    /// The slot of a listener that there is or was. Takes a lock: not for workers.
    #[must_use]
    pub fn known_listener(&self, name: &str) -> Option<ListenerId> {
        lock(&self.listeners).find(name, "").map(ListenerId)
    }

    /// The outcomes' names by number.
    #[must_use]
    pub fn reason_names(&self) -> &[&'static str] {
        &self.reason_names
    }

    /// Has `gauges` collected at every scrape, in place of those registered under the same name before.
    pub fn register(&self, name: &'static str, gauges: Arc<dyn Gauges>) {
        let mut all = lock(&self.gauges);
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = gauges,
            None => all.push((name, gauges)),
        }
    }

    /// Counts a panic that ended a connection and nothing else.
    pub fn panic_caught(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a configuration was loaded at `at`, be it the first or a reload.
    pub fn config_loaded(&self, at: UnixTime) {
        if self.config_loaded.swap(at.seconds(), Ordering::Relaxed) != 0 {
            self.reloads_ok.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a reload that was refused.
    pub fn reload_failed(&self) {
        self.reloads_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// All metrics in the Prometheus text format ([`CONTENT_TYPE`]). Reads files of `/proc`: not for workers.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = Exposition::new();
        self.scrape(&mut out);
        out.finish()
    }

    /// What the workers counted so far, summed.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals::of(self)
    }
}

/// A lock that a panic elsewhere does not take away: what it guards is whole after each statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
