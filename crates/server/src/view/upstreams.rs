//! Upstreams: what the admin API shows of them, with their endpoints and bounds.

use crate::fleet::Group;
use crate::probing::Known;
use foregate_admin::{EndpointState, EndpointView, RetryBudgetView, UpstreamView};
use foregate_balance::{AdminState, Health, RetryRefusal, Shared, is_panic};
use foregate_telemetry::clock::now;
use foregate_telemetry::metrics::Registry;
use std::collections::{BTreeMap, BTreeSet};

/// An upstream with its endpoints.
pub(super) fn view(group: &Group, known: &Known, registry: &Registry) -> UpstreamView {
    let now_ms = now().millis();
    let (plan, state) = (group.plan(), &group.part.state);
    let circuit = plan.circuit;
    UpstreamView {
        name: plan.name.to_string(),
        balance: plan.balancing.algorithm.name().to_owned(),
        endpoints: endpoints(group, known, registry, now_ms),
        panic: is_panic(
            group.endpoints().map(|(_, endpoint)| endpoint),
            now_ms,
            plan.balancing.panic_threshold_percent,
        ),
        circuit: circuit.map(|_| state.breaker.state(now_ms).name().to_owned()),
        requests: requests(group),
        requests_max: plan.requests_max,
        connections: connections(group, registry),
        connections_max: plan.connections_max.map(|max| max as u64),
        retries: (plan.retry.retries_max).map(|_| state.under_way(Shared::Retries)),
        retries_max: plan.retry.retries_max,
        retry_budget: RetryBudgetView {
            tries_left: state.budgets_left(),
            percent: plan.retry.budget.share_percent,
            per_second: plan.retry.budget.per_second,
        },
        retries_refused: refused(group),
        queued: group.part.line.length(),
        queue_length_max: plan.has_queue().then_some(plan.queue.length_max as u64),
        discovery: None,
    }
}

fn requests(group: &Group) -> u32 {
    match group.plan().requests_max {
        Some(_) => group.part.state.under_way(Shared::Requests),
        None => (group.endpoints())
            .map(|(_, endpoint)| endpoint.in_flight())
            .sum(),
    }
}

/// Endpoints that are addresses of one name are counted together: each name once.
fn connections(group: &Group, registry: &Registry) -> u64 {
    let mut seen = BTreeSet::new();
    let ids = group.part.endpoints.iter().map(|part| part.id);
    ids.filter(|id| seen.insert(id.number()))
        .map(|id| registry.endpoint_connections(id))
        .sum()
}

fn refused(group: &Group) -> BTreeMap<String, u64> {
    let state = &group.part.state;
    let of = |refusal: RetryRefusal| (refusal.name().to_owned(), state.retries_refused(refusal));
    RetryRefusal::ALL.into_iter().map(of).collect()
}

fn endpoints(group: &Group, known: &Known, registry: &Registry, now_ms: u64) -> Vec<EndpointView> {
    let bounds = group.plan().balancing.bounds;
    let endpoints = group.endpoints().zip(&group.part.endpoints);
    let view = endpoints.map(|((member, endpoint), part)| {
        let state = endpoint.state(now_ms);
        let ejected = state.ejected_until_ms;
        let attributes = &member.endpoint.attributes;
        EndpointView {
            endpoint: endpoint.label().to_owned(),
            address: member.address.map(|address| address.to_string()),
            origin: member.origin.name().to_owned(),
            state: match state.admin {
                AdminState::Enabled => EndpointState::Enabled,
                AdminState::Draining => EndpointState::Draining,
                AdminState::Disabled => EndpointState::Disabled,
            },
            available: ejected.is_none()
                && state.health != Health::Unhealthy
                && member.address.is_some()
                && state.admin == AdminState::Enabled,
            weight: state.weight,
            zone: attributes.zone.as_deref().map(str::to_owned),
            backup: attributes.backup,
            labels: (attributes.labels.iter())
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            in_flight: state.in_flight,
            connections: registry.endpoint_connections(part.id),
            consecutive_failures: state.consecutive_failures,
            ejected_for_ms: ejected.map(|until| until.saturating_sub(now_ms)),
            circuit: (bounds.circuit).map(|_| endpoint.breaker.state(now_ms).name().to_owned()),
            requests_max: bounds.most(endpoint),
            slow_start_percent: bounds.slow_start_percent(endpoint, now_ms),
            health: state.health.name().to_owned(),
            probe: known.view(endpoint, now_ms),
        }
    });
    view.collect()
}
