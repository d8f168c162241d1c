//! What the endpoints of an upstream have in common, shared by all workers.

use crate::breaker::Breaker;
use crate::outlier::OutlierClock;

/// Lives as long as any configuration names the upstream.
#[derive(Debug, Default)]
pub struct UpstreamState {
    /// When its endpoints are compared.
    pub comparing: OutlierClock,
    /// The circuit breaker of them all.
    pub breaker: Breaker,
}
