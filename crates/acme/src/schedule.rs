//! When to order: pure, of virtual time.
//!
//! ```text
//!            due: no certificate, or its renewal time has come, or the operator asks
//!  resting ───────────────────────────► ordering ── success ──► resting (hold: a third of the life)
//!     ▲                                    │
//!     └───── hold: back-off, Retry-After ◄─┘ failure
//! ```
//!
//! Renewal times are calendar times, holds are monotonic: a calendar that jumps can make one order too early, and
//! then the hold keeps the next one away. The internal CA costs nothing: what is not valid now is replaced now.

use std::time::Duration;

use foregate_telemetry::clock::{Moment, UnixTime};

/// The spans that govern orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The hold after the first failure; doubled by each one that follows. Two minutes keep within the five failed
    /// validations an hour that public CAs allow.
    pub backoff_first: Duration,
    /// The same when the server was not even reached, which costs it nothing: as at boot, before the network is there.
    pub backoff_unreached: Duration,
    /// The longest hold after failures, without jitter.
    pub backoff_max: Duration,
    /// The shortest span between two orders for one certificate, whatever else says.
    pub floor: Duration,
    /// The longest time that a server's Retry-After is believed.
    pub retry_after_max: Duration,
    /// How often renewal information is asked for when the server does not say (RFC 9773 §4.3.2).
    pub window_poll: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            backoff_first: Duration::from_secs(120),
            backoff_unreached: Duration::from_secs(10),
            backoff_max: Duration::from_secs(6 * 3_600),
            floor: Duration::from_secs(5),
            retry_after_max: Duration::from_secs(7 * 86_400),
            window_poll: Duration::from_secs(WINDOW_POLL_SECONDS),
        }
    }
}

/// When renewal information is asked for again if the server does not say (RFC 9773 §4.3.2).
pub(crate) const WINDOW_POLL_SECONDS: u64 = 6 * 3_600;

/// Bounds of the span between two questions for renewal information, whatever the server says (RFC 9773 §4.3.3).
const WINDOW_POLL_MIN: Duration = Duration::from_secs(60);
const WINDOW_POLL_MAX: Duration = Duration::from_secs(86_400);

/// The longest hold after a success when the CA suggests when to renew.
const WINDOW_HOLD: Duration = Duration::from_secs(3_600);

/// The longest hold after a success once the certificate is over: the monotonic clock stands still while a machine sleeps.
const OVER_HOLD: Duration = Duration::from_secs(3_600);

/// A span of calendar time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its beginning.
    pub start: UnixTime,
    /// Its end.
    pub end: UnixTime,
}

impl Span {
    /// Its length; zero when it ends before it begins.
    #[must_use]
    pub fn length(self) -> Duration {
        Duration::from_micros(self.end.micros().saturating_sub(self.start.micros()))
    }

    /// Whether a moment is in it.
    fn contains(self, moment: UnixTime) -> bool {
        (self.start..self.end).contains(&moment)
    }

    /// The point at `parts` of `of` equal parts.
    fn at(self, parts: u64, of: u64) -> UnixTime {
        let length = u128::from(self.end.micros().saturating_sub(self.start.micros()));
        let into = length * u128::from(parts) / u128::from(of.max(1));
        UnixTime::from_micros(self.start.micros().saturating_add(into as u64))
    }
}

/// When a certificate of this life is renewed. `seed` is a random number that stays the same for one certificate, so
/// that the answer does too, also in another process (RFC 9773 §4.2 asks for one choice a window).
///
/// Within the window that the CA suggests; otherwise at two thirds of the life, less up to a 24th so that certificates
/// issued together part. Never later than nine tenths of the life.
#[must_use]
pub fn renew_at(life: Span, window: Option<Span>, seed: u64) -> UnixTime {
    let part = seed % 1_000;
    let chosen = match window.filter(|window| window.end > window.start) {
        Some(window) => window.at(part, 1_000),
        None => life.at(16_000 - part, 24_000),
    };
    chosen.min(life.at(9, 10))
}

/// How an order failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setback {
    /// Whether the server was reached at all.
    pub reached: bool,
    /// How long it wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// What failures of an earlier process left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Failures in a row.
    pub failures: u32,
    /// How long it would still have held.
    pub held: Duration,
    /// How much of that the server itself asked for.
    pub asked: Duration,
}

/// The hold after `failures` failures in a row; `random` is a fresh random number.
#[must_use]
pub fn hold_after(timing: &Timing, failures: u32, setback: Setback, random: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    let first = match setback.reached {
        true => timing.backoff_first,
        false => timing.backoff_unreached,
    };
    let plain = first.saturating_mul(1 << doublings).min(timing.backoff_max);
    // Three to five quarters, so that gateways that failed together do not come back together.
    let jittered = plain.saturating_mul(750 + (random % 501) as u32) / 1_000;
    let asked = setback
        .retry_after
        .unwrap_or_default()
        .min(timing.retry_after_max);
    jittered.max(asked).max(timing.floor)
}

/// What a certificate's schedule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing before this span has passed (or something else has changed).
    Nothing(Duration),
    /// The server should be asked for renewal information.
    Window,
    /// An order.
    Order,
}

/// The longest rest before the calendar is looked at again: what a clock that jumps can cost.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The schedule of one certificate.
#[derive(Clone, Debug)]
pub struct Schedule {
    life: Option<Span>,
    window: Option<Span>,
    seed: u64,
    failures: u32,
    held_until: Moment,
    /// How much of that the server itself asked for.
    asked_until: Moment,
    /// When an order of this process brought what is there.
    issued_at: Option<Moment>,
    /// Whether that was over by the calendar from its beginning on, so that the calendar is not to be believed.
    over_at_once: bool,
    /// Whether orders cost nothing, as those of the internal CA.
    is_free: bool,
    /// When renewal information is asked for again; `None`: the server offers none, or there is no certificate.
    window_at: Option<Moment>,
}

impl Schedule {
    /// Of a certificate that is not there yet.
    #[must_use]
    pub fn new() -> Schedule {
        Schedule {
            life: None,
            window: None,
            seed: 0,
            failures: 0,
            held_until: Moment::START,
            asked_until: Moment::START,
            issued_at: None,
            over_at_once: false,
            is_free: false,
            window_at: None,
        }
    }

    /// The same, of the internal CA.
    #[must_use]
    pub fn free() -> Schedule {
        Schedule {
            is_free: true,
            ..Schedule::new()
        }
    }

    /// Takes over what an earlier process left.
    pub fn resume(&mut self, now: Moment, left: Hold, timing: &Timing) {
        self.failures = left.failures;
        let longest = timing.retry_after_max.max(timing.backoff_max * 2);
        self.held_until = now.plus(left.held.min(longest));
        self.asked_until = now.plus(left.asked.min(timing.retry_after_max));
    }

    /// What failed was told to be done in another way: what is held back for its failures alone may go now. They are not
    /// quite forgotten, so that a change that mends nothing is not tried as often as the first failure.
    pub fn reconsider(&mut self) {
        if self.failures > 0 {
            self.failures = 1;
            self.held_until = self.held_until.min(self.asked_until);
        }
    }

    /// A certificate is there that was found and not ordered now.
    pub fn found(&mut self, now: Moment, life: Span, window: Option<Span>, seed: u64, ari: bool) {
        self.life = Some(life);
        self.window = window;
        self.seed = seed;
        self.window_at = ari.then_some(now);
    }

    /// An order brought a certificate.
    pub fn issued(
        &mut self,
        now: Moment,
        unix: UnixTime,
        life: Span,
        seed: u64,
        ari: bool,
        timing: &Timing,
    ) {
        self.found(now, life, None, seed, ari);
        self.failures = 0;
        self.issued_at = Some(now);
        self.over_at_once = unix >= life.end;
        self.asked_until = Moment::START;
        self.held_until = now.plus(timing.floor);
    }

    /// Until when nothing is ordered. After a success, for a third of the life; when the CA suggests a time, for an
    /// hour at most, since it may want to revoke what it has just issued; and so when it is over by now, although the
    /// monotonic clock says that it is young.
    fn hold(&self, unix: UnixTime) -> Moment {
        let (Some(issued_at), Some(life)) = (self.issued_at, self.life) else {
            return self.held_until;
        };
        if self.is_free {
            return self.held_until;
        }
        let mut rest = life.length() / 3;
        if self.window.is_some() {
            rest = rest.min(WINDOW_HOLD);
        }
        if unix >= life.end && !self.over_at_once {
            rest = rest.min(OVER_HOLD);
        }
        self.held_until.max(issued_at.plus(rest))
    }

    /// When the calendar wants it renewed.
    fn renew_at(&self, life: Span, unix: UnixTime) -> UnixTime {
        match self.is_free && !life.contains(unix) {
            true => unix,
            false => renew_at(life, self.window, self.seed),
        }
    }

    /// An order failed.
    pub fn failed(&mut self, now: Moment, setback: Setback, random: u64, timing: &Timing) {
        self.failures = self.failures.saturating_add(1);
        self.held_until = now.plus(hold_after(timing, self.failures, setback, random));
        let asked = setback.retry_after.unwrap_or_default();
        self.asked_until = now.plus(asked.min(timing.retry_after_max));
    }

    /// Renewal information came, or did not; `after` is when the server wants to be asked again.
    pub fn window_known(
        &mut self,
        now: Moment,
        window: Option<Span>,
        after: Option<Duration>,
        timing: &Timing,
    ) {
        if window.is_some() {
            self.window = window;
        }
        let after = after
            .unwrap_or(timing.window_poll)
            .clamp(WINDOW_POLL_MIN, WINDOW_POLL_MAX);
        self.window_at = Some(now.plus(after));
    }

    /// The server offers no renewal information.
    pub fn no_window(&mut self) {
        self.window = None;
        self.window_at = None;
    }

    /// The operator wants a new one now; the floor after a failure is the operator's to lift.
    pub fn renew_now(&mut self) {
        self.held_until = Moment::START;
        self.issued_at = None;
        self.life = None;
    }

    /// What is due.
    #[must_use]
    pub fn due(&self, now: Moment, unix: UnixTime) -> Due {
        let held = self.hold(unix).since(now);
        let Some(life) = self.life else {
            return match held.is_zero() {
                true => Due::Order,
                false => Due::Nothing(held.min(LOOK_AGAIN)),
            };
        };
        let renew_at = self.renew_at(life, unix);
        let left = Duration::from_micros(renew_at.micros().saturating_sub(unix.micros()));
        if left.is_zero() && held.is_zero() {
            return Due::Order;
        }
        if let Some(window_at) = self.window_at
            && !left.is_zero()
            && now >= window_at
        {
            return Due::Window;
        }
        let window_left = self.window_at.map_or(LOOK_AGAIN, |at| match at.since(now) {
            Duration::ZERO => LOOK_AGAIN,
            span => span,
        });
        Due::Nothing(left.max(held).min(window_left).min(LOOK_AGAIN))
    }

    /// When the renewal is due by the calendar, or when the next attempt may start.
    #[must_use]
    pub fn next(&self, now: Moment, unix: UnixTime) -> UnixTime {
        let held = self.hold(unix).since(now).as_micros() as u64;
        let attempt = UnixTime::from_micros(unix.micros().saturating_add(held));
        match self.life {
            Some(life) => self.renew_at(life, unix).max(attempt),
            None => attempt,
        }
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How long it holds.
    #[must_use]
    pub fn held(&self, now: Moment, unix: UnixTime) -> Duration {
        self.hold(unix).since(now)
    }

    /// How much of that the server itself asked for.
    pub(crate) fn asked(&self, now: Moment) -> Duration {
        self.asked_until.since(now)
    }

    /// The window that the CA suggested.
    #[must_use]
    pub fn window(&self) -> Option<Span> {
        self.window
    }

    /// By when a certificate ends; what ends first is ordered first.
    #[must_use]
    pub fn ends(&self) -> Option<UnixTime> {
        self.life.map(|life| life.end)
    }
}

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 86_400;

    fn span(start: u64, end: u64) -> Span {
        Span {
            start: UnixTime::from_seconds(start),
            end: UnixTime::from_seconds(end),
        }
    }

    fn reached(retry_after: Option<Duration>) -> Setback {
        Setback {
            reached: true,
            retry_after,
        }
    }

    #[test]
    fn renewal_is_at_two_thirds_less_jitter() {
        let life = span(0, 90 * DAY);
        assert_eq!(renew_at(life, None, 0).seconds(), 60 * DAY);
        let earliest = renew_at(life, None, 999).seconds();
        assert!((56 * DAY..57 * DAY).contains(&earliest), "{earliest}");
    }

    #[test]
    fn the_suggested_window_is_followed() {
        let life = span(0, 90 * DAY);
        let window = span(10 * DAY, 12 * DAY);
        assert_eq!(renew_at(life, Some(window), 500).seconds(), 11 * DAY);
        // A revocation moves the window into the past: at once.
        assert_eq!(renew_at(life, Some(span(1, 2)), 500).seconds(), 1);
        // A window that ends before it begins is none (RFC 9773 §4.2); one after the life would be too late.
        assert_eq!(
            renew_at(life, Some(span(12, 10)), 0).seconds(),
            60 * DAY,
            "a broken window"
        );
        assert_eq!(
            renew_at(life, Some(span(100 * DAY, 101 * DAY)), 0).seconds(),
            81 * DAY
        );
    }

    #[test]
    fn back_off_doubles_up_to_its_cap_and_honours_the_server() {
        let timing = Timing::default();
        let hold = |failures, retry| hold_after(&timing, failures, reached(retry), 250).as_secs();
        let unreached = hold_after(&timing, 1, Setback::default(), 250);
        assert_eq!(unreached, timing.backoff_unreached);
        assert_eq!(
            (hold(1, None), hold(2, None), hold(3, None)),
            (120, 240, 480)
        );
        assert_eq!(hold(40, None), 6 * 3_600);
        assert_eq!(hold(1, Some(Duration::from_secs(9_000))), 9_000);
        assert_eq!(
            hold(1, Some(Duration::from_secs(u64::MAX))),
            7 * DAY,
            "a server can't hold us for ever"
        );
        assert_eq!(hold(1, Some(Duration::from_secs(1))), 120);
    }

    #[test]
    fn what_an_earlier_process_held_is_held_on() {
        let timing = Timing::default();
        let mut schedule = Schedule::new();
        let left = Hold {
            failures: 3,
            held: Duration::from_secs(50),
            asked: Duration::ZERO,
        };
        schedule.resume(Moment::START, left, &timing);
        let unix = UnixTime::from_seconds(1);
        assert_eq!(
            schedule.due(Moment::START, unix),
            Due::Nothing(Duration::from_secs(50))
        );
        assert_eq!(schedule.due(Moment::from_millis(50_000), unix), Due::Order);
    }

    #[test]
    fn a_calendar_that_leaps_costs_one_order() {
        let timing = Timing::default();
        let (mut now, life) = (Moment::START, span(1_000 * DAY, 1_090 * DAY));
        let mut schedule = Schedule::new();
        schedule.found(now, life, None, 0, false);
        let far = UnixTime::from_seconds(9_000 * DAY);
        assert_eq!(schedule.due(now, far), Due::Order);
        // The CA lives in the right year: what it issues looks expired here.
        schedule.issued(now, far, life, 0, false, &timing);
        for _ in 0..29 * 24 {
            now = now.plus(Duration::from_secs(3_600));
            assert_ne!(schedule.due(now, far), Due::Order);
        }
    }

    #[test]
    fn what_a_sleep_has_made_old_is_ordered_within_the_hour() {
        let timing = Timing::default();
        let life = span(1_000 * DAY, 1_090 * DAY);
        let mut schedule = Schedule::new();
        schedule.issued(Moment::START, life.start, life, 0, false, &timing);
        // The machine slept for a hundred days, which the monotonic clock does not count.
        let woken = UnixTime::from_seconds(1_100 * DAY);
        let minutes = |count: u64| Moment::from_millis(count * 60_000);
        assert_ne!(schedule.due(minutes(59), woken), Due::Order);
        assert_eq!(schedule.due(minutes(60), woken), Due::Order);
        assert_eq!(schedule.next(minutes(60), woken), woken);
        // Failures hold as ever.
        schedule.failed(minutes(60), reached(None), 250, &timing);
        assert_ne!(schedule.due(minutes(61), woken), Due::Order);
        assert_eq!(schedule.due(minutes(62), woken), Due::Order);
    }

    #[test]
    fn what_costs_nothing_and_is_not_valid_now_is_replaced_now() {
        let timing = Timing::default();
        let life = span(1_000 * DAY, 1_007 * DAY);
        let mut schedule = Schedule::free();
        schedule.issued(Moment::START, life.start, life, 0, false, &timing);
        let soon = Moment::START.plus(timing.floor);
        let on =
            |schedule: &Schedule, day: u64| schedule.due(soon, UnixTime::from_seconds(day * DAY));
        assert_ne!(on(&schedule, 1_001), Due::Order);
        // After a sleep; before its time, after a calendar that ran ahead was set right.
        assert_eq!(on(&schedule, 1_007), Due::Order);
        assert_eq!(on(&schedule, 999), Due::Order);
        // In another process too, and no faster than the floor.
        let mut found = Schedule::free();
        found.found(Moment::START, life, None, 0, false);
        assert_eq!(
            found.due(Moment::START, UnixTime::from_seconds(DAY)),
            Due::Order
        );
        let late = UnixTime::from_seconds(2_000 * DAY);
        assert_eq!(
            schedule.due(Moment::START, late),
            Due::Nothing(timing.floor)
        );
        assert_eq!(on(&schedule, 1_006), Due::Order, "in its usual time");
    }

    #[test]
    fn windows_are_asked_for_and_not_too_often() {
        let timing = Timing::default();
        let life = span(0, 90 * DAY);
        let mut schedule = Schedule::new();
        let unix = UnixTime::from_seconds(1);
        schedule.issued(Moment::START, unix, life, 0, true, &timing);
        assert_eq!(schedule.due(Moment::START, unix), Due::Window);
        schedule.window_known(
            Moment::START,
            Some(span(50 * DAY, 51 * DAY)),
            Some(Duration::from_secs(1)),
            &timing,
        );
        assert_eq!(
            schedule.due(Moment::START, unix),
            Due::Nothing(Duration::from_secs(60))
        );
        assert_eq!(schedule.next(Moment::START, unix).seconds(), 50 * DAY);
        assert_eq!(schedule.due(Moment::from_millis(60_000), unix), Due::Window);
        schedule.no_window();
        assert_eq!(schedule.next(Moment::START, unix).seconds(), 60 * DAY);
    }

    #[test]
    fn what_failed_by_other_settings_waits_only_for_what_the_server_asked() {
        let timing = Timing::default();
        let unix = UnixTime::from_seconds(1_000);
        let fail = |retry_after| {
            let mut schedule = Schedule::new();
            for _ in 0..9 {
                schedule.failed(Moment::START, reached(retry_after), 0, &timing);
            }
            schedule.reconsider();
            schedule
        };
        let now = Moment::from_millis(1_000);
        assert_eq!(fail(None).due(now, unix), Due::Order);
        let held = fail(Some(Duration::from_secs(600)));
        assert_eq!(held.held(now, unix), Duration::from_secs(599));
        // What goes on failing is not tried as if it never had.
        let mut again = fail(None);
        again.failed(now, reached(None), 0, &timing);
        assert_eq!(again.failures(), 2);
    }

    #[test]
    fn a_ca_that_revokes_what_it_has_just_issued_is_followed_within_the_hour() {
        let timing = Timing::default();
        let mut schedule = Schedule::new();
        let unix = UnixTime::from_seconds(1_000);
        schedule.issued(Moment::START, unix, span(0, 90 * DAY), 0, true, &timing);
        schedule.window_known(Moment::START, Some(span(1, 2)), None, &timing);
        assert_ne!(
            schedule.due(Moment::from_millis(3_599_000), unix),
            Due::Order
        );
        assert_eq!(
            schedule.due(Moment::from_millis(3_600_000), unix),
            Due::Order
        );
    }

    /// A step of a life: time passes on both clocks (not in step), and an order, if due, ends somehow.
    #[derive(Clone, Debug)]
    struct Step {
        passes: u64,
        calendar: i64,
        succeeds: bool,
        retry_after: Option<u64>,
        random: u64,
        days: u64,
    }

    prop_compose! {
        fn step()(
            passes in 0u64..200_000,
            calendar in prop_oneof![4 => Just(0i64), 1 => -400_000_000i64..400_000_000],
            succeeds: bool,
            retry_after in proptest::option::of(0u64..10_000_000),
            random: u64,
            days in 1u64..400,
        ) -> Step {
            Step { passes, calendar, succeeds, retry_after, random, days }
        }
    }

    proptest! {
        #[test]
        fn renewal_falls_into_the_life(start in 0u64..4_000_000_000, length in 1u64..400_000_000, seed: u64,
            window in proptest::option::of((0u64..5_000_000_000, 0u64..5_000_000_000))) {
            let life = span(start, start + length);
            let at = renew_at(life, window.map(|(start, end)| span(start, end)), seed);
            prop_assert!(at <= life.at(9, 10));
            if window.is_none() {
                prop_assert!(at >= life.at(1, 2));
            }
        }

        #[test]
        fn holds_stay_within_their_bounds(failures in 1u32..u32::MAX, retry in proptest::option::of(any::<u64>()), random: u64) {
            let timing = Timing::default();
            let hold = hold_after(&timing, failures, reached(retry.map(Duration::from_secs)), random);
            prop_assert!(hold >= timing.backoff_first * 3 / 4);
            prop_assert!(hold <= timing.retry_after_max.max(timing.backoff_max * 5 / 4));
        }

        #[test]
        fn no_clock_makes_orders_faster_than_the_holds(steps in proptest::collection::vec(step(), 1..200)) {
            let timing = Timing::default();
            let mut schedule = Schedule::new();
            let (mut now, mut unix) = (0u64, 1_700_000_000i64);
            let (mut earliest, mut over) = (0u64, None);
            for step in steps {
                now += step.passes;
                unix = (unix + step.passes as i64 + step.calendar).max(0);
                let moment = Moment::from_millis(now * 1_000);
                let calendar = UnixTime::from_seconds(unix as u64);
                match schedule.due(moment, calendar) {
                    Due::Nothing(span) => prop_assert!(!span.is_zero() && span <= LOOK_AGAIN),
                    Due::Window => schedule.window_known(moment, None, None, &timing),
                    Due::Order => {
                        if let Some((end, since)) = over && unix >= end {
                            earliest = earliest.min(since + 3_600);
                        }
                        prop_assert!(now >= earliest, "ordered {} s too early", earliest - now);
                        over = None;
                        if step.succeeds {
                            let life = span(unix as u64, unix as u64 + step.days * DAY);
                            schedule.issued(moment, calendar, life, step.random, step.random % 2 == 0, &timing);
                            earliest = now + step.days * DAY / 3;
                            over = Some((unix + (step.days * DAY) as i64, now));
                        } else {
                            schedule.failed(moment, reached(step.retry_after.map(Duration::from_secs)), step.random, &timing);
                            earliest = now + step.retry_after.unwrap_or(0).clamp(90, 7 * DAY);
                        }
                    }
                }
            }
        }
    }
}
