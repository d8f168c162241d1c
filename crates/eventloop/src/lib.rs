//! **Purpose:** a thread's event loop: its tasks, its sockets' readiness, and the sleep until its next deadline.
//! **Never knows:** what the tasks do, or any protocol.
//! **Next on the road:** nothing; `tls`, `downstream` and `upstream` stand on it, and `server` runs one on each worker's thread.
//!
//! ```text
//!      ┌──► tasks that are ready, each once ──► events ──► deadlines ──┐
//!      └───────────────────────────────────────────────────────────────┘
//!                       sleeps here when none is ready: ▲
//! ```
//!
//! Everything of a loop stays on its thread, so that nothing is locked or counted atomically for the sake of threads that are
//! not there: a request's wake-ups are a few stores. Wakers may be taken to other threads; those go by way of a queue.
//! What is awaited need not know the loop: channels and locks of `tokio::sync` do as well as anything that keeps a waker.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]
#![forbid(unsafe_code)]

mod budget;
mod group;
mod remote;
mod run;
mod source;
mod task;
mod tcp;

pub use group::grouped;
pub use run::{block_on, timeout, yield_now};
pub use task::{Task, spawn_local};
pub use tcp::{TcpListener, TcpStream};
