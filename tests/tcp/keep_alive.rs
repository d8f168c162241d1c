//! A peer that vanishes without a word is found out by the keep-alive of TCP, whatever its connection carries.

use std::net::{SocketAddr, TcpStream};

use foregate_testkit::{Backend, Connection, Echo, Gateway, SocketState, eventually};

const CONFIG: &str = r#"
    workers = 1
    [listeners.public]
    address = "127.0.0.1:0"
    {listener}
    [listeners.raw]
    address = "127.0.0.1:0"
    mode = "tcp"
    upstream = "app"
    {listener}
    [sites."*"]
    upstream = "app"
    [upstreams.app]
    servers = ["{backend}"]
    {upstream}
"#;

fn gateway(backend: &Backend, listener: &str, upstream: &str) -> Gateway {
    Gateway::new(CONFIG)
        .fill("backend", backend.address())
        .fill("listener", listener)
        .fill("upstream", upstream)
        .start()
}

/// A client that has had an answer and says nothing more.
fn rest(address: SocketAddr) -> Connection {
    let stream = TcpStream::connect(address).expect("it listens");
    let mut client = Connection::new(stream);
    let sent = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    sent.expect("it is open");
    let line = client.line().expect("an answer");
    assert!(line.starts_with(b"HTTP/1.1 200"), "{line:?}");
    client
}

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
        let changed = text.replace("[listeners.public]", &key);
        gateway.rewrite_config(&changed, &[]);
        assert_eq!(gateway.admin_send("POST", "/reload", "").status, 200);
        eventually("nobody from before is there", || {
            gateway.client_sockets().is_empty().then_some(())
        });
        let _client = rest(address);
        probed_in_s(wanted, || gateway.client_sockets());
    }
}
