//! HTTP/2 (RFC 9113) for both sides of a gateway, without I/O.
//!
//! [`Connection`] is the machine; [`heads`] says what field blocks mean, [`hpack`] how they are compressed.

mod connection;
mod error;
pub mod frame;
pub mod heads;
pub mod hpack;
mod priority;
mod schedule;
mod state;
mod stream;
mod streams;
mod window;

pub use connection::{Connection, Event, Fate, Limits, PREFACE};
pub use error::{ErrorCode, Failure};
pub use priority::Priority;
pub use streams::StreamKey;

#[cfg(test)]
mod tests;
