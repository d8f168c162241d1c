//! Hedging: a request that has no answer yet is sent to a second endpoint as well, and the first good answer is taken.
//!
//! ```text
//!   sent ──► no head after the delay ──► another endpoint, a place, a try of the budget ──► sent there too
//! ```
//! What is decided here is when that may be, and to whom; whether the request can be sent twice is known elsewhere.

use crate::answer_times::AnswerTimes;
use crate::candidates::Need;
use crate::pick::{Pick, PickReason, Picker, Spill};

/// When a request is sent to a second endpoint as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HedgePolicy {
    /// How long an answer is waited for, or at least so long.
    pub after_micros: u64,
    /// As long as so many percent of the upstream's answers take, if that is longer; `None` = what is fixed alone counts.
    pub percentile: Option<u32>,
    /// Hedges of an upstream that may be under way, over all workers.
    pub requests_max: u32,
}

impl HedgePolicy {
    /// How long an answer is waited for; `None` while too little is known to say it.
    #[must_use]
    #[inline]
    pub fn delay_micros(&self, times: &AnswerTimes) -> Option<u64> {
        match self.percentile {
            None => Some(self.after_micros),
            Some(_) => times.micros().map(|known| known.max(self.after_micros)),
        }
    }

    /// The endpoint for a hedge: one that has not got the request, and that stands as well as the first one. The unfit are
    /// worse than waiting, and backups are for when they are needed.
    pub fn second(&self, picker: &mut Picker, need: &Need<'_>) -> Option<Pick> {
        let pick = picker.pick(need).ok()?;
        (pick.reason != PickReason::Panic && pick.spill != Spill::Backup).then_some(pick)
    }
}

/// What became of a request's hedge, or why it has none. Names are stable: logs and metrics carry them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum HedgeNote {
    /// It is under way.
    Sent,
    /// Its answer came first.
    Won,
    /// The first try's answer came first.
    Lost,
    /// It came to nothing, or its answer was not good.
    Failed,
    /// The request ended before either had an answer.
    GivenUp,
    /// No other endpoint is fit for it.
    NoOtherEndpoint,
    /// The retry budget is spent.
    Budget,
    /// As many hedges as may be are under way.
    RequestsMax,
    /// As many tries again as may be are under way.
    RetriesMax,
}

impl HedgeNote {
    /// Every note, in the order of its number.
    pub const ALL: [HedgeNote; 9] = [
        HedgeNote::Sent,
        HedgeNote::Won,
        HedgeNote::Lost,
        HedgeNote::Failed,
        HedgeNote::GivenUp,
        HedgeNote::NoOtherEndpoint,
        HedgeNote::Budget,
        HedgeNote::RequestsMax,
        HedgeNote::RetriesMax,
    ];

    /// How hedges that were sent end.
    pub const ENDS: [HedgeNote; 4] = [
        HedgeNote::Won,
        HedgeNote::Lost,
        HedgeNote::Failed,
        HedgeNote::GivenUp,
    ];

    /// Why hedges are not sent.
    pub const REFUSALS: [HedgeNote; 4] = [
        HedgeNote::NoOtherEndpoint,
        HedgeNote::Budget,
        HedgeNote::RequestsMax,
        HedgeNote::RetriesMax,
    ];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            HedgeNote::Sent => "sent",
            HedgeNote::Won => "won",
            HedgeNote::Lost => "lost",
            HedgeNote::Failed => "failed",
            HedgeNote::GivenUp => "given-up",
            HedgeNote::NoOtherEndpoint => "no-other-endpoint",
            HedgeNote::Budget => "budget",
            HedgeNote::RequestsMax => "requests-max",
            HedgeNote::RetriesMax => "retries-max",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidates::Tried;
    use crate::ejection::{EjectionPolicy, Outcome, observe};
    use crate::endpoint::{AdminState, Endpoint};
    use crate::pick::Algorithm;
    use crate::roster::{Attributes, Balancing, Bounds, Member, Roster};
    use std::sync::Arc;

    fn policy(after_micros: u64, percentile: Option<u32>) -> HedgePolicy {
        HedgePolicy {
            after_micros,
            percentile,
            requests_max: 1,
        }
    }

    #[test]
    fn the_delay_is_fixed_or_follows_the_answers() {
        let times = AnswerTimes::default();
        assert_eq!(policy(50, None).delay_micros(&times), Some(50));
        let measured = policy(5_000, Some(90));
        assert_eq!(measured.delay_micros(&times), None, "too little is known");
        for number in 0..1_000 {
            times.observe(if number % 100 < 95 { 1_000 } else { 80_000 }, 90);
        }
        assert_eq!(measured.delay_micros(&times), Some(5_000), "never sooner");
        for _ in 0..1_000 {
            times.observe(80_000, 90);
        }
        let delay = measured.delay_micros(&times).unwrap();
        assert!((80_000..90_000).contains(&delay), "{delay}");
    }

    /// Whom a request that the first one has is sent to as well.
    fn second(change: impl Fn(&[Arc<Endpoint>]), bounds: Bounds, backup: bool) -> Option<usize> {
        let members: Vec<Member> = (0..2)
            .map(|number| Member {
                attributes: Arc::new(Attributes {
                    backup: backup && number == 1,
                    ..Attributes::default()
                }),
                ..Member::plain(Arc::new(Endpoint::new(format!("e{number}"), 1)))
            })
            .collect();
        let balancing = Balancing {
            bounds,
            ..Balancing::plain(Algorithm::LeastRequests)
        };
        let mut picker = Picker::new(Arc::new(Roster::new(balancing, &members)), 0);
        let endpoints: Vec<_> = members
            .iter()
            .map(|one| Arc::clone(&one.endpoint))
            .collect();
        change(&endpoints);
        let mut tried = Tried::new();
        tried.insert(0);
        let need = Need::any(1_000, 7, &tried);
        let pick = policy(1, None).second(&mut picker, &need);
        pick.map(|pick| pick.index)
    }

    #[test]
    fn only_another_that_is_fit_is_asked() {
        let any = Bounds::default();
        assert_eq!(second(|_| {}, any, false), Some(1));
        assert_eq!(second(|_| {}, any, true), None, "a backup");
        for admin in [AdminState::Draining, AdminState::Disabled] {
            assert_eq!(second(|all| all[1].set_admin(admin), any, false), None);
        }
        let ejected = |all: &[Arc<Endpoint>]| {
            let policy = EjectionPolicy {
                consecutive_failures: Some(1),
                consecutive_gateway_errors: None,
                base_time_ms: 10_000,
                time_max_ms: 10_000,
                share_max_percent: 50,
            };
            let _ = observe(&all[1], all, Outcome::Failure, 1_000, &policy);
            assert!(all[1].ejected_until_ms(1_000).is_some());
        };
        assert_eq!(second(ejected, any, false), None);
        let full = Bounds {
            requests_max: Some(1),
            ..Bounds::default()
        };
        assert_eq!(second(|_| {}, full, false), Some(1));
        assert_eq!(second(|all| all[1].enter(), full, false), None);
    }

    #[test]
    fn names_are_told_apart() {
        for (number, note) in HedgeNote::ALL.into_iter().enumerate() {
            assert_eq!(note as usize, number);
            let ends = HedgeNote::ENDS.contains(&note);
            let refused = HedgeNote::REFUSALS.contains(&note);
            assert_eq!(
                usize::from(ends) + usize::from(refused),
                usize::from(number > 0)
            );
        }
    }
}
