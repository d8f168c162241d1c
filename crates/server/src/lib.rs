//! **Purpose:** boot, workers, reload, drain, signals: everything that lives as long as the process.
//! **Never knows:** HTTP: it hands connections to `downstream` and its requests to `exchange`.
//! **Next on the road:** `downstream`, on each worker it starts.
//!
//! ```text
//! main thread: control (loads, compiles, swaps)    one thread per worker: a current-thread runtime,
//! front thread: signals, admin API                 its own sockets, pools, timers, metric shard
//! probes thread: asks endpoints how they are
//! log thread: writes access log lines
//! ```
//!
//! A change is prepared whole by the control thread and then handed to every worker, which swaps one pointer. What
//! outlives configurations (endpoint states, pools, admission counts, metrics, sockets) is kept here by name.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail by panicking"))]

mod certificates;
mod connections;
mod control;
mod credentials;
mod discovery;
mod doors;
mod estate;
mod fleet;
mod front;
mod gate;
mod history;
mod inherit;
mod ledger;
mod notify;
mod overload;
mod probing;
mod reasons;
mod secure;
mod sockets;
mod start;
mod state_file;
mod upgrade;
mod view;
mod wishes;
mod worker;

pub use certificates::stored_certificates;
pub use control::{Controller, Exit};
pub use credentials::{About, CredentialFinding, Credentials, Role};
pub use foregate_admin::document as openapi;
pub use start::{Before, Disk, LoadError, Loaded, NewText, OnDisk, Server, Source, StartError};
pub use upgrade::launch;
