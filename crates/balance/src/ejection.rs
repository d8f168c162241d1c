//! Passive ejection: an endpoint that fails where its siblings do not takes no requests for a while.
//!
//! - Two rows are counted, each with a threshold of its own: failures to answer at all, and answers by which the endpoint
//!   says itself that it is unable (502, 503, 504). A success ends both. [`crate::outlier`] finds those who fail more
//!   often, or answer later, than their peers.
//! - The time doubles with every further ejection, up to a maximum, and is halved again for each such maximum that
//!   the endpoint stays without ejection.
//! - An endpoint that comes back is on probation: its first failure ejects it again, its first success clears it.
//! - At most a share of the enabled endpoints is ejected at once. An ejection is entered first and counted after, and
//!   taken back when the count is too high; of workers that eject at the same time, the one that counts last sees
//!   them all. So the cap may be exceeded between those two steps, by one endpoint a worker at most, and never
//!   afterwards; two that meet at the cap may both step back, and the next failure decides.
//! - When nothing else is left, pickers use ejected endpoints all the same (see [`crate::PickReason::Panic`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::endpoint::{AdminState, Endpoint};

/// When endpoints are ejected, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectionPolicy {
    /// Failures in a row that eject; `None` = never.
    pub consecutive_failures: Option<u32>,
    /// Gateway errors in a row that eject; `None` = never.
    pub consecutive_gateway_errors: Option<u32>,
    /// The first ejection's time.
    pub base_time_ms: u64,
    /// The longest ejection's time.
    pub time_max_ms: u64,
    /// How many of the enabled endpoints may be ejected at once, in percent, rounded down.
    pub share_max_percent: u32,
}

impl Default for EjectionPolicy {
    fn default() -> EjectionPolicy {
        EjectionPolicy {
            consecutive_failures: Some(5),
            consecutive_gateway_errors: Some(5),
            base_time_ms: 10_000,
            time_max_ms: 300_000,
            share_max_percent: 50,
        }
    }
}

/// How an attempt at an endpoint ended, as far as its health goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered.
    Success,
    /// It could not be reached, or did not answer in time or in order.
    Failure,
    /// It answered that it is unable: 502, 503 or 504.
    GatewayError,
}

/// Why an endpoint was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EjectionCause {
    /// It failed several times in a row.
    ConsecutiveFailures = 1,
    /// It said several times in a row that it is unable.
    ConsecutiveGatewayErrors = 2,
    /// It failed more often than its peers.
    FailureRate = 3,
    /// It answered later than its peers.
    Latency = 4,
}

impl EjectionCause {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EjectionCause::ConsecutiveFailures => "consecutive-failures",
            EjectionCause::ConsecutiveGatewayErrors => "consecutive-gateway-errors",
            EjectionCause::FailureRate => "failure-rate",
            EjectionCause::Latency => "latency",
        }
    }

    pub(crate) const fn of(number: u8) -> Option<EjectionCause> {
        Some(match number {
            1 => EjectionCause::ConsecutiveFailures,
            2 => EjectionCause::ConsecutiveGatewayErrors,
            3 => EjectionCause::FailureRate,
            4 => EjectionCause::Latency,
            _ => return None,
        })
    }
}

/// What an outcome changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing worth telling.
    Unchanged,
    /// It is ejected from now on.
    Ejected {
        /// Until when.
        until_ms: u64,
        /// Why.
        cause: EjectionCause,
    },
    /// It would be ejected, but as many as may be are ejected already.
    Spared,
}

impl Verdict {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Unchanged => "unchanged",
            Verdict::Ejected { .. } => "ejected",
            Verdict::Spared => "spared",
        }
    }
}

/// Takes note of an attempt's outcome. `siblings` are all endpoints of the upstream, this one among them.
///
/// Costs one load after a success that follows a success; siblings are only counted when an ejection is due.
#[inline]
pub fn observe(
    endpoint: &Endpoint,
    siblings: &[Arc<Endpoint>],
    outcome: Outcome,
    now_ms: u64,
    policy: &EjectionPolicy,
) -> Verdict {
    match outcome {
        Outcome::Success => {
            if endpoint.failures.load(Ordering::Relaxed) != 0 {
                endpoint.failures.store(0, Ordering::Relaxed);
            }
            if endpoint.gateway_errors.load(Ordering::Relaxed) != 0 {
                endpoint.gateway_errors.store(0, Ordering::Relaxed);
            }
            Verdict::Unchanged
        }
        Outcome::Failure => {
            let row = (&endpoint.failures, policy.consecutive_failures);
            let cause = EjectionCause::ConsecutiveFailures;
            failure(endpoint, siblings, row, cause, now_ms, policy)
        }
        Outcome::GatewayError => {
            let row = (&endpoint.gateway_errors, policy.consecutive_gateway_errors);
            let cause = EjectionCause::ConsecutiveGatewayErrors;
            failure(endpoint, siblings, row, cause, now_ms, policy)
        }
    }
}

#[cold]
fn failure(
    endpoint: &Endpoint,
    siblings: &[Arc<Endpoint>],
    (row, threshold): (&AtomicU32, Option<u32>),
    cause: EjectionCause,
    now_ms: u64,
    policy: &EjectionPolicy,
) -> Verdict {
    let ended_ms = endpoint.ejected_until_ms.load(Ordering::SeqCst);
    if ended_ms > now_ms {
        // What still comes in from before the ejection, or was tried for want of another, is no news.
        return Verdict::Unchanged;
    }
    let failures = row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
    let threshold = match threshold {
        Some(threshold) if failures >= threshold => threshold,
        _ => return Verdict::Unchanged,
    };
    let verdict = eject(endpoint, siblings, cause, now_ms, policy);
    if let Verdict::Ejected { .. } = verdict {
        // Probation: the next failure after its return is enough.
        row.store(threshold.saturating_sub(1), Ordering::Relaxed);
    }
    verdict
}

/// Lets an endpoint that was ejected for failures in a row come back before its time, since probes find it well.
///
/// `is_mended`: the probes had seen the fault themselves, and now see its end. Otherwise only a first ejection ends: one
/// that follows another shows that requests meet what probes don't. Its probation is as it would have been.
pub fn acquit(endpoint: &Endpoint, is_mended: bool, now_ms: u64) -> bool {
    let until_ms = endpoint.ejected_until_ms.load(Ordering::SeqCst);
    let cause = EjectionCause::of(endpoint.ejection_cause.load(Ordering::Relaxed));
    let in_a_row = matches!(
        cause,
        Some(EjectionCause::ConsecutiveFailures | EjectionCause::ConsecutiveGatewayErrors)
    );
    let is_first = endpoint.ejections.load(Ordering::Relaxed) <= 1;
    if until_ms <= now_ms || !in_a_row || !(is_mended || is_first) {
        return false;
    }
    // Unless a worker has changed its mind just now.
    let is_back = endpoint
        .ejected_until_ms
        .compare_exchange(until_ms, now_ms, Ordering::SeqCst, Ordering::SeqCst)
        .is_ok();
    if is_back {
        // It begins slowly now, and not when it was to be back.
        endpoint.since_ms.store(now_ms.max(1), Ordering::Relaxed);
    }
    is_back
}

/// Ejects an endpoint that is not ejected, if as many as may be are not ejected already.
pub(crate) fn eject(
    endpoint: &Endpoint,
    siblings: &[Arc<Endpoint>],
    cause: EjectionCause,
    now_ms: u64,
    policy: &EjectionPolicy,
) -> Verdict {
    let ended_ms = endpoint.ejected_until_ms.load(Ordering::SeqCst);
    if ended_ms > now_ms {
        return Verdict::Unchanged;
    }
    let ejections = decayed(endpoint, ended_ms, now_ms, policy);
    let until_ms = now_ms
        .saturating_add(ejection_time_ms(ejections, policy))
        .max(now_ms.saturating_add(1));
    let entered = endpoint.ejected_until_ms.compare_exchange(
        ended_ms,
        until_ms,
        Ordering::SeqCst,
        Ordering::SeqCst,
    );
    if entered.is_err() {
        // Another worker did it just now.
        return Verdict::Unchanged;
    }
    if exceeds_share(siblings, now_ms, policy) {
        // Unless a worker with a later clock has begun the next one already.
        let _ = endpoint.ejected_until_ms.compare_exchange(
            until_ms,
            ended_ms,
            Ordering::SeqCst,
            Ordering::SeqCst,
        );
        return Verdict::Spared;
    }
    endpoint.begin_slowly(until_ms);
    endpoint
        .ejections
        .store(ejections.saturating_add(1), Ordering::Relaxed);
    endpoint
        .ejection_cause
        .store(cause as u8, Ordering::Relaxed);
    Verdict::Ejected { until_ms, cause }
}

/// The doublings that are left after the time since the last ejection.
fn decayed(endpoint: &Endpoint, ended_ms: u64, now_ms: u64, policy: &EjectionPolicy) -> u32 {
    let healthy_ms = now_ms.saturating_sub(ended_ms);
    let steps = healthy_ms / policy.time_max_ms.max(1);
    let ejections = endpoint.ejections.load(Ordering::Relaxed);
    ejections.saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX))
}

fn ejection_time_ms(ejections: u32, policy: &EjectionPolicy) -> u64 {
    let factor = 1_u64.checked_shl(ejections).unwrap_or(u64::MAX);
    policy
        .base_time_ms
        .saturating_mul(factor)
        .min(policy.time_max_ms)
}

/// Whether more of the enabled endpoints are ejected than may be.
fn exceeds_share(siblings: &[Arc<Endpoint>], now_ms: u64, policy: &EjectionPolicy) -> bool {
    let (mut enabled, mut ejected) = (0_u64, 0_u64);
    for sibling in siblings {
        if sibling.admin() == AdminState::Enabled {
            enabled += 1;
            ejected += u64::from(sibling.ejected_until_ms.load(Ordering::SeqCst) > now_ms);
        }
    }
    ejected * 100 > enabled * u64::from(policy.share_max_percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: EjectionPolicy = EjectionPolicy {
        consecutive_failures: Some(3),
        consecutive_gateway_errors: Some(2),
        base_time_ms: 1_000,
        time_max_ms: 8_000,
        share_max_percent: 50,
    };

    fn endpoints(count: usize) -> Vec<Arc<Endpoint>> {
        (0..count)
            .map(|number| Arc::new(Endpoint::new(number.to_string(), 1)))
            .collect()
    }

    const fn ejected(until_ms: u64) -> Verdict {
        let cause = EjectionCause::ConsecutiveFailures;
        Verdict::Ejected { until_ms, cause }
    }

    fn fail(all: &[Arc<Endpoint>], index: usize, now_ms: u64) -> Verdict {
        observe(&all[index], all, Outcome::Failure, now_ms, &POLICY)
    }

    #[test]
    fn failures_in_a_row_eject_and_successes_break_the_row() {
        let all = endpoints(4);
        assert_eq!(fail(&all, 0, 1), Verdict::Unchanged);
        assert_eq!(fail(&all, 0, 2), Verdict::Unchanged);
        let success = observe(&all[0], &all, Outcome::Success, 3, &POLICY);
        assert_eq!(success, Verdict::Unchanged);
        assert_eq!(fail(&all, 0, 4), Verdict::Unchanged);
        assert_eq!(fail(&all, 0, 5), Verdict::Unchanged);
        assert_eq!(fail(&all, 0, 6), ejected(1_006));
        assert_eq!(all[0].ejected_until_ms(1_005), Some(1_006));
        assert_eq!(all[0].ejected_until_ms(1_006), None);
        assert_eq!(fail(&all, 0, 500), Verdict::Unchanged, "late news");
        assert_eq!(all[0].ejected_until_ms(999), Some(1_006));
    }

    #[test]
    fn gateway_errors_are_a_row_of_their_own() {
        let all = endpoints(4);
        let unable = |now_ms| observe(&all[0], &all, Outcome::GatewayError, now_ms, &POLICY);
        assert_eq!(fail(&all, 0, 1), Verdict::Unchanged);
        assert_eq!(unable(2), Verdict::Unchanged);
        assert_eq!(fail(&all, 0, 3), Verdict::Unchanged);
        let cause = EjectionCause::ConsecutiveGatewayErrors;
        let until_ms = 1_004;
        assert_eq!(unable(4), Verdict::Ejected { until_ms, cause });
        assert_eq!(all[0].state(5).ejection_cause, Some(cause));
        assert_eq!(all[0].state(until_ms).ejection_cause, None);
        let _ = observe(&all[0], &all, Outcome::Success, 2_000, &POLICY);
        assert_eq!(unable(2_001), Verdict::Unchanged);
    }

    #[test]
    fn probation_ends_with_a_success() {
        let all = endpoints(4);
        for now in 0..3 {
            let _ = fail(&all, 0, now);
        }
        let again = fail(&all, 0, 2_000);
        assert_eq!(again, ejected(4_000));
        let _ = observe(&all[0], &all, Outcome::Success, 4_100, &POLICY);
        assert_eq!(fail(&all, 0, 4_200), Verdict::Unchanged);
    }

    #[test]
    fn probes_end_a_first_ejection_and_any_whose_fault_they_saw() {
        let all = endpoints(4);
        for now in 0..3 {
            let _ = fail(&all, 0, now);
        }
        assert!(acquit(&all[0], false, 500));
        assert_eq!(all[0].ejected_until_ms(500), None);
        assert!(!acquit(&all[0], true, 500), "it is not ejected");
        assert_eq!(fail(&all, 0, 600), ejected(2_600), "on probation");
        assert!(
            !acquit(&all[0], false, 700),
            "probes don't see what requests meet"
        );
        assert!(acquit(&all[0], true, 700));
        // Who is slower than its peers may be as well as can be.
        let _ = eject(&all[1], &all, EjectionCause::Latency, 700, &POLICY);
        assert!(!acquit(&all[1], true, 701));
    }

    #[test]
    fn time_doubles_to_its_maximum_and_decays() {
        let all = endpoints(4);
        let mut now = 0;
        for _ in 0..2 {
            let _ = fail(&all, 0, now);
        }
        for expected in [1_000, 2_000, 4_000, 8_000, 8_000, 8_000] {
            let until_ms = now + expected;
            assert_eq!(fail(&all, 0, now), ejected(until_ms));
            now = until_ms;
        }
        // Six doublings, four of them forgotten.
        now += 4 * POLICY.time_max_ms;
        let until_ms = now + 4_000;
        assert_eq!(fail(&all, 0, now), ejected(until_ms));
        now = until_ms + 1_000 * POLICY.time_max_ms;
        let until_ms = now + 1_000;
        assert_eq!(fail(&all, 0, now), ejected(until_ms));
    }

    #[test]
    fn the_share_is_of_the_enabled() {
        let all = endpoints(5);
        all[4].set_admin(AdminState::Disabled);
        for index in 0..2 {
            for _ in 0..2 {
                let _ = fail(&all, index, 0);
            }
            assert_eq!(fail(&all, index, 0), ejected(1_000));
        }
        for _ in 0..2 {
            let _ = fail(&all, 2, 0);
        }
        assert_eq!(fail(&all, 2, 0), Verdict::Spared);
        assert_eq!(all[2].ejected_until_ms(0), None);
        // A place comes free with time.
        assert_eq!(fail(&all, 2, 1_000), ejected(2_000));
    }

    #[test]
    fn a_single_endpoint_is_spared_and_off_is_off() {
        let one = endpoints(1);
        for _ in 0..2 {
            let _ = fail(&one, 0, 0);
        }
        assert_eq!(fail(&one, 0, 0), Verdict::Spared);
        let off = EjectionPolicy {
            consecutive_failures: None,
            ..POLICY
        };
        let all = endpoints(4);
        for now in 0..1_000 {
            let verdict = observe(&all[0], &all, Outcome::Failure, now, &off);
            assert_eq!(verdict, Verdict::Unchanged);
        }
    }

    #[test]
    fn extreme_numbers_do_no_harm() {
        let all = endpoints(4);
        let policy = EjectionPolicy {
            consecutive_failures: Some(0),
            consecutive_gateway_errors: None,
            base_time_ms: 0,
            time_max_ms: 0,
            share_max_percent: 100,
        };
        let fail = |index: usize, now, policy: &_| {
            observe(&all[index], &all, Outcome::Failure, now, policy)
        };
        assert_eq!(fail(0, 5, &policy), ejected(6));
        let policy = EjectionPolicy {
            base_time_ms: u64::MAX,
            time_max_ms: u64::MAX,
            ..policy
        };
        let until_ms = u64::MAX;
        assert_eq!(fail(1, 5, &policy), ejected(until_ms));
    }

    proptest! {
        #[test]
        fn the_share_holds_whatever_fails(
            count in 1..12_usize,
            share in 0..=100_u32,
            failures in proptest::collection::vec((0..12_usize, 0..600_u64), 1..300),
        ) {
            let all = endpoints(count);
            let policy = EjectionPolicy { share_max_percent: share, ..POLICY };
            let mut now = 0;
            for (index, later) in failures {
                now += later;
                let _ = observe(&all[index % count], &all, Outcome::Failure, now, &policy);
                let ejected = all.iter().filter(|one| one.ejected_until_ms(now).is_some()).count();
                prop_assert!(ejected as u64 * 100 <= count as u64 * u64::from(share));
            }
        }
    }

    #[test]
    fn the_share_holds_among_workers() {
        let policy = EjectionPolicy {
            consecutive_failures: Some(1),
            ..POLICY
        };
        let out = |all: &[Arc<Endpoint>]| {
            all.iter()
                .filter(|one| one.ejected_until_ms(7).is_some())
                .count()
        };
        for _ in 0..200 {
            let all = endpoints(10);
            let start = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for worker in 0..4 {
                    let (all, start) = (&all, &start);
                    scope.spawn(move || {
                        start.wait();
                        for step in 0..10 {
                            let index = (step + worker * 3) % 10;
                            let _ = observe(&all[index], all, Outcome::Failure, 7, &policy);
                            // The other three may be between entering and counting.
                            assert!(out(all) <= 5 + 3);
                        }
                    });
                }
            });
            assert!(out(&all) <= 5, "afterwards it holds exactly");
            for endpoint in &all {
                let _ = observe(endpoint, &all, Outcome::Failure, 7, &policy);
            }
            assert_eq!(out(&all), 5, "and it is made use of");
        }
    }
}
