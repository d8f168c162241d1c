//! Stories about bad days that clients do not notice: probes, retries, limits, breakers.

mod adaptive;
mod bounds;
mod chaos;
mod hedging;
mod outliers;
mod probes;
mod queue;
mod queue_changes;
mod retries;
mod tls_probes;
mod trials;

use foregate_testkit::{Gateway, RawClient};
use serde_json::Value;

/// What `/status` says of the endpoint at an address.
pub(crate) fn endpoint(gateway: &Gateway, address: impl std::fmt::Display) -> Value {
    let mut admin = RawClient::connect(gateway.listener("admin"));
    let asked = "GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    let status: Value = serde_json::from_slice(&admin.exchange(asked).body).expect("JSON");
    let address = address.to_string();
    let endpoints = status["endpoints"].as_array().expect("a list");
    let found = endpoints.iter().find(|one| one["endpoint"] == address);
    found
        .unwrap_or_else(|| panic!("no endpoint {address}: {status}"))
        .clone()
}
