//! The panic threshold: when too few endpoints are healthy, all are used.
//!
//! The few that are left would drown under what all of them had, and so many can hardly be unwell at once: more likely the
//! probes are wrong, or a fault that all share makes no difference between them.

use std::sync::Arc;

use crate::endpoint::{AdminState, Endpoint};
use crate::probe::Health;

/// How long a look at all endpoints is good for.
const LOOK_MS: u64 = 50;

/// What a worker knows of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alarm {
    looked_ms: Option<u64>,
    on: bool,
}

impl Alarm {
    /// Whether all are used now.
    pub(crate) fn is_on<'e>(
        &mut self,
        endpoints: impl Iterator<Item = &'e Arc<Endpoint>>,
        now_ms: u64,
        threshold_percent: u32,
    ) -> bool {
        let looked_ms = self.looked_ms;
        if looked_ms.is_none_or(|at| now_ms.saturating_sub(at) >= LOOK_MS) {
            self.looked_ms = Some(now_ms);
            self.on = is_panic(endpoints, now_ms, threshold_percent);
        }
        self.on
    }
}

/// Whether so few of those that operators let take requests are healthy that all are used: less than the threshold, or none.
pub fn is_panic<'e>(
    endpoints: impl Iterator<Item = &'e Arc<Endpoint>>,
    now_ms: u64,
    threshold_percent: u32,
) -> bool {
    let (mut all, mut healthy) = (0_u64, 0_u64);
    for endpoint in endpoints {
        if endpoint.admin() != AdminState::Enabled || endpoint.weight() == 0 {
            continue;
        }
        let weight = u64::from(endpoint.weight());
        all += weight;
        let is_well =
            endpoint.health() != Health::Unhealthy && endpoint.ejected_until_ms(now_ms).is_none();
        healthy += u64::from(is_well) * weight;
    }
    all > 0 && (healthy == 0 || healthy * 100 < all * u64::from(threshold_percent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_on_below_the_threshold_and_when_nobody_is_well(
            well in 0..20_u32,
            unwell in 0..20_u32,
            out in 0..5_u32,
            threshold in 0..=100_u32,
        ) {
            let endpoint = |health, admin| {
                let endpoint = Endpoint::new("", 1);
                endpoint.set_health(health, 0);
                endpoint.set_admin(admin);
                Arc::new(endpoint)
            };
            let mut all = Vec::new();
            all.extend((0..well).map(|_| endpoint(Health::Healthy, AdminState::Enabled)));
            all.extend((0..unwell).map(|_| endpoint(Health::Unhealthy, AdminState::Enabled)));
            all.extend((0..out).map(|_| endpoint(Health::Healthy, AdminState::Draining)));
            let count = well + unwell;
            let expected = count > 0 && (well == 0 || well * 100 < count * threshold);
            prop_assert_eq!(is_panic(all.iter(), 0, threshold), expected);
        }
    }

    #[test]
    fn it_is_looked_at_now_and_then() {
        let endpoint = Arc::new(Endpoint::new("", 1));
        let all = [Arc::clone(&endpoint)];
        let mut alarm = Alarm::default();
        assert!(!alarm.is_on(all.iter(), 0, 50));
        endpoint.set_health(Health::Unhealthy, 0);
        assert!(!alarm.is_on(all.iter(), LOOK_MS - 1, 50));
        assert!(alarm.is_on(all.iter(), LOOK_MS, 50));
    }
}
