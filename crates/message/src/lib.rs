//! **Purpose:** the message model that every protocol and every policy shares: heads, fields, bodies, outcomes.
//! **Never knows:** who sent a message, where it goes, or how bytes reach a socket.
//! **Next on the road:** `wire`, which turns bytes into these types and back.
//!
//! The model is flat: a [`Fields`] is one byte buffer and a list of ranges, so that finding a well-known field
//! costs a bit test and a short scan, and forwarding a head is a copy of ranges.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod body;
mod chunk;
mod client;
mod congestion;
mod field;
mod fields;
pub mod forwarded;
mod head;
pub mod hop;
mod method;
pub mod path;
mod pipe;
mod reason;
pub mod runs;
mod status;
mod target;
mod tls;

pub use body::{BodyLength, Frame};
pub use chunk::{CHUNK_BYTES, Chunk, LARGE_CHUNK_BYTES};
pub use client::{Client, Description, Peer, Scheme};
pub use congestion::{AlgorithmName, Congestion};
pub use field::{FieldId, FieldName, reads_alike};
pub use fields::{FieldSet, Fields, Line};
pub use head::{RequestHead, ResponseHead, Version};
pub use method::Method;
pub use pipe::{Pipe, Piped};
pub use reason::{Blame, Fault, Reason};
pub use status::Status;
pub use target::{Target, TargetForm, host_without_port, is_host, split_authority};
pub use tls::{ClientCertificate, TlsFacts, TlsVersion};
