//! Sums over all workers as plain numbers, for a live line or a dashboard: take two and subtract.

use std::sync::Arc;

use super::histogram::HistogramSnapshot;
use super::shard::CLASSES;
use super::{Registry, lock};
use crate::clock::{self, Moment};

/// What all workers counted since the start, or between two such totals.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// When it was taken.
    pub at: Moment,
    /// Finished requests.
    pub requests: u64,
    /// Finished requests by status class, in the order of [`CLASSES`].
    pub classes: [u64; CLASSES.len()],
    /// Finished requests by outcome, in the order of the registry's reason names.
    pub outcomes: Vec<u64>,
    /// Body bytes received from clients.
    pub bytes_in: u64,
    /// Body bytes sent to clients.
    pub bytes_out: u64,
    /// Durations of requests.
    pub latency: HistogramSnapshot,
    /// Client connections open when it was taken (no difference).
    pub connections: u64,
    /// Endpoints that were ever given a slot, in the order of their slots.
    pub endpoints: Vec<EndpointTotals>,
}

/// What was counted for an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointTotals {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The endpoint's address as configured.
    pub address: Arc<str>,
    /// Attempts sent to it.
    pub requests: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Connections open when it was taken (no difference).
    pub connections: u64,
}

impl Totals {
    pub(super) fn of(registry: &Registry) -> Totals {
        let shards = lock(&registry.shards).clone();
        let routes = lock(&registry.routes).list().len() as u32;
        let mut totals = Totals {
            at: clock::now(),
            outcomes: vec![0; registry.reason_names.len()],
            ..Totals::default()
        };
        for shard in &shards {
            totals.connections += shard.connections.read();
            for (sum, cell) in totals.outcomes.iter_mut().zip(&shard.outcomes) {
                *sum += cell.read();
            }
            for cells in (0..routes).filter_map(|route| shard.routes.peek(route)) {
                for (sum, cell) in totals.classes.iter_mut().zip(&cells.classes) {
                    *sum += cell.read();
                }
                totals.bytes_in += cells.bytes_in.read();
                totals.bytes_out += cells.bytes_out.read();
                totals.latency.add(&cells.latency);
            }
        }
        totals.requests = totals.classes.iter().sum();
        totals.endpoints = registry.endpoint_totals(&shards);
        totals
    }

    /// What was counted since `earlier`, totals of the same registry. Levels (connections) stay as they are now.
    #[must_use]
    pub fn since(&self, earlier: &Totals) -> Totals {
        let mut difference = self.clone();
        difference.requests = self.requests.saturating_sub(earlier.requests);
        difference.bytes_in = self.bytes_in.saturating_sub(earlier.bytes_in);
        difference.bytes_out = self.bytes_out.saturating_sub(earlier.bytes_out);
        subtract(&mut difference.classes, &earlier.classes);
        subtract(&mut difference.outcomes, &earlier.outcomes);
        difference.latency = self.latency.since(&earlier.latency);
        // Slots are added at the end. One that another endpoint took over since has been counted anew.
        for (left, right) in difference.endpoints.iter_mut().zip(&earlier.endpoints) {
            if (&left.upstream, &left.address) == (&right.upstream, &right.address) {
                left.requests = left.requests.saturating_sub(right.requests);
                left.failures = left.failures.saturating_sub(right.failures);
            }
        }
        difference
    }
}

fn subtract(left: &mut [u64], right: &[u64]) {
    for (left, right) in left.iter_mut().zip(right) {
        *left = left.saturating_sub(*right);
    }
}
