//! `[upstreams.<name>]`: the backends.

use super::{
    Balance, Bounds, CongestionControl, Discovery, FitMin, HashBy, Hedge, HostHeader, Probe,
    Protocol, Retry, Sticky, Timeouts, UpstreamTls,
};
use crate::Origin;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// A named set of backends that serve the same thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// The upstream's name, unique.
    pub name: String,
    /// Where its name was written.
    pub origin: Origin,
    /// Its backends, at least one.
    pub servers: Vec<Server>,
    /// Where further backends are found.
    pub discovery: Option<Discovery>,
    /// How a backend is chosen.
    pub balance: Balance,
    /// What of a request decides where it goes; with a hash, and only then.
    pub hash_by: Option<HashBy>,
    /// With a hash: percent of its share of all running requests that a backend may have.
    pub hash_load_max_percent: Option<u32>,
    /// How much of the preferred backends must be fit for them to take all requests.
    pub fit_min: FitMin,
    /// What bounds the load of its backends.
    pub bounds: Bounds,
    /// Sessions that stay with their backend, if they do.
    pub sticky: Option<Sticky>,
    /// The `Host` that backends see, where a route says nothing; already merged into every [`Proxy`](super::Proxy).
    pub host: HostHeader,
    /// The PROXY protocol head that backends are sent; connections are then never shared between clients.
    pub proxy_protocol: Option<ProxyProtocolVersion>,
    /// Pooled idle connections per worker and endpoint.
    pub connections_idle_max: u32,
    /// Open connections to each endpoint, over all workers.
    pub connections_max: Option<u32>,
    /// Requests of a worker that may wait for a connection; more are refused with 503.
    pub requests_pending_max: u32,
    /// How long a pooled connection may be idle.
    pub idle_timeout: Duration,
    /// After how long a silence backends are probed by the keep-alive of TCP, if they are.
    pub tcp_keepalive: Option<Duration>,
    /// What controls how fast backends are sent to.
    pub congestion_control: CongestionControl,
    /// Requests on one connection.
    pub requests_per_connection_max: Option<u32>,
    /// Endpoints tried per request: connect failover and safe resends. At least 1.
    pub tries_max: u32,
    /// When a request is tried on another backend.
    pub retry: Retry,
    /// When a request is sent to a second backend as well, if ever.
    pub hedge: Option<Hedge>,
    /// How long backends may take, where a route says nothing; already merged into every [`Proxy`](super::Proxy).
    pub timeouts: Timeouts,
    /// What a backend may send.
    pub response: ResponseLimits,
    /// When a failing backend is left out.
    pub ejection: Ejection,
    /// How they are asked how they are, if they are.
    pub probe: Option<Probe>,
    /// How its backends are spoken to in secret, if they are.
    pub tls: Option<UpstreamTls>,
    /// The protocol that they are spoken to.
    pub protocol: Protocol,
    /// With HTTP/2: requests at once on one connection.
    pub streams_per_connection_max: u32,
    /// Whether gRPC-Web is translated to gRPC and back.
    pub grpc_web: bool,
}

/// One backend of an upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Its address; names are resolved when the configuration is loaded.
    pub address: ServerAddress,
    /// Its share of requests relative to its siblings, 1 to 65,535.
    pub weight: u32,
    /// It takes requests only when too few of the others are fit.
    pub backup: bool,
    /// Where it stands.
    pub zone: Option<String>,
    /// What it is, by name; in order of names.
    pub labels: Vec<(String, String)>,
    /// Where it was written.
    pub origin: Origin,
}

/// Host and port of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// An IP address, or a name to resolve.
    pub host: ServerHost,
    /// The TCP port, never 0.
    pub port: u16,
}

/// An IP address, or a name to resolve.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerHost {
    /// An IP address.
    Ip(IpAddr),
    /// A host name in lower case.
    Name(String),
}

impl Server {
    /// A server of weight 1 of which nothing else is known.
    pub fn plain(address: ServerAddress, origin: Origin) -> Self {
        Self {
            address,
            weight: 1,
            backup: false,
            zone: None,
            labels: Vec::new(),
            origin,
        }
    }
}

impl From<SocketAddr> for ServerAddress {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: ServerHost::Ip(address.ip()),
            port: address.port(),
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            ServerHost::Ip(ip) => write!(f, "{}", SocketAddr::new(*ip, self.port)),
            ServerHost::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Why a text is not a backend's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerAddressError {
    /// There is no `:port`.
    MissingPort,
    /// The port is not a number from 1 to 65535.
    BadPort,
    /// The host is neither an IP address nor a host name.
    BadHost,
    /// It is a URL, not `host:port`.
    Url,
}

impl fmt::Display for ServerAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingPort => "the port is missing",
            Self::BadPort => "the port must be a number from 1 to 65535",
            Self::BadHost => "the host is neither an IP address nor a host name",
            Self::Url => "this is a URL, not `host:port`",
        })
    }
}

impl std::error::Error for ServerAddressError {}

impl FromStr for ServerAddress {
    type Err = ServerAddressError;

    /// Reads `ip:port`, `[ipv6]:port` or `name:port`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains("://") || text.contains('/') {
            return Err(ServerAddressError::Url);
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(ServerAddressError::MissingPort);
        }
        let (host, port) = text
            .rsplit_once(':')
            .ok_or(ServerAddressError::MissingPort)?;
        if host.starts_with('[') && !host.ends_with(']') {
            return Err(ServerAddressError::MissingPort);
        }
        let port = match port.parse::<u16>() {
            Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => number,
            _ => return Err(ServerAddressError::BadPort),
        };
        let host = if let Some(inner) = host.strip_prefix('[') {
            let inner = inner.strip_suffix(']').unwrap_or(inner);
            ServerHost::Ip(IpAddr::V6(
                inner.parse().map_err(|_| ServerAddressError::BadHost)?,
            ))
        } else if let Ok(ip) = host.parse::<IpAddr>() {
            ServerHost::Ip(ip)
        } else if crate::hosts::is_host_name(host) {
            ServerHost::Name(host.to_ascii_lowercase())
        } else {
            return Err(ServerAddressError::BadHost);
        };
        Ok(Self { host, port })
    }
}

/// The version of the PROXY protocol that backends are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocolVersion {
    /// The line of text.
    V1,
    /// The binary head.
    V2,
}

/// What a backend may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Bytes of a response head.
    pub head_bytes_max: u32,
    /// Fields in a response head or trailer section.
    pub fields_max: u32,
    /// Points of misbehaviour on one connection of HTTP/2, at once and in a minute.
    pub abuse_points_per_minute_max: u32,
}

/// When a failing backend is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// Connect errors, timeouts and broken responses in a row that eject an endpoint.
    pub consecutive_failures: Option<u32>,
    /// Answers with 502, 503 or 504 in a row that do.
    pub consecutive_gateway_errors: Option<u32>,
    /// How long the first ejection lasts; every further one lasts twice as long.
    pub base_time: Duration,
    /// The longest ejection.
    pub time_max: Duration,
    /// Percent of the endpoints that may be ejected at once.
    pub share_max_percent: u8,
    /// Percentage points by which a share of failures lies above the peers' median.
    pub failures_above: Option<u32>,
    /// How many times the peers' median a mean time to the first byte is, in percent.
    pub latency_above_percent: Option<u32>,
    /// A mean time to the first byte that never ejects.
    pub latency_floor: Duration,
    /// From one comparison of peers to the next.
    pub interval: Duration,
    /// Requests in an interval without which an endpoint is not compared.
    pub requests_min: u32,
}
