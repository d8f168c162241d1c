//! **Purpose:** TLS on both sides: sockets that may be encrypted, the certificate store, who is let in by certificate.
//! **Never knows:** requests, routes, which configuration a setting came from.
//! **Next on the road:** `downstream` and `upstream`, which read and write what is decrypted.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

pub mod certificate;
mod pipe;
mod plan;
mod store;
mod stream;

pub use plan::{AcceptorPlan, ClientAuthPlan, ConnectorPlan, NamePlan, Profile, RootsPlan};
pub use store::{CertificateStore, Change, Served};
pub use stream::Stream;
