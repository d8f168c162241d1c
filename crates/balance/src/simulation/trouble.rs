//! In which ways endpoints are wrong, and when.

use super::FAULTS_END_MS;
use crate::candidates::Draws;

/// In which way an endpoint is wrong while it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    None,
    /// It refuses connections.
    Dead,
    /// It takes requests and never answers.
    BlackHole,
    /// So many percent of its answers are 503.
    HalfDead(u64),
    /// It answers late.
    Slow(u64),
    /// It is dead every other time.
    Flapping(u64),
    /// One worker can't reach it.
    Asymmetric(usize),
    /// An operator drains it.
    Drained,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    pub(super) fault: Fault,
    pub(super) begins_ms: u64,
    pub(super) ends_ms: u64,
}

impl Trouble {
    pub(super) fn at(&self, now_ms: u64) -> Fault {
        let is_on = (self.begins_ms..self.ends_ms).contains(&now_ms);
        match self.fault {
            Fault::Flapping(period_ms) if is_on => match (now_ms / period_ms) % 2 {
                0 => Fault::Dead,
                _ => Fault::None,
            },
            fault if is_on => fault,
            _ => Fault::None,
        }
    }
}

/// A draw of them.
pub(super) fn trouble(draws: &mut Draws, workers: usize) -> Trouble {
    let begins_ms = draws.below(FAULTS_END_MS / 2);
    let fault = match draws.below(7) {
        0 => Fault::Dead,
        1 => Fault::BlackHole,
        2 => Fault::HalfDead(20 + draws.below(80)),
        3 => Fault::Slow(2 + draws.below(30)),
        4 => Fault::Flapping(50 + draws.below(400)),
        5 => Fault::Asymmetric(draws.below(workers as u64) as usize),
        _ => Fault::Drained,
    };
    Trouble {
        fault,
        begins_ms,
        ends_ms: begins_ms + 1 + draws.below(FAULTS_END_MS - begins_ms),
    }
}
