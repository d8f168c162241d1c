//! By what rule the kernel sends to clients and backends.

use std::net::SocketAddr;

use foregate_testkit::{Backend, Echo, Gateway, SocketState};

use crate::options::{gateway, reload_with, rest};

/// The kernel's number of a connection that is open on both sides.
const ESTABLISHED: u8 = 1;

/// What this machine gives to sockets that ask for nothing.
fn of_system() -> String {
    let name = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control");
    name.expect("Linux tells it").trim().to_owned()
}

/// What the two sides of a request are sent by: the client's connection, and one to the backend.
fn asked(gateway: &Gateway, address: SocketAddr) -> (String, String) {
    let client = rest(address);
    let near = client.local_address();
    let (downstream, upstream) = (gateway.client_sockets(), gateway.upstream_sockets());
    let downstream = downstream.iter().find(|socket| socket.remote == near);
    let upstream = upstream.iter().find(|socket| socket.state == ESTABLISHED);
    let of = |socket: Option<&SocketState>| socket.and_then(SocketState::congestion);
    (
        of(downstream).expect("it is open"),
        of(upstream).expect("it is open"),
    )
}

fn pair(downstream: &str, upstream: &str) -> (String, String) {
    (downstream.to_owned(), upstream.to_owned())
}

#[test]
fn within_the_machine_it_is_the_plainest_unless_the_configuration_says_otherwise() {
    let (backend, system) = (Backend::start(Echo), of_system());
    let automatic = gateway(&backend, "", "");
    assert_eq!(
        asked(&automatic, automatic.listener("public")),
        pair("reno", "reno")
    );
    assert_eq!(
        asked(&automatic, automatic.listener("raw")),
        pair("reno", "reno")
    );
    // Who comes to any address may come from anywhere.
    let any = SocketAddr::from(([127, 0, 0, 1], automatic.listener("any").port()));
    assert_eq!(asked(&automatic, any), pair(&system, "reno"));
    let key = "congestion_control = \"system\"";
    let systems = gateway(&backend, key, key);
    assert_eq!(
        asked(&systems, systems.listener("public")),
        pair(&system, &system)
    );
}

#[test]
fn what_is_named_holds_for_new_connections_from_a_reload_on() {
    let (backend, system) = (Backend::start(Echo), of_system());
    let mut gateway = gateway(&backend, "congestion_control = \"reno\"", "");
    let any = SocketAddr::from(([127, 0, 0, 1], gateway.listener("any").port()));
    assert_eq!(asked(&gateway, any), pair("reno", "reno"));
    let text = std::fs::read_to_string(gateway.config_path()).expect("it is there");
    let changed = text.replace("congestion_control = \"reno\"", "");
    reload_with(&mut gateway, &changed);
    assert_eq!(asked(&gateway, any), pair(&system, "reno"));
}

#[test]
fn one_that_the_kernel_lacks_is_refused_with_the_way_out() {
    let backend = Backend::start(Echo);
    let mut gateway = gateway(&backend, "", "");
    let text = std::fs::read_to_string(gateway.config_path()).expect("it is there");
    let changed = text.replace(
        "[upstreams.app]",
        "[upstreams.app]\ncongestion_control = \"no-such-one\"",
    );
    gateway.rewrite_config(&changed, &[]);
    let refused = gateway.admin_send("POST", "/reload", "");
    assert_eq!(refused.status, 422, "{}", refused.text());
    let detail = refused.text();
    for part in [
        "upstream `app` can't have the congestion control `no-such-one`",
        "the kernel has none of that name",
        "everyone may have ",
    ] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    // What was in force serves on.
    let address = gateway.listener("public");
    assert_eq!(asked(&gateway, address), pair("reno", "reno"));
}
