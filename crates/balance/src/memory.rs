//! What is known of an endpoint as plain values, so that another process can go on with it.

use std::sync::atomic::Ordering;

use crate::ejection::EjectionCause;
use crate::endpoint::Endpoint;
use crate::probe::Health;

/// Longer ejections are not taken over: a day.
const EJECTED_FOR_MS_MAX: u64 = 24 * 3_600_000;
/// More doublings than any ejection has a use for.
const EJECTIONS_MAX: u32 = 64;

/// What is known of an endpoint. Times are spans, since two processes have no clock in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What probes found.
    pub health: Health,
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// Gateway errors in a row.
    pub consecutive_gateway_errors: u32,
    /// For how long it is still left out, and why.
    pub ejected: Option<(u64, EjectionCause)>,
    /// How often it was ejected, less what time has healed.
    pub ejections: u32,
    /// How long it takes to answer, of late.
    pub latency_micros: Option<u64>,
}

impl Endpoint {
    /// What is known of it now.
    #[must_use]
    pub fn memory(&self, now_ms: u64) -> Memory {
        let state = self.state(now_ms);
        let until_ms = state.ejected_until_ms;
        Memory {
            health: state.health,
            consecutive_failures: state.consecutive_failures,
            consecutive_gateway_errors: state.consecutive_gateway_errors,
            ejected: (until_ms.map(|until_ms| until_ms - now_ms)).zip(state.ejection_cause),
            ejections: state.ejections,
            latency_micros: state.latency_micros,
        }
    }

    /// Takes up what another process knew. Nothing that it says can leave the endpoint out for longer than a day.
    pub fn recall(&self, memory: &Memory, now_ms: u64) {
        self.set_health(memory.health, now_ms);
        let rows = [
            (&self.failures, memory.consecutive_failures),
            (&self.gateway_errors, memory.consecutive_gateway_errors),
            (&self.ejections, memory.ejections.min(EJECTIONS_MAX)),
        ];
        for (cell, value) in rows {
            cell.store(value, Ordering::Relaxed);
        }
        if let Some((for_ms, cause)) = memory.ejected {
            let until_ms = now_ms.saturating_add(for_ms.min(EJECTED_FOR_MS_MAX));
            self.ejection_cause.store(cause as u8, Ordering::Relaxed);
            self.ejected_until_ms.store(until_ms, Ordering::SeqCst);
            self.begin_slowly(until_ms);
        }
        if let Some(micros) = memory.latency_micros {
            self.answered(micros, now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ejection::{EjectionPolicy, Outcome, observe};
    use std::sync::Arc;

    #[test]
    fn another_endpoint_goes_on_with_what_one_has_learnt() {
        let all: Vec<_> = (0..4).map(|_| Arc::new(Endpoint::new("a", 1))).collect();
        let policy = EjectionPolicy::default();
        all[0].answered(70_000, 90_000);
        all[0].set_health(Health::Unhealthy, 0);
        for _ in 0..5 {
            let _ = observe(&all[0], &all, Outcome::Failure, 90_000, &policy);
        }
        let memory = all[0].memory(94_000);
        let cause = EjectionCause::ConsecutiveFailures;
        assert_eq!(memory.ejected, Some((6_000, cause)));
        // The other process is younger.
        let other = Endpoint::new("a", 1);
        other.recall(&memory, 50);
        assert_eq!(other.memory(50), memory);
        assert_eq!(other.ejected_until_ms(6_049), Some(6_050));
        assert_eq!(other.ejected_until_ms(6_050), None);
        assert_eq!(Endpoint::new("a", 1).memory(50), Memory::default());
    }

    #[test]
    fn nobody_is_left_out_forever() {
        let endpoint = Endpoint::new("a", 1);
        let memory = Memory {
            ejected: Some((u64::MAX, EjectionCause::Latency)),
            ejections: u32::MAX,
            latency_micros: Some(u64::MAX),
            ..Memory::default()
        };
        endpoint.recall(&memory, 7);
        assert_eq!(endpoint.ejected_until_ms(8), Some(7 + EJECTED_FOR_MS_MAX));
        assert_eq!(endpoint.state(8).ejections, EJECTIONS_MAX);
    }
}
