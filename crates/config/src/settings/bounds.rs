//! What bounds the load of a backend, and of an upstream: slow start, limits, queue, circuits.

use std::time::Duration;

/// What bounds the load of backends.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// For how long a backend that joins late, or comes back, takes less than its share.
    pub slow_start: Option<Duration>,
    /// When less than so many percent are healthy, all are used; 0 when none is.
    pub panic_threshold_percent: u8,
    /// Requests that a backend works on at once, of all workers.
    pub requests_max: Option<u32>,
    /// Requests that the upstream works on at once, of all workers.
    pub upstream_requests_max: Option<u32>,
    /// A limit that follows how long answers take.
    pub adaptive: Option<Adaptive>,
    /// Where requests wait while all backends are full.
    pub queue: Queue,
    /// When a backend is sent nothing for a while.
    pub circuit: Option<Circuit>,
    /// When the whole upstream is.
    pub upstream_circuit: Option<Circuit>,
}

/// Where requests wait while all backends are full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Requests that may wait.
    pub length_max: u32,
    /// How long one may.
    pub time_max: Duration,
}

/// A limit of requests at once that follows how long answers take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adaptive {
    /// To begin with.
    pub initial: u32,
    /// It is never lower.
    pub min: u32,
    /// It is never higher.
    pub max: u32,
    /// Answers may take so many percent of the usual time before it shrinks.
    pub tolerance_percent: u32,
}

/// When nothing is sent for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circuit {
    /// The share of failures that opens it.
    pub failures_percent: u8,
    /// Over how long they are counted.
    pub window: Duration,
    /// Requests in a window without which nothing follows from it.
    pub requests_min: u32,
    /// How long it stays open.
    pub open: Duration,
    /// Requests that try whether all is well again.
    pub trials: u32,
}
