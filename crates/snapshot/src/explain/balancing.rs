//! Which target takes a request, and what is told of its choice.

use super::Road;
use crate::plan::{EndpointPlan, ProxyPlan, Snapshot, TargetPlan, UpstreamPlan};
use foregate_balance::{
    CandidateNote as Seen, Endpoint, HedgeNote, Member, RetryRefusal, hash, split,
};
use foregate_message::Method;
use foregate_policy::request_key::{Keyed, RequestKey};
use serde::Serialize;
use std::sync::Arc;

/// How a request goes to a backend.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ProxyNote {
    /// The target that the backend is sent.
    pub target: String,
    /// Whether the route rewrote the path.
    pub rewritten: bool,
    /// The Host that the backend is sent; empty when there is no endpoint whose name it would be.
    pub host: String,
    /// Rules for the request's fields.
    pub request_rules: Vec<String>,
    /// The upstream's name.
    pub upstream: String,
    /// How it chooses.
    pub algorithm: &'static str,
    /// How the route's targets share its requests, if there are several.
    pub split: Option<SplitNote>,
    /// What decides where a request goes, with a hash.
    pub hash_by: Option<String>,
    /// The cookie that keeps a session with its endpoint.
    pub sticky: Option<String>,
    /// The labels that an endpoint must have: `version=v2`.
    pub subset: Vec<String>,
    /// Who gets copies.
    pub mirror: Option<MirrorNote>,
    /// Why the one that is picked is picked, by the stable name.
    pub picked_because: Option<&'static str>,
    /// Whether others were to have the request first: `other-zone` or `backup`.
    pub spill: Option<&'static str>,
    /// What it chooses from.
    pub candidates: Vec<CandidateNote>,
    /// Why nothing can be chosen.
    pub no_endpoint: Option<&'static str>,
    /// When it is tried on another.
    pub retry: String,
    /// When it is sent to a second endpoint as well, and why not if it never is.
    pub hedge: Option<String>,
    /// Where it waits while all are full, if they can be.
    pub queue: Option<String>,
    /// Until a connection stands.
    pub connect_timeout_ms: u64,
    /// Until the answer begins.
    pub first_byte_timeout_ms: Option<u64>,
    /// Between two reads of the answer.
    pub between_bytes_timeout_ms: Option<u64>,
    /// The whole exchange.
    pub request_timeout_ms: Option<u64>,
}

/// An endpoint that could be chosen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CandidateNote {
    /// Its `host:port`.
    pub endpoint: String,
    /// Its share relative to its siblings'.
    pub weight: u32,
    /// Whether it can be chosen, by the stable name of its standing.
    pub standing: &'static str,
    /// For how long it is still left out, or its circuit open.
    pub for_ms: Option<u64>,
    /// Requests that it may have at once, if that is limited.
    pub requests_max: Option<u32>,
    /// The percent of its share that it takes, while that is less than all.
    pub slow_start_percent: Option<u32>,
    /// Requests it works on.
    pub in_flight: u32,
    /// How long it is expected to take, where that is measured.
    pub latency_micros: Option<u64>,
    /// It takes requests when too few primaries are fit.
    pub backup: bool,
    /// Where it stands.
    pub zone: Option<String>,
    /// A worker that begins now would choose it.
    pub picked: bool,
}

/// How a route's targets share its requests.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SplitNote {
    /// The weight of the target that was chosen.
    pub weight: u32,
    /// The weights of all.
    pub weights: u64,
    /// What decides: a key of the request, or `random`.
    pub by: String,
    /// The request does not have the key, so that it was drawn.
    pub drawn: bool,
}

/// Who gets copies of a route's requests.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct MirrorNote {
    /// The name of the upstream.
    pub upstream: String,
    /// Percent of the requests.
    pub share_percent: u32,
    /// Bytes of a body that is copied.
    pub body_bytes_max: usize,
}

pub(super) fn mirror(snapshot: &Snapshot, proxy: &ProxyPlan) -> Option<MirrorNote> {
    let mirror = proxy.mirror.as_ref()?;
    let upstream = &snapshot.upstreams[mirror.target.upstream as usize];
    Some(MirrorNote {
        upstream: upstream.name.to_string(),
        share_percent: mirror.share_percent,
        body_bytes_max: mirror.body_bytes_max,
    })
}

impl Road<'_> {
    /// The target that takes the request.
    pub(super) fn target<'p>(
        &self,
        path: &[u8],
        proxy: &'p ProxyPlan,
    ) -> (&'p TargetPlan, Option<SplitNote>) {
        let Some(plan) = &proxy.split else {
            return (&proxy.targets[0], None);
        };
        let key = plan.by.as_ref().and_then(|by| self.key(path, by));
        let chosen = split(&plan.weights, key.unwrap_or(self.inquiry.random));
        let note = SplitNote {
            weight: plan.weights[chosen],
            weights: plan.weights.iter().map(|weight| u64::from(*weight)).sum(),
            by: plan
                .by
                .as_ref()
                .map_or_else(|| "random".to_owned(), RequestKey::describe),
            drawn: key.is_none(),
        };
        (&proxy.targets[chosen], Some(note))
    }

    /// An upstream's endpoints with their states.
    pub(super) fn members(&self, upstream: &UpstreamPlan) -> Vec<Member> {
        let member = |plan: &EndpointPlan| Member {
            endpoint: (self.known.endpoints)(&upstream.name, &plan.authority)
                .unwrap_or_else(|| Arc::new(Endpoint::new(&*plan.authority, plan.weight))),
            id: hash(plan.authority.as_bytes()),
            attributes: Arc::clone(&plan.attributes),
        };
        upstream.endpoints.iter().map(member).collect()
    }

    /// What was seen of an upstream's endpoints.
    pub(super) fn candidates(&self, upstream: &UpstreamPlan, notes: &[Seen]) -> Vec<CandidateNote> {
        let note = |seen: &Seen| {
            let plan = &upstream.endpoints[seen.index];
            let until = seen.standing.until_ms();
            CandidateNote {
                endpoint: plan.authority.to_string(),
                weight: seen.weight,
                standing: seen.standing.name(),
                for_ms: until.map(|until| until.saturating_sub(self.inquiry.now_ms)),
                requests_max: seen.requests_max,
                slow_start_percent: seen.slow_start_percent,
                in_flight: seen.in_flight,
                latency_micros: seen.latency_micros,
                backup: seen.backup,
                zone: plan.attributes.zone.as_deref().map(Into::into),
                picked: seen.picked,
            }
        };
        notes.iter().map(note).collect()
    }

    /// The hash of what the request is placed by.
    pub(super) fn key(&self, path: &[u8], by: &RequestKey) -> Option<u64> {
        let keyed = Keyed {
            client: self.client,
            path,
            query: self.request.query.as_deref(),
            fields: &self.request.head.fields,
        };
        by.of(&keyed, hash)
    }
}

/// When a request is tried on another endpoint, for people.
pub(super) fn retry(upstream: &UpstreamPlan, target: &TargetPlan) -> String {
    let retry = &upstream.retry;
    let causes = [
        (retry.connect, "connect"),
        (retry.refused, "refused"),
        (retry.reset, "reset"),
        (retry.timeout, "timeout"),
        (!retry.statuses.is_empty(), "statuses"),
    ];
    let on: Vec<&str> = (causes.iter())
        .filter(|(is_on, _)| *is_on)
        .map(|(_, name)| *name)
        .collect();
    let on = match on.is_empty() {
        true => "nothing".to_owned(),
        false => on.join(", "),
    };
    let which = match target.idempotent {
        true => "any request",
        false => "idempotent requests",
    };
    let at_once = retry.retries_max;
    let at_once = at_once.map_or_else(String::new, |most| {
        format!(
            ", {most} at once (else {})",
            RetryRefusal::RetriesMax.name()
        )
    });
    format!(
        "{} tries, on {on}; {which} once a backend was reached, bodies up to {} bytes, budget {} % and {} a second (else {}){at_once}",
        upstream.tries_max,
        retry.body_bytes_max,
        retry.budget.share_percent,
        retry.budget.per_second,
        RetryRefusal::Budget.name(),
    )
}

/// When a request is sent to a second endpoint as well, for people. `second` is who would get it now.
pub(super) fn hedge(
    upstream: &UpstreamPlan,
    target: &TargetPlan,
    method: &Method,
    second: Option<usize>,
) -> Option<String> {
    let policy = upstream.hedge?;
    if !target.idempotent && !method.is_idempotent() {
        return Some("not this request: it can't be repeated".to_owned());
    }
    let ms = policy.after_micros as f64 / 1_000.0;
    let after = match policy.percentile {
        None => format!("after {ms} ms"),
        Some(percent) if policy.after_micros == 0 => {
            format!("after as long as {percent} % of the answers take")
        }
        Some(percent) => {
            format!("after as long as {percent} % of the answers take, at least {ms} ms")
        }
    };
    let to = match second {
        Some(index) => format!("to {} as things are", upstream.endpoints[index].authority),
        None => format!(
            "to nobody as things are: {}",
            HedgeNote::NoOtherEndpoint.name()
        ),
    };
    Some(format!(
        "{after} without a head, {to}; at most {} at once, of the retry budget",
        policy.requests_max
    ))
}

/// Where a request waits while all endpoints are full, for people.
pub(super) fn queue(upstream: &UpstreamPlan) -> Option<String> {
    let queue = &upstream.queue;
    let full = match (
        upstream.balancing.bounds.is_counted(),
        upstream.requests_max,
    ) {
        (false, None) => return None,
        (true, None) => "all are full".to_owned(),
        (false, Some(most)) => format!("the upstream has {most}"),
        (true, Some(most)) => format!("all are full or the upstream has {most}"),
    };
    let ms = queue.time_max.as_millis();
    Some(format!(
        "{} requests, {ms} ms, while {full}",
        queue.length_max
    ))
}

/// The labels that an endpoint must have.
pub(super) fn labels(upstream: &UpstreamPlan, target: &TargetPlan) -> Vec<String> {
    let number = (target.subset as usize).checked_sub(1);
    let subset = number.and_then(|number| upstream.balancing.subsets.get(number));
    let labels = subset.into_iter().flat_map(|subset| subset.iter());
    labels
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}
