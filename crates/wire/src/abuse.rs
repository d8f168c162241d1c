//! What a peer may ask of us without getting anything done: a leaky budget of points for each connection.
//!
//! Every cheap thing that makes us work (a reset, an acknowledgement to be written, a frame without content) costs
//! points; time and useful work give them back. A peer that has spent its budget is told to calm down, with the
//! offence that spent the last of it as the reason. One number is enough: an attacker that mixes offences gains
//! nothing over one that keeps to a single kind.

use foregate_message::Reason;

/// Something a peer does that costs it little and us more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Offence {
    /// It cancelled a request soon after it had sent it (CVE-2023-44487).
    RapidReset,
    /// It made us reset a stream (CVE-2025-8671).
    ProvokedReset,
    /// It opened more streams than it may.
    StreamOverLimit,
    /// SETTINGS, which must be acknowledged.
    Settings,
    /// PING, which must be answered.
    Ping,
    /// DATA without a byte, or with hardly any.
    TinyData,
    /// PRIORITY or PRIORITY_UPDATE.
    Priority,
    /// WINDOW_UPDATE.
    WindowUpdate,
    /// CONTINUATION, of which one or two are usual.
    Continuation,
    /// A frame that has no effect: of an unknown type, or for a stream that has ended.
    IdleFrame,
}

impl Offence {
    /// Every offence, in the order of its number.
    pub const ALL: [Offence; 10] = [
        Offence::RapidReset,
        Offence::ProvokedReset,
        Offence::StreamOverLimit,
        Offence::Settings,
        Offence::Ping,
        Offence::TinyData,
        Offence::Priority,
        Offence::WindowUpdate,
        Offence::Continuation,
        Offence::IdleFrame,
    ];

    /// What it costs.
    pub const fn points(self) -> u32 {
        match self {
            // A request had been routed, perhaps sent to a backend.
            Offence::RapidReset | Offence::ProvokedReset => 10,
            Offence::StreamOverLimit | Offence::Settings => 10,
            Offence::Ping | Offence::Continuation => 3,
            Offence::TinyData | Offence::Priority | Offence::WindowUpdate | Offence::IdleFrame => 1,
        }
    }

    /// The reason that a connection ends with when this was too much.
    pub const fn reason(self) -> Reason {
        match self {
            Offence::RapidReset => Reason::RapidReset,
            Offence::ProvokedReset => Reason::ProvokedResets,
            Offence::StreamOverLimit => Reason::StreamFlood,
            Offence::Settings => Reason::SettingsFlood,
            Offence::Ping => Reason::PingFlood,
            Offence::TinyData => Reason::TinyDataFlood,
            Offence::Priority => Reason::PriorityFlood,
            Offence::WindowUpdate => Reason::WindowUpdateFlood,
            Offence::Continuation => Reason::ContinuationFlood,
            Offence::IdleFrame => Reason::IdleFrameFlood,
        }
    }
}

/// What a finished request gives back, and a full piece of body.
const REQUEST_POINTS: u32 = 4;
const DATA_POINTS: u32 = 2;

/// The budget of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    spent: u32,
    /// What may be spent at once, and what comes back in a minute.
    points_max: u32,
    /// When points last came back.
    since_ms: u64,
}

impl Budget {
    /// A full budget: `points_max` may be spent at once, and come back in a minute.
    pub fn new(points_max: u32, now_ms: u64) -> Budget {
        Budget {
            spent: 0,
            points_max,
            since_ms: now_ms,
        }
    }

    /// Charges an offence.
    ///
    /// # Errors
    /// The budget is spent: the connection ends with this reason.
    #[inline]
    pub fn charge(&mut self, offence: Offence, now_ms: u64) -> Result<(), Reason> {
        self.spent = self.spent.saturating_add(offence.points());
        if self.spent > self.points_max {
            self.leak(now_ms);
            if self.spent > self.points_max {
                return Err(offence.reason());
            }
        }
        Ok(())
    }

    /// A request was served to its end.
    #[inline]
    pub fn served(&mut self) {
        self.spent = self.spent.saturating_sub(REQUEST_POINTS);
    }

    /// A piece of body went one way or the other, for which a peer may well send WINDOW_UPDATE or PING.
    #[inline]
    pub fn moved(&mut self) {
        self.spent = self.spent.saturating_sub(DATA_POINTS);
    }

    /// A piece of body was taken by whoever it is for. A peer whose small pieces are taken one by one talks; one that
    /// sends many before the first is taken floods.
    #[inline]
    pub fn taken(&mut self) {
        self.spent = self.spent.saturating_sub(1);
    }

    /// Lets points come back for the time that has passed.
    #[cold]
    fn leak(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.since_ms);
        let back = passed.saturating_mul(u64::from(self.points_max)) / 60_000;
        if back > 0 {
            self.since_ms = now_ms;
            self.spent = self
                .spent
                .saturating_sub(back.min(u64::from(u32::MAX)) as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_offence_alone_spends_the_budget_and_has_a_reason_of_its_own() {
        let mut reasons = HashSet::new();
        for offence in Offence::ALL {
            let mut budget = Budget::new(100, 0);
            let mut charged = 0;
            let reason = loop {
                match budget.charge(offence, 0) {
                    Ok(()) => charged += 1,
                    Err(reason) => break reason,
                }
            };
            assert_eq!(charged, 100 / offence.points(), "{offence:?}");
            assert!(reasons.insert(reason), "{reason:?}");
        }
    }

    #[test]
    fn mixing_offences_gains_nothing() {
        let mut budget = Budget::new(100, 0);
        let mut spent = 0;
        let outcome = Offence::ALL.iter().cycle().find_map(|&offence| {
            spent += offence.points();
            budget.charge(offence, 0).err()
        });
        assert!(outcome.is_some() && spent <= 110);
    }

    #[test]
    fn time_gives_points_back() {
        let mut budget = Budget::new(60, 1_000);
        for _ in 0..60 {
            budget.charge(Offence::TinyData, 1_000).unwrap();
        }
        assert!(budget.charge(Offence::TinyData, 1_999).is_err());
        let mut budget = Budget::new(60, 1_000);
        for second in 0..600 {
            let now = 1_000 + second * 1_000;
            assert_eq!(budget.charge(Offence::TinyData, now), Ok(()));
        }
    }

    #[test]
    fn useful_work_gives_points_back() {
        let mut budget = Budget::new(20, 0);
        for _ in 0..1_000 {
            budget.charge(Offence::WindowUpdate, 0).unwrap();
            budget.charge(Offence::WindowUpdate, 0).unwrap();
            budget.moved();
            budget.charge(Offence::Priority, 0).unwrap();
            budget.served();
        }
    }
}
