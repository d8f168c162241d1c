//! **Purpose:** the parts that the bench programs (relay, backend, load) share: content, framing, epoll, sockets, alarms, latencies, process usage.
//! **Never knows:** Foregate's own crates (only the program `micro` does): checks that shared its code could share its mistakes.
//! **Next on the road:** `bench/compare`, which starts these programs around every proxy and writes the tables.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

pub mod alarm;
pub mod content;
pub mod framing;
pub mod h2;
pub mod hpack;
pub mod latency;
pub mod options;
pub mod poll;
pub mod socket;
pub mod usage;
