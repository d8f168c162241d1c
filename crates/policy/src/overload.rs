//! Overload: which requests are still served when the gateway itself has too much to do.
//!
//! How close the gateway is to its limits is told as percentages. A ladder turns them into a rung, and a rung says what is
//! no longer done. What is given up first is what clients miss least: idle connections, then requests of low importance,
//! then those of normal importance, and last of all new connections.

/// How much a request matters. The order is that in which requests are given up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Importance {
    /// Given up first: work that can wait, such as crawlers, reports and prefetching.
    Background,
    /// What most requests are.
    #[default]
    Normal,
    /// Served for as long as anything is: health checks, logins, payments.
    Critical,
}

impl Importance {
    /// As it is written in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Importance::Background => "background",
            Importance::Normal => "normal",
            Importance::Critical => "critical",
        }
    }
}

/// What is given up; each rung with all that the rungs below it give up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
pub enum Rung {
    /// Nothing.
    #[default]
    Calm = 0,
    /// Connections that wait for a request.
    Trim = 1,
    /// Requests of importance `background`.
    ShedBackground = 2,
    /// Requests of importance `normal`.
    ShedNormal = 3,
    /// New connections, which wait in the system's queue.
    Pause = 4,
}

impl Rung {
    /// All, from the lowest to the highest.
    pub const ALL: [Rung; 5] = [
        Rung::Calm,
        Rung::Trim,
        Rung::ShedBackground,
        Rung::ShedNormal,
        Rung::Pause,
    ];

    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Rung::Calm => "calm",
            Rung::Trim => "trim",
            Rung::ShedBackground => "shed-background",
            Rung::ShedNormal => "shed-normal",
            Rung::Pause => "pause",
        }
    }

    /// The rung of a number; numbers beyond the last are the last.
    pub fn of(number: u8) -> Rung {
        Rung::ALL[usize::from(number).min(Rung::ALL.len() - 1)]
    }

    /// Whether connections that wait for a request are closed.
    pub fn trims(self) -> bool {
        self >= Rung::Trim
    }

    /// Whether requests of an importance are turned away.
    #[inline]
    pub fn sheds(self, importance: Importance) -> bool {
        match importance {
            Importance::Background => self >= Rung::ShedBackground,
            Importance::Normal => self >= Rung::ShedNormal,
            Importance::Critical => false,
        }
    }

    /// Whether connections are left to wait before they are accepted.
    pub fn pauses(self) -> bool {
        self >= Rung::Pause
    }
}

/// What is close to its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Memory of the process.
    Memory,
    /// Requests at once.
    Requests,
    /// How late workers are.
    Delay,
    /// Open connections of a listener.
    Connections,
}

impl Cause {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Memory => "memory",
            Cause::Requests => "requests",
            Cause::Delay => "delay",
            Cause::Connections => "connections",
        }
    }
}

/// How close to its limit each is, in percent; 0 for what has no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pressure {
    /// Memory of the process.
    pub memory: u32,
    /// Requests at once.
    pub requests: u32,
    /// How late workers are.
    pub delay: u32,
    /// Open connections of the listener that is closest to its limit.
    pub connections: u32,
}

impl Pressure {
    /// All, with what they are of.
    pub fn each(self) -> [(Cause, u32); 4] {
        [
            (Cause::Memory, self.memory),
            (Cause::Requests, self.requests),
            (Cause::Delay, self.delay),
            (Cause::Connections, self.connections),
        ]
    }
}

/// From what pressure on each rung is stood on, in percent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Steps {
    /// For [`Rung::Trim`].
    pub trim_percent: u32,
    /// For [`Rung::ShedBackground`].
    pub shed_background_percent: u32,
    /// For [`Rung::ShedNormal`].
    pub shed_normal_percent: u32,
    /// For [`Rung::Pause`].
    pub pause_percent: u32,
}

impl Steps {
    fn from(self, rung: Rung) -> u32 {
        match rung {
            Rung::Calm => 0,
            Rung::Trim => self.trim_percent,
            Rung::ShedBackground => self.shed_background_percent,
            Rung::ShedNormal => self.shed_normal_percent,
            Rung::Pause => self.pause_percent,
        }
    }
}

/// How far a pressure must have fallen below a rung's step before the rung is left, in percent.
const SLACK_PERCENT: u32 = 5;

/// How long a rung is stood on, at least, before the one below it is, in milliseconds: what was given up must show first.
const HOLD_MS: u64 = 200;

/// Where the gateway stands. Up at once, down one rung at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ladder {
    rung: Rung,
    /// When it was stepped on.
    since_ms: u64,
    /// What it is stood on for.
    cause: Option<Cause>,
}

impl Ladder {
    /// The rung stood on.
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// Takes a look; the rung from now on, and what it is for, unless all is calm.
    pub fn look(
        &mut self,
        steps: &Steps,
        pressure: Pressure,
        now_ms: u64,
    ) -> (Rung, Option<Cause>) {
        let reached = |slack: u32| {
            // A full listener is no reason to give up what others have: its own idle connections make room.
            let all = pressure.each().into_iter();
            let climbing = all.filter(|(cause, _)| *cause != Cause::Connections);
            let rung_of = |(cause, percent): (Cause, u32)| {
                let rungs = Rung::ALL.into_iter();
                let reached = rungs.filter(|&rung| reaches(percent, slack, steps.from(rung)));
                (reached.max().unwrap_or_default(), percent, cause)
            };
            climbing
                .map(rung_of)
                .max_by_key(|&(rung, percent, _)| (rung, percent))
        };
        let up = reached(0).map_or(Rung::Calm, |(rung, ..)| rung);
        let held = reached(SLACK_PERCENT).filter(|&(rung, ..)| rung > Rung::Calm);
        let down = held.map_or(Rung::Calm, |(rung, ..)| rung).min(self.rung);
        let next = if up > self.rung {
            up
        } else if down < self.rung && now_ms.saturating_sub(self.since_ms) >= HOLD_MS {
            Rung::of(self.rung as u8 - 1)
        } else {
            self.rung
        };
        if next != self.rung {
            self.rung = next;
            self.since_ms = now_ms;
        }
        // On the way down, what it was climbed for.
        self.cause = held.map(|(.., cause)| cause).or(self.cause);
        if self.rung == Rung::Calm {
            self.cause = None;
        }
        (self.rung, self.cause)
    }
}

/// Whether a pressure holds a step. Slack alone never does: at no pressure all is calm.
fn reaches(percent: u32, slack: u32, step: u32) -> bool {
    let slack = slack.min(step.saturating_sub(1));
    percent.saturating_add(slack) >= step
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STEPS: Steps = Steps {
        trim_percent: 80,
        shed_background_percent: 85,
        shed_normal_percent: 92,
        pause_percent: 97,
    };

    fn memory(memory: u32) -> Pressure {
        Pressure {
            memory,
            ..Pressure::default()
        }
    }

    #[test]
    fn steps_and_pressures_may_be_as_small_and_large_as_they_like() {
        let low = Steps {
            trim_percent: 1,
            shed_background_percent: 2,
            shed_normal_percent: 3,
            pause_percent: 4,
        };
        let mut ladder = Ladder::default();
        assert_eq!(ladder.look(&low, memory(u32::MAX), 0).0, Rung::Pause);
        for look in 1..=4 {
            ladder.look(&low, memory(0), look * HOLD_MS);
        }
        assert_eq!(ladder.rung(), Rung::Calm);
    }

    #[test]
    fn it_is_climbed_at_once_and_left_step_by_step() {
        let mut ladder = Ladder::default();
        let mut now_ms = 0;
        let mut look = |percent| {
            now_ms += HOLD_MS;
            ladder.look(&STEPS, memory(percent), now_ms).0
        };
        assert_eq!(look(79), Rung::Calm);
        assert_eq!(look(99), Rung::Pause);
        assert_eq!(look(93), Rung::Pause, "within the slack");
        assert_eq!(look(10), Rung::ShedNormal);
        assert_eq!(look(10), Rung::ShedBackground);
        assert_eq!(look(81), Rung::ShedBackground, "within the slack");
        assert_eq!(look(10), Rung::Trim);
        assert_eq!(look(10), Rung::Calm);
        assert_eq!(look(76), Rung::Calm);
    }

    #[test]
    fn a_rung_is_held_for_a_moment() {
        let mut ladder = Ladder::default();
        let mut look = |percent, now_ms| ladder.look(&STEPS, memory(percent), now_ms).0;
        assert_eq!(look(90, 1000), Rung::ShedBackground);
        assert_eq!(look(10, 1199), Rung::ShedBackground);
        assert_eq!(look(10, 1200), Rung::Trim);
        assert_eq!(look(10, 1399), Rung::Trim);
    }

    #[test]
    fn requests_are_given_up_in_the_order_of_their_importance() {
        let shed = |rung: Rung| {
            [
                Importance::Background,
                Importance::Normal,
                Importance::Critical,
            ]
            .map(|importance| rung.sheds(importance))
        };
        assert_eq!(shed(Rung::Trim), [false, false, false]);
        assert_eq!(shed(Rung::ShedBackground), [true, false, false]);
        assert_eq!(shed(Rung::ShedNormal), [true, true, false]);
        assert_eq!(shed(Rung::Pause), [true, true, false]);
    }

    #[test]
    fn a_full_listener_costs_others_nothing() {
        let mut ladder = Ladder::default();
        let pressure = Pressure {
            connections: 100,
            requests: 20,
            ..Pressure::default()
        };
        let (rung, cause) = ladder.look(&STEPS, pressure, 0);
        assert_eq!((rung, cause), (Rung::Calm, None));
    }

    #[test]
    fn the_cause_is_what_stands_highest() {
        let mut ladder = Ladder::default();
        let pressure = Pressure {
            memory: 86,
            delay: 400,
            requests: 90,
            connections: 100,
        };
        assert_eq!(
            ladder.look(&STEPS, pressure, 0),
            (Rung::Pause, Some(Cause::Delay))
        );
    }

    #[test]
    fn what_it_was_climbed_for_is_told_on_the_way_down() {
        let mut ladder = Ladder::default();
        let busy = Pressure {
            requests: 100,
            connections: 50,
            ..Pressure::default()
        };
        let quiet = Pressure {
            connections: 50,
            ..Pressure::default()
        };
        let mut looks = vec![ladder.look(&STEPS, busy, 0)];
        for look in 1..=4 {
            looks.push(ladder.look(&STEPS, quiet, look * HOLD_MS));
        }
        let requests = Some(Cause::Requests);
        let told = [
            (Rung::Pause, requests),
            (Rung::ShedNormal, requests),
            (Rung::ShedBackground, requests),
            (Rung::Trim, requests),
            (Rung::Calm, None),
        ];
        assert_eq!(looks, told);
    }

    proptest! {
        #[test]
        fn pressure_is_always_answered_and_calm_always_returns(
            pressures in proptest::collection::vec((0u32..200, 0u32..200, 0u32..200, 0u32..200), 1..50)
        ) {
            let mut ladder = Ladder::default();
            let mut now_ms = 0;
            for (memory, requests, delay, connections) in pressures {
                now_ms += 70;
                let before = ladder.rung();
                let pressure = Pressure { memory, requests, delay, connections };
                let (rung, cause) = ladder.look(&STEPS, pressure, now_ms);
                let worst = memory.max(requests).max(delay);
                for (step, percent) in [(Rung::Pause, 97), (Rung::ShedNormal, 92), (Rung::ShedBackground, 85)] {
                    if worst >= percent {
                        prop_assert!(rung >= step);
                    }
                }
                prop_assert!(rung as u8 + 1 >= before as u8, "more than one step down");
                prop_assert_eq!(cause.is_some(), rung > Rung::Calm);
            }
            for _ in 0..4 {
                now_ms += HOLD_MS;
                ladder.look(&STEPS, Pressure::default(), now_ms);
            }
            prop_assert_eq!(ladder.rung(), Rung::Calm);
        }
    }
}
