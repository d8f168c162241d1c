//! **Purpose:** connections to backends: dialling, pools, one request and its answer; the prober; finding out who they are.
//! **Never knows:** routes, policies, or which client asked.
//! **Next on the road:** the backend; the answer goes back to `exchange`.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod call;
mod connect;
mod discovery;
mod http2;
mod line;
mod pool;
mod probe;
mod resolve;
mod seats;
mod websocket;

pub use foregate_tls::Connector;
pub use foregate_wire::h1::{BodyLimits, HeadLimits};
pub use foregate_wire::h2::Limits as Http2Limits;

pub use call::{Call, CallLimits, SendOutcome};
pub use connect::ConnectFault;
pub use discovery::{
    ConsulQuestion, Discoverer, DiscoveryRequest, DiscoveryStatus, DnsQuestion, DockerQuestion,
    FoundEndpoint, Seeking, Source, read_anything as read_anything_discovered,
};
pub use line::{Line, Place, Waiting};
pub use pool::{Checkout, Connection, Place as PoolPlace, Pool, PoolLimits, Protocol, Ticket, Use};
pub use probe::{PROBES_MAX, ProbeTarget, Prober, Watched};
pub use resolve::resolve;
pub use seats::Seats;
