//! The only place in the project that reads a clock.
//!
//! [`now`] is monotonic and counts microseconds since the process first asked; [`unix_now`] is the calendar.
//! [`unix_at`] turns the one into the other without a system call, so that a request that already knows its
//! [`Moment`] need not read a second clock for its log line.

use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub mod calendar;
pub mod deadlines;
pub mod http_date;
pub mod wheel;

pub use calendar::UnixTime;
pub use deadlines::Deadline;
pub use http_date::{http_date, http_date_of};

static START: OnceLock<u64> = OnceLock::new();

/// A point in monotonic time: microseconds since the process first read its clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The beginning of the process' time.
    pub const START: Moment = Moment(0);
    /// Later than every moment that comes.
    pub const NEVER: Moment = Moment(u64::MAX);

    /// The moment `micros` µs after the start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Moment {
        Moment(micros)
    }

    /// The moment `millis` ms after the start.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Moment {
        Moment(millis.saturating_mul(1_000))
    }

    /// Microseconds since the start.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the start.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 / 1_000
    }

    /// The moment `span` later; saturates at [`Moment::NEVER`].
    #[must_use]
    pub const fn plus(self, span: Duration) -> Moment {
        let micros = span.as_micros();
        if micros > u64::MAX as u128 {
            return Moment::NEVER;
        }
        Moment(self.0.saturating_add(micros as u64))
    }

    /// The moment `millis` ms later; saturates at [`Moment::NEVER`].
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Moment {
        Moment(self.0.saturating_add(millis.saturating_mul(1_000)))
    }

    /// The time from `earlier` to this moment, zero when `earlier` is the later of the two.
    #[must_use]
    pub const fn since(self, earlier: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Microseconds from `earlier` to this moment, zero when `earlier` is the later of the two.
    #[must_use]
    pub const fn micros_since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The present moment.
#[must_use]
#[inline]
pub fn now() -> Moment {
    let start = *START.get_or_init(monotonic_micros);
    let micros = monotonic_micros() - start;
    RECENT.set(micros);
    Moment(micros)
}

/// The system's monotonic clock. `Instant` reads the same one, but takes three times the instructions to tell the
/// distance of two readings, and a request reads it three times.
#[inline]
#[expect(
    clippy::disallowed_methods,
    reason = "the clock's room is where clocks are read"
)]
fn monotonic_micros() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // The monotonic clock counts from the machine's start: it is never negative.
    time.tv_sec.cast_unsigned() * 1_000_000 + time.tv_nsec.cast_unsigned() / 1_000
}

thread_local! {
    static RECENT: Cell<u64> = const { Cell::new(0) };
}

/// The moment at which this thread last asked for [`now`]: free, and good enough wherever a few microseconds are. A thread's
/// loop asks each time that it has looked for events, and so does each request as it is settled.
#[must_use]
#[inline]
pub fn recent() -> Moment {
    Moment(RECENT.get())
}

/// The calendar's present.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the clock's room is where clocks are read"
)]
pub fn unix_now() -> UnixTime {
    let span = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime::from_micros(span.as_secs() * 1_000_000 + u64::from(span.subsec_micros()))
}

/// Unix time (µs) of [`Moment::START`] as last measured; 0 = never measured.
static UNIX_OF_START: AtomicU64 = AtomicU64::new(0);
/// The moment (µs) from which the measure above is taken again.
static MEASURE_AGAIN_AT: AtomicU64 = AtomicU64::new(0);

/// The calendar time of a moment of the last second or so.
///
/// The distance between the two clocks is measured anew once a second, so a calendar that is set or slewed is
/// followed within that time. Costs two loads otherwise.
#[must_use]
#[inline]
pub fn unix_at(moment: Moment) -> UnixTime {
    let start = if moment.0 < MEASURE_AGAIN_AT.load(Ordering::Relaxed) {
        UNIX_OF_START.load(Ordering::Relaxed)
    } else {
        measure_unix_of_start()
    };
    UnixTime::from_micros(start.saturating_add(moment.0))
}

#[cold]
fn measure_unix_of_start() -> u64 {
    let present = now();
    let start = unix_now().micros().saturating_sub(present.0);
    UNIX_OF_START.store(start, Ordering::Relaxed);
    MEASURE_AGAIN_AT.store(present.0 + 1_000_000, Ordering::Relaxed);
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_add_and_subtract_without_wrapping() {
        let moment = Moment::from_millis(1_500);
        assert_eq!(moment.millis(), 1_500);
        assert_eq!(moment.plus(Duration::from_secs(1)).millis(), 2_500);
        assert_eq!(moment.plus_millis(3).micros(), 1_503_000);
        assert_eq!(
            moment.since(Moment::from_millis(500)),
            Duration::from_secs(1)
        );
        assert_eq!(Moment::START.since(moment), Duration::ZERO);
        assert_eq!(moment.plus(Duration::MAX), Moment::NEVER);
        assert_eq!(Moment::NEVER.plus_millis(1), Moment::NEVER);
    }

    #[test]
    fn the_clock_runs_forward() {
        let first = now();
        while now().micros_since(first) < 2_000 {
            std::thread::yield_now();
        }
        assert!(now() > first);
    }

    #[test]
    fn a_moment_has_its_calendar_time() {
        let direct = unix_now().micros();
        let derived = unix_at(now()).micros();
        assert!(direct.abs_diff(derived) < 500_000, "{direct} {derived}");
    }
}
