//! Listeners and the numbers that stay with them.

use crate::compile::size;
use crate::plan::{ListenerPlan, Snapshot};
use crate::tls;
use foregate_config::settings::{CongestionControl, Listener};
use foregate_message::{AlgorithmName, Congestion};

/// The plans, and the number that the next new listener gets.
pub(crate) fn compile(
    listeners: &[Listener],
    previous: Option<&Snapshot>,
) -> (Box<[ListenerPlan]>, u32) {
    let mut next = previous.map_or(0, |snapshot| snapshot.next_listener);
    let plans = listeners
        .iter()
        .map(|listener| ListenerPlan {
            number: known_number(&listener.name, previous).unwrap_or_else(|| {
                next += 1;
                next - 1
            }),
            name: listener.name.as_str().into(),
            addresses: listener.addresses.as_slice().into(),
            implied: listener.implied,
            proxy_protocol: listener.accept_proxy_protocol,
            connections_max: size(listener.connections_max),
            connections_per_client_max: listener.connections_per_client_max.map(size),
            backlog: listener.backlog,
            keep_alive: listener.tcp_keepalive,
            congestion: congestion(&listener.congestion_control),
            mode: tls::mode(&listener.mode),
            handshakes_max: size(listener.handshakes_max),
        })
        .collect();
    (plans, next)
}

/// What connections are controlled by.
pub(crate) fn congestion(wanted: &CongestionControl) -> Congestion {
    match wanted {
        CongestionControl::Auto => Congestion::Auto,
        CongestionControl::System => Congestion::System,
        // What is no name of the kernel's has been refused when it was read.
        CongestionControl::Named(name) => {
            AlgorithmName::new(name).map_or(Congestion::Auto, Congestion::Named)
        }
    }
}

fn known_number(name: &str, previous: Option<&Snapshot>) -> Option<u32> {
    let listeners = &previous?.listeners;
    listeners
        .iter()
        .find(|listener| *listener.name == *name)
        .map(|listener| listener.number)
}
