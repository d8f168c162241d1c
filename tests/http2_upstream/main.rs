//! Stories about backends that speak HTTP/2: requests share connections, and how streams and connections end.

mod alone;
mod budget;
mod endings;
mod events;
mod faults;
mod http1_required;
mod loss;
mod misbehaviour;
mod mute;
mod refusals;
mod requests;
mod secure;
mod sharing;
mod steering;
mod tunnels;

use foregate_testkit::{Gateway, Http2Backend};
use std::net::SocketAddr;

/// A gateway before one backend with prior knowledge; `more` are further keys of the upstream.
fn before(backend: &Http2Backend, more: &str) -> Gateway {
    before_address(backend.address(), more)
}

/// The same, by the backend's address.
fn before_address(backend: SocketAddr, more: &str) -> Gateway {
    Gateway::new(&format!(
        "workers = 1\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\nprotocol = \"h2\"\n{more}\n",
        backend
    ))
    .start()
}
