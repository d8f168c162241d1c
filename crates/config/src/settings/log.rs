//! `[log]`: the process' own log.

/// The process' own log, on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The least severe messages that are written.
    pub level: LogLevel,
}

/// Severity of a message in the process' own log; greater is more talkative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something failed that an operator must look at.
    Error,
    /// Something is degraded.
    Warn,
    /// What an operator wants to know: starts, reloads, ejections.
    Info,
    /// Everything that helps to find a fault.
    Debug,
}
