//! HTTP/2 (RFC 9113) for both sides of a gateway, without I/O.

pub mod heads;
pub mod hpack;
