//! What must hold after every step, and after every one of a kind.

use super::{BUDGET, EJECTION, LINE_MAX, World};
use crate::budget::SAVED_TRIES_MAX;
use crate::ejection::Verdict;
use crate::endpoint::{AdminState, Endpoint};
use crate::upstream_state::Shared;
use std::sync::Arc;

impl World {
    pub(super) fn limits_hold(&self) {
        if let Some(most) = self.bounds.requests_max {
            let is_within = self.endpoints.iter().all(|one| one.in_flight() <= most);
            self.holds(is_within, "nobody has more than it may");
        }
        self.holds(self.line.len() <= LINE_MAX, "the line is bounded");
        let hedges_max = self.hedging.map_or(0, |policy| policy.requests_max);
        let is_within = self.state.under_way(Shared::Hedges) <= hedges_max;
        self.holds(is_within, "hedges are bounded");
        self.whole_holds();
    }

    /// Whoever is ejected is within the share at that moment; operators may take others out later.
    pub(super) fn share_holds(&self, verdict: Verdict) {
        if let Verdict::Ejected { .. } = verdict {
            let enabled = |one: &&Arc<Endpoint>| one.admin() == AdminState::Enabled;
            let all = self.endpoints.iter().filter(enabled).count();
            let out = self.endpoints.iter().filter(enabled);
            let out = out.filter(|one| one.ejected_until_ms(self.now_ms).is_some());
            let share = EJECTION.share_max_percent as usize;
            self.holds(
                out.count() * 100 <= all * share,
                "the share ejected is bounded",
            );
        }
    }

    pub(super) fn budget_holds(&self, worker: usize) {
        let paid = self.came[worker] * u64::from(BUDGET.share_percent) * 10;
        let free = (self.now_ms + 1_000) * u64::from(BUDGET.per_second);
        self.holds(
            self.cost[worker] * 1_000 <= paid + free,
            "the budget is kept",
        );
        let most = self.came[worker] / 5 + u64::from(SAVED_TRIES_MAX) + free / 1_000 + 1;
        self.holds(self.cost[worker] <= most, "and little is saved");
    }
}
