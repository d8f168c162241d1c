//! **Purpose:** TLS on both sides: sockets that may be encrypted, the certificate store, who is let in by certificate.
//! **Never knows:** requests, routes, which configuration a setting came from.
//! **Next on the road:** `downstream` and `upstream`, which read and write what is decrypted.
#![forbid(unsafe_code)]

mod pipe;
mod stream;

pub use stream::Stream;
