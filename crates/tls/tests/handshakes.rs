//! Handshakes and what follows, with real peers over real sockets.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(clippy::disallowed_methods, reason = "the peers of tests may block")]

mod handshakes {
    pub(crate) mod backends;
    pub(crate) mod certificates;
    pub(crate) mod clients;
    pub(crate) mod closing;
    pub(crate) mod flood;
    pub(crate) mod peers;
    pub(crate) mod resumption;
    pub(crate) mod transfer;
}
