//! Stories about HTTP/2 towards clients (RFC 9113).

mod bodies;
mod endings;
mod floods;
mod forwarding;
mod malformed;
mod real_clients;
mod websocket;
mod windows;

use foregate_testkit::{Backend, Gateway, Transport};

/// What clients may come over.
fn transports() -> [Transport; 2] {
    [Transport::Cleartext, Transport::tls()]
}

/// A gateway before one backend, whose clients come over some transport; `client` are keys of `[client]`.
fn gateway_over(transport: &Transport, backend: &Backend, client: &str) -> Gateway {
    let text = format!(
        "[client]\n{client}\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\n",
        backend.address()
    );
    Gateway::new(&text).over(transport).start()
}
