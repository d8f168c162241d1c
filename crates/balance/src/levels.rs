//! Which level of a subset takes a request: primaries or backups, the own zone or another.
//!
//! A level takes all requests while enough of it is fit, and beyond that a part of them that shrinks with what is left,
//! so that a zone that loses its endpoints one by one does not drown the last. How much is fit is looked at now and
//! then, not with every pick; a level that has nobody at all is always passed over at once.

use crate::candidates::{Candidates, Draws, Tried};
use crate::roster::{Balancing, Level};

/// How long a look at all endpoints of a subset is good for.
const SURVEY_MS: u64 = 50;

/// Levels of a subset at most: primaries and backups, of the own zone and of others.
pub(crate) const LEVELS_MAX: usize = 4;

/// What a worker knows of a subset's levels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    looked_ms: Option<u64>,
    /// The weight of the fit endpoints of each level.
    fit: [u64; LEVELS_MAX],
}

impl Survey {
    /// The level that takes a request, by its place among the subset's. `draw` decides between two that share.
    pub(crate) fn choose(
        &mut self,
        levels: &[Level],
        balancing: &Balancing,
        now_ms: u64,
        draw: u64,
    ) -> usize {
        if self
            .looked_ms
            .is_none_or(|at| now_ms.saturating_sub(at) >= SURVEY_MS)
        {
            self.look(levels, now_ms);
        }
        let mut draws = Draws::new(draw);
        let backups = self.sum(levels, |level| level.backup);
        let primaries = self.sum(levels, |level| !level.backup);
        let backup = backups.fit > 0
            && (primaries.fit == 0
                || primaries.overflows(balancing.primary_fit_min_percent, &mut draws));
        let own = self.sum(levels, |level| level.backup == backup && !level.other_zone);
        let others = self.sum(levels, |level| level.backup == backup && level.other_zone);
        let other_zone = others.fit > 0
            && (own.fit == 0 || own.overflows(balancing.zone_fit_min_percent, &mut draws));
        levels
            .iter()
            .position(|level| (level.backup, level.other_zone) == (backup, other_zone))
            .unwrap_or(0)
    }

    fn look(&mut self, levels: &[Level], now_ms: u64) {
        self.looked_ms = Some(now_ms);
        for (fit, level) in self.fit.iter_mut().zip(levels) {
            let candidates = Candidates::of(level, now_ms, &Tried::NONE);
            *fit = candidates.fit_weight();
        }
    }

    fn sum(&self, levels: &[Level], belongs: impl Fn(&Level) -> bool) -> Share {
        let mut share = Share { fit: 0, all: 0 };
        for (fit, level) in self.fit.iter().zip(levels) {
            if belongs(level) {
                share.fit += fit;
                share.all += level.weight;
            }
        }
        share
    }
}

/// How much of some endpoints' weight is fit.
struct Share {
    fit: u64,
    all: u64,
}

impl Share {
    /// Whether a request goes elsewhere since less than `min_percent` is fit: never at that, always at nothing, and in
    /// proportion between.
    fn overflows(&self, min_percent: u32, draws: &mut Draws) -> bool {
        let enough = self.all * u64::from(min_percent);
        let there = self.fit * 100;
        there < enough && draws.below(enough) >= there
    }
}

#[cfg(test)]
mod tests;
