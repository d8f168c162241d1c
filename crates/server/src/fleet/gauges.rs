//! What metrics tell of endpoints.

use super::Fleet;
use foregate_balance::{AdminState, Health};
use foregate_telemetry::clock::now;
use foregate_telemetry::metrics::{Exposition, Gauges, Kind};

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
        for (upstream, group) in self.groups() {
            let count = group.members.len() as u64;
            out.count(endpoints, &[("upstream", &upstream)], count);
        }
    }
}
