//! **Purpose:** the wire's law: HTTP/1.1 and HTTP/2, connection machines and the PROXY protocol, as bytes in and decisions out.
//! **Never knows:** sockets, clocks, routes, or what a message is for.
//! **Next on the road:** `downstream` and `upstream`, which move the bytes and ask here what they mean.
//!
//! Everything is strict where leniency has cost others: what is accepted here has one reading, and what is written
//! here is read the same way by a strict parser on the other side.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

pub mod abuse;
pub mod h1;
pub mod h2;
pub mod proxy;
pub mod websocket;
