//! The retry budget: what keeps tries again from making an outage worse.
//!
//! Every request pays in a share of a try; a try again takes a whole one. Besides, a few tries a second are free, so
//! that an upstream with hardly any traffic has retries at all. Over any time, the tries again are at most
//! `share × requests + per second × seconds + what may be saved`, whatever fails.

/// How many whole tries may be saved of what requests have paid in.
pub const SAVED_TRIES_MAX: u32 = 100;

/// How much may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetPolicy {
    /// Tries again for every hundred requests.
    pub share_percent: u32,
    /// Tries again that a second has free.
    pub per_second: u32,
}

/// A thousandth of a try.
const MILLI: u64 = 1_000;

/// One worker's budget for one upstream.
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    /// What requests have paid in, in thousandths of a try.
    saved: u64,
    /// What time has, in the same.
    free: u64,
    at_ms: u64,
}

impl RetryBudget {
    /// A budget with one second's free tries.
    #[must_use]
    pub fn new(policy: &BudgetPolicy, now_ms: u64) -> RetryBudget {
        RetryBudget {
            saved: 0,
            free: u64::from(policy.per_second) * MILLI,
            at_ms: now_ms,
        }
    }

    /// A request has come.
    #[inline]
    pub fn pay(&mut self, policy: &BudgetPolicy) {
        let most = u64::from(SAVED_TRIES_MAX) * MILLI;
        self.saved = (self.saved + u64::from(policy.share_percent) * 10).min(most);
    }

    /// Takes a try, if there is one left.
    pub fn take(&mut self, policy: &BudgetPolicy, now_ms: u64) -> bool {
        self.free = self.free_at(policy, now_ms);
        self.at_ms = self.at_ms.max(now_ms);
        let purse = match (self.free >= MILLI, self.saved >= MILLI) {
            (true, _) => &mut self.free,
            (false, true) => &mut self.saved,
            (false, false) => return false,
        };
        *purse -= MILLI;
        true
    }

    /// What time has given at `now_ms`, in thousandths of a try.
    fn free_at(&self, policy: &BudgetPolicy, now_ms: u64) -> u64 {
        let most = u64::from(policy.per_second) * MILLI;
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        let earned = passed_ms.saturating_mul(u64::from(policy.per_second));
        self.free.saturating_add(earned).min(most)
    }

    /// Whole tries that could be taken at `now_ms`.
    #[must_use]
    pub fn left(&self, policy: &BudgetPolicy, now_ms: u64) -> u64 {
        self.free_at(policy, now_ms) / MILLI + self.saved / MILLI
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: BudgetPolicy = BudgetPolicy {
        share_percent: 20,
        per_second: 3,
    };

    #[test]
    fn a_share_of_the_requests_may_be_tried_again() {
        let mut budget = RetryBudget::new(&POLICY, 0);
        assert_eq!(budget.left(&POLICY, 0), 3);
        let taken = (0..10).filter(|_| budget.take(&POLICY, 0)).count();
        assert_eq!(taken, 3, "what the first second has free");
        for _ in 0..100 {
            budget.pay(&POLICY);
        }
        assert_eq!(
            (budget.left(&POLICY, 0), budget.left(&POLICY, 400)),
            (20, 21)
        );
        let taken = (0..100).filter(|_| budget.take(&POLICY, 0)).count();
        assert_eq!(taken, 20);
        assert!(!budget.take(&POLICY, 333));
        assert!(budget.take(&POLICY, 334));
        let taken = (0..10).filter(|_| budget.take(&POLICY, 100_000)).count();
        assert_eq!(taken, 3, "free tries are not saved");
    }

    #[test]
    fn what_is_saved_is_bounded() {
        let mut budget = RetryBudget::new(&POLICY, 0);
        for _ in 0..1_000_000 {
            budget.pay(&POLICY);
        }
        let taken = (0..1_000).filter(|_| budget.take(&POLICY, 0)).count();
        assert_eq!(taken as u32, SAVED_TRIES_MAX + 3);
    }

    proptest! {
        #[test]
        fn the_budget_is_kept(
            share_percent in 0..=100_u32,
            per_second in 0..20_u32,
            steps in proptest::collection::vec((0..50_u64, 0..5_u64, 0..5_usize), 1..400),
        ) {
            let policy = BudgetPolicy { share_percent, per_second };
            let mut budget = RetryBudget::new(&policy, 0);
            let (mut now, mut requests, mut tries) = (0, 0, 0);
            for (later, came, wanted) in steps {
                now += later;
                requests += came;
                (0..came).for_each(|_| budget.pay(&policy));
                let left = budget.left(&policy, now);
                let before = tries;
                tries += (0..wanted).filter(|_| budget.take(&policy, now)).count() as u64;
                let paid = requests * u64::from(share_percent) * 10;
                let free = (now + 1_000) * u64::from(per_second);
                prop_assert_eq!(tries - before, left.min(wanted as u64), "what is left can be taken");
                prop_assert!(tries * 1_000 <= paid + free, "{tries} of {requests} in {now}");
            }
        }
    }
}
