//! Forward: an endpoint is chosen, asked, and its answer's head awaited; again elsewhere if that fails and may be
//! done again.

use crate::Road;
use crate::attempt::{self, Failure, Give};
use crate::deadline;
use crate::elsewhere::{self, Way};
use crate::exchange::{Exchange, TryFailure};
use crate::guard;
use crate::hedge::{self, Lane};
use crate::patience::{Patience, Timer};
use crate::plan::{Moved, Upstream};
use crate::repeat::Repeat;
use crate::upload::Upload;
use foregate_balance::{
    Endpoint, InFlight, Need, NoEndpoint, Outcome, Pick, RetryRefusal, Spill, Tried, Verdict,
    compare, note_latency, note_outcome, observe,
};
use foregate_message::{Blame, BodyLength, Client, Reason, RequestHead, ResponseHead, Version};
use foregate_telemetry::clock::{Moment, now, recent};
use foregate_telemetry::log::process;
use foregate_telemetry::metrics::EndpointFailure;
use foregate_upstream::{Call, Pool};
use std::rc::Rc;

/// A backend's answer, from the first try to get it to its last byte. It stays where it is: stages pass a reference, as
/// it is too large to be moved from one to the next.
#[derive(Debug)]
pub(crate) struct Answer<'t> {
    /// What the request went out on last.
    pub(crate) call: Option<Call>,
    pub(crate) head: ResponseHead,
    pub(crate) length: BodyLength,
    /// The rest of the request, which may still be on its way.
    pub(crate) upload: Upload,
    pub(crate) patience: Patience<'t>,
    /// The endpoint's count of requests in flight.
    pub(crate) borrowed: Option<Borrowed>,
}

/// A request that an endpoint counts until this is dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "held for what their ends do")]
pub(crate) enum Borrowed {
    /// As an upstream lends it whose load is bounded.
    Guarded(InFlight),
    /// By way of the worker's pool: one atomic count is enough, that of the endpoint's holders is spared.
    Counted(Counted),
}

/// A count at the endpoint of a pool.
#[derive(Debug)]
pub(crate) struct Counted(Rc<Pool>);

impl Counted {
    #[inline]
    fn at(pool: &Rc<Pool>) -> Counted {
        pool.endpoint.enter();
        Counted(Rc::clone(pool))
    }
}

impl Drop for Counted {
    #[inline]
    fn drop(&mut self) {
        self.0.endpoint.leave();
    }
}

impl<'t> Answer<'t> {
    /// One that nobody was asked for yet, and `timer` is for the wait for it.
    pub(crate) fn awaited(exchange: &Exchange, road: &Road, timer: Timer<'t>) -> Answer<'t> {
        let plan = &exchange.plan;
        let limits = plan.time_limits(exchange.destination(plan));
        Answer {
            call: None,
            head: ResponseHead::default(),
            length: BodyLength::Empty,
            upload: Upload::none(),
            patience: Patience::new(limits, timer, exchange.at, &road.cut),
            borrowed: None,
        }
    }

    /// The call that it comes by.
    ///
    /// # Panics
    /// When nobody was asked: stages behind an attempt that succeeded have one.
    pub(crate) fn parts(
        &mut self,
    ) -> (&mut Call, &mut ResponseHead, &mut Upload, &mut Patience<'t>) {
        let call = self.call.as_mut().expect("an attempt has set it");
        (call, &mut self.head, &mut self.upload, &mut self.patience)
    }
}

/// Asks endpoints until one answers.
///
/// A failed attempt is followed by another if nothing of the request can have had an effect, or if it can be repeated
/// (RFC 9110 §9.2.2) and what was taken of its body is here. Once an endpoint was reached, trying another costs a try
/// of the budget, so that an outage is not made worse.
pub(crate) async fn forward<C: Client>(
    exchange: &mut Exchange,
    road: &Road,
    client: &mut C,
    head: &mut RequestHead,
    answer: &mut Answer<'_>,
) -> Result<(), Reason> {
    let plan = Rc::clone(&exchange.plan);
    let target = exchange.destination(&plan);
    let upstream = &plan.upstreams[target.upstream as usize];
    let mut repeat = Repeat::new(exchange, head, target.idempotent, upstream);
    upstream.budget.borrow_mut().pay(&upstream.retry.budget);
    let mut tried = Tried::default();
    let to = (&**upstream, target.subset);
    let mut moved = None;
    let index = match upstream.is_guarded() {
        false => pick(exchange, to, road, &tried).map_err(|_| Reason::NoEndpoint)?,
        // In a place of its own: the future of others need not have room for it.
        true => {
            let to = (to, &mut moved);
            let entering = guard::enter(exchange, client, to, road, &mut answer.patience);
            Box::pin(entering).await?
        }
    };
    let (planned, mut lane) = (to, Lane::of(index));
    loop {
        let to = moved.as_ref().map_or(planned, Moved::to);
        let upstream = to.0;
        tried.insert(lane.index);
        lane.asked = begin(exchange, client, upstream.pool(lane.index), head, answer);
        let ended = match hedge::race(exchange, road, to, &repeat, lane.asked) {
            None => {
                let (pool, with) = (upstream.pool(lane.index), (way(road, to), &mut repeat));
                attempt::run(exchange, client, head, pool, with, answer).await
            }
            // In a place of its own, too.
            Some(race) => {
                let with = (&mut tried, &mut repeat);
                let racing = hedge::attempt(exchange, client, head, &race, with, answer, &mut lane);
                Box::pin(racing).await
            }
        };
        // Of two endpoints that were asked it is the one whose answer is taken.
        let pool = upstream.pool(lane.index);
        let (failure, next) = match ended {
            Ok(()) => {
                let (at, status) = (recent(), answer.head.status.code());
                let micros = heard_after(upstream, pool, status, lane.asked, at);
                exchange.upstream_micros = Some(micros);
                let again = again(exchange, to, road, &tried, (&mut repeat, answer));
                let Some(next) = again else {
                    heard(exchange, upstream, answer, at);
                    return Ok(());
                };
                (TryFailure::Status(status), next)
            }
            Err(failure) if failure.give == Give::Elsewhere => {
                let newer = elsewhere::go(exchange, &mut tried, &mut lane);
                moved = Some(newer.ok_or(failure.reason)?);
                continue;
            }
            Err(failure) => another_after(exchange, to, road, &tried, (failure, lane.asked))?,
        };
        exchange.failures.push((Rc::clone(pool), failure));
        lane.index = next;
    }
}

/// The way of a try that may choose anew while it waits.
#[inline]
fn way<'w>(road: &'w Road, (upstream, subset): (&'w Upstream, u32)) -> Way<'w> {
    Way {
        road,
        upstream,
        subset,
        may_choose: true,
    }
}

/// An answer that the client gets has begun.
#[inline]
fn heard(exchange: &mut Exchange, upstream: &Upstream, answer: &mut Answer<'_>, at: Moment) {
    if exchange.guarded.is_some() {
        guard::heard(exchange, upstream, answer, at);
    }
    answer.upload.keep_no_more();
    answer.patience.body(at);
}

/// An endpoint is asked, with a head that is addressed to it; when.
#[inline]
fn begin<C: Client>(
    exchange: &mut Exchange,
    client: &mut C,
    pool: &Rc<Pool>,
    head: &mut RequestHead,
    answer: &mut Answer<'_>,
) -> Moment {
    exchange.tries += 1;
    exchange.endpoint = Some(Rc::clone(pool));
    if exchange.guarded.is_some() {
        guard::take_up(exchange, pool, answer);
    } else {
        answer.borrowed = Some(Borrowed::Counted(Counted::at(pool)));
    }
    tell_way(exchange, client, pool);
    pool.cells().requests.one();
    if exchange.tries > 1 {
        pool.cells().retries.one();
    } else if head.version == Version::Http2 || exchange.translated {
        exchange.client_deadline = deadline::of_client(&head.fields, exchange.at);
    }
    let asked = recent();
    answer.patience.begin_try();
    attempt::address(exchange, head, &pool.endpoint, &answer.patience);
    asked
}

/// Tells the client's connection where its request is.
#[inline]
pub(crate) fn tell_way<C: Client + ?Sized>(exchange: &Exchange, client: &mut C, pool: &Pool) {
    let route = exchange.plan.route_id(exchange.route);
    client.going_to(route.number(), pool.id().number());
}

/// Takes note of when an answer began; how long it took.
pub(crate) fn heard_after(
    upstream: &Upstream,
    pool: &Pool,
    status: u16,
    asked: Moment,
    at: Moment,
) -> u64 {
    let micros = at.micros_since(asked);
    pool.cells().answered(micros);
    if upstream.is_timed {
        time(&pool.endpoint, status, micros, at);
    }
    if upstream.outliers.is_some() {
        note_latency(&pool.endpoint, micros);
    }
    measure(upstream, micros);
    micros
}

/// Takes note of how long the upstream takes, where hedges go by it.
#[inline]
pub(crate) fn measure(upstream: &Upstream, micros: u64) {
    if let Some(percent) = upstream.hedge.and_then(|policy| policy.percentile) {
        upstream.state.times().observe(micros, percent);
    }
}

/// Takes note of an attempt that failed, for algorithms that go by how long endpoints take.
#[cold]
pub(crate) fn failed_after(upstream: &Upstream, pool: &Pool, asked: Moment) {
    if upstream.is_timed {
        let at = now();
        pool.endpoint.failed(at.micros_since(asked), at.millis());
    }
}

/// Another endpoint, after one has failed.
///
/// # Errors
/// There is no other, or none may be asked.
#[cold]
fn another_after(
    exchange: &mut Exchange,
    to: (&Upstream, u32),
    road: &Road,
    tried: &Tried,
    (failure, asked): (Failure, Moment),
) -> Result<(TryFailure, usize), Reason> {
    let Failure { reason, give, kind } = failure;
    let upstream = to.0;
    if let (Some(kind), Some(pool)) = (kind, &exchange.endpoint) {
        failed_after(upstream, pool, asked);
        fail(upstream, pool, kind);
    }
    if exchange.guarded.is_some() {
        guard::conclude(exchange, upstream, kind.and_then(blame));
    }
    let may = match give {
        Give::Up | Give::Elsewhere => false,
        Give::Over => upstream.retry.connect,
        Give::Again => true,
    };
    let next = match may {
        true => retry(exchange, to, road, tried, give == Give::Over),
        false => None,
    };
    next.map(|next| (TryFailure::Reason(reason), next))
        .ok_or(reason)
}

/// Another endpoint, if an answer's status asks for one, the request can be repeated and another may be asked.
#[inline]
fn again(
    exchange: &mut Exchange,
    to: (&Upstream, u32),
    road: &Road,
    tried: &Tried,
    (repeat, answer): (&mut Repeat, &mut Answer<'_>),
) -> Option<usize> {
    let status = answer.head.status.code();
    let upstream = to.0;
    if upstream.retry.statuses.is_empty() || !upstream.retry.statuses.contains(status) {
        return None;
    }
    repeat.take_from(&mut answer.upload);
    let next = match repeat.is_possible() {
        true => retry(exchange, to, road, tried, false),
        false => None,
    };
    let Some(next) = next else {
        // The answer stands, and what is kept may still have to be sent to whoever gave it.
        answer.upload.take_back(repeat.kept.take());
        return None;
    };
    if let Some(pool) = exchange.endpoint.clone() {
        let outcome = unfit(upstream, &pool, status);
        guard::conclude(exchange, upstream, Some(outcome));
    }
    // A copy of the request waits for the next attempt.
    exchange.copy.set(answer.upload.copy.take());
    answer.call = None;
    answer.head = ResponseHead::default();
    Some(next)
}

/// Another endpoint for a request that may be tried again, and the right to ask it; free of charge where the one before
/// was never reached. When there is none it is noted why.
#[cold]
fn retry(
    exchange: &mut Exchange,
    to: (&Upstream, u32),
    road: &Road,
    tried: &Tried,
    is_free: bool,
) -> Option<usize> {
    let upstream = to.0;
    let found = match exchange.tries < upstream.tries_max {
        true => another(exchange, to, road, tried).ok_or(RetryRefusal::NoOtherEndpoint),
        false => Err(RetryRefusal::TriesMax),
    };
    let refusal = match found {
        Ok(_) if !guard::may_again(exchange, upstream) => RetryRefusal::RetriesMax,
        Ok(next) if is_free || afford(upstream, exchange.endpoint.as_deref()) => return Some(next),
        Ok(_) => RetryRefusal::Budget,
        Err(refusal) => refusal,
    };
    guard::not_again(exchange);
    upstream.state.note_retry_refused(refusal);
    exchange.retry_refused = Some(refusal);
    None
}

/// Takes note of an answer that is followed by another try, and what circuits are to make of it.
#[cold]
pub(crate) fn unfit(upstream: &Upstream, pool: &Pool, status: u16) -> Outcome {
    if matches!(status, 502..=504) {
        fail(upstream, pool, EndpointFailure::Status);
        return Outcome::GatewayError;
    }
    pool.cells().failed(EndpointFailure::Status);
    Outcome::Success
}

/// Takes a try of the budget.
fn afford(upstream: &Upstream, pool: Option<&Pool>) -> bool {
    let now_ms = recent().millis();
    let policy = &upstream.retry.budget;
    let taken = upstream.budget.borrow_mut().take(policy, now_ms);
    if let (false, Some(pool)) = (taken, pool) {
        pool.cells().retries_refused.one();
    }
    taken
}

/// Takes note of how long an endpoint took, for algorithms that go by it. Who says that it is unable is not fast.
fn time(endpoint: &Endpoint, status: u16, micros: u64, at: Moment) {
    match status {
        502..=504 => endpoint.failed(micros, at.millis()),
        _ => endpoint.answered(micros, at.millis()),
    }
}

/// Another endpoint, with a place there where places are counted. Nobody waits for it in the line: then there is none.
#[inline(never)]
fn another(
    exchange: &mut Exchange,
    to: (&Upstream, u32),
    road: &Road,
    tried: &Tried,
) -> Option<usize> {
    match to.0.is_guarded() {
        false => pick(exchange, to, road, tried).ok(),
        true => {
            // One that began before there were limits comes here without.
            exchange.guarded.get_or_insert_default();
            guard::pick(exchange, to, road, tried).ok()
        }
    }
}

/// The endpoint that is asked next.
#[inline]
pub(crate) fn pick(
    exchange: &mut Exchange,
    to: (&Upstream, u32),
    road: &Road,
    tried: &Tried,
) -> Result<usize, NoEndpoint> {
    let pick = choose(exchange, to, road, tried)?;
    exchange.pick = Some(pick);
    Ok(pick.index)
}

/// A choice of an endpoint.
#[inline]
pub(crate) fn choose(
    exchange: &Exchange,
    (upstream, subset): (&Upstream, u32),
    road: &Road,
    tried: &Tried,
) -> Result<Pick, NoEndpoint> {
    let need = Need {
        subset,
        key: exchange.key,
        session: exchange.session.and_then(|session| session.endpoint),
        ..need(road, tried)
    };
    let pick = upstream.picker.borrow_mut().pick(&need)?;
    if pick.spill != Spill::None || pick.reason.is_aside() {
        count_aside(road, &pick);
    }
    Ok(pick)
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
        Reason::UpstreamClosed
        | Reason::UpstreamTruncated
        | Reason::UpstreamReset
        | Reason::UpstreamTlsFailed => EndpointFailure::Closed,
        Reason::FirstByteTimeout
        | Reason::TryTimeout
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
pub(crate) fn judge(exchange: &mut Exchange, outcome: Result<(), Reason>) {
    let (Some(pool), plan) = (&exchange.endpoint, &exchange.plan) else {
        return;
    };
    let upstream = exchange.upstream(plan);
    let failed = match outcome {
        Ok(()) if matches!(exchange.status, 502..=504) => Some(EndpointFailure::Status),
        Ok(()) => None,
        Err(reason) if reason.blame() != Blame::Upstream => return,
        Err(reason) => failure(reason),
    };
    match failed {
        Some(kind) => fail(upstream, pool, kind),
        None => observed(upstream, pool, Outcome::Success, recent()),
    }
    if exchange.guarded.is_some() {
        let upstream = Rc::clone(upstream);
        let outcome = failed.map_or(Some(Outcome::Success), blame);
        guard::conclude(exchange, &upstream, outcome);
    }
}

/// What a failure says of an endpoint's health.
pub(crate) fn blame(kind: EndpointFailure) -> Option<Outcome> {
    match kind {
        EndpointFailure::PendingFull => None,
        EndpointFailure::Status => Some(Outcome::GatewayError),
        _ => Some(Outcome::Failure),
    }
}

/// Takes note of a failure.
#[cold]
pub(crate) fn fail(upstream: &Upstream, pool: &Pool, kind: EndpointFailure) {
    pool.cells().failed(kind);
    let Some(outcome) = blame(kind) else {
        return;
    };
    if let (Some(policy), EndpointFailure::Timeout | EndpointFailure::ConnectTimeout) =
        (&upstream.bounds.adaptive, kind)
    {
        pool.endpoint.adaptive.overloaded(policy);
    }
    observed(upstream, pool, outcome, now());
}

/// Takes note of how an attempt ended, as far as the endpoint's health goes.
#[inline]
pub(crate) fn observed(upstream: &Upstream, pool: &Pool, outcome: Outcome, at: Moment) {
    let at_ms = at.millis();
    let (endpoint, siblings) = (&pool.endpoint, upstream.endpoints());
    let verdict = observe(endpoint, siblings, outcome, at_ms, &upstream.ejection);
    if verdict != Verdict::Unchanged {
        tell(upstream, endpoint, verdict, at_ms);
    }
    if let Some(policy) = &upstream.outliers {
        note_outcome(endpoint, outcome);
        if upstream.state.comparing.is_due(at_ms, policy) {
            for (index, verdict) in compare(siblings, at_ms, policy, &upstream.ejection) {
                tell(upstream, &siblings[index], verdict, at_ms);
            }
        }
    }
}

#[cold]
fn tell(upstream: &Upstream, endpoint: &Endpoint, verdict: Verdict, at_ms: u64) {
    if let Verdict::Ejected { until_ms, cause } = verdict {
        process::warn(
            "endpoint ejected",
            &[
                ("upstream", &upstream.name),
                ("endpoint", &endpoint.label()),
                ("cause", &cause.name()),
                ("for_ms", &until_ms.saturating_sub(at_ms)),
            ],
        );
    }
}
