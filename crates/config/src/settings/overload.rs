//! `[overload]`: what is given up when there is too much to do.

use std::time::Duration;

/// The limits of the whole process, and what is done close to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overload {
    /// Memory of the process.
    pub memory_max: MemoryMax,
    /// Requests at once over all workers.
    pub requests_max: Option<u32>,
    /// How late a worker may be.
    pub delay_max: Option<Duration>,
    /// Requests at once that are served whatever the pressure.
    pub requests_always: u32,
    /// From what percentage of a limit on idle connections are closed.
    pub trim_percent: u32,
    /// From what percentage on requests of importance `background` are turned away.
    pub shed_background_percent: u32,
    /// From what percentage on requests of importance `normal` are turned away.
    pub shed_normal_percent: u32,
    /// From what percentage on new connections wait.
    pub pause_percent: u32,
    /// What clients that are turned away are told in `Retry-After`.
    pub retry_after: Duration,
}

/// How much memory the process may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryMax {
    /// Four fifths of what the machine or its control group has.
    Auto,
    /// So many bytes.
    Bytes(u64),
    /// Any amount.
    Off,
}

/// How much the requests of a route matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Importance {
    /// Given up first.
    Background,
    /// What most requests are.
    #[default]
    Normal,
    /// Served for as long as anything is.
    Critical,
}
