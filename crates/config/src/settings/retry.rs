//! `[upstreams.<name>.retry]` and `hedge`: when a request is tried on another backend.

use std::time::Duration;

/// When a request is tried again, and how much of that there may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// After which failures.
    pub on: RetryOn,
    /// After which answers, as inclusive ranges.
    pub statuses: Vec<(u16, u16)>,
    /// Bytes of a request's body that are kept so that it can be sent again; 0 to keep none.
    pub body_bytes_max: u32,
    /// Tries again for every hundred requests, per worker.
    pub budget_percent: u8,
    /// Tries again that are free in a second, per worker.
    pub budget_per_second: u32,
    /// Tries again that may be under way at once, of all workers.
    pub retries_max: Option<u32>,
}

/// Failures after which a request is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryOn {
    /// No connection came about.
    pub connect: bool,
    /// The backend said that it did not look at the request.
    pub refused: bool,
    /// The connection was closed or reset before any byte of an answer.
    pub reset: bool,
    /// The first byte of the answer did not come in time.
    pub timeout: bool,
}

/// When a request that has no answer yet is sent to a second backend as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hedge {
    /// How long an answer is waited for, or at least so long.
    pub after: Option<Duration>,
    /// As long as so many percent of the upstream's answers take.
    pub after_percentile: Option<u8>,
    /// Requests that may have a second backend at once, of all workers.
    pub requests_max: u32,
}
