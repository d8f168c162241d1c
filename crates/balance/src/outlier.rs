//! Outliers: endpoints that fail more often, or answer later, than their peers.
//!
//! What requests come to is counted by endpoint; once an interval all endpoints of an upstream are compared. Whoever had
//! too few requests is neither judged nor a measure for others, and with fewer than three left nobody is judged: of two
//! that differ, nobody can tell which is the odd one. Each is measured against the median of the others, so that a
//! fault that all share ejects nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::ejection::{EjectionCause, EjectionPolicy, Outcome, Verdict, eject};
use crate::endpoint::{AdminState, Endpoint};

/// How many endpoints with enough requests a comparison needs.
pub const PEERS_MIN: usize = 3;

/// Who is an outlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierPolicy {
    /// From one comparison to the next.
    pub interval_ms: u64,
    /// Requests within an interval without which an endpoint is left out of it.
    pub requests_min: u32,
    /// Its share of failures lies so many percentage points above the peers' median; `None` = not looked at.
    pub failures_above_percent: Option<u32>,
    /// Its mean time to the first byte is so many percent of the peers' median; `None` = not looked at.
    pub latency_percent: Option<u32>,
    /// A mean time to the first byte that is never too long.
    pub latency_floor_micros: u64,
}

/// What the requests of an interval came to.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Window {
    ended: AtomicU32,
    failed: AtomicU32,
    answered: AtomicU32,
    micros: AtomicU64,
}

/// When the endpoints of an upstream are compared next, agreed on among workers.
#[derive(Debug, Default)]
pub struct OutlierClock(AtomicU64);

impl OutlierClock {
    /// Whether it is this caller's turn to compare.
    #[inline]
    pub fn is_due(&self, now_ms: u64, policy: &OutlierPolicy) -> bool {
        let due_ms = self.0.load(Ordering::Relaxed);
        now_ms >= due_ms && self.turn(due_ms, now_ms, policy)
    }

    #[cold]
    fn turn(&self, due_ms: u64, now_ms: u64, policy: &OutlierPolicy) -> bool {
        let next_ms = now_ms.saturating_add(policy.interval_ms.max(1));
        let order = Ordering::Relaxed;
        let first = self.0.compare_exchange(due_ms, next_ms, order, order);
        // The very first interval begins now.
        first.is_ok() && due_ms != 0
    }
}

/// Takes note of how an attempt ended.
#[inline]
pub fn note_outcome(endpoint: &Endpoint, outcome: Outcome) {
    let window = &endpoint.window;
    window.ended.fetch_add(1, Ordering::Relaxed);
    if outcome != Outcome::Success {
        window.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Takes note of how long the first byte of an answer was waited for.
#[inline]
pub fn note_latency(endpoint: &Endpoint, micros: u64) {
    let window = &endpoint.window;
    window.answered.fetch_add(1, Ordering::Relaxed);
    window.micros.fetch_add(micros, Ordering::Relaxed);
}

/// Compares the endpoints of an upstream and ejects those that stand out; what that changed, by index. Begins the next
/// interval.
#[cold]
pub fn compare(
    endpoints: &[Arc<Endpoint>],
    now_ms: u64,
    policy: &OutlierPolicy,
    ejection: &EjectionPolicy,
) -> Vec<(usize, Verdict)> {
    let seen: Vec<Seen> = endpoints.iter().map(|one| Seen::take(one)).collect();
    let mut found: Vec<(usize, EjectionCause)> = Vec::new();
    let fit = |index: usize| {
        let endpoint = &endpoints[index];
        endpoint.admin() == AdminState::Enabled && endpoint.ejected_until_ms(now_ms).is_none()
    };
    if let Some(above) = policy.failures_above_percent {
        let share = |index: usize| {
            let one = &seen[index];
            (one.ended >= policy.requests_min.max(1) && fit(index))
                .then(|| u64::from(one.failed) * 10_000 / u64::from(one.ended))
        };
        let margin = u64::from(above) * 100;
        let stands_out = |own: u64, peers: u64| own > peers.saturating_add(margin);
        let cause = EjectionCause::FailureRate;
        found.extend(outliers(endpoints.len(), share, stands_out).map(|index| (index, cause)));
    }
    if let Some(percent) = policy.latency_percent {
        let mean = |index: usize| {
            let one = &seen[index];
            (one.answered >= policy.requests_min.max(1) && fit(index))
                .then(|| one.micros / u64::from(one.answered))
        };
        let stands_out = |own: u64, peers: u64| {
            own > policy.latency_floor_micros
                && u128::from(own) * 100 > u128::from(peers) * u128::from(percent)
        };
        let cause = EjectionCause::Latency;
        let slow = outliers(endpoints.len(), mean, stands_out);
        let slow = slow.filter(|index| found.iter().all(|(other, _)| other != index));
        let slow: Vec<_> = slow.map(|index| (index, cause)).collect();
        found.extend(slow);
    }
    let judged = found.into_iter().map(|(index, cause)| {
        let verdict = eject(&endpoints[index], endpoints, cause, now_ms, ejection);
        (index, verdict)
    });
    judged.collect()
}

/// What was counted in an interval.
struct Seen {
    ended: u32,
    failed: u32,
    answered: u32,
    micros: u64,
}

impl Seen {
    fn take(endpoint: &Endpoint) -> Seen {
        let window = &endpoint.window;
        let ended = window.ended.swap(0, Ordering::Relaxed);
        Seen {
            ended,
            // Counted a moment later than the other, and possibly in between.
            failed: window.failed.swap(0, Ordering::Relaxed).min(ended),
            answered: window.answered.swap(0, Ordering::Relaxed),
            micros: window.micros.swap(0, Ordering::Relaxed),
        }
    }
}

/// Those whose figure stands out from the median of the others; worst first.
fn outliers(
    count: usize,
    figure: impl Fn(usize) -> Option<u64>,
    stands_out: impl Fn(u64, u64) -> bool,
) -> impl Iterator<Item = usize> {
    let mut known: Vec<(u64, usize)> = (0..count)
        .filter_map(|index| figure(index).map(|figure| (figure, index)))
        .collect();
    known.sort_unstable();
    let enough = known.len() >= PEERS_MIN;
    // Without the one at `place` the list is one shorter; of two in its middle the upper one counts, so that less than
    // half of all can stand out.
    let peers = |place: usize| {
        let middle = (known.len() - 1) / 2;
        known[middle + usize::from(middle >= place)].0
    };
    let found: Vec<usize> = (0..known.len())
        .rev()
        .filter(|place| enough && stands_out(known[*place].0, peers(*place)))
        .map(|place| known[place].1)
        .collect();
    found.into_iter()
}

#[cfg(test)]
mod tests;
