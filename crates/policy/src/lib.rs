//! **Purpose:** decides what becomes of a routed request and of its answer, one file a policy, each compiled once.
//! **Never knows:** the configuration's text, sockets, clocks, where random numbers come from.
//! **Next on the road:** `balance`, which chooses the endpoint that the request goes to.
//!
//! Policies are pure. Those that can end a request answer with a [`Verdict`]; the others change fields or a path in
//! place. Whatever they write into a message is checked twice: configured text when it is compiled, and text from
//! the client when it is put in, so that no rule can be talked into splitting a message.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

pub mod anonymise;
pub mod body_limit;
pub mod client_address;
pub mod cookies;
mod facts;
pub mod grpc_web;
pub mod header_rules;
pub mod host_header;
pub mod https_redirect;
pub mod method;
pub mod overload;
mod problem;
pub mod redirect;
pub mod request_id;
pub mod request_key;
pub mod respond;
pub mod rewrite;
mod template;
mod verdict;

pub use facts::Facts;
pub use problem::Problem;
pub use template::{Piece, Template};
pub use verdict::{Answer, Verdict};
