//! What metrics tell of endpoints.

use super::{Fleet, Group};
use foregate_balance::{AdminState, Breaker, BreakerState, Health, is_panic};
use foregate_telemetry::clock::now;
use foregate_telemetry::metrics::{Exposition, Family, Gauges, Kind};

impl Gauges for Fleet {
    fn collect(&self, out: &mut Exposition) {
        let now_ms = now().millis();
        let available = out.family(
            "foregate_endpoint_available",
            Kind::Gauge,
            "1 while the endpoint takes requests, 0 while it is ejected, unhealthy, unresolved or taken out.",
        );
        let in_flight = out.family(
            "foregate_endpoint_in_flight",
            Kind::Gauge,
            "Requests that the endpoint works on.",
        );
        let endpoints = out.family(
            "foregate_upstream_endpoints",
            Kind::Gauge,
            "Endpoints that the upstream has at present.",
        );
        self.each(|upstream, endpoint, address| {
            let state = endpoint.state(now_ms);
            let label = address.map_or_else(String::new, |address| address.to_string());
            let labels = [
                ("upstream", upstream),
                ("endpoint", endpoint.label()),
                ("address", label.as_str()),
            ];
            let ok = state.ejected_until_ms.is_none()
                && address.is_some()
                && state.health != Health::Unhealthy
                && state.admin == AdminState::Enabled;
            out.value(available, &labels, f64::from(u8::from(ok)));
            out.value(in_flight, &labels, f64::from(state.in_flight));
        });
        upstreams(self, out, endpoints, now_ms);
    }
}

/// What is told of whole upstreams, and of the limits and circuits that they have.
fn upstreams(fleet: &Fleet, out: &mut Exposition, endpoints: Family, now_ms: u64) {
    let panic = out.family(
        "foregate_upstream_panic",
        Kind::Gauge,
        "1 while so few endpoints are healthy that all are used.",
    );
    let queued = out.family(
        "foregate_upstream_queue_length",
        Kind::Gauge,
        "Requests that wait since every endpoint has as many as it may have.",
    );
    let waited = out.family(
        "foregate_upstream_queue_seconds",
        Kind::Histogram,
        "How long requests waited in the queue, served or not.",
    );
    let limits = out.family(
        "foregate_endpoint_requests_limit",
        Kind::Gauge,
        "Requests that the endpoint may have at once.",
    );
    let circuits = out.family(
        "foregate_circuit_open",
        Kind::Gauge,
        "1 while a circuit is open, 0.5 while requests try whether all is well again; without an endpoint that of the upstream.",
    );
    let bounded = (limits, circuits);
    for (upstream, group) in fleet.groups() {
        let own = [("upstream", &*upstream)];
        let plan = group.plan();
        let states = group.endpoints().map(|(_, endpoint)| endpoint);
        let threshold = plan.balancing.panic_threshold_percent;
        out.count(panic, &own, u64::from(is_panic(states, now_ms, threshold)));
        out.count(endpoints, &own, group.members.len() as u64);
        if plan.balancing.bounds.is_counted() {
            out.count(queued, &own, group.part.line.length() as u64);
            out.histogram(waited, &own, &group.part.line.waited());
        }
        bounds(&group, out, bounded, now_ms);
    }
}

fn bounds(group: &Group, out: &mut Exposition, (limits, circuits): (Family, Family), now_ms: u64) {
    let position = |breaker: &Breaker| match breaker.state(now_ms) {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 0.5,
        BreakerState::Open { .. } => 1.0,
    };
    let plan = group.plan();
    if plan.circuit.is_some() {
        let labels = [("upstream", &*plan.name), ("endpoint", "")];
        out.value(circuits, &labels, position(&group.part.state.breaker));
    }
    for (_, endpoint) in group.endpoints() {
        let labels = [("upstream", &*plan.name), ("endpoint", endpoint.label())];
        if let Some(most) = plan.balancing.bounds.most(endpoint) {
            out.count(limits, &labels, u64::from(most));
        }
        if plan.balancing.bounds.circuit.is_some() {
            out.value(circuits, &labels, position(&endpoint.breaker));
        }
    }
}
