//! What metrics tell of endpoints.

use super::{Fleet, Group};
use foregate_balance::{
    AdminState, Breaker, BreakerState, Health, HedgeNote, RetryRefusal, Shared, is_panic,
};
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
    let whole = Whole::families(out);
    let hedging = Hedging::families(out);
    for (upstream, group) in fleet.groups() {
        let own = [("upstream", &*upstream)];
        let plan = group.plan();
        let states = group.endpoints().map(|(_, endpoint)| endpoint);
        let threshold = plan.balancing.panic_threshold_percent;
        out.count(panic, &own, u64::from(is_panic(states, now_ms, threshold)));
        out.count(endpoints, &own, group.members.len() as u64);
        if plan.has_queue() {
            out.count(queued, &own, group.part.line.length() as u64);
            out.histogram(waited, &own, &group.part.line.waited());
        }
        bounds(&group, out, bounded, now_ms);
        whole.tell(&group, out);
        hedging.tell(&group, out);
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

/// What is told of the bounds of a whole upstream, where it has them.
struct Whole {
    requests: Family,
    limit: Family,
    retries: Family,
    refused: Family,
}

impl Whole {
    fn families(out: &mut Exposition) -> Whole {
        Whole {
            requests: out.family(
                "foregate_upstream_requests",
                Kind::Gauge,
                "Requests that the upstream works on, where that is limited.",
            ),
            limit: out.family(
                "foregate_upstream_requests_limit",
                Kind::Gauge,
                "Requests that the upstream may have at once.",
            ),
            retries: out.family(
                "foregate_upstream_retries",
                Kind::Gauge,
                "Requests at their second or later try, hedges included, where that is limited.",
            ),
            refused: out.family(
                "foregate_upstream_retries_refused_total",
                Kind::Counter,
                "Tries again that were not made since as many as may be were under way.",
            ),
        }
    }

    fn tell(&self, group: &Group, out: &mut Exposition) {
        let plan = group.plan();
        let (state, own) = (&group.part.state, [("upstream", &*plan.name)]);
        let under_way = |kind| u64::from(state.under_way(kind));
        if let Some(most) = plan.requests_max {
            out.count(self.requests, &own, under_way(Shared::Requests));
            out.count(self.limit, &own, u64::from(most));
        }
        if plan.retry.retries_max.is_some() {
            out.count(self.retries, &own, under_way(Shared::Retries));
            let refused = state.retries_refused(RetryRefusal::RetriesMax);
            out.count(self.refused, &own, refused);
        }
    }
}

/// What is told of requests that were sent to a second endpoint as well.
struct Hedging {
    sent: Family,
    ended: Family,
    refused: Family,
    under_way: Family,
    delay: Family,
}

impl Hedging {
    fn families(out: &mut Exposition) -> Hedging {
        Hedging {
            sent: out.family(
                "foregate_upstream_hedges_total",
                Kind::Counter,
                "Requests that were sent to a second endpoint as well.",
            ),
            ended: out.family(
                "foregate_upstream_hedges_ended_total",
                Kind::Counter,
                "What became of those second tries, by result.",
            ),
            refused: out.family(
                "foregate_upstream_hedges_refused_total",
                Kind::Counter,
                "Requests that were not sent to a second endpoint when it was time, by reason.",
            ),
            under_way: out.family(
                "foregate_upstream_hedges",
                Kind::Gauge,
                "Requests that are at two endpoints now.",
            ),
            delay: out.family(
                "foregate_upstream_hedge_delay_seconds",
                Kind::Gauge,
                "How long an answer is waited for before a second endpoint is asked; not there while too little is known.",
            ),
        }
    }

    fn tell(&self, group: &Group, out: &mut Exposition) {
        let plan = group.plan();
        let Some(policy) = &plan.hedge else {
            return;
        };
        let (state, own) = (&group.part.state, ("upstream", &*plan.name));
        out.count(self.sent, &[own], state.hedges(HedgeNote::Sent));
        for note in HedgeNote::ENDS {
            let labels = [own, ("result", note.name())];
            out.count(self.ended, &labels, state.hedges(note));
        }
        for note in HedgeNote::REFUSALS {
            let labels = [own, ("reason", note.name())];
            out.count(self.refused, &labels, state.hedges(note));
        }
        let under_way = u64::from(state.under_way(Shared::Hedges));
        out.count(self.under_way, &[own], under_way);
        if let Some(micros) = state.hedge_delay_micros(policy) {
            out.value(self.delay, &[own], micros as f64 / 1e6);
        }
    }
}
