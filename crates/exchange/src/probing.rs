//! What the prober is told of a plan: whom to ask, and how requests get there.

use crate::plan::{PlanParts, call_limits, pool_limits};
use foregate_upstream::ProbeTarget;
use std::sync::Arc;

impl PlanParts {
    /// The endpoints that are to be probed.
    pub fn probe_targets(&self) -> Vec<ProbeTarget> {
        let mut targets: Vec<ProbeTarget> = Vec::new();
        for (upstream, part) in self.snapshot.upstreams.iter().zip(&*self.upstreams) {
            let Some(plan) = &upstream.probe else {
                continue;
            };
            targets.extend(part.endpoints.iter().map(|one| ProbeTarget {
                upstream: Arc::clone(&upstream.name),
                endpoint: Arc::clone(&one.endpoint),
                address: one.address,
                plan: Arc::clone(plan),
                pool_limits: pool_limits(&self.snapshot, upstream),
                call_limits: call_limits(&self.snapshot, upstream),
                connector: part.connector.clone(),
            }));
        }
        targets
    }
}
