//! **Purpose:** connections to backends: dialling, pools, and one request and its answer over one of them.
//! **Never knows:** routes, policies, or which client asked.
//! **Next on the road:** the backend; the answer goes back to `exchange`.
#![forbid(unsafe_code)]

mod call;
mod connect;
mod pool;
mod resolve;

pub use foregate_tls::Connector;
pub use foregate_wire::h1::{BodyLimits, HeadLimits};

pub use call::{Call, CallLimits, SendOutcome};
pub use connect::ConnectFault;
pub use pool::{Checkout, Connection, Pool, PoolLimits, Ticket};
pub use resolve::resolve;
