//! **Purpose:** listeners and client connections: accepting, TLS, HTTP/1 towards clients, timeouts against slow ones.
//! **Never knows:** routes, policies, backends: it calls one [`Handler`] per request.
//! **Next on the road:** `exchange`, behind that handler.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod admission;
mod arrived;
mod connection;
mod handler;
mod http1;
mod listener;
mod pace;
mod preface;
mod socket;
mod worker;

pub use admission::{Admission, AdmissionLimits, Refused};
pub use handler::{Arrival, Handler, Passage};
pub use listener::{Listener, ListenerMode, ListenerRules, TlsRules};
pub use socket::bind;
pub use worker::{ClientLimits, Worker};
