//! What workers are about to let go of. Control holds it a little longer than they do, so that it is never a worker,
//! between two requests, that frees a large configuration.

use super::Inner;
use crate::fleet::Handover;
use foregate_exchange::{PlanParts, UpstreamPart};
use foregate_snapshot::Snapshot;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked at while workers take a change up: someone may wait for that.
const HANDOVER_POLL: Duration = Duration::from_millis(5);
/// How often while requests that began before a change are still under way.
const PLAN_POLL: Duration = Duration::from_secs(1);

/// What control alone will hold soon. It is never more than what workers hold as well, but for the time of a look.
#[derive(Default)]
pub(crate) struct Attic {
    handovers: Vec<Arc<Handover>>,
    upstreams: Vec<Arc<[Arc<UpstreamPart>]>>,
    snapshots: Vec<Arc<Snapshot>>,
}

impl Attic {
    /// Takes what workers have been given of a change.
    pub(super) fn hand_over(&mut self, handover: &Arc<Handover>) {
        self.handovers.push(Arc::clone(handover));
    }

    fn take(&mut self, before: PlanParts, now: &PlanParts) {
        self.upstreams.push(before.upstreams);
        if !Arc::ptr_eq(&before.snapshot, &now.snapshot) {
            self.snapshots.push(before.snapshot);
        }
    }

    /// Frees what nobody else holds any more; after how long it is to be looked at again.
    pub(super) fn clear(&mut self) -> Option<Duration> {
        self.handovers.retain(|one| Arc::strong_count(one) > 1);
        self.upstreams.retain(|one| Arc::strong_count(one) > 1);
        self.snapshots.retain(|one| Arc::strong_count(one) > 1);
        match (
            self.handovers.is_empty(),
            self.upstreams.is_empty() && self.snapshots.is_empty(),
        ) {
            (false, _) => Some(HANDOVER_POLL),
            (true, false) => Some(PLAN_POLL),
            (true, true) => None,
        }
    }
}

impl Inner {
    /// Goes on with other parts.
    pub(super) fn set_parts(&mut self, parts: &PlanParts) {
        let before = std::mem::replace(&mut self.parts, parts.clone());
        self.attic.take(before, parts);
    }
}
