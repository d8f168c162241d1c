//! **Purpose:** certificates that are issued and renewed by themselves: ACME, the internal CA, the state folder.
//! **Never knows:** sockets of clients, routes, how certificates are served.
//! **Next on the road:** `server`, which hands what is issued to the certificate store of `tls`.
//!
//! An [`Agent`] has a thread of its own. It is told what is [`Wanted`], hands what it has to a [`Sink`], and can be
//! asked for its [`CertificateStatus`]es. Workers share [`Challenges`] with it, which CAs come to look at.
//!
//! Decisions are apart from effects: [`schedule`] says when to order, [`choice`] how to prove a name, [`allowance`]
//! for whom to order on demand, [`dns::message`] what bytes mean; the rest asks, waits and writes.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod agent;
pub mod allowance;
mod authority;
mod certificate;
mod challenges;
pub mod choice;
pub mod dns;
mod folder;
mod options;
mod order;
mod random;
mod reason;
pub mod schedule;
mod web;

pub use agent::{Agent, CertificateState, CertificateStatus, Sink};
pub use authority::Authority;
pub use certificate::{Issued, Key, Source};
pub use challenges::{ALPN, Challenges, HTTP_PATH};
pub use choice::ChallengeChoice;
pub use dns::{Algorithm, DnsMeans, DnsOptions, SharedKey};
pub use folder::{Facts, LastError, Lock, Record, StateFolder, Stored};
pub use options::{
    AcmeOptions, ExternalAccount, LETS_ENCRYPT, LETS_ENCRYPT_STAGING, OnDemand, Wanted,
    WantedCertificate,
};
pub use reason::{Failure, Reason};
pub use schedule::Timing;
