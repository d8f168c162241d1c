use super::*;
use proptest::prelude::*;

const RHYTHM: Rhythm = Rhythm {
    interval_ms: 5_000,
    failing_interval_ms: 1_000,
    timeout_ms: 500,
    rise: 2,
    fall: 3,
};

fn result(at_ms: u64, fault: Option<ProbeFault>) -> ProbeResult {
    ProbeResult {
        at_ms,
        micros: 7,
        fault,
    }
}

/// What becomes of the verdict, a letter each: `+` good, `-` bad, `x` nobody's fault; H, U where it changes.
fn verdicts(script: &str) -> String {
    let mut record = ProbeRecord::new();
    let step = |(at, letter): (usize, char)| {
        let fault = match letter {
            '+' => None,
            '-' => Some(ProbeFault::Timeout),
            _ => Some(ProbeFault::Exhausted),
        };
        match record.record(result(at as u64, fault), &RHYTHM) {
            Some(Health::Healthy) => 'H',
            Some(Health::Unhealthy) => 'U',
            _ => '.',
        }
    };
    script.chars().enumerate().map(step).collect()
}

#[test]
fn the_first_answer_decides_and_then_rows_do() {
    for (script, expected) in [
        ("+--+---", "H.....U"),
        ("-+-++", "U...H"),
        ("+-x-x-", "H....U"),
        ("x+", ".H"),
        ("---+++---", "U...H...U"),
    ] {
        assert_eq!(verdicts(script), expected, "{script}");
    }
}

#[test]
fn the_history_is_a_ring_in_order() {
    let mut record = ProbeRecord::new();
    assert!(record.last().is_none());
    for at in 0..PROBE_HISTORY_MAX as u64 + 5 {
        let fault = (at % 2 == 1).then_some(ProbeFault::Status(503));
        record.record(result(at, fault), &RHYTHM);
        let ends = (record.history().last().copied(), record.last().copied());
        assert_eq!(ends.0, ends.1);
    }
    let times: Vec<u64> = record.history().map(|result| result.at_ms).collect();
    assert_eq!(times, (5..21).collect::<Vec<u64>>());
    assert_eq!(record.counts(), (21, 10));
    assert_eq!(
        record.history().next().unwrap().fault.unwrap().status(),
        Some(503)
    );
}

#[test]
fn probes_come_sooner_while_something_is_wrong() {
    let mut record = ProbeRecord::new();
    let within = |record: &ProbeRecord, interval: u64| {
        for random in 0..200 {
            let wait = record.wait_ms(&RHYTHM, random);
            assert!(
                wait.abs_diff(interval) <= interval / 10,
                "{wait} {interval}"
            );
        }
    };
    record.record(result(0, None), &RHYTHM);
    within(&record, 5_000);
    record.record(result(1, Some(ProbeFault::Closed)), &RHYTHM);
    assert_eq!(record.health(), Health::Healthy);
    within(&record, 1_000);
    record.record(result(2, None), &RHYTHM);
    within(&record, 5_000);
    for at in 3..6 {
        record.record(result(at, Some(ProbeFault::Connect)), &RHYTHM);
    }
    assert_eq!((record.health(), record.since_ms()), (Health::Unhealthy, 5));
    within(&record, 1_000);
}

proptest! {
    /// Against the rule said in another way: a verdict stands until a row of the needed length speaks against it.
    #[test]
    fn rows_decide(
        answers in proptest::collection::vec(any::<bool>(), 1..200),
        rise in 1..5_u32,
        fall in 1..5_u32,
    ) {
        let rhythm = Rhythm { rise, fall, ..RHYTHM };
        let mut record = ProbeRecord::new();
        for end in 1..=answers.len() {
            let good = answers[end - 1];
            let before = record.health();
            let fault = (!good).then_some(ProbeFault::Body);
            let changed = record.record(result(end as u64, fault), &rhythm);
            let row = answers[..end].iter().rev().take_while(|one| **one == good).count() as u32;
            let heard = if good { Health::Healthy } else { Health::Unhealthy };
            let needed = if good { rise } else { fall };
            let expected = before == Health::Unknown || before != heard && row >= needed;
            prop_assert_eq!(changed, expected.then_some(heard));
        }
    }

    #[test]
    fn waits_are_never_nothing(interval_ms in any::<u64>(), failing_interval_ms in any::<u64>(), random in any::<u64>()) {
        let rhythm = Rhythm { interval_ms, failing_interval_ms, ..RHYTHM };
        let record = ProbeRecord::new();
        prop_assert!(record.wait_ms(&rhythm, random) >= 1);
    }
}
