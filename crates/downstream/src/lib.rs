//! **Purpose:** listeners and client connections: accepting, TLS, HTTP/1 and 2 towards clients, timeouts against slow ones.
//! **Never knows:** routes, policies, backends: it calls one [`Handler`] per request.
//! **Next on the road:** `exchange`, behind that handler.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod admission;
mod arrived;
mod connection;
mod handler;
mod http1;
mod http2;
mod linger;
mod listener;
mod pace;
mod preface;
mod roll;
#[cfg(test)]
mod served;
mod socket;
mod worker;

pub use admission::{Admission, AdmissionLimits, Refused};
pub use foregate_wire::h2::Limits as Http2Limits;
pub use handler::{Arrival, Handler, Passage};
pub use listener::{Listener, ListenerMode, ListenerRules, Protocols, TlsRules};
pub use roll::{
    Closing, ConnectionNote, ConnectionState, ExchangeNote, Protocol, Survey, TlsNote, Which,
};
pub use socket::{bind, is_free};
pub use worker::{ClientLimits, Trusts, Worker};
