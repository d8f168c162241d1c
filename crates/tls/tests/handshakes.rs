//! Handshakes and what follows, with real peers over real sockets.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

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
