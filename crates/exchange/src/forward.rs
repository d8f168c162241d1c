//! Forward: an endpoint is chosen, asked, and its answer's head awaited; again elsewhere if that fails and may be
//! done again.

use crate::Road;
use crate::attempt::{self, Failure, Give};
use crate::exchange::Exchange;
use crate::patience::Patience;
use crate::plan::Upstream;
use crate::upload::Upload;
use foregate_balance::{Endpoint, InFlight, Need, Outcome, Pick, Spill, Tried, Verdict, observe};
use foregate_message::{Blame, BodyLength, Client, Reason, RequestHead, ResponseHead};
use foregate_snapshot::TargetPlan;
use foregate_telemetry::clock::{Moment, now, recent};
use foregate_telemetry::log::process;
use foregate_telemetry::metrics::EndpointFailure;
use foregate_upstream::{Call, Pool};
use std::rc::Rc;

/// A backend's answer, of which the head is here.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) call: Call,
    pub(crate) head: ResponseHead,
    pub(crate) length: BodyLength,
    /// The rest of the request, which may still be on its way.
    pub(crate) upload: Upload,
    pub(crate) patience: Patience,
    /// The endpoint's count of requests in flight.
    pub(crate) borrowed: InFlight,
}

/// Asks endpoints until one answers.
///
/// A failed attempt is followed by another only if nothing of the request can have had an effect: the connection was
/// never made, or it was a kept one that the backend closed before it said anything and the request is idempotent
/// (RFC 9110 §9.2.2), and no byte of the body has been taken from the client.
pub(crate) async fn forward<C: Client>(
    exchange: &mut Exchange,
    road: &Road,
    client: &mut C,
    head: &mut RequestHead,
) -> Result<Answer, Reason> {
    let plan = Rc::clone(&exchange.plan);
    let target = exchange.destination(&plan);
    let upstream = &plan.upstreams[target.upstream as usize];
    let mut patience = Patience::new(plan.time_limits(target), exchange.at, &road.cut);
    let mut tried = Tried::default();
    let mut last = Reason::NoEndpoint;
    while exchange.tries < upstream.tries_max {
        let Some(index) = pick(exchange, upstream, target, road, &tried) else {
            break;
        };
        tried.insert(index);
        exchange.tries += 1;
        let pool = &upstream.pools[index];
        exchange.endpoint = Some(Rc::clone(pool));
        let borrowed = pool.endpoint.begin();
        pool.cells().requests.one();
        if exchange.tries > 1 {
            pool.cells().retries.one();
        }
        let asked = recent();
        match attempt::run(exchange, client, head, pool, upstream, &mut patience).await {
            Ok(attempt::Heard {
                call,
                head,
                length,
                upload,
            }) => {
                let heard = now();
                let micros = heard.micros_since(asked);
                exchange.upstream_micros = Some(micros);
                pool.cells().answered(micros);
                if upstream.is_timed {
                    time(&pool.endpoint, head.status.code(), micros, heard);
                }
                patience.body(heard);
                return Ok(Answer {
                    call,
                    head,
                    length,
                    upload,
                    patience,
                    borrowed,
                });
            }
            Err(Failure { reason, give, kind }) => {
                if let Some(kind) = kind {
                    fail(upstream, pool, kind);
                    if upstream.is_timed {
                        let at = now();
                        pool.endpoint.failed(at.micros_since(asked), at.millis());
                    }
                }
                last = reason;
                if give == Give::Up {
                    return Err(reason);
                }
            }
        }
    }
    Err(last)
}

/// Takes note of how long an endpoint took, for algorithms that go by it. Who says that it is unable is not fast.
fn time(endpoint: &Endpoint, status: u16, micros: u64, at: Moment) {
    match status {
        502..=504 => endpoint.failed(micros, at.millis()),
        _ => endpoint.answered(micros, at.millis()),
    }
}

/// The endpoint that is asked next.
fn pick(
    exchange: &mut Exchange,
    upstream: &Upstream,
    target: &TargetPlan,
    road: &Road,
    tried: &Tried,
) -> Option<usize> {
    let need = Need {
        subset: target.subset,
        key: exchange.key,
        session: exchange.session.and_then(|session| session.endpoint),
        ..need(road, tried)
    };
    let pick = upstream.picker.borrow_mut().pick(&need).ok()?;
    exchange.pick = Some(pick);
    if pick.spill != Spill::None || pick.reason.is_aside() {
        count_aside(road, &pick);
    }
    Some(pick.index)
}

#[cold]
fn count_aside(road: &Road, pick: &Pick) {
    let cells = &road.shard.balancing;
    cells.pick(pick.reason.name());
    cells.pick(pick.spill.name());
}

/// What any request brings to a pick.
pub(crate) fn need<'t>(road: &Road, tried: &'t Tried) -> Need<'t> {
    Need::any(recent().millis(), road.random.next(), tried)
}

/// What an endpoint is to blame for when an attempt or its answer ended with `reason`, if it is.
pub(crate) fn failure(reason: Reason) -> Option<EndpointFailure> {
    Some(match reason {
        Reason::UpstreamClosed | Reason::UpstreamTruncated | Reason::UpstreamReset => {
            EndpointFailure::Closed
        }
        Reason::FirstByteTimeout
        | Reason::UpstreamWriteTimeout
        | Reason::BetweenBytesTimeout
        | Reason::UpstreamSilent => EndpointFailure::Timeout,
        Reason::Response(_) | Reason::UpgradeUnasked | Reason::UpstreamProtocol => {
            EndpointFailure::BrokenResponse
        }
        _ => return None,
    })
}

/// Takes note of how an answer ended. A gateway error of the backend's own counts against it, and so does an answer
/// that broke off.
pub(crate) fn judge(exchange: &Exchange, outcome: Result<(), Reason>) {
    let (Some(pool), plan) = (&exchange.endpoint, &exchange.plan) else {
        return;
    };
    let upstream = &plan.upstreams[exchange.destination(plan).upstream as usize];
    let failed = match outcome {
        Ok(()) if matches!(exchange.status, 502..=504) => Some(EndpointFailure::Status),
        Ok(()) => None,
        Err(reason) if reason.blame() != Blame::Upstream => return,
        Err(reason) => failure(reason),
    };
    if let Some(kind) = failed {
        return fail(upstream, pool, kind);
    }
    let at = recent().millis();
    let (endpoint, siblings) = (&pool.endpoint, &upstream.endpoints);
    let _ = observe(endpoint, siblings, Outcome::Success, at, &upstream.ejection);
}

/// Takes note of a failure.
pub(crate) fn fail(upstream: &Upstream, pool: &Pool, kind: EndpointFailure) {
    pool.cells().failed(kind);
    if kind == EndpointFailure::PendingFull {
        return;
    }
    let at = now().millis();
    let verdict = observe(
        &pool.endpoint,
        &upstream.endpoints,
        Outcome::Failure,
        at,
        &upstream.ejection,
    );
    if let Verdict::Ejected { until_ms } = verdict {
        process::warn(
            "endpoint ejected",
            &[
                ("upstream", &upstream.name),
                ("endpoint", &pool.endpoint.label()),
                ("failure", &kind.name()),
                ("for_ms", &until_ms.saturating_sub(at)),
            ],
        );
    }
}
