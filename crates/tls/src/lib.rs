//! **Purpose:** TLS on both sides: sockets that may be encrypted, the certificate store, who is let in by certificate.
//! **Never knows:** requests, routes, which configuration a setting came from.
//! **Next on the road:** `downstream` and `upstream`, which read and write what is decrypted.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod acceptor;
mod by_name;
mod calendar;
pub mod certificate;
mod congestion;
mod connector;
mod fault;
pub mod files;
mod gate;
mod handshake;
mod keep_alive;
mod key_schedule;
mod lone;
mod names;
mod pipe;
mod plan;
mod profile;
mod random;
mod records;
mod session;
mod sessions;
pub mod sni;
mod socket;
mod store;
mod stream;
mod tickets;
mod tls_stream;
mod trust;
pub mod watch;

pub use acceptor::{Acceptor, ChallengeSource, MissingNames, PlanFault, RefusedHandshake, Shared};
pub use by_name::NameIssuer;
pub use calendar::unix_s;
pub use congestion::{control_congestion, probe_congestion};
pub use connector::Connector;
pub use fault::{BackendTlsFault, HandshakeFault, PeerAlert};
pub use gate::{HandshakeGate, Pass};
pub use keep_alive::keep_alive;
pub use lone::lone;
pub use plan::{
    AcceptorPlan, ClientAuthPlan, ConnectorPlan, FROM_FILES, NamePlan, Profile, RevocationList,
    RootsPlan,
};
pub use rustls::ServerConfig;
pub use rustls::sign::CertifiedKey;
pub use sessions::SessionCache;
pub use store::{CertificateStore, Change, Served};
pub use stream::{Alpn, Stream};
pub use tickets::{TICKET_KEYS_MAX, Tickets};
pub use tls_stream::TlsStream;
