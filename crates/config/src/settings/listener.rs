//! `[listeners.<name>]`: where clients connect.

use super::HostPattern;
use crate::Origin;
use std::net::SocketAddr;
use std::time::Duration;

/// A named set of addresses that clients connect to.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// The listener's name, unique.
    pub name: String,
    /// Where its table was written.
    pub origin: Origin,
    /// The addresses to listen on, at least one. An IPv6 address takes IPv6 only: `0.0.0.0` and `[::]` stand side by side.
    pub addresses: Vec<SocketAddr>,
    /// True if no listener was written and this is the default one (`0.0.0.0:80` and `[::]:80`): an address family
    /// that the machine lacks may then be left out.
    pub implied: bool,
    /// Whether connections must begin with a PROXY protocol head (v1 or v2), accepted from
    /// [`Forwarding::trusted_proxies`](super::Forwarding::trusted_proxies) only.
    pub accept_proxy_protocol: bool,
    /// Open connections over all workers; more are refused.
    pub connections_max: u32,
    /// Open connections of one client address over all workers.
    pub connections_per_client_max: Option<u32>,
    /// Connections that the system may queue before they are accepted.
    pub backlog: u32,
    /// After how long a silence clients are probed by the keep-alive of TCP, if they are.
    pub tcp_keepalive: Option<Duration>,
    /// What controls how fast clients are sent to.
    pub congestion_control: CongestionControl,
    /// What is done with connections.
    pub mode: Mode,
    /// Unfinished TLS handshakes over all workers; more are refused.
    pub handshakes_max: u32,
}

impl Listener {
    /// Whether clients speak TLS here and sites answer.
    pub fn is_tls(&self) -> bool {
        matches!(self.mode, Mode::Http { tls: true, .. })
    }

    /// Whether sites answer here.
    pub fn is_http(&self) -> bool {
        matches!(self.mode, Mode::Http { .. })
    }
}

/// By what rule the system sends on connections, and takes losses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CongestionControl {
    /// The plainest at loopback addresses, elsewhere the system's.
    Auto,
    /// The system's.
    System,
    /// The kernel's of this name.
    Named(String),
}

/// What is done with a listener's connections.
#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    /// They carry requests.
    Http {
        /// Whether TLS is ended here.
        tls: bool,
        /// Whether HTTP/1.1 is spoken.
        http1: bool,
        /// Whether HTTP/2 is spoken.
        http2: bool,
    },
    /// Their bytes go to the upstream of this name.
    Tcp(String),
    /// Their bytes go to the upstream of the name that the client's TLS asks for, undecrypted.
    TlsPassthrough(Vec<(HostPattern, String)>),
}
