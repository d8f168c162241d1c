//! What is told of endpoints, which may come and go.

use std::sync::Arc;

use super::cell::Counter;
use super::exposition::{Exposition, Kind};
use super::names::Pair;
use super::scrape::{level_sum, sum};
use super::shard::{EndpointCells, EndpointFailure, Shard};
use super::{EndpointId, EndpointTotals, Registry, lock};

/// A counter of an endpoint: metric name, help, cell.
type EndpointCounter = (&'static str, &'static str, fn(&EndpointCells) -> &Counter);

const COUNTERS: [EndpointCounter; 6] = [
    (
        "foregate_endpoint_requests_total",
        "Attempts sent to an endpoint.",
        |cells| &cells.requests,
    ),
    (
        "foregate_endpoint_retries_total",
        "Attempts that were a request's second or later try.",
        |cells| &cells.retries,
    ),
    (
        "foregate_endpoint_retries_refused_total",
        "Tries elsewhere, after this endpoint had failed, that the retry budget did not allow.",
        |cells| &cells.retries_refused,
    ),
    (
        "foregate_endpoint_connects_total",
        "Connections dialled, successfully or not.",
        |cells| &cells.connects,
    ),
    (
        "foregate_endpoint_pool_hits_total",
        "Attempts that found an idle connection.",
        |cells| &cells.pool_hits,
    ),
    (
        "foregate_endpoint_pool_misses_total",
        "Attempts that had to dial or wait.",
        |cells| &cells.pool_misses,
    ),
];

/// The counters of one slot, summed over the workers.
#[derive(Clone, Debug, Default)]
pub(super) struct EndpointFigures {
    counters: [u64; COUNTERS.len()],
    failures: [u64; EndpointFailure::ALL.len()],
    answers: u64,
    answer_micros: u64,
    /// Connections open: a level, so it has no base.
    open: u64,
}

impl EndpointFigures {
    pub(super) fn read(shards: &[Arc<Shard>], slot: u32) -> EndpointFigures {
        let cells: Vec<&EndpointCells> = shards
            .iter()
            .filter_map(|shard| shard.endpoints.peek(slot))
            .collect();
        EndpointFigures {
            counters: COUNTERS.map(|(_, _, counter)| sum(&cells, counter)),
            failures: EndpointFailure::ALL
                .map(|kind| sum(&cells, |cells| &cells.failures[kind as usize])),
            answers: sum(&cells, |cells| &cells.answers),
            answer_micros: sum(&cells, |cells| &cells.answer_micros),
            open: level_sum(&cells, |cells| &cells.connections),
        }
    }

    /// What was counted since the slot was taken over.
    fn since(mut self, base: &EndpointFigures) -> EndpointFigures {
        let minus = |now: &mut u64, then: u64| *now = now.saturating_sub(then);
        for (now, then) in self.counters.iter_mut().zip(base.counters) {
            minus(now, then);
        }
        for (now, then) in self.failures.iter_mut().zip(base.failures) {
            minus(now, then);
        }
        minus(&mut self.answers, base.answers);
        minus(&mut self.answer_micros, base.answer_micros);
        self
    }

    fn requests(&self) -> u64 {
        self.counters[0]
    }

    fn is_used(&self) -> bool {
        let [_, _, _, connects, ..] = self.counters;
        self.requests() > 0 || connects > 0
    }
}

impl Registry {
    /// Connections open to an endpoint, of all workers. Takes a lock: not for workers.
    #[must_use]
    pub fn endpoint_connections(&self, id: EndpointId) -> u64 {
        let shards = lock(&self.shards);
        let cells: Vec<&EndpointCells> = (shards.iter())
            .filter_map(|shard| shard.endpoints.peek(id.number()))
            .collect();
        level_sum(&cells, |cells| &cells.connections)
    }

    /// Slot, names and figures of all endpoints, "other" first.
    fn endpoint_figures(
        &self,
        shards: &[Arc<Shard>],
    ) -> impl Iterator<Item = (u32, Pair, EndpointFigures)> {
        let (names, bases) = {
            let table = lock(&self.endpoints);
            (table.list(), lock(&self.endpoint_bases).clone())
        };
        (0..).zip(names).map(move |(slot, pair)| {
            let figures = EndpointFigures::read(shards, slot);
            let figures = match bases.get(&slot) {
                Some(base) => figures.since(base),
                None => figures,
            };
            (slot, pair, figures)
        })
    }

    /// What [`Totals`](super::Totals) tell of endpoints.
    pub(super) fn endpoint_totals(&self, shards: &[Arc<Shard>]) -> Vec<EndpointTotals> {
        let named = self.endpoint_figures(shards).skip(1);
        named
            .map(|(_, [upstream, address], figures)| EndpointTotals {
                upstream,
                address,
                requests: figures.requests(),
                failures: figures.failures.iter().sum(),
                connections: figures.open,
            })
            .collect()
    }

    pub(super) fn scrape_endpoints(&self, out: &mut Exposition, shards: &[Arc<Shard>]) {
        let counters = COUNTERS.map(|(name, help, _)| out.family(name, Kind::Counter, help));
        let failures = out.family(
            "foregate_endpoint_failures_total",
            Kind::Counter,
            "Failed attempts by kind.",
        );
        let connections = out.family(
            "foregate_endpoint_connections",
            Kind::Gauge,
            "Connections open to an endpoint, idle and busy.",
        );
        let seconds = out.family(
            "foregate_endpoint_response_seconds",
            Kind::Summary,
            "From sending an attempt to the head of its answer.",
        );
        let gone = lock(&self.endpoints).gone();
        for (slot, [upstream, address], figures) in self.endpoint_figures(shards) {
            if !figures.is_used() || (gone.contains(&slot) && figures.open == 0) {
                continue;
            }
            let labels = [("upstream", &*upstream), ("endpoint", &*address)];
            for (family, count) in counters.into_iter().zip(figures.counters) {
                out.count(family, &labels, count);
            }
            for (kind, count) in EndpointFailure::ALL.into_iter().zip(figures.failures) {
                if count > 0 {
                    let labels = [labels[0], labels[1], ("kind", kind.name())];
                    out.count(failures, &labels, count);
                }
            }
            out.count(connections, &labels, figures.open);
            let (micros, answers) = (figures.answer_micros, figures.answers);
            out.summary(seconds, &labels, micros, answers);
        }
    }
}
