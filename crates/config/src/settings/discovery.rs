//! `[upstreams.<name>.discovery]`: where endpoints are found that no list names.

use super::{NamedFile, Secret, ServerAddress, UpstreamTls};
use crate::Origin;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How the endpoints of an upstream are found.
#[derive(Debug, Clone, PartialEq)]
pub struct Discovery {
    /// Where its source was written.
    pub origin: Origin,
    /// Who is asked.
    pub source: DiscoverySource,
    /// Endpoints that are taken; what comes beyond is left out.
    pub endpoints_max: u32,
}

/// Who knows the endpoints.
#[derive(Debug, Clone, PartialEq)]
pub enum DiscoverySource {
    /// The addresses of a name.
    Dns {
        /// The name and the port.
        name: ServerAddress,
        /// How name servers are asked.
        lookup: DnsLookup,
    },
    /// The services of a name, with their ports and weights.
    Srv {
        /// Such as `_http._tcp.app.internal`.
        name: String,
        /// How name servers are asked.
        lookup: DnsLookup,
    },
    /// A file, or the files of a folder.
    File(NamedFile),
    /// The healthy instances of a Consul service.
    Consul(Consul),
    /// Containers with a label.
    Docker(Docker),
}

/// How name servers are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsLookup {
    /// Who is asked; empty for the system's.
    pub name_servers: Vec<SocketAddr>,
    /// How long an answer is gone by at least.
    pub ttl_min: Duration,
    /// How long an answer is gone by at most.
    pub ttl_max: Duration,
}

/// A Consul agent and what it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Consul {
    /// The agent.
    pub address: ServerAddress,
    /// The service's name.
    pub service: String,
    /// The tag that instances must have.
    pub tag: Option<String>,
    /// The datacenter; without it the agent's own.
    pub datacenter: Option<String>,
    /// What the agent is shown.
    pub token: Option<Secret>,
    /// How it is spoken to by TLS, if it is.
    pub tls: Option<UpstreamTls>,
}

/// A Docker engine and what it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docker {
    /// Its socket.
    pub socket: PathBuf,
    /// `name` or `name=value`.
    pub label: String,
    /// The port inside the container; without it the one that it exposes.
    pub port: Option<u16>,
    /// The network in which containers are reached; without it their first.
    pub network: Option<String>,
}
