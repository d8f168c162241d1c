use super::*;
use proptest::prelude::*;

const POLICY: OutlierPolicy = OutlierPolicy {
    interval_ms: 1_000,
    requests_min: 10,
    failures_above_percent: Some(30),
    latency_percent: Some(300),
    latency_floor_micros: 5_000,
};

const EJECTION: EjectionPolicy = EjectionPolicy {
    consecutive_failures: None,
    consecutive_gateway_errors: None,
    base_time_ms: 1_000,
    time_max_ms: 8_000,
    share_max_percent: 50,
};

/// Endpoints of which each had so many requests, so many of them failed, and so many µs to the first byte.
fn endpoints(figures: &[(u32, u32, u64)]) -> Vec<Arc<Endpoint>> {
    let one = |(requests, failures, micros): &(u32, u32, u64)| {
        let endpoint = Arc::new(Endpoint::new("", 1));
        for number in 0..*requests {
            let failed = number < *failures;
            let outcome = if failed {
                Outcome::GatewayError
            } else {
                Outcome::Success
            };
            note_outcome(&endpoint, outcome);
            note_latency(&endpoint, *micros);
        }
        endpoint
    };
    figures.iter().map(one).collect()
}

fn ejected(figures: &[(u32, u32, u64)]) -> Vec<(usize, EjectionCause)> {
    let all = endpoints(figures);
    let verdicts = compare(&all, 5, &POLICY, &EJECTION);
    let causes = verdicts
        .into_iter()
        .filter_map(|(index, verdict)| match verdict {
            Verdict::Ejected { cause, .. } => Some((index, cause)),
            Verdict::Unchanged | Verdict::Spared => None,
        });
    causes.collect()
}

#[test]
fn who_stands_out_is_ejected() {
    use EjectionCause::{FailureRate, Latency};
    for (figures, expected) in [
        (
            &[(100, 0, 900), (100, 0, 1_000), (100, 50, 1_000)][..],
            &[(2, FailureRate)][..],
        ),
        (
            &[(100, 0, 6_000), (100, 1, 7_000), (100, 0, 60_000)],
            &[(2, Latency)],
        ),
        // Two of three are no odd ones.
        (&[(100, 0, 900), (100, 90, 900), (100, 90, 900)], &[]),
        // All fail alike: the fault is elsewhere.
        (&[(100, 60, 900), (100, 70, 900), (100, 80, 900)], &[]),
        // Fast enough whatever the others do.
        (&[(100, 0, 100), (100, 0, 100), (100, 0, 4_000)], &[]),
        // Of two nobody can tell which is the odd one; one with few requests is no third.
        (&[(100, 0, 900), (100, 90, 900)], &[]),
        (&[(100, 0, 900), (100, 90, 900), (9, 0, 900)], &[]),
        // Half of them may be out at once, the worst first.
        (
            &[(99, 0, 9), (99, 0, 9), (99, 0, 9), (99, 99, 9), (99, 60, 9)],
            &[(3, FailureRate), (4, FailureRate)],
        ),
        (&[(99, 0, 9), (99, 0, 9), (99, 60, 9)], &[(2, FailureRate)]),
    ] {
        assert_eq!(ejected(figures), expected, "{figures:?}");
    }
}

#[test]
fn an_interval_begins_anew() {
    let all = endpoints(&[(100, 0, 9), (100, 0, 9), (100, 90, 9)]);
    assert_eq!(compare(&all, 5, &POLICY, &EJECTION).len(), 1);
    assert_eq!(compare(&all, 5_000, &POLICY, &EJECTION), []);
}

#[test]
fn one_worker_an_interval_compares() {
    let clock = OutlierClock::default();
    assert!(!clock.is_due(500, &POLICY), "the first interval begins");
    assert!(!clock.is_due(1_499, &POLICY));
    assert!(clock.is_due(1_500, &POLICY));
    assert!(!clock.is_due(1_500, &POLICY));
    assert!(clock.is_due(2_500, &POLICY));
}

proptest! {
    #[test]
    fn the_share_holds_and_the_median_is_never_ejected(
        figures in proptest::collection::vec((0..200_u32, 0..200_u32, 0..100_000_u64), 0..20),
        share in 0..=100_u32,
    ) {
        let figures: Vec<_> = figures.into_iter().map(|(n, f, t)| (n, f.min(n), t)).collect();
        let all = endpoints(&figures);
        let ejection = EjectionPolicy { share_max_percent: share, ..EJECTION };
        let _ = compare(&all, 5, &POLICY, &ejection);
        let out = all.iter().filter(|one| one.ejected_until_ms(5).is_some()).count();
        prop_assert!(out as u64 * 100 <= all.len() as u64 * u64::from(share));
        let judged = figures.iter().filter(|one| one.0 >= POLICY.requests_min).count();
        if judged < PEERS_MIN {
            prop_assert_eq!(out, 0);
        } else {
            // Each of the two figures can make outliers of less than half at most.
            prop_assert!(out <= 2 * (judged / 2));
        }
        for (endpoint, figures) in all.iter().zip(&figures) {
            prop_assert!(endpoint.ejected_until_ms(5).is_none() || figures.0 >= POLICY.requests_min);
        }
    }
}
