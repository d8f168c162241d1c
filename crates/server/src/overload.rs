//! Overload: looks many times a second at how much there is to do, and says what is given up.
//!
//! Decided on the front's thread, which serves no requests, so that it works when workers are late; workers take it up with
//! their next tick.

mod memory;

use crate::sockets::Listening;
use foregate_admin::OverloadView;
use foregate_downstream::Admission;
use foregate_exchange::LoadLimits;
use foregate_policy::overload::{Cause, Ladder, Pressure, Rung};
use foregate_snapshot::{OverloadPlan, Snapshot};
use foregate_telemetry::clock::{Moment, now};
use foregate_telemetry::log::process;
use foregate_telemetry::metrics::{Exposition, Gauges, Kind};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// When it is looked again while nothing presses.
const CALM_INTERVAL: Duration = Duration::from_millis(100);
/// The same from [`PRESSED_PERCENT`] on.
const PRESSED_INTERVAL: Duration = Duration::from_millis(20);
/// From what pressure on it is looked more often.
const PRESSED_PERCENT: u32 = 50;
/// What a flood may take in a millisecond: 1 GB/s, which is more than workers read from sockets into new buffers. It is
/// looked again before such a flood has taken what is left of the memory.
const FLOOD_BYTES_PER_MS: u64 = 1_000_000;
/// The shortest interval.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(5);
/// How long after its last tick a worker that is on time has the next: its own interval, and what clocks and the looks
/// are apart.
const ON_TIME_MS: u64 = 250;

/// How the process stands, as workers and the front see it.
#[derive(Debug)]
pub(crate) struct Overload {
    rung: AtomicU8,
    /// See [`Overload::pause_above`].
    pause_above: Arc<AtomicUsize>,
    beats: Box<[Beat]>,
    taken: memory::Taken,
    inner: Mutex<Inner>,
}

/// What a worker tells of itself with every tick.
#[derive(Debug, Default)]
struct Beat {
    at_ms: AtomicU64,
    running: AtomicU32,
}

#[derive(Debug)]
struct Inner {
    plan: OverloadPlan,
    memory_max: Option<u64>,
    admissions: Vec<Arc<Admission>>,
    ladder: Ladder,
    pressure: Pressure,
    /// `None` when the system did not tell.
    memory_bytes: Option<u64>,
    is_blind_told: bool,
    looked: Moment,
    running: u32,
    delay_ms: u64,
    cause: Option<Cause>,
    since: Moment,
    changes: u64,
}

impl Overload {
    pub(crate) fn new(
        snapshot: &Snapshot,
        workers: usize,
        listening: &[Listening],
    ) -> Arc<Overload> {
        let inner = Inner {
            plan: snapshot.overload.clone(),
            memory_max: memory::limit(snapshot.overload.memory_max),
            admissions: admissions(snapshot, listening),
            ladder: Ladder::default(),
            pressure: Pressure::default(),
            memory_bytes: None,
            is_blind_told: false,
            looked: now(),
            running: 0,
            delay_ms: 0,
            cause: None,
            since: now(),
            changes: 0,
        };
        Arc::new(Overload {
            rung: AtomicU8::new(Rung::Calm as u8),
            pause_above: Arc::new(AtomicUsize::new(usize::MAX)),
            beats: (0..workers).map(|_| Beat::default()).collect(),
            taken: memory::Taken::new(),
            inner: Mutex::new(inner),
        })
    }

    /// Goes by another configuration from now on.
    pub(crate) fn reloaded(&self, snapshot: &Snapshot, listening: &[Listening]) {
        let mut inner = self.inner();
        inner.plan = snapshot.overload.clone();
        inner.memory_max = memory::limit(snapshot.overload.memory_max);
        inner.admissions = admissions(snapshot, listening);
    }

    /// One worker's share of the limits.
    pub(crate) fn share(&self, plan: &OverloadPlan) -> LoadLimits {
        let workers = u32::try_from(self.beats.len()).unwrap_or(u32::MAX).max(1);
        LoadLimits {
            requests_max: (plan.requests_max).map_or(u32::MAX, |max| max.div_ceil(workers)),
            requests_always: plan.requests_always.div_ceil(workers),
        }
    }

    /// A worker is alive, and serves so many requests; what it gives up from now on.
    pub(crate) fn beat(&self, worker: usize, running: u32) -> Rung {
        if let Some(beat) = self.beats.get(worker) {
            beat.running.store(running, Ordering::Relaxed);
            beat.at_ms.store(now().millis(), Ordering::Relaxed);
        }
        Rung::of(self.rung.load(Ordering::Relaxed))
    }

    /// A worker has ended, or a panic has ended it: it is not late from now on, and serves nothing.
    pub(crate) fn left(&self, worker: usize) {
        if let Some(beat) = self.beats.get(worker) {
            beat.running.store(0, Ordering::Relaxed);
            beat.at_ms.store(0, Ordering::Relaxed);
        }
    }

    /// Above how many open connections a worker accepts no more.
    pub(crate) fn pause_above(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.pause_above)
    }

    /// Looks again; how long until the next time.
    pub(crate) fn look(&self) -> Duration {
        let memory_bytes = self.taken.bytes();
        let mut inner = self.inner();
        if memory_bytes.is_none() && !std::mem::replace(&mut inner.is_blind_told, true) {
            process::warn(
                "overload: the system does not tell how much memory the process takes, so it is not bounded",
                &[("file", &"/proc/self/statm")],
            );
        }
        let looked = std::mem::replace(&mut inner.looked, now());
        let (running, delay_ms) = self.workers(inner.looked, looked);
        let of = |value: u64, max: Option<u64>| {
            max.map_or(0, |max| {
                u32::try_from(value.saturating_mul(100) / max.max(1)).unwrap_or(u32::MAX)
            })
        };
        let pressure = Pressure {
            memory: of(memory_bytes.unwrap_or(0), inner.memory_max),
            requests: of(u64::from(running), inner.plan.requests_max.map(u64::from)),
            delay: of(
                delay_ms,
                inner.plan.delay_max.map(|max| max.as_millis() as u64),
            ),
            connections: (inner.admissions.iter().map(|one| one.percent()).max()).unwrap_or(0),
        };
        let before = inner.ladder.rung();
        let steps = inner.plan.steps;
        let (rung, cause) = inner.ladder.look(&steps, pressure, now().millis());
        inner.pressure = pressure;
        inner.memory_bytes = memory_bytes;
        inner.running = running;
        inner.delay_ms = delay_ms;
        inner.cause = cause;
        let always = self.share(&inner.plan).requests_always as usize;
        let pause_above = if rung.pauses() { always } else { usize::MAX };
        self.pause_above.store(pause_above, Ordering::Relaxed);
        if rung != before {
            inner.since = now();
            inner.changes += 1;
            self.rung.store(rung as u8, Ordering::Relaxed);
            tell(before, rung, pressure, cause);
        }
        interval(pressure, memory_bytes.zip(inner.memory_max))
    }

    /// Requests that all workers serve, and how late the latest of them is.
    fn workers(&self, at: Moment, looked: Moment) -> (u32, u64) {
        let mut running = 0u32;
        let mut delay_ms = 0;
        for beat in &self.beats {
            running = running.saturating_add(beat.running.load(Ordering::Relaxed));
            let beat_ms = beat.at_ms.load(Ordering::Relaxed);
            // One that has not begun yet is not late, nor is one that has ended.
            if beat_ms > 0 {
                delay_ms = delay_ms.max(late_ms(beat_ms, at, looked));
            }
        }
        (running, delay_ms)
    }

    /// For people and tools.
    pub(crate) fn view(&self) -> OverloadView {
        let inner = self.inner();
        OverloadView {
            rung: inner.ladder.rung().name().to_owned(),
            cause: inner.cause.map(|cause| cause.name().to_owned()),
            since_seconds: now().millis().saturating_sub(inner.since.millis()) / 1000,
            changes: inner.changes,
            memory_bytes: inner.memory_bytes,
            memory_max_bytes: inner.memory_max,
            requests: inner.running,
            requests_max: inner.plan.requests_max,
            delay_ms: inner.delay_ms,
            pressure_percent: (inner.pressure.each().into_iter())
                .map(|(cause, percent)| (cause.name().to_owned(), percent))
                .collect(),
        }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Every look writes all of it anew, so a panic elsewhere leaves nothing that lasts.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long until the next look, by the pressure, and by what memory is taken of what there is.
fn interval(pressure: Pressure, memory: Option<(u64, u64)>) -> Duration {
    let highest = pressure.each().into_iter().map(|(_, percent)| percent);
    let longest = match highest.max() < Some(PRESSED_PERCENT) {
        true => CALM_INTERVAL,
        false => PRESSED_INTERVAL,
    };
    match memory {
        // What is short already is given back no faster than it is looked for.
        Some((taken, max)) if taken < max => {
            let left = Duration::from_millis((max - taken) / FLOOD_BYTES_PER_MS);
            longest.min(left.max(SHORTEST_INTERVAL))
        }
        _ => longest,
    }
}

/// How late a worker is whose last tick was at `beat_ms`. What this look, whose last was at `looked`, is late by itself is
/// not the worker's: the whole process was stopped, or has no processor.
fn late_ms(beat_ms: u64, at: Moment, looked: Moment) -> u64 {
    let own = at.since(looked).saturating_sub(CALM_INTERVAL);
    let due = beat_ms + ON_TIME_MS + own.as_millis() as u64;
    at.millis().saturating_sub(due)
}

fn admissions(snapshot: &Snapshot, listening: &[Listening]) -> Vec<Arc<Admission>> {
    let each = listening.iter().map(|one| {
        let crowded = snapshot.overload.steps.trim_percent;
        one.admission.set_crowded_percent(crowded);
        Arc::clone(&one.admission)
    });
    each.collect()
}

fn tell(before: Rung, rung: Rung, pressure: Pressure, cause: Option<Cause>) {
    let percent = |cause| pressure.each().into_iter().find(|&(of, _)| of == cause);
    let percent = cause.and_then(percent).map_or(0, |(_, percent)| percent);
    let cause = cause.map_or("none", Cause::name);
    let fields: [(&str, &dyn std::fmt::Display); 3] = [
        ("rung", &rung.name()),
        ("cause", &cause),
        ("percent", &percent),
    ];
    if rung > before {
        process::warn("overload: more is given up", &fields);
    } else {
        process::info("overload: less is given up", &fields);
    }
}

impl Gauges for Overload {
    fn collect(&self, out: &mut Exposition) {
        let rung = out.family(
            "foregate_overload_rung",
            Kind::Gauge,
            "What is given up for want of room: 0 nothing, 1 idle connections, 2 background requests, 3 normal requests, 4 new connections.",
        );
        let pressure = out.family(
            "foregate_overload_pressure_ratio",
            Kind::Gauge,
            "How much of a limit of the whole process is used.",
        );
        let running = out.family(
            "foregate_requests_in_flight",
            Kind::Gauge,
            "Requests and upgraded connections that are being served.",
        );
        let inner = self.inner();
        out.count(rung, &[], inner.ladder.rung() as u64);
        for (cause, percent) in inner.pressure.each() {
            let labels = [("cause", cause.name())];
            out.value(pressure, &labels, f64::from(percent) / 100.0);
        }
        out.count(running, &[], u64::from(inner.running));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(beat_ms: u64, looked_ms: u64, at_ms: u64, late: u64) {
        let at = Moment::from_millis;
        assert_eq!(late_ms(beat_ms, at(at_ms), at(looked_ms)), late);
    }

    #[test]
    fn no_flood_takes_what_memory_is_left_before_it_is_looked_again() {
        let check = |percent, taken_mb: u64, max_mb: u64, millis| {
            let pressure = Pressure {
                memory: percent,
                ..Pressure::default()
            };
            let memory = Some((taken_mb * 1_000_000, max_mb * 1_000_000));
            assert_eq!(interval(pressure, memory), Duration::from_millis(millis));
        };
        check(10, 800, 8_000, 100);
        check(60, 4_800, 8_000, 20);
        check(40, 16, 40, 24);
        check(80, 32, 40, 8);
        check(99, 39, 40, 5);
        check(125, 50, 40, 20);
        assert_eq!(interval(Pressure::default(), None), CALM_INTERVAL);
    }

    #[test]
    fn late_is_who_missed_ticks_that_others_had() {
        check(1_000, 1_200, 1_250, 0);
        check(1_000, 3_200, 3_250, 2_000);
    }

    #[test]
    fn nobody_is_late_when_all_were_stopped() {
        check(1_000, 1_050, 9_000, 0);
        // The second look after it is on time again, and so are they, or not.
        check(1_000, 9_000, 9_100, 7_850);
        check(9_010, 9_000, 9_100, 0);
    }
}
