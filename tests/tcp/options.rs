//! What stories about the options of sockets begin with.

use std::net::{SocketAddr, TcpStream};

use foregate_testkit::{Backend, Connection, Gateway, eventually};

const CONFIG: &str = r#"
    workers = 1
    [listeners.public]
    address = "127.0.0.1:0"
    {listener}
    [listeners.any]
    address = "0.0.0.0:0"
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

pub(crate) fn gateway(backend: &Backend, listener: &str, upstream: &str) -> Gateway {
    Gateway::new(CONFIG)
        .fill("backend", backend.address())
        .fill("listener", listener)
        .fill("upstream", upstream)
        .start()
}

/// A client that has had an answer and says nothing more.
pub(crate) fn rest(address: SocketAddr) -> Connection {
    let stream = TcpStream::connect(address).expect("it listens");
    let mut client = Connection::new(stream);
    let sent = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    sent.expect("it is open");
    let line = client.line().expect("an answer");
    assert!(line.starts_with(b"HTTP/1.1 200"), "{line:?}");
    client
}

/// A reload with another configuration, once nobody is connected any more.
pub(crate) fn reload_with(gateway: &mut Gateway, text: &str) {
    gateway.rewrite_config(text, &[]);
    assert_eq!(gateway.admin_send("POST", "/reload", "").status, 200);
    eventually("nobody from before is there", || {
        gateway.client_sockets().is_empty().then_some(())
    });
}
