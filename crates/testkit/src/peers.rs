//! The named misbehaving peers.

pub(crate) mod attackers;
pub(crate) mod backends;
pub(crate) mod clients;
pub(crate) mod directories;
pub(crate) mod handshakes;
pub(crate) mod http2;
pub(crate) mod meddler;
pub(crate) mod ports;
pub(crate) mod websocket;
