//! What is told of routes, which reloads bring and take away.

use std::sync::Arc;

use super::exposition::{Exposition, Kind};
use super::histogram::HistogramSnapshot;
use super::scrape::sum;
use super::shard::{CLASSES, RouteCells, Shard};
use super::{Registry, RouteId, lock};

/// The counters of one slot, summed over the workers.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteFigures {
    classes: [u64; CLASSES.len()],
    bytes_in: u64,
    bytes_out: u64,
    latency: HistogramSnapshot,
    /// By outcome; empty while every request of the slot ended in the ordinary way.
    outcomes: Vec<u64>,
}

impl RouteFigures {
    fn read(shards: &[Arc<Shard>], slot: u32) -> RouteFigures {
        let cells: Vec<&RouteCells> = shards
            .iter()
            .filter_map(|shard| shard.routes.peek(slot))
            .collect();
        let mut latency = HistogramSnapshot::default();
        cells.iter().for_each(|cells| latency.add(&cells.latency));
        let mut outcomes = Vec::new();
        for kept in shards.iter().filter_map(|shard| shard.route_outcomes(slot)) {
            outcomes.resize(kept.len(), 0);
            for (sum, cell) in outcomes.iter_mut().zip(kept) {
                *sum += cell.read();
            }
        }
        RouteFigures {
            classes: std::array::from_fn(|class| sum(&cells, |cells| &cells.classes[class])),
            bytes_in: sum(&cells, |cells| &cells.bytes_in),
            bytes_out: sum(&cells, |cells| &cells.bytes_out),
            latency,
            outcomes,
        }
    }

    /// What was counted since the slot was taken over.
    fn since(mut self, base: &RouteFigures) -> RouteFigures {
        let minus = |now: &mut u64, then: u64| *now = now.saturating_sub(then);
        for (now, then) in self.classes.iter_mut().zip(base.classes) {
            minus(now, then);
        }
        for (now, then) in self.outcomes.iter_mut().zip(&base.outcomes) {
            minus(now, *then);
        }
        minus(&mut self.bytes_in, base.bytes_in);
        minus(&mut self.bytes_out, base.bytes_out);
        self.latency = self.latency.since(&base.latency);
        self
    }
}

impl Registry {
    /// The slots of the routes (site and name) of the configuration that comes into force, in their order. Routes that it
    /// leaves out are let go of: should one come back it finds its slot again, unless the table was full and another
    /// needed it. Takes locks and may allocate: not for workers.
    pub fn routes_in_force(&self, routes: &[(&str, &str)]) -> Vec<RouteId> {
        let mut names = lock(&self.routes);
        names.keep_only(routes);
        let mut slots = Vec::with_capacity(routes.len());
        for (site, route) in routes {
            let slot = names.slot(site, route);
            if slot.is_taken_over {
                let figures = RouteFigures::read(&lock(&self.shards), slot.number);
                lock(&self.route_bases).insert(slot.number, Arc::new(figures));
            }
            slots.push(RouteId(slot.number));
        }
        slots
    }

    pub(super) fn scrape_routes(
        &self,
        out: &mut Exposition,
        shards: &[Arc<Shard>],
        reasons: &[&str],
    ) {
        let requests = out.family(
            "foregate_requests_total",
            Kind::Counter,
            "Finished requests by route and status class.",
        );
        let bytes_in = out.family(
            "foregate_request_body_bytes_total",
            Kind::Counter,
            "Body bytes received from clients.",
        );
        let bytes_out = out.family(
            "foregate_response_body_bytes_total",
            Kind::Counter,
            "Body bytes sent to clients.",
        );
        let seconds = out.family(
            "foregate_request_seconds",
            Kind::Histogram,
            "From a request's complete head to its end.",
        );
        let outcomes = out.family(
            "foregate_route_outcomes_total",
            Kind::Counter,
            "Finished requests by route and outcome, the ordinary outcome left out.",
        );
        let (names, bases) = {
            let table = lock(&self.routes);
            (table.list(), lock(&self.route_bases).clone())
        };
        for (slot, [site, route]) in (0..).zip(&names) {
            let mut figures = RouteFigures::read(shards, slot);
            if let Some(base) = bases.get(&slot) {
                figures = figures.since(base);
            }
            let labels = [("site", &**site), ("route", &**route)];
            for (reason, count) in reasons.iter().zip(&figures.outcomes) {
                if *count > 0 {
                    out.count(
                        outcomes,
                        &[labels[0], labels[1], ("reason", reason)],
                        *count,
                    );
                }
            }
            if figures.latency.count() == 0 {
                continue;
            }
            for (class, name) in CLASSES.iter().enumerate() {
                let count = figures.classes[class];
                // Answers without a status or with 1xx as the last are rare; the others are always there, so that a
                // rate has a beginning.
                if count > 0 || class > 1 {
                    out.count(requests, &[labels[0], labels[1], ("class", name)], count);
                }
            }
            out.count(bytes_in, &labels, figures.bytes_in);
            out.count(bytes_out, &labels, figures.bytes_out);
            out.histogram(seconds, &labels, &figures.latency);
        }
    }
}
