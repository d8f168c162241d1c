//! **Purpose:** clocks and deadlines, metrics in per-worker shards, the access log and the process' own log.
//! **Never knows:** requests' rules, configuration text, sockets: it is handed numbers, names and bytes.
//! **Next on the road:** nothing; every room reports here, and `admin` reads what was reported.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

pub mod clock;
pub mod log;
pub mod metrics;
