//! Orders against a real ACME server: Debian's `pebble`.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests may block and read clocks")]

mod dns;
mod folders;
mod house;
mod orders;
mod responder;
mod scripted;
mod trouble;
