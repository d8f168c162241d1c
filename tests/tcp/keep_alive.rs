//! A peer that vanishes without a word is found out by the keep-alive of TCP, whatever its connection carries.

use foregate_testkit::{Backend, Echo, SocketState, eventually};

use crate::options::{gateway, reload_with, rest};

/// In how many seconds the other sides of these sockets are probed, rounded up. Until what was sent has been
/// acknowledged, there is no saying.
fn probed_in_s(wanted: Option<u64>, sockets: impl Fn() -> Vec<SocketState>) {
    let seconds = |socket: SocketState| {
        let left = socket.probed_in?.as_millis() as u64;
        Some(left.div_ceil(1_000))
    };
    eventually(&format!("all are probed in {wanted:?}"), || {
        let all: Vec<Option<u64>> = sockets().into_iter().map(seconds).collect();
        // The clock runs meanwhile.
        let fits = |&left: &Option<u64>| match (left, wanted) {
            (Some(left), Some(wanted)) => left <= wanted && left + 20 >= wanted,
            (left, wanted) => left == wanted,
        };
        (!all.is_empty() && all.iter().all(fits)).then_some(())
    });
}

#[test]
fn silent_clients_and_backends_are_probed_after_a_minute() {
    let backend = Backend::start(Echo);
    let gateway = gateway(&backend, "", "");
    for name in ["public", "raw"] {
        let _client = rest(gateway.listener(name));
        probed_in_s(Some(60), || gateway.client_sockets());
        probed_in_s(Some(60), || gateway.upstream_sockets());
    }
}

#[test]
fn a_reload_says_when_for_new_connections_of_a_socket_that_stays() {
    let backend = Backend::start(Echo);
    let mut gateway = gateway(&backend, "", "tcp_keepalive = \"off\"");
    let address = gateway.listener("public");
    let client = rest(address);
    probed_in_s(Some(60), || gateway.client_sockets());
    probed_in_s(None, || gateway.upstream_sockets());
    drop(client);
    let text = std::fs::read_to_string(gateway.config_path()).expect("it is there");
    for (value, wanted) in [("\"10m\"", Some(600)), ("\"off\"", None)] {
        let key = format!("[listeners.public]\ntcp_keepalive = {value}");
        reload_with(&mut gateway, &text.replace("[listeners.public]", &key));
        let _client = rest(address);
        probed_in_s(wanted, || gateway.client_sockets());
    }
}
